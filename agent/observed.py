"""What is really on the host, as values. No I/O, no clock, no foreign import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.model import Spec


@dataclass(frozen=True, slots=True)
class ObservedFile:
    """What lies at one path, links not followed. `type`: file, directory, symlink, other. Of files only:
    `content`, a SHA-256, and `size` in bytes. `owner` and `group` are names as the host knows them, or the
    number as text.
    """

    type: str
    mode: int  # permission bits only
    uid: int
    gid: int
    owner: str = ""
    group: str = ""
    content: str = ""
    target: str = ""
    empty: bool = False  # directories: nothing inside
    size: int = 0


@dataclass(frozen=True, slots=True)
class ObservedContainer:
    """One container, ours or not. `key_name` is the final name from our label, empty when it is not ours.

    `state`: created, running, paused, restarting, removing, exited, dead. `health`: "", starting, healthy,
    unhealthy. `networks`: network name -> network id. `ports`: claims of published ports that are held now.
    `patience`: seconds that its health check gives it for its start. From `restart_policy` to it, all is None
    or empty unless the container was inspected.

    `adopted`: ours by its id in the inventory, not by a label; then `original` says how it was found, as long
    as no release that has it was proved. `found` (for `kinds.engine.compare`) is only there when it may be
    adopted; `differs` is what that says.
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
    adopted: bool = False
    original: Spec | None = None
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
    """What is really there, read once per pass. `images`: reference -> image id, for references that exist
    locally.

    `image_ids` are all local image ids, `tagged` those with a name. Missing paths are absent from `files`.
    `engine_version` (`20.10.24`) and `engine_api` (the API version spoken to it) are empty when the Engine
    was not asked.
    """

    files: Mapping[str, ObservedFile] = field(default_factory=dict)
    containers: tuple[ObservedContainer, ...] = ()
    networks: Mapping[str, ObservedNetwork] = field(default_factory=dict)
    volumes: Mapping[str, ObservedVolume] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)
    image_ids: frozenset[str] = frozenset()
    tagged: frozenset[str] = frozenset()
    engine_version: str = ""
    engine_api: tuple[int, ...] = ()
