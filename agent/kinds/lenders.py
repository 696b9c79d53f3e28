"""Containers that live by another one, their lender: in its network, its processes or its shared memory,
with its volumes, linked to it, or with `depends_on: {restart: true}`. Pure.

Rules:
1. The Engine looks a lender up when it creates a container, and remembers its id. A container that remembers
   an id which its lender does not have (any more) can never start again. It is re-created, after its lender;
   so is one that has volumes of a former lender, or a link to it. (A lender of the network that is not there
   yet is remembered by its name. tests/contract/test_lenders.py holds the Engines to all this.)
2. A namespace ends when its lender ends. A container that was started before its lender lives in a dead one:
   it is restarted, after its lender. `depends_on: {restart: true}` asks for the same, but only when the other
   container is a new one, or when Limpet starts it; the Engine's own restarts do not count.
3. Which run of a container was too old for which run of its lender is remembered in the inventory before the
   restart. So a clock that was set back causes one restart too many, and not one in each pass.
4. A lender that this release does not bring is waited for: nothing is created or started before it runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from agent.kinds.base import Fate, Lender, View, refuse
from agent.kinds.instances import RUNNING
from agent.model import Key, Manifest, Resource
from agent.observed import ObservedContainer

# The keys of a service that name a lender -> what it is to the service.
NAMESPACES = {
    "network_mode": "whose network it shares",
    "pid": "whose processes it shares",
    "ipc": "whose shared memory it uses",
}
PHRASES = {
    **NAMESPACES,
    "volumes_from": "whose volumes it uses",
    "links": "to which it is linked",
    "depends_on": "with which it is restarted",
}
LENDING = ("running", "paused")  # states in which another container can begin to live by one
RESTARTED = (*NAMESPACES, "depends_on")  # the others are only looked up when a container is created


# --- who lives by whom --------------------------------------------------------------------------------------


def lenders(resource: Resource) -> list[tuple[str, str]]:
    """Pairs (key of the service, name of the container by which it lives)."""
    if resource.key.kind != "container":
        return []
    found = list(_looked_up(resource.spec["config"]))
    known = {name for _, name in found}
    folded = [Key.parse(text) for text in sorted(resource.spec["folded"])]
    return found + [("depends_on", k.name) for k in folded if k.kind == "container" and k.name not in known]


def _looked_up(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key in NAMESPACES:
        kind, _, name = str(config.get(key) or "").partition(":")
        if kind == "container":
            yield key, name
    for entry in config.get("volumes_from") or ():
        yield "volumes_from", str(entry).removeprefix("container:").partition(":")[0]
    for entry in (config.get("links") or ()) if config.get("network_mode") else ():
        yield "links", str(entry).partition(":")[0]


def looked_up(resource: Resource) -> set[Key]:
    """The containers that the Engine looks up when it creates this one."""
    if resource.key.kind != "container":
        return set()
    return {Key("container", name) for _, name in _looked_up(resource.spec["config"])}


def concerned(manifests: Iterable[Manifest]) -> frozenset[str]:
    """The names of the containers that live by others, and of those others: when they were started counts."""
    found: set[str] = set()
    for resource in (resource for manifest in manifests for resource in manifest.of_kind("container")):
        if pairs := lenders(resource):
            found |= {resource.key.name, *(name for _, name in pairs)}
    return frozenset(found)


def lenders_first(keys: Iterable[Key], view: View) -> list[Key]:
    """Containers, each after its lenders. There are no circles: `render` refuses them."""
    wanted, found = set(keys), dict[Key, None]()

    def add(key: Key) -> None:
        resource = view.target.manifest.resources.get(key)
        for _, name in lenders(resource) if resource else ():
            if (lender := Key("container", name)) in wanted and lender not in found:
                add(lender)
        found.setdefault(key)

    for key in sorted(wanted):
        add(key)
    return list(found)


# --- lenders as they will be --------------------------------------------------------------------------------


def as_it_is(there: ObservedContainer) -> Lender:
    """A lender that stays as it is."""
    started = there.started_at if there.state in RUNNING else ""
    return Lender(there.id, started, there.created_at, frozenset(there.volumes))


def to_be(fate: Fate, view: View) -> Lender:
    """A container of this plan as it will be when others begin to live by it."""
    steps = [] if fate.refusal else [s for s in fate.steps if s.part in ("start-first", "start")]
    names = [str(step.args["container"]) for step in steps if step.verb == "rename"]
    there = _instance(names[0] if names else fate.key.name, view)
    if there is None:
        return Lender()
    if any(step.verb in ("start", "restart") for step in steps):
        return Lender(there.id, "", there.created_at, frozenset(there.volumes))
    return as_it_is(there)


def _instance(name: str, view: View) -> ObservedContainer | None:
    return next((c for c in view.observed.containers if name in (c.id, c.name)), None)


def _lender(name: str, view: View) -> Lender | None:
    """None when there is no such container."""
    there = _instance(name, view)
    return view.lenders.get(name) or (as_it_is(there) if there else None)


def _pairs(desired: Resource, view: View) -> Iterator[tuple[str, str, Lender]]:
    """The lenders that are there or will be. One that runs once lends nothing that ends."""
    for key, name in lenders(desired):
        resource, lender = view.target.manifest.resources.get(Key("container", name)), _lender(name, view)
        if lender is not None and not (resource and resource.spec["oneshot"]):
            yield key, name, lender


# --- those who live by them ---------------------------------------------------------------------------------


def absent_lender(desired: Resource, view: View) -> Fate | None:
    """A refusal when a lender does not run that this release does not bring."""
    for key, name in lenders(desired):
        there = _instance(name, view)
        if Key("container", name) in view.target.manifest.resources:
            continue
        if there is None or there.state not in LENDING:
            how = "is not there" if there is None else f"is {there.state}"
            hint = f"{_to_run(name, there)}; Limpet goes on by itself when it runs"
            return refuse(desired.key, f"container {name}, {PHRASES[key]}, {how}", hint)
        if there.owned:
            hint = f"bring {name} back, or take it out of `{key}`"
            return refuse(desired.key, f"container {name}, {PHRASES[key]}, is to be removed", hint)
    return None


def _to_run(name: str, there: ObservedContainer | None) -> str:
    """What a person does to make a lender run."""
    if there is None:
        return "create and start it"
    looping = there.state == "restarting"
    return f"see why: docker logs {name}" if looping else f"start it: docker start {name}"


def is_dead(instance: ObservedContainer, view: View) -> bool:
    """Whether it can never start again: a container that it remembers by its id is gone."""
    there = {c.id for c in view.observed.containers}
    return any(len(of) == 64 and of not in there for of in instance.shares.values())


def misfit(desired: Resource, instance: ObservedContainer, view: View) -> str:
    """Why an instance cannot be used with the lenders as they will be; empty when it can."""
    for key, name, lender in _pairs(desired, view):
        if not _fits(key, name, lender, instance):
            how = "is another container now" if lender.id else "is re-created"
            return f"{name}, {PHRASES[key]}, {how}"
    return ""


def _fits(key: str, name: str, lender: Lender, instance: ObservedContainer) -> bool:
    if key in NAMESPACES:
        return instance.shares.get(key, "") in ("", name, lender.id or name)
    if key == "volumes_from":
        return bool(lender.id) and lender.volumes <= {*instance.volumes}
    if key == "links":
        return bool(lender.id) and not _before(instance.created_at, lender.created)
    return True


def outlived(desired: Resource, instance: ObservedContainer, view: View) -> str:
    """Why a running container must be restarted after its lender; empty when it need not."""
    for key, name, lender in _pairs(desired, view):
        if key in RESTARTED and (how := _ended(key, lender, instance, _noted(desired, view).get(name))):
            return f"{name}, {PHRASES[key]}, {how}"
    return ""


def _ended(key: str, lender: Lender, instance: ObservedContainer, noted: list[str] | None) -> str:
    """How the run of the lender ended in which the instance began; empty when it has not."""
    if not lender.id:
        return "is re-created"
    if not lender.started:
        return "is restarted"
    begun = _begun(key, lender)
    restarted = noted is not None and noted[1] == begun and noted[0] != instance.started_at
    return "was started after it" if _before(instance.started_at, begun) and not restarted else ""


def outlived_runs(desired: Resource, view: View) -> dict[str, list[str]]:
    """The inventory's record: lender -> [start of the container that was too old, start of its lender]."""
    there = next((c for c in view.containers(desired.key.name) if c.name == desired.key.name), None)
    if there is None or there.state not in RUNNING:
        return {}
    found: dict[str, list[str]] = {}
    for key, name, lender in _pairs(desired, view):
        begun, noted = _begun(key, lender), _noted(desired, view).get(name)
        if key in RESTARTED and _before(there.started_at, begun):
            found[name] = noted if noted and noted[1] == begun else [there.started_at, begun]
    return found


def _noted(desired: Resource, view: View) -> Mapping[str, list[str]]:
    entry = view.owned(desired.key)
    return entry.outlived if entry else {}


def _begun(key: str, lender: Lender) -> str:
    """The time that counts: a restart by the Engine is nothing to `depends_on`."""
    return lender.created if key == "depends_on" else lender.started


def _before(one: str, other: str) -> bool:
    """Whether the first of two times of the Engine is the earlier one; unknown is not earlier."""
    return bool(one and other) and _sortable(one) < _sortable(other)


def _sortable(time: str) -> tuple[str, str]:
    """`2026-01-31T12:00:00.25Z` with all digits of its fraction, of which the Engine leaves the last zeros
    out.
    """
    seconds, _, fraction = time.rstrip("Z").partition(".")
    return seconds, fraction.ljust(9, "0")
