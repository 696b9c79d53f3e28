"""A container that goes and one that comes: which takes over from which, and with it the data. Pure.

Rules:
1. The container of the same app, service and number is the predecessor, whatever its name was
   (`container_name`). It hands its unnamed volumes on.
2. Data has one writer: a volume, a host path or a device that the one that goes may write is a claim, which
   it gives up before the one that comes is started.
3. Containers that share data on purpose go on sharing it: those that both have it in this release, or both
   had it before.
4. What a container may write it may write through `volumes_from`, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from agent.kinds import claims
from agent.kinds.base import View
from agent.kinds.instances import RUNNING
from agent.model import Key, Resource
from agent.observed import ObservedContainer

PLACE = ("app", "service", "number", "oneshot", "oneoff")  # of a container among all that an app ever had


def written(resource: Resource) -> set[str]:
    """What a container may write: `volume/NAME`, `bind/srv/data`, `device/dev/ttyUSB0`. Sockets are for
    many.
    """
    config: Mapping[str, Any] = resource.spec["config"]
    mounts = [mount for mount in config.get("volumes") or () if not mount.get("read_only")]
    found = {
        f"volume/{mount['source']}" for mount in mounts if mount["type"] == "volume" and mount.get("source")
    }
    found |= {f"bind{mount['source']}" for mount in mounts if mount["type"] == "bind"}
    found |= {f"device{path}" for path in claims.device_paths(config)}
    return {each for each in found if not each.endswith(".sock")}


def held(resource: Resource) -> set[str]:
    """What a container of this definition holds besides its claims: its place, and the data that it may
    write.
    """
    return {_place(resource)} | written(resource)


def predecessor(desired: Resource, view: View) -> ObservedContainer | None:
    """The container of another name that a new container takes over from."""
    if view.containers(desired.key.name):
        return None
    owned = (there for there in view.observed.containers if there.owned and there.app == desired.spec["app"])
    return next((there for there in owned if _place(desired) in _left_places(there, view)), None)


def left(key: Key, view: View) -> set[str]:
    """What the running containers of a resource hand over: their place when this release does not want it any
    more, and the data that it does not write any more.
    """
    if not (running := _running(key, view)):
        return set()
    staying = view.target.manifest.resources.get(key)
    places = {place for there in running for place in _left_places(there, view)}
    return places | (_data(key, running, view) - (_to_be_written(staying, view) if staying else set()))


def taken(key: Key, view: View) -> set[str]:
    """What a container takes over by its start: its place, and the data that it does not write already."""
    desired = view.target.manifest.resources.get(key)
    if desired is None or key.kind != "container":
        return set()
    return {_place(desired)} | (_to_be_written(desired, view) - _data(key, _running(key, view), view))


def _place(resource: Resource) -> str:
    return "/".join(["place", *(str(resource.spec[word]) for word in PLACE)])


def _left_places(there: ObservedContainer, view: View) -> set[str]:
    key = Key("container", there.key_name)
    resource = None if key in view.target.manifest.resources else view.resource(key, there.digest)
    return {_place(resource)} if resource else set()


def _running(key: Key, view: View) -> list[ObservedContainer]:
    if key.kind != "container":
        return []
    return [there for there in view.containers(key.name) if there.state in RUNNING]


def _to_be_written(desired: Resource, view: View) -> set[str]:
    """What a container of this release may write, also through its lenders."""
    found = written(desired)
    for name in _lent_to(desired):
        key = Key("container", name)
        lender = view.target.manifest.resources.get(key)
        found |= _to_be_written(lender, view) if lender else _seen(key, view)
    return found


def _data(key: Key, instances: Iterable[ObservedContainer], view: View) -> set[str]:
    """What the instances of a container may write. When nothing is remembered of one, its volumes count."""
    found: set[str] = set()
    for there in instances:
        resource = view.resource(key, there.digest)
        found |= written(resource) if resource else _volumes(there)
        for name in _lent_to(resource) if resource else ():
            found |= _seen(Key("container", name), view)
    return found


def _lent_to(resource: Resource) -> list[str]:
    """The containers whose volumes one may write."""
    entries = map(str, resource.spec["config"].get("volumes_from") or ())
    taken = (entry.removeprefix("container:").partition(":") for entry in entries)
    return [name for name, _, mode in taken if mode != "ro"]


def _seen(key: Key, view: View) -> set[str]:
    """What the container of this name may write, whether it runs or not, and whoever it belongs to."""
    there = [c for c in view.observed.containers if key.name in (c.name, c.key_name)]
    ours = [c for c in there if c.owned]
    return _data(key, ours, view).union(*(_volumes(c) for c in there if not c.owned))


def _volumes(there: ObservedContainer) -> set[str]:
    return {f"volume/{name}" for name in there.volumes}
