"""Plan -> inventory entries: own before create, disown after delete.

Rules:
1. Everything an action may bring into being is owned, durably, before the first action.
2. The original of a path is saved before the path is owned, once; later passes keep that original, even when
   the path becomes another kind.
3. A resource that could not be deleted (refused, failed, deferred) stays owned.
4. While a container changes, its entry has the claims of the old and the new one: a killed pass leaves
   either. A container that is being notified counts as not notified until that is done, and one that is being
   started as one whose hooks have not run.
5. A resource that came with a release that was not proved is marked: when another release takes its place, it
   goes without a brake.
6. An adopted object is owned by its id. How it was found is forgotten when a release that adopts it is
   proved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

from agent.kinds import adoption, files, hooks, instances, lenders, notify, oneshots
from agent.kinds.base import Target, View
from agent.model import Inventory, Key, Outcome, Owned, Plan, Resource, Spec
from agent.observed import Observed, ObservedContainer

UNOWNED = {"network", "volume"}  # when external


@dataclass(frozen=True, slots=True)
class Underway:
    """The changes of a plan that its entries must foresee.

    touched: the resources of its actions
    adopted: container -> the id of the instance that it takes over as it is
    notified: container -> the id of the instance that is notified
    started: names and ids of the containers whose hooks are yet to run
    proved: whether the target has been proved healthy
    """

    touched: Set[Key]
    adopted: Mapping[Key, str]
    notified: Mapping[Key, str]
    started: Set[Any]
    proved: bool


def owned_entries(plan: Plan, view: View, save_original: Callable[[str], Spec]) -> dict[Key, Owned]:
    """The entries to write before the plan is applied: of changed resources, and of those that are right but
    not owned yet.
    """
    underway = _underway(plan, view)
    refused = {refusal.key for refusal in plan.refusals}
    found: dict[Key, Owned] = {}
    for key, resource in view.target.manifest.resources.items():
        if key in refused or (key.kind in UNOWNED and resource.spec["external"]):
            continue
        known = view.inventory.get(key)
        entry = _before_apply(resource, known, underway, view)
        if known is None and key.kind in files.KINDS:
            saved = _original(resource, view, key in underway.touched, save_original)
            entry = replace(entry, original=saved)
        if entry != known:
            found[key] = entry
    return found | _made_on_the_way(underway.touched, view, save_original)


def _underway(plan: Plan, view: View) -> Underway:
    adopted = {
        r.key: id for r in view.target.manifest.of_kind("container") if (id := adoption.newcomer(r.key, view))
    }
    notified = {
        key: id for key, id in adopted.items() if view.target.manifest.resources[key].spec["on_change"]
    }
    notified |= {
        action.key: str(action.args["container"]) for action in plan.actions if action.verb in notify.VERBS
    }
    started = {action.args["container"] for action in plan.actions if action.verb in hooks.STARTING}
    touched = {action.key for action in plan.actions}
    return Underway(touched, adopted, notified, started, proved=view.target == view.known_good)


def _before_apply(resource: Resource, known: Owned | None, underway: Underway, view: View) -> Owned:
    key = resource.key
    entry = replace(
        _entry(resource, known or Owned(resource.digest), key in underway.touched),
        adopted=adoption.record(key, view, proved=underway.proved),
        attempted=_attempted(key, known, view),
        outlived=lenders.outlived_runs(resource, view),
    )
    if key in underway.notified:
        entry = replace(entry, notified=notify.not_notified(resource, underway.notified[key], view))
    # An adopted container was started by somebody else: its hooks count as done.
    ran = [*entry.hooked, *([underway.adopted[key]] if key in underway.adopted else [])]
    return replace(entry, hooked=tuple(id for id in ran if id not in underway.started))


def _made_on_the_way(touched: Iterable[Key], view: View, look: Callable[[str], Spec]) -> dict[Key, Owned]:
    """The directories that are not there and will be made because something is put below them."""
    resources = view.target.manifest.resources
    found: dict[Key, Owned] = {}
    seen: set[str] = set()
    for path in (key.name for key in touched if key.kind in files.KINDS and key in resources):
        for parent in files.parents(path):
            made = parent not in seen and _is_made(parent, view, look)
            seen.add(parent)
            if not made:
                break
            found[Key("directory", parent)] = files.IMPLIED
    return found


def _is_made(path: str, view: View, look: Callable[[str], Spec]) -> bool:
    """Whether a directory will be made that nobody has named."""
    resources = view.target.manifest.resources
    if Key("directory", path) in view.inventory or any(Key(k, path) in resources for k in files.KINDS):
        return False
    there = look(path)["type"]
    return there == "absent" or (there != "directory" and bool(files.holders(path, view.inventory)))


def _entry(resource: Resource, known: Owned, touched: bool) -> Owned:
    # The host itself shows the claims that a network holds.
    held = set(known.claims) if touched and resource.key.kind == "container" else set()
    return replace(
        known,
        digest=resource.digest,
        needs=tuple(str(need.key) for need in resource.needs),
        claims=tuple(sorted(held.union(resource.claims))),
        app=str(resource.spec.get("app", "")),
    )


def _attempted(key: Key, known: Owned | None, view: View) -> bool:
    if key in view.known_good.manifest.resources:
        return False
    return known.attempted if known is not None else key.kind != "container" or not view.containers(key.name)


def _original(
    resource: Resource, view: View, touched: bool, save_original: Callable[[str], Spec]
) -> Spec | None:
    """The original of a path that is not owned yet. A file that is right and was ours before (the inventory
    was lost) is not an original.
    """
    path = resource.key.name
    if earlier := files.holders(path, view.inventory):
        return next((owned.original for owned in earlier if owned.original), None)
    before = (held.manifest.resources.get(resource.key) for held in (view.applied, view.known_good))
    ours = not touched and any(known is not None and known.digest == resource.digest for known in before)
    there = view.observed.files.get(path)
    saved = there is not None and (there.type in ("file", "symlink") or there.type == resource.key.kind)
    return save_original(path) if saved and not ours else None


def rebuilt(remembered: Sequence[Target], proved: Target, observed: Observed) -> dict[Key, Owned]:
    """The entries that can be proved when the inventory was lost: paths that are as a remembered release has
    them; the deeds of the containers of the `proved` release; and the containers that were put aside by a
    release that adopts, whose names end in their own ids.
    """
    found = _paths_there(remembered, observed)
    for resource in proved.manifest.of_kind("container"):
        if entry := _proved(resource, proved, observed):
            found[resource.key] = entry
    for c in observed.containers:
        if adopts := _put_aside_for(c, remembered):
            entry = found.get(adopts.key) or _entry(adopts, Owned(adopts.digest), False)
            found[adopts.key] = replace(entry, adopted=_adopted_again(c, adopts, proved))
    return found


def _paths_there(remembered: Sequence[Target], observed: Observed) -> dict[Key, Owned]:
    """The entries of the paths that are as a remembered release has them; the first release counts."""
    found: dict[Key, Owned] = {}
    for resource in (resource for held in remembered for resource in held.manifest.resources.values()):
        if resource.key.kind in files.KINDS and files.is_as(resource, observed.files.get(resource.key.name)):
            found.setdefault(resource.key, _entry(resource, Owned(resource.digest), False))
    return found


def _put_aside_for(instance: ObservedContainer, remembered: Sequence[Target]) -> Resource | None:
    """The resource for which a container was adopted and then put aside."""
    key = Key("container", instance.name.rpartition(".kept-")[0])
    if instance.owned or instance.name != instances.kept_name(key, instance):
        return None
    named = (held.manifest.resources.get(key) for held in remembered)
    return next((resource for resource in named if resource and resource.spec.get("adopt")), None)


def _adopted_again(instance: ObservedContainer, adopts: Resource, proved: Target) -> Spec:
    good = proved.manifest.resources.get(adopts.key)
    if good is not None and good.spec.get("adopt"):
        return {"id": instance.id, "digest": good.digest}
    return adoption.put_aside(adopts.key, instance.id, adopts)


def _proved(resource: Resource, proved: Target, observed: Observed) -> Owned | None:
    """The entry of a container of known good: its gate has passed, so it has done all that it was to do."""
    entry = _entry(resource, Owned(resource.digest), False)
    if resource.spec["oneshot"]:
        image = proved.image(resource)
        return replace(entry, completed=oneshots.completed_mark(resource, image)) if image else None
    there = (c for c in observed.containers if c.owned and c.name == resource.key.name)
    current = next((c for c in there if proved.has(resource.key, c.digest, c.image_id)), None)
    if current is None:
        return None
    knows = {path: proved.content(path) for path in resource.spec["on_change"]}
    return replace(entry, hooked=(current.id,), notified={"id": current.id, **knows} if knows else {})


def settled(view: View) -> dict[Key, Owned]:
    """The entries that change with what is seen now, once the target is proved: one-shots that ran to
    success, claims that were given up, and adopted objects.
    """
    found: dict[Key, Owned] = {}
    wanted = adoption.handles(view.target.manifest)
    for key, resource in view.target.manifest.resources.items():
        owned = view.inventory.get(key)
        if owned is None:
            continue
        if adoption.unproved(owned) and (resource.spec.get("adopt") or str(key) in wanted):
            found[key] = replace(owned, adopted=adoption.record(key, view, proved=True), attempted=False)
        elif owned.attempted:
            found[key] = replace(owned, attempted=False)
    for resource in view.target.manifest.of_kind("container"):
        owned = found.get(resource.key, view.inventory.get(resource.key))
        if owned is not None and (entry := _as_seen(resource, owned, view)) != owned:
            found[resource.key] = entry
    return found


def _as_seen(resource: Resource, owned: Owned, view: View) -> Owned:
    """The entry of a container, by its current instance."""
    current = next((c for c in view.containers(resource.key.name) if c.name == resource.key.name), None)
    if current is None or current.digest != resource.digest:
        return owned
    completed = owned.completed if resource.spec["oneshot"] else ""
    if resource.spec["oneshot"] and current.state == "exited" and current.exit_code == 0:
        completed = oneshots.completed_mark(resource, current.image_id)
    return replace(owned, claims=resource.claims, completed=completed)


def notified_entries(keys: Iterable[Key], view: View) -> dict[Key, Owned]:
    """The entries of containers that were just notified of their changed files, so a resumed pass does not
    notify them again.
    """
    resources = view.target.manifest.resources
    return {
        key: replace(owned, notified=notify.notified(resources[key], view))
        for key in keys
        if (owned := view.inventory.get(key)) is not None
    }


def hooked(outcomes: Iterable[Outcome], observed: Observed, inventory: Inventory) -> dict[Key, Owned]:
    """The entries of the containers whose `post_start` commands have all run: they need not run again."""
    results: dict[Key, set[str]] = {}
    for outcome in outcomes:
        if outcome.action.verb == hooks.POST_START:
            results.setdefault(outcome.action.key, set()).add(outcome.result)
    there = {c.name: c.id for c in observed.containers if c.owned}
    ran = [
        key for key, found in results.items() if found == {"done"} and key in inventory and key.name in there
    ]
    return {
        key: replace(
            inventory[key],
            hooked=tuple(sorted({there[key.name], *inventory[key].hooked} & set(there.values()))),
        )
        for key in ran
    }


def disowned(inventory: Inventory, view: View, remaining: Plan) -> Iterable[Key]:
    """The resources that are owned no longer: neither desired nor needed, and nothing of them is left to
    delete. `remaining`: the plan of `view`.
    """
    needed = files.needed(view).union(view.target.manifest.resources)
    forgotten = {change.key for change in remaining.changes if change.verb == "forget"}
    pending = {change.key for change in remaining.changes} - forgotten | {
        refusal.key for refusal in remaining.refusals
    }
    return [key for key in inventory if key in forgotten or (key not in needed and key not in pending)]
