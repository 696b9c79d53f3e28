"""Plan -> inventory entries: own before create, disown after delete.

Rules:
1. Everything an action may bring into being is owned, durably, before the first action.
2. What was at a path before us is saved before it is owned, once; later passes keep that original.
3. What could not be deleted (refused, failed, put off) stays owned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from agent.kinds import container
from agent.kinds.base import View
from agent.model import Inventory, Key, Manifest, Observed, Owned, Plan, Resource, Spec

UNOWNED = {"network", "volume"}  # when external


def entries(plan: Plan, view: View, save_original: Callable[[str], Spec]) -> dict[Key, Owned]:
    """The entries to write before the plan is applied: changed resources, and those that are right but not owned yet."""
    touched = {change.key for change in plan.changes} | {action.key for action in plan.actions}
    refused = {refusal.key for refusal in plan.refusals}
    found: dict[Key, Owned] = {}
    for key, resource in view.target.manifest.resources.items():
        known = view.inventory.get(key)
        if key in refused or (key.kind in UNOWNED and resource.spec["external"]):
            continue
        entry = _entry(resource, known or Owned(resource.digest))
        if known is None and key in touched and _saves_original(key, view.observed):
            entry = replace(entry, original=save_original(key.name))
        if entry != known:
            found[key] = entry
    return found


def _entry(resource: Resource, known: Owned) -> Owned:
    return replace(known, digest=resource.digest, needs=tuple(str(need.key) for need in resource.needs),
                   claims=resource.claims, app=str(resource.spec.get("app", "")))


def _saves_original(key: Key, observed: Observed) -> bool:
    there = observed.files.get(key.name)
    return key.kind in ("file", "symlink") and there is not None and there.type in ("file", "symlink")


def settled(view: View) -> dict[Key, Owned]:
    """Entries that change because of what is seen now: one-shots that ran to success, signals that were delivered."""
    found: dict[Key, Owned] = {}
    for resource in view.target.manifest.of_kind("container"):
        owned = view.inventory.get(resource.key)
        current = next((c for c in view.containers(resource.key.name) if c.name == resource.key.name), None)
        if owned is None or current is None or current.digest != resource.digest:
            continue
        entry = owned
        if resource.spec["oneshot"] and current.state == "exited" and current.exit_code == 0:
            entry = replace(entry, completed=container.completed_mark(resource, current.image_id))
        if resource.spec["on_change"]:
            entry = replace(entry, delivered={"id": current.id, **_contents(resource, view.target.manifest)})
        if entry != owned:
            found[resource.key] = entry
    return found


def _contents(resource: Resource, manifest: Manifest) -> dict[str, str]:
    files = {path: manifest.resources.get(Key("file", path)) for path in resource.spec["on_change"]}
    return {path: str(file.spec.get("content", "")) if file else "" for path, file in files.items()}


def disowned(inventory: Inventory, manifest: Manifest, remaining: Plan) -> Iterable[Key]:
    """What is owned no longer: not desired, and nothing of it is left to delete."""
    pending = {change.key for change in remaining.changes if change.verb != "forget"} | {r.key for r in remaining.refusals}
    return [key for key in inventory if key not in manifest.resources and key not in pending]
