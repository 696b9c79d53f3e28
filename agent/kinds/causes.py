"""Why something becomes of a container, in words for people. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agent.kinds import attaching, hooks, in_place, lenders, notify
from agent.kinds.base import Step, View
from agent.kinds.engine.differences import differing_fields
from agent.kinds.instances import is_kept
from agent.model import Resource
from agent.observed import ObservedContainer

MOST_NAMES = 4  # in a cause; the others are counted


def adoption_cause(instances: list[ObservedContainer]) -> str:
    words = next(
        (instance.differs for instance in instances if instance.differs and not is_kept(instance)), ()
    )
    return f"the container that was started before differs in {_listed(words)}" if words else ""


def misfit_cause(desired: Resource, instances: list[ObservedContainer], view: View) -> str:
    """Why the instance that has the name and the right digest cannot go on."""
    same = (i for i in instances if i.name == desired.key.name and i.digest == desired.digest)
    return next((why_anew(desired, instance, view) for instance in same), "")


def why_anew(desired: Resource, instance: ObservedContainer, view: View) -> str:
    """Why an instance with the right digest must be re-created; empty when it need not."""
    return (
        lenders.misfit(desired, instance, view)
        or attaching.loses_address(desired, instance, view)
        or in_place.cannot_be_put_back(desired, instance)
    )


def mending_cause(desired: Resource, keeper: ObservedContainer, steps: tuple[Step, ...], view: View) -> str:
    if keeper.name != desired.key.name:
        return "known good's container comes back" if is_kept(keeper) else f"is called {keeper.name}"
    starting = [step for step in steps if step.part == "start"]
    connects = [step.args["network"] for step in starting if step.verb == "connect"]
    by_hand = in_place.changes(starting)
    if connects:
        return ", ".join([f"is not attached to {', '.join(connects)}", *by_hand])
    if not starting:
        return "an old instance is left"
    if keeper.state in ("running", "restarting"):
        return ", ".join(by_hand) or _running_cause(desired, keeper, starting, view)
    stopped = f"is stopped (exit code {keeper.exit_code})"
    return ", ".join([stopped if keeper.state == "exited" else f"is {keeper.state}", *by_hand])


def _running_cause(desired: Resource, keeper: ObservedContainer, starting: list[Step], view: View) -> str:
    if not any(step.verb in notify.VERBS for step in starting):
        return f"its {hooks.POST_START} has not run"
    if outlived := lenders.outlived(desired, keeper, view):
        return outlived
    changed = notify.changed_files(desired, keeper.id, view)
    return f"{_listed(changed)} changed" if changed else "is unhealthy"


def creation_cause(desired: Resource, verb: str, view: View) -> str:
    before = view.applied.manifest.resources.get(desired.key)
    if before is None:
        return "new"
    if view.corrective(desired.key):
        return "is missing" if verb == "create" else "is not the one that was applied"
    return difference(before, desired, view)


def difference(before: Resource, after: Resource, view: View) -> str:
    """The names of the parts in which two specs differ, for people; of an image also the values."""
    if before.digest == after.digest:
        old, new = view.applied.image(before), view.target.image(after)
        if not new:
            return "its image moved"
        return f"image {after.spec['image']} is {_short_id(new)} now, was {_short_id(old)}"
    words = [n for n in differing_fields(before.spec["config"], after.spec["config"]) if n != "image"]
    words += _differing(before.spec["inputs"], after.spec["inputs"])
    words += _differing(before.spec["folded"], after.spec["folded"])
    if before.spec["on_change"] != after.spec["on_change"]:
        words.append("on_change")
    if before.spec["image"] != after.spec["image"]:
        words.insert(0, f"image {before.spec['image']} -> {after.spec['image']}")
        if len(words) == 1:
            return words[0]
    return f"{_listed(words)} changed"


def _differing(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    return sorted(name for name in {**one, **other} if one.get(name) != other.get(name))


def _listed(words: Sequence[str]) -> str:
    text, more = ", ".join(words[:MOST_NAMES]), len(words) - MOST_NAMES
    return f"{text} and {more} more" if more > 0 else text


def _short_id(image_id: str) -> str:
    return image_id.removeprefix("sha256:")[:12]
