"""How a running container is notified of a file that changed: by a signal, or by a restart. Pure.

Rules:
1. `on_change` says how: `signal:HUP` or `restart` by host path. A file that re-creates the container is in
   its digest and not in `on_change`. Of several changed files the stronger reaction counts: a restart covers
   all signals.
2. A file of its app that somebody edited and that is put back was perhaps read meanwhile, as every program
   does at its start; and a file that is mounted by itself is seen as it was when the container started,
   because files are replaced on the host and never written in place. So a container that matches its digest
   is restarted when such a file is put back, unless `on_change` says what else to do.
3. A container of known good that is unhealthy is restarted while drift is repaired, if its service says
   `on_unhealthy: restart`. In a release that is brought in, the gate judges.
4. The inventory remembers under the container's id of which contents it was notified: for the paths of
   `on_change` the content that it knows; for other mounted files only that one was put back and is not seen
   yet. An adopted container knows the files that are there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from agent.kinds import adoption, lenders
from agent.kinds.base import Step, View
from agent.model import Action, Key, Resource
from agent.observed import ObservedContainer

VERBS = ("signal", "restart")  # of the actions that notify a container
RESTART = "restart"


def mounted(resource: Resource) -> set[str]:
    """Host paths of files of ours that a container mounts, by themselves or within a directory of its app."""
    files = {need.key.name for need in resource.needs if need.key.kind == "file"}
    sources = {
        mount.get("source")
        for mount in resource.spec["config"].get("volumes") or ()
        if mount.get("type") == "bind"
    }
    return (files & sources).union(resource.spec["inputs"])


def changed_files(desired: Resource, instance_id: str, view: View) -> list[str]:
    """The files of whose change this container must be notified and was not, sorted."""
    on_change, content = desired.spec["on_change"], view.target.content
    known = _known(desired, instance_id, view)
    found = {path for path in on_change if known.get(path) != content(path)}
    seen = mounted(desired)
    found |= {path for path in seen if known.get(path, content(path)) != content(path)}
    return sorted(found | {path for path in {*on_change, *seen} if _put_back(path, view)})


def _known(desired: Resource, instance_id: str, view: View) -> Mapping[str, Any]:
    """Path -> content of which an instance was notified."""
    owned = view.owned(desired.key)
    if owned and owned.notified.get("id") == instance_id:
        return owned.notified
    adopted = instance_id == adoption.newcomer(desired.key, view)
    return {path: view.target.content(path) for path in desired.spec["on_change"]} if adopted else {}


def _put_back(path: str, view: View) -> bool:
    """Whether a file is not what it should be, so that it is about to be written."""
    resource = view.target.manifest.resources.get(Key("file", path))
    there = view.observed.files.get(path)
    wanted = resource.spec.get("content") if resource else None
    return bool(wanted) and (there is None or there.content != wanted)


def telling(actions: Iterable[Action], view: View) -> set[Key]:
    """The containers that know their files as they are once these actions are done."""
    resources = view.target.manifest.resources
    return {
        action.key
        for action in actions
        if action.key.kind == "container"
        and (resource := resources.get(action.key))
        and (action.verb in VERBS or (action.verb == "start" and resource.spec["on_change"]))
    }


def steps(desired: Resource, keeper: ObservedContainer, view: View) -> list[Step]:
    """One restart, or each signal once."""
    on_change = desired.spec["on_change"]
    wanted = {on_change.get(path, RESTART) for path in changed_files(desired, keeper.id, view)}
    if RESTART in wanted or is_unhealthy(desired, keeper, view) or lenders.outlived(desired, keeper, view):
        return [Step("start", "restart", {"container": keeper.id})]
    signals = sorted(reaction.removeprefix("signal:") for reaction in wanted)
    return [Step("start", "signal", {"container": keeper.id, "signal": signal}) for signal in signals]


def is_unhealthy(desired: Resource, keeper: ObservedContainer, view: View) -> bool:
    """Whether a container is to be restarted because it is unhealthy."""
    return keeper.health == "unhealthy" and desired.spec.get("on_unhealthy") == RESTART and view.repairing


def not_notified(desired: Resource, instance_id: str, view: View) -> dict[str, Any]:
    """The inventory's record while a container is being notified: when the pass is killed, the next one
    notifies it.
    """
    known = _known(desired, instance_id, view)
    return {**known, "id": instance_id} | dict.fromkeys(changed_files(desired, instance_id, view), "")


def notified(desired: Resource, view: View) -> dict[str, Any]:
    """The inventory's record of the current instance once it was notified."""
    current = next((c for c in view.containers(desired.key.name) if c.name == desired.key.name), None)
    if current is None or current.digest != desired.digest or not desired.spec["on_change"]:
        return {}
    return {"id": current.id} | {path: view.target.content(path) for path in desired.spec["on_change"]}
