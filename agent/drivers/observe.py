"""Reads once what is really there: containers, networks, volumes, images, and the paths that are asked for.

Unknown is not missing: when something cannot be read, that is an error; nothing is left out silently.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from agent.drivers.engine import Engine
from agent.drivers.observe_files import bare_paths, observe_files
from agent.drivers.obstacles import held_ports, missing_devices
from agent.kinds import claims
from agent.kinds.adoption import adoption_handle, as_adopted, unproved
from agent.kinds.engine.health import start_patience
from agent.kinds.in_place import LIMITS
from agent.model import APP_LABEL, DIGEST_LABEL, INSTANCE_LABEL, NAME_LABEL, Owned, Spec
from agent.observed import Observed, ObservedContainer, ObservedNetwork, ObservedVolume
from agent.references import familiar

_HEALTH = r"\((?:health: )?(starting|healthy|unhealthy)\)$"
_EXITED = r"(?:Exited|Restarting) \((-?\d+)\)"
NO_TAG = "<none>:<none>"  # what older Engines list for an image without a name
HOLDING = ("running", "paused", "restarting")  # states that hold ports and addresses
HostPathOf = Callable[[str], str]  # a path of the Engine's -> the host path


@dataclass(frozen=True, slots=True)
class Look:
    """The things to look at, besides all containers, networks and volumes.

    paths: host paths
    images: references to resolve
    deep: our containers are inspected too (restart policy and count, start time, error); kept and candidate
        containers always are
    runtime: whether the Engine is asked at all; else only the files
    adopted: (kind, id) -> name and inventory entry of the things that are ours without a label
    adopting: the handles of the things that may be taken over, which are then inspected
    ports, devices: the claims and host paths that containers want, to be looked for on the host
    users: references and ids of images that are asked for their USER
    data: host paths below an app's directory at which its data is to lie
    closely: names of containers that are inspected too, because others live by them or they by others
    """

    paths: frozenset[str] = frozenset()
    images: tuple[str, ...] = ()
    deep: bool = False
    runtime: bool = True
    adopted: Mapping[tuple[str, str], tuple[str, Owned]] = field(default_factory=dict)
    adopting: frozenset[str] = frozenset()
    closely: frozenset[str] = frozenset()
    ports: frozenset[str] = frozenset()
    devices: frozenset[str] = frozenset()
    users: frozenset[str] = frozenset()
    data: frozenset[str] = frozenset()

    def shows(self, wanted: Look) -> bool:
        """Whether this look shows all that another one, no deeper, is to show."""
        return set(wanted.images) <= set(self.images) and all(
            getattr(wanted, name) <= getattr(self, name)
            for name in ("paths", "adopting", "closely", "ports", "devices", "users", "data")
        )


def observe(look: Look, root: str, engine: Engine, instance: str, unmapped: HostPathOf = str) -> Observed:
    """Takes one snapshot.

    look: what is looked at
    root: where the host paths begin
    engine: the light reader
    instance: the value of our instance label
    unmapped: the Engine's path of a bind source -> the host path below `root`

    Errors: Transient when Docker or a file system does not answer.
    """
    files = observe_files(look.paths, root)
    if not look.runtime:
        return Observed(files=files)
    images, containers = engine.images(), _containers(engine, instance, look, unmapped)
    return Observed(
        files=files,
        containers=containers,
        networks=_networks(engine.networks(), instance, look),
        volumes={v["Name"]: _volume(v, instance, look) for v in engine.volumes()},
        images=_references(look.images, images, engine),
        image_ids=frozenset(image["Id"] for image in images),
        tagged=frozenset(image["Id"] for image in images if {*(image.get("RepoTags") or ())} - {NO_TAG}),
        users=_users(look.users, images, engine),
        held_ports=held_ports(look.ports, {port for each in containers for port in each.ports}),
        missing_devices=missing_devices(look.devices),
        bare=bare_paths(look.data, root),
        engine_version=engine.version,
        engine_api=engine.api,
    )


# --- containers ---------------------------------------------------------------------------------------------


def _containers(
    engine: Engine, instance: str, look: Look, unmapped: HostPathOf
) -> tuple[ObservedContainer, ...]:
    found = [_container(listed, engine, instance, look, unmapped) for listed in engine.containers()]
    return tuple(sorted((c for c in found if c is not None), key=lambda c: (c.name, c.id)))


def _container(
    listed: Mapping[str, Any], engine: Engine, instance: str, look: Look, unmapped: HostPathOf
) -> ObservedContainer | None:
    """One container; None when it was removed between the list and the look.

    listed: its entry in the Engine's list
    engine: is asked for more when the entry does not say enough
    instance: whose containers are ours
    look: how much is wanted
    unmapped: the Engine's path of a bind source -> the host path
    """
    labels, names = listed.get("Labels") or {}, container_names(listed)
    owned = labels.get(INSTANCE_LABEL) == instance
    name, entry = look.adopted.get(("container", listed["Id"]), ("", None))
    final = labels.get(NAME_LABEL, "") if owned else name
    compared = _is_compared(entry, names, labels, look)
    inspected = None
    closely = bool(look.closely.intersection((*names, final)))
    if compared or closely or ((owned or entry) and (look.deep or final not in names)):
        inspected = engine.container(listed["Id"])
        if inspected is None:
            return None
    seen = observed_container(listed, instance, inspected)
    if entry:
        seen = as_adopted(seen, name, entry)
    if compared and inspected:
        seen = replace(seen, found=_found(inspected, engine, unmapped))
    return seen


def _is_compared(entry: Owned | None, names: list[str], labels: Mapping[str, str], look: Look) -> bool:
    """Whether a container is compared with the one that is wanted: it was taken over by a release that is not
    proved, or it may be.
    """
    if entry is not None:
        return unproved(entry)
    return bool(names) and adoption_handle("container", names[0], labels) in look.adopting


def _found(inspected: Mapping[str, Any], engine: Engine, unmapped: HostPathOf) -> Spec:
    """The inspection that a container is compared by, with its bind sources as host paths."""
    image = engine.image(inspected["Image"]) or {}
    mounts = [
        mount | {"Source": unmapped(mount["Source"])} if mount["Type"] == "bind" else mount
        for mount in inspected.get("Mounts") or ()
    ]
    return {"container": {**inspected, "Mounts": mounts}, "image": image.get("Config") or {}}


def container_names(listed: Mapping[str, Any]) -> list[str]:
    """The names of a listed container, its own first; without the links of others to it (`/other/alias`)."""
    return [name[1:] for name in listed.get("Names") or () if name.count("/") == 1]


def observed_container(
    listed: Mapping[str, Any], instance: str, inspected: Mapping[str, Any] | None = None
) -> ObservedContainer:
    """One container from its entry in the Engine's list and, when there is one, its inspection."""
    labels = listed.get("Labels") or {}
    owned = labels.get(INSTANCE_LABEL) == instance
    names = container_names(listed)
    health, exit_code = health_and_exit_code(listed.get("Status") or "")
    networks = (listed.get("NetworkSettings") or {}).get("Networks") or {}
    state, policy = (
        (inspected or {}).get("State") or {},
        ((inspected or {}).get("HostConfig") or {}).get("RestartPolicy") or {},
    )
    return ObservedContainer(
        id=listed["Id"],
        name=names[0] if names else listed["Id"][:12],
        owned=owned,
        state=listed["State"],
        image_id=listed["ImageID"],
        key_name=labels.get(NAME_LABEL, "") if owned else "",
        app=labels.get(APP_LABEL, "") if owned else "",
        digest=labels.get(DIGEST_LABEL, "") if owned else "",
        health=health,
        exit_code=exit_code,
        networks={name: (endpoint or {}).get("NetworkID") or "" for name, endpoint in networks.items()},
        ports=_held_ports(listed),
        volumes=tuple(
            sorted(
                m["Name"] for m in listed.get("Mounts") or () if m.get("Type") == "volume" and m.get("Name")
            )
        ),
        restart_policy=policy_text(policy) if inspected is not None else None,
        restart_count=inspected.get("RestartCount", 0) if inspected is not None else None,
        started_at=state.get("StartedAt", ""),
        error=state.get("Error", ""),
        limits=_limits(inspected) if inspected is not None else None,
        patience=start_patience(((inspected or {}).get("Config") or {}).get("Healthcheck")),
        shares=_shares(listed, inspected or {}),
        created_at=(inspected or {}).get("Created", ""),
        addresses=() if owned else _addresses(networks),
    )


