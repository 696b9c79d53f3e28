"""Plan -> inventory entries: own before create, disown after delete.

Rules:
1. Everything an action may bring into being is owned, durably, before the first action.
2. What was at a path before us is saved before it is owned, once; later passes keep that original, even as
   another kind.
3. What could not be deleted (refused, failed, put off) stays owned.
4. While a container changes, its entry claims what the old and the new one hold: a killed pass leaves either.
   And what it is being told counts as not delivered until it was told, and one that is being started as one
   without its hooks.
5. What came with a release that was not proved is marked: when another release takes its place, it goes
   without a brake.
6. What is adopted is owned by its id; how it was found is forgotten when a release that adopts it is proved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from agent.kinds import adoption, files, hooks, instances, notify, oneshots
from agent.kinds.base import Target, View
from agent.model import Inventory, Key, Observed, Outcome, Owned, Plan, Resource, Spec

UNOWNED = {"network", "volume"}  # when external


def owned_entries(plan: Plan, view: View, save_original: Callable[[str], Spec]) -> dict[Key, Owned]:
    """The entries to write before the plan is applied: changed resources, and those that are right but not
    owned yet.
    """
    touched = {action.key for action in plan.actions}
    adopted = {
        r.key: id for r in view.target.manifest.of_kind("container") if (id := adoption.newcomer(r.key, view))
    }
    told = {key: id for key, id in adopted.items() if view.target.manifest.resources[key].spec["on_change"]}
    told |= {
        action.key: str(action.args["container"]) for action in plan.actions if action.verb in notify.VERBS
    }
    started = {action.args["container"] for action in plan.actions if action.verb in hooks.STARTING}
    refused = {refusal.key for refusal in plan.refusals}
    found: dict[Key, Owned] = {}
    for key, resource in view.target.manifest.resources.items():
        known = view.inventory.get(key)
        if key in refused or (key.kind in UNOWNED and resource.spec["external"]):
            continue
        entry = _entry(resource, known or Owned(resource.digest), key in touched)
        entry = replace(
            entry,
            adopted=adoption.record(key, view, proved=view.target == view.known_good),
            attempted=_attempted(key, known, view),
        )
        if known is None and key.kind in files.KINDS:
            entry = replace(entry, original=_original(resource, view, key in touched, save_original))
        if key in told:
            entry = replace(entry, notified=notify.not_notified(resource, told[key], view))
        ran = [
            *entry.hooked,
            *([adopted[key]] if key in adopted else []),
        ]  # somebody else started what is adopted
        entry = replace(entry, hooked=tuple(id for id in ran if id not in started))
        if entry != known:
            found[key] = entry
    return found | _made_on_the_way(touched, view, save_original)


def _made_on_the_way(touched: Iterable[Key], view: View, look: Callable[[str], Spec]) -> dict[Key, Owned]:
    """The directories that are not there and will be made because something is put below them."""
    resources, found = view.target.manifest.resources, dict[Key, Owned]()
    seen: set[str] = set()
    for path in (key.name for key in touched if key.kind in files.KINDS and key in resources):
        for parent in files.parents(path):
            key = Key("directory", parent)
            known = (
                parent in seen
                or key in view.inventory
                or any(Key(kind, parent) in resources for kind in files.KINDS)
            )
            seen.add(parent)
            there = "" if known else look(parent)["type"]
            if (
                known
                or there == "directory"
                or (there != "absent" and not files.holders(parent, view.inventory))
            ):
                break
            found[key] = files.IMPLIED
    return found


def _entry(resource: Resource, known: Owned, touched: bool) -> Owned:
    held = (
        set(known.claims) if touched and resource.key.kind == "container" else set()
    )  # of a network, the host shows it
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
    """What was at a path before it is owned. A file that is right and was ours before (the inventory was
    lost) is no original.
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
    """What can be proved to be ours when the inventory was lost: paths that are as a remembered release has
    them; what the containers of the `proved` one have done; and what was put aside by a release that adopts,
    whose name ends in its own id.
    """
    found: dict[Key, Owned] = {}
    for resource in (resource for held in remembered for resource in held.manifest.resources.values()):
        if resource.key.kind in files.KINDS and files.is_as(resource, observed.files.get(resource.key.name)):
            found.setdefault(resource.key, _entry(resource, Owned(resource.digest), False))
    for resource in proved.manifest.of_kind("container"):
        if entry := _proved(resource, proved, observed):
            found[resource.key] = entry
    for c in observed.containers:
        key = Key("container", c.name.rpartition(".kept-")[0])
        named = (held.manifest.resources.get(key) for held in remembered)
        adopts = next((resource for resource in named if resource and resource.spec.get("adopt")), None)
        if adopts and not c.owned and c.name == instances.kept_name(key, c):
            good = proved.manifest.resources.get(key)
            ours = good is not None and good.spec.get("adopt")
            record = (
                {"id": c.id, "digest": good.digest}
                if good and ours
                else adoption.put_aside(key, c.id, adopts)
            )
            found[key] = replace(
                found.get(key) or _entry(adopts, Owned(adopts.digest), False), adopted=record
            )
    return found


def _proved(resource: Resource, proved: Target, observed: Observed) -> Owned | None:
    """What a container of known good has done for certain: its gate has passed."""
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
    """Entries that change because of what is seen now, once the target is proved: one-shots that ran to
    success, claims that were given up, and what was adopted.
    """
    found: dict[Key, Owned] = {}
    wanted = adoption.handles(view.target.manifest)
    for key in view.target.manifest.resources:
        owned = view.inventory.get(key)
        adopts = view.target.manifest.resources[key].spec.get("adopt") or str(key) in wanted
        if owned is not None and adoption.unproved(owned) and adopts:
            found[key] = replace(owned, adopted=adoption.record(key, view, proved=True), attempted=False)
        elif owned is not None and owned.attempted:
            found[key] = replace(owned, attempted=False)
    for resource in view.target.manifest.of_kind("container"):
        owned = found.get(resource.key, view.inventory.get(resource.key))
        current = next((c for c in view.containers(resource.key.name) if c.name == resource.key.name), None)
        if owned is None or current is None or current.digest != resource.digest:
            continue
        entry = replace(
            owned, claims=resource.claims, completed=owned.completed if resource.spec["oneshot"] else ""
        )
        if resource.spec["oneshot"] and current.state == "exited" and current.exit_code == 0:
            entry = replace(entry, completed=oneshots.completed_mark(resource, current.image_id))
        if entry != owned:
            found[resource.key] = entry
    return found


def notified_entries(keys: Iterable[Key], view: View) -> dict[Key, Owned]:
    """The entries of containers that were just told of their changed files: a pass that goes on does not tell
    them again.
    """
    resources = view.target.manifest.resources
    return {
        key: replace(owned, notified=notify.notified(resources[key], view))
        for key in keys
        if (owned := view.inventory.get(key)) is not None
    }


def hooked(outcomes: Iterable[Outcome], observed: Observed, inventory: Inventory) -> dict[Key, Owned]:
    """Entries of the containers whose `post_start` commands have all run: they need not run again."""
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
    """What is owned no longer: not desired or needed, and nothing of it is left to delete. `remaining`: the
    plan of `view`.
    """
    kept = files.needed(view).union(view.target.manifest.resources)
    forgotten = {change.key for change in remaining.changes if change.verb == "forget"}
    pending = {change.key for change in remaining.changes} - forgotten | {
        refusal.key for refusal in remaining.refusals
    }
    return [key for key in inventory if key in forgotten or (key not in kept and key not in pending)]
