"""What a resource holds now and what it takes by its start: claims, and the app that it belongs to. Pure."""

from __future__ import annotations

from agent.kinds import claims, files, giving_back, succession
from agent.kinds.base import Fate, View
from agent.kinds.instances import RUNNING
from agent.model import Key
from agent.observed import ObservedContainer


def held_claims(key: Key, view: View) -> set[str]:
    """The claims that a resource holds now, by the inventory and by what the host shows."""
    if key.kind == "network":
        there = view.observed.networks.get(key.name)
        return set(there.claims) if there else set()
    owned = view.inventory.get(key)
    held = (set(owned.claims) if owned else set()) | succession.left(key, view)
    if key.kind != "container":
        return held | {claims.path(key.name)} if key.kind in files.KINDS else held
    for instance in view.containers(key.name):
        held |= _instance_claims(key, instance, view)
        if instance.name == key.name:
            held.add(claims.name(key.name))
    return held


def running_claims(key: Key, view: View) -> set[str]:
    """The claims that the running containers of a resource hold, without those that they held once or will
    hold.
    """
    instances = view.containers(key.name) if key.kind == "container" else ()
    held = {
        claim
        for instance in instances
        if instance.state in RUNNING
        for claim in _instance_claims(key, instance, view)
    }
    return held | succession.left(key, view)


def _instance_claims(key: Key, instance: ObservedContainer, view: View) -> set[str]:
    known = [
        resource
        for release in (view.target, view.applied, view.known_good)
        if (resource := release.manifest.resources.get(key))
    ]
    return {*instance.ports, *(claim for r in known if r.digest == instance.digest for claim in r.claims)}


def wants(key: Key, fate: Fate, view: View) -> tuple[str, ...]:
    """The claims that a resource takes by its start. The old form of what is refused takes none: nothing
    gives way for it.
    """
    if (
        fate.refusal
        or fate.verb not in ("create", "replace", "return", "start", "adopt")
        or not fate.part("start")
    ):
        return ()
    resource = view.target.manifest.resources.get(key)
    found = giving_back.claims_to_restore(key, view) or (resource.claims if resource else ())
    return (*found, *sorted(succession.taken(key, view)))


def app_of(key: Key, view: View) -> str:
    """The app of a resource, by this release or else by the inventory; empty when neither knows it."""
    resource, owned = view.target.manifest.resources.get(key), view.inventory.get(key)
    if resource is not None:
        return str(resource.spec["app"])
    return owned.app if owned else ""