def _limits(inspected: Mapping[str, Any]) -> dict[str, Any]:
    host = inspected.get("HostConfig") or {}
    return {field: host.get(field) for field in LIMITS}


def _addresses(networks: Mapping[str, Any]) -> tuple[str, ...]:
    """The claims of the addresses that a container has on its networks."""
    found = [
        claims.address(name, ip)
        for name, endpoint in networks.items()
        for ip in ((endpoint or {}).get("IPAddress"), (endpoint or {}).get("GlobalIPv6Address"))
        if ip
    ]
    return tuple(sorted(found))


def _shares(listed: Mapping[str, Any], inspected: Mapping[str, Any]) -> dict[str, str]:
    """Key of a service -> the container that the Engine remembers for it."""
    host = inspected.get("HostConfig") or {}
    modes = {
        "network_mode": (listed.get("HostConfig") or {}).get("NetworkMode"),
        "pid": host.get("PidMode"),
        "ipc": host.get("IpcMode"),
    }
    parts = {key: str(mode or "").partition(":") for key, mode in modes.items()}
    return {key: of for key, (kind, _, of) in parts.items() if kind == "container"}


def _held_ports(listed: Mapping[str, Any]) -> tuple[str, ...]:
    """The claims of the published ports that a container holds. Engine 26.1 lists ports also for a stopped
    container, which holds none.
    """
    if listed["State"] not in HOLDING:
        return ()
    published = [port for port in listed.get("Ports") or () if port.get("PublicPort")]
    return tuple(
        sorted({claims.port(p.get("Type", "tcp"), p.get("IP", ""), p["PublicPort"]) for p in published})
    )


