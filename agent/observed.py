"""What is really on the host, as values. No I/O, no clock, no foreign import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.model import Spec


@dataclass(frozen=True, slots=True)
class ObservedFile:
    """What lies at one path; links are not followed.

    type: file, directory, symlink or other
    owner, group: names as the host knows them, or the number as text
    content: files only: the SHA-256
    size: files only: bytes
    empty: directories only: nothing is inside
    known: directories only: all that is inside was looked at too
    """

    type: str
    mode: int  # permission bits only
    uid: int
    gid: int
    owner: str = ""
    group: str = ""
    content: str = ""
    target: str = ""
    empty: bool = False
    size: int = 0
    known: bool = False


@dataclass(frozen=True, slots=True)
class ObservedContainer:
    """One container, ours or not. The fields from `restart_policy` to `patience` are None or empty unless the
    container was inspected.

    state: created, running, paused, restarting, removing, exited or dead
    key_name: the final name from our label; empty when it is not ours
    health: empty, starting, healthy or unhealthy
    networks: network name -> network id
    ports: claims of the published ports that are held now
    addresses: claims of the addresses that it has; only of containers that are not ours
    patience: seconds that its health check gives it for its start
    limits: the Engine's fields of the limits that it can change in place
    adopted: ours by its id in the inventory, not by a label
    original: how an adopted one was found, until a release that has it is proved
    shares: `network_mode`, `pid` or `ipc` -> the id of the container with which it shares that, or its name
        when it was not there yet
    created_at: when it was created; empty unless it was inspected
    found: what `kinds.engine.compare` reads; only there when it may be adopted
    differs: what `kinds.engine.compare` says
    """

    id: str
    name: str
    owned: bool
    state: str
    image_id: str
    key_name: str = ""
    app: str = ""
    digest: str = ""
    health: str = ""
    exit_code: int | None = None
    networks: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    restart_policy: str | None = None
    restart_count: int | None = None
    started_at: str = ""
    error: str = ""
    patience: float = 0.0
    limits: Spec | None = None
    adopted: bool = False
    original: Spec | None = None
    shares: Mapping[str, str] = field(default_factory=dict)
    created_at: str = ""
    addresses: tuple[str, ...] = ()
    found: Spec | None = None
    differs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ObservedNetwork:
    """One network, ours or not. `claims`: the subnets and the interface that it holds now; the rest as for
    containers.
    """

    id: str
    name: str
    owned: bool
    digest: str = ""
    claims: tuple[str, ...] = ()
    adopted: bool = False
    found: Spec | None = None


@dataclass(frozen=True, slots=True)
class ObservedVolume:
    """`adopted` and `found` as for containers."""

    name: str
    owned: bool
    digest: str = ""
    adopted: bool = False
    found: Spec | None = None


@dataclass(frozen=True, slots=True)
class Observed:
    """What is really there, read once per pass.

    files: by path; without the paths at which nothing lies
    images: reference -> image id, of the references that exist locally
    image_ids: the ids of all local images
    tagged: the ids of the local images that have a name
    users: image id -> its USER, of the images that were asked for it
    held_ports: claims of ports that processes of the host hold, of those that are wanted
    missing_devices: host paths of wanted devices at which nothing lies
    bare: host paths of wanted data at which nothing lies, or an empty directory
    at: when it was seen, monotonic seconds; 0 where nothing was
    engine_version: as `20.10.24`; empty when the Engine was not asked
    engine_api: the API version spoken to the Engine; empty when it was not asked
    """

    files: Mapping[str, ObservedFile] = field(default_factory=dict)
    containers: tuple[ObservedContainer, ...] = ()
    networks: Mapping[str, ObservedNetwork] = field(default_factory=dict)
    volumes: Mapping[str, ObservedVolume] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)
    image_ids: frozenset[str] = frozenset()
    tagged: frozenset[str] = frozenset()
    users: Mapping[str, str] = field(default_factory=dict)
    held_ports: frozenset[str] = frozenset()
    missing_devices: frozenset[str] = frozenset()
    bare: frozenset[str] = frozenset()
    at: float = field(default=0.0, compare=False)
    engine_version: str = ""
    engine_api: tuple[int, ...] = ()
