"""An adopted object is given back as it was found, by each plan whose target does not adopt it. Pure."""

from __future__ import annotations

from agent.kinds.adoption import HINT, handles, unproved
from agent.kinds.base import Fate, Step, View
from agent.kinds.instances import RUNNING
from agent.model import Key, Refusal, Resource
from agent.observed import ObservedContainer


def to_give_back(desired: Resource | None, instances: list[ObservedContainer]) -> ObservedContainer | None:
    """The adopted container that must be as it was found, because the target does not adopt it."""
    if desired is not None and desired.spec.get("adopt"):
        return None
    return next((instance for instance in instances if instance.original is not None), None)


def given_back(
    key: Key, desired: Resource | None, instance: ObservedContainer, others: tuple[Step, ...]
) -> Fate:
    """The fate of an adopted container that gets its policy, its name and its state back, in this order.
    `others`: the steps by which the containers that took its place make way.
    """
    original, at = instance.original or {}, {"container": instance.id}
    refused = (
        Refusal(key, f"{original['name']} is in its place, and this release does not adopt it", HINT)
        if desired
        else None
    )
    steps = list(others)
    if instance.restart_policy not in (None, original["policy"]):
        steps.append(Step("start", "policy", at | {"policy": original["policy"]}))
    if instance.name != original["name"]:
        steps.append(Step("start", "rename", at | {"to": original["name"]}))
    if original["running"] and instance.state not in RUNNING:
        steps.append(Step("start", "start", at))
    if not steps:
        return Fate(key, "forget", "is as it was before it was adopted", refusal=refused)
    return Fate(key, "return", "the container that was there before comes back", tuple(steps), refused)


def passed_back(key: Key, desired: Resource | None, view: View) -> Fate | None:
    """The fate of a network or volume that an unproved release adopted, and that the target does not adopt:
    it stays as it is.
    """
    owned = view.inventory.get(key)
    if owned is None or not unproved(owned) or str(key) in handles(view.target.manifest):
        return None
    refused = (
        Refusal(key, f"a {key.kind} of this name exists, and this release does not adopt it", HINT)
        if desired
        else None
    )
    return Fate(key, "forget", "is as it was before it was adopted", refusal=refused)


def claims_to_restore(key: Key, view: View) -> tuple[str, ...]:
    """The claims that a container takes again when it is given back."""
    found = to_give_back(view.target.manifest.resources.get(key), view.containers(key.name))
    return tuple(found.original["claims"]) if found and found.original else ()