def policy_text(policy: Mapping[str, Any]) -> str:
    """A restart policy as Compose writes it: `no`, `always`, `on-failure:3`."""
    count = policy.get("MaximumRetryCount") or 0
    return f"{policy.get('Name') or 'no'}{f':{count}' if count else ''}"


def health_and_exit_code(status: str) -> tuple[str, int | None]:
    """Read from the Engine's words, which are the same from 20.10 to 29: `Up 3 minutes (healthy)`, `Up 1
    second (health: starting)`, `Exited (1) 2 hours ago`, `Restarting (1) 3 seconds ago`, `Up 3 minutes
    (Paused)`, `Created`, `Dead`, `Removal In Progress`.
    """
    health, exited = re.search(_HEALTH, status), re.match(_EXITED, status)
    return (health[1] if health else ""), (int(exited[1]) if exited else None)


def _ours(labels: Mapping[str, str] | None, instance: str) -> tuple[bool, str]:
    owned = (labels or {}).get(INSTANCE_LABEL) == instance
    return owned, (labels or {}).get(DIGEST_LABEL, "") if owned else ""


def _networks(listed: list[dict[str, Any]], instance: str, look: Look) -> dict[str, ObservedNetwork]:
    """The networks by name. The Engine allows several of one name: ours is taken, else the smallest id."""
    found = [
        ObservedNetwork(
            n["Id"],
            n["Name"],
            *_ours(n.get("Labels"), instance),
            _held_by_network(n),
            *_adopted("network", n["Id"], n, look),
        )
        for n in listed
    ]
    found = [
        replace(n, owned=True, digest=look.adopted["network", n.id][1].adopted["digest"]) if n.adopted else n
        for n in found
    ]
    chosen: dict[str, ObservedNetwork] = {}
    for network in sorted(found, key=lambda n: (not n.owned, n.id)):
        chosen.setdefault(network.name, network)
    return chosen


def _held_by_network(listed: Mapping[str, Any]) -> tuple[str, ...]:
    """The claims of a network: its subnets, chosen by a person or by the Engine, and its interface."""
    ipam = listed.get("IPAM") or {}
    pools = [{"subnet": pool.get("Subnet")} for pool in ipam.get("Config") or ()]
    return claims.of_network(
        {
            "driver": listed.get("Driver"),
            "driver_opts": listed.get("Options"),
            "ipam": {"driver": ipam.get("Driver"), "config": pools},
        }
    )


def _volume(listed: Mapping[str, Any], instance: str, look: Look) -> ObservedVolume:
    name = listed["Name"]
    seen = ObservedVolume(
        name, *_ours(listed.get("Labels"), instance), *_adopted("volume", name, listed, look)
    )
    return (
        replace(seen, owned=True, digest=look.adopted["volume", name][1].adopted["digest"])
        if seen.adopted
        else seen
    )


def _adopted(kind: str, id: str, listed: Mapping[str, Any], look: Look) -> tuple[bool, Spec | None]:
    """Whether the inventory says that it is ours; and its inspection, when it may be taken over."""
    if (kind, id) in look.adopted:
        return True, None
    return False, listed if adoption_handle(
        kind, listed["Name"], listed.get("Labels")
    ) in look.adopting else None


# --- images -------------------------------------------------------------------------------------------------


def _by_reference(images: list[dict[str, Any]]) -> dict[str, str]:
    """The usual references of the listed images, and their ids -> image id."""
    return {
        reference: image["Id"]
        for image in images
        for reference in [*(image.get("RepoTags") or ()), *(image.get("RepoDigests") or ()), image["Id"]]
    }


def _users(wanted: Iterable[str], images: list[dict[str, Any]], engine: Engine) -> dict[str, str]:
    """Image id -> its USER, of the wanted ones that are on the host."""
    known = _by_reference(images) if wanted else {}
    found: dict[str, str] = {}
    for reference in sorted(wanted):
        image_id = known.get(reference) or known.get(familiar(reference), reference)
        image = None if image_id in found else engine.image(image_id)
        if image is not None:
            found[image["Id"]] = str((image.get("Config") or {}).get("User") or "")
    return found


def _references(wanted: Iterable[str], images: list[dict[str, Any]], engine: Engine) -> dict[str, str]:
    """Reference -> image id. The list answers for the usual references; the Engine is asked about the
    others.
    """
    known = _by_reference(images)
    found: dict[str, str] = {}
    for reference in wanted:
        image_id = known.get(familiar(reference))
        if image_id is None:
            image = engine.image(reference)
            image_id = image["Id"] if image else None
        if image_id is not None:
            found[reference] = image_id
    return found
