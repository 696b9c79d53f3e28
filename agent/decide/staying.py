"""What stays because its successor is refused: the container as it was, and all that it needs. Pure.

Where known good has it, it is a part of the release (`hold`), and is repaired as such. The rules are for what
known good does not have, or has in another form:

1. It is not removed. The inventory says what it needs: nothing of that is removed, and nothing takes the
   place of it.
2. It is kept running: when it has stopped, it is started again, unless something is in the way of that, or by
   now another one has what it had: a port, an address, data.
3. A start that fails all the same condemns nothing: the old form is no part of the release.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from agent.kinds import claims, lenders, obstacles, succession
from agent.kinds.base import Fate, Step, View
from agent.kinds.instances import RUNNING
from agent.model import Key, Resource
from agent.observed import ObservedContainer


def stays(key: Key, fate: Fate, view: View) -> bool:
    """Whether a resource stays as it is because its successor is refused."""
    unknown = key not in view.target.manifest.resources and key in {each.key for each in view.target.put_off}
    return bool(fate.refusal) or unknown


def not_removed(view: View, fates: Mapping[Key, Fate]) -> dict[Key, Fate]:
    """The fates of what the target leaves out because its change was refused, and what known good does not
    have.
    """
    left_out = {refusal.key: refusal for refusal in view.target.put_off}
    return {
        key: Fate(key, "keep", f"its new form is refused: {left_out[key].cause}")
        for key in fates.keys() & left_out.keys() - view.target.manifest.resources.keys()
        if fates[key].steps
    }


def kept_needs(view: View, fates: Mapping[Key, Fate]) -> dict[Key, Fate]:
    """The fates of what would be removed, but is needed by the old form of something that is refused."""
    found: dict[Key, Fate] = {}
    waiting = [key for key, fate in fates.items() if stays(key, fate, view) and view.containers(key.name)]
    while waiting:
        user = waiting.pop()
        needs = [key for key in _needs(user, view) if key not in found and _is_removed(key, view, fates)]
        found |= {need: Fate(need, "keep", f"{user} still uses it") for need in needs}
        waiting += needs
    return found


def _needs(key: Key, view: View) -> list[Key]:
    owned = view.inventory.get(key)
    return [Key.parse(need) for need in owned.needs] if owned else []


def _is_removed(key: Key, view: View, fates: Mapping[Key, Fate]) -> bool:
    return key in fates and bool(fates[key].steps) and key not in view.target.manifest.resources


def kept_running(key: Key, view: View, fates: Mapping[Key, Fate]) -> Fate:
    """The fate of a refused container whose old form has stopped: it is started again."""
    fate, old = fates[key], _stopped(key, view)
    before = view.resource(key, old.digest) if old else None
    if fate.steps or old is None or before is None or before is view.target.manifest.resources.get(key):
        return fate  # there is no old form, or what is refused is its own start
    if before.spec["oneshot"] or _is_hindered(old, before, view) or _is_taken(before, view, fates):
        return fate
    step = Step("start", "start", {"container": old.id}, required=False)
    return replace(fate, verb="start", cause="runs on in its old form, and is stopped", steps=(step,))


def _stopped(key: Key, view: View) -> ObservedContainer | None:
    """The old form, when it has stopped and none of its instances runs."""
    mine = view.containers(key.name)
    if any(there.state in RUNNING for there in mine):
        return None
    return next((there for there in mine if there.name == key.name and there.state == "exited"), None)


def _is_hindered(old: ObservedContainer, before: Resource, view: View) -> bool:
    """Whether the Engine would not start the old form."""
    hindered = obstacles.obstacle(before, view, serves=False) or lenders.absent_lender(before, view)
    return bool(hindered) or lenders.is_dead(old, view)


def _is_taken(before: Resource, view: View, fates: Mapping[Key, Fate]) -> bool:
    """Whether another container of this release has what the old form had."""
    data = succession.written(before)
    for resource in view.target.manifest.of_kind("container"):
        if resource.key == before.key or fates[resource.key].refusal:
            continue
        wanted = {*resource.claims, *(succession.written(resource) - _shared(before.key, resource.key, view))}
        if claims.clashing({*before.claims, *data}, wanted):
            return True
    return False


def _shared(one: Key, other: Key, view: View) -> set[str]:
    """The data that two containers had both in a release that was held before."""
    found: set[str] = set()
    for held in (view.applied, view.known_good):
        resources = held.manifest.resources
        if one in resources and other in resources:
            found |= succession.written(resources[one]) & succession.written(resources[other])
    return found
