"""Manifest + observed + inventory -> plan. Pure: equal arguments, equal plan.

Rules:
1. Fates come first (`agent.kinds`), each decided for one resource. Only then are their steps ordered across
   resources.
2. A service is down as shortly as can be: it gives way (`release`) only when all its needs are ready and its
   candidate is created (and the candidates of all that give way for the same file), unless one of its needs
   (a changed file, a re-created network) or another's claim waits for it to give way (`order`).
3. A resource that gives way to nobody is removed only after the gate has passed (stage "prune").
4. A resource whose need is refused is refused too, and so is one that wants a claim of a refused one: half of
   a change is never planned.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from agent.decide import left_behind, staying
from agent.decide.holdings import app_of, held_claims, running_claims, wants
from agent.decide.order import Ordering
from agent.kinds import claims, container, files, lenders, network, readers, update_policy
from agent.kinds.base import Fate, Part, View, refuse
from agent.kinds.table import KINDS
from agent.model import Action, Change, Key, Plan, Refusal, Stage

WAIT_LIMIT = 300.0  # seconds that an `await` action may take


def plan(view: View, wait_limit: float = WAIT_LIMIT) -> Plan:
    """The actions that bring the host to the target, in their order, each with its cause. `wait_limit`:
    seconds that a dependency may take to become healthy.
    """
    view, fates = _decide(view)
    fates = _start_first(view, _give_way(view, fates))
    ordered = Ordering(view, fates, wait_limit)
    for key in ordered.awaited():
        fates[key] = replace(fates[key], verb="keep", cause="others wait for it")
    changes = [
        Change(key, fate.verb, fate.cause, _stage(fate), fate.verb != "keep" and view.corrective(key))
        for key, fate in fates.items()
        if fate.verb not in ("ok", "refuse")
    ]
    changes.sort(key=lambda change: (change.stage, KINDS[change.key.kind].rank, change.key))
    refusals = [fate.refusal for fate in fates.values() if fate.refusal]
    return Plan(
        tuple(changes),
        tuple(ordered.actions()),
        tuple(sorted(refusals, key=lambda refusal: refusal.key)),
        view.target.put_off,
        (*left_behind.begun_empty(view), *readers.locked_out(view)),
    )


def without(whole: Plan, refusals: Iterable[Refusal]) -> Plan:
    """The plan without the resources that are refused and without all that waits for them."""
    refused = {refusal.key: refusal for refusal in refusals}
    by_id = {action.id: action for action in whole.actions}
    while _refuse_waiting(whole, by_id, refused):
        pass
    return replace(
        whole,
        changes=tuple(change for change in whole.changes if change.key not in refused),
        actions=tuple(action for action in whole.actions if action.key not in refused),
        refusals=tuple(sorted({*whole.refusals, *refused.values()}, key=lambda refusal: refusal.key)),
    )


def _refuse_waiting(whole: Plan, by_id: Mapping[int, Action], refused: dict[Key, Refusal]) -> bool:
    """Adds the resources that wait for a refused one to `refused`. Whether there were any."""
    grew = False
    for action in whole.actions:
        blocker = next((by_id[i].key for i in action.after if by_id[i].key in refused), None)
        if blocker is not None and action.key not in refused:
            cause = f"waits for {blocker}, which is refused"
            refused[action.key] = Refusal(action.key, cause, refused[blocker].hint)
            grew = True
    return grew


def deferred(whole: Plan, keys: Iterable[Key]) -> Plan:
    """The plan without these resources and without all that waits for them. Nobody refuses them: they cannot
    be changed now.
    """
    return replace(without(whole, [Refusal(key, "deferred") for key in keys]), refusals=whole.refusals)


def both(first: Plan, rest: Plan) -> Plan:
    """For the report, one plan of a pass that worked in two parts. The second part is not drift, and each
    resource counts once.
    """
    known = {change.key for change in first.changes}
    more = tuple(replace(change, corrective=False) for change in rest.changes if change.key not in known)
    return replace(rest, changes=(*first.changes, *more), actions=(*first.actions, *rest.actions))


# --- fates --------------------------------------------------------------------------------------------------


def _decide(view: View) -> tuple[View, dict[Key, Fate]]:
    """The fate of every resource that is desired, owned or there. Networks come first: whatever is attached
    to a network that is removed must give way.
    """
    keys = {*view.target.manifest.resources, *view.inventory, *_ours_there(view)} - files.needed(view)
    stuck: set[Key] = set()
    while True:
        fates = _networks(keys, stuck, view)
        recreated = frozenset(key.name for key, fate in fates.items() if fate.part("release"))
        view = replace(view, recreated=recreated)
        fates |= {key: _fate(key, view) for key in keys if key.kind not in ("network", "container")}
        fates |= _containers(keys, view)
        _refuse_dependents(view, fates)
        newly = _held_by_refused(view, fates) - stuck
        if not newly:
            return view, _with_what_stays(view, fates)
        stuck |= newly


def _with_what_stays(view: View, fates: dict[Key, Fate]) -> dict[Key, Fate]:
    """The fates, with what stays because its successor is refused kept, and running."""
    kept = fates | staying.not_removed(view, fates)
    refused = [
        key for key, fate in kept.items() if key.kind == "container" and staying.stays(key, fate, view)
    ]
    if not refused:
        return kept
    kept |= staying.kept_needs(view, kept)
    return kept | {key: staying.kept_running(key, view, kept) for key in refused}


def _ours_there(view: View) -> set[Key]:
    found = {Key("container", c.key_name) for c in view.observed.containers if c.owned and c.key_name}
    return found | {Key("network", n.name) for n in view.observed.networks.values() if n.owned}


def _networks(keys: Iterable[Key], stuck: set[Key], view: View) -> dict[Key, Fate]:
    """The fates of all networks. `stuck`: those that must stay because a container on them is refused."""
    fates = {key: _fate(key, view) for key in keys if key.kind == "network"}
    for key in stuck:
        why = "be re-created" if key in view.target.manifest.resources else "make room for another network"
        fates[key] = refuse(
            key, f"must {why}, but a container on it is refused", "see the refusal of the container"
        )
    return network.make_room(fates, view)


def _containers(keys: Iterable[Key], view: View) -> dict[Key, Fate]:
    """The fates of all containers: those by which others live come first."""
    fates: dict[Key, Fate] = {}
    wanted = lenders.concerned([view.target.manifest])
    for key in lenders.lenders_first([key for key in keys if key.kind == "container"], view):
        fates[key] = _fate(key, view)
        if key.name in wanted:
            view = replace(view, lenders={**view.lenders, key.name: lenders.to_be(fates[key], view)})
    return fates


def _held_by_refused(view: View, fates: Mapping[Key, Fate]) -> set[Key]:
    """The networks that are to be removed while a refused container is on them."""
    refused = {key.name for key, fate in fates.items() if key.kind == "container" and fate.verb == "refuse"}
    held = {
        name for c in view.observed.containers if c.owned and c.key_name in refused for name in c.networks
    }
    return {Key("network", name) for name in view.recreated & held}


def _fate(key: Key, view: View) -> Fate:
    return KINDS[key.kind].fate(key, view.target.manifest.resources.get(key), view)


def _refuse_dependents(view: View, fates: dict[Key, Fate]) -> None:
    """Also refuses resources that need a refused one, and resources that want a claim which a container whose
    change was refused still holds.
    """
    changing = sorted(
        key for key in view.target.manifest.resources if fates[key].steps or fates[key].verb == "adopt"
    )
    if any(fate.refusal for fate in fates.values()):
        while _refuse_blocked(changing, view, fates):
            pass


def _refuse_blocked(changing: Iterable[Key], view: View, fates: dict[Key, Fate]) -> bool:
    """Refuses the resources that a refused one blocks. Whether there were any."""
    standing, grew = _standing_claims(view, fates), False
    for key in changing:
        blocked = None if fates[key].refusal else _blocker(key, view, fates, standing)
        if blocked:
            blocker, cause = blocked
            first = fates[blocker].refusal
            fates[key] = refuse(key, cause, first.hint if first else "")
            grew = True
    return grew


def _standing_claims(view: View, fates: Mapping[Key, Fate]) -> dict[Key, set[str]]:
    """The claims that refused resources go on holding."""
    return {
        key: held
        for key, fate in sorted(fates.items())
        if fate.refusal and not fate.steps and (held := running_claims(key, view))
    }


def _blocker(
    key: Key, view: View, fates: dict[Key, Fate], standing: Mapping[Key, set[str]]
) -> tuple[Key, str] | None:
    """A refused resource for which this one must wait, and why."""
    for need in view.target.manifest.resources[key].needs:
        if need.required and need.key in fates and fates[need.key].refusal:
            return need.key, f"waits for {need.key}, which is refused"
    wanted = wants(key, fates[key], view)
    for other, held in standing.items():
        if other != key and (taken := claims.clashing(wanted, held)):
            return other, f"{taken[0].partition('/')[2]} is held by {other}, which is refused"
    return None


def _give_way(view: View, fates: dict[Key, Fate]) -> dict[Key, Fate]:
    """A deletion that frees something for a new resource happens before it; the rest waits for the gate."""
    wanted = {key: taken for key, fate in fates.items() if (taken := wants(key, fate, view))}
    cleared = files.making_way(view)
    changed = dict(fates)
    for key, fate in fates.items():
        if fate.part("prune") and key not in view.target.manifest.resources:
            changed[key] = _given_way(key, view, fates, wanted)
            if key.kind in files.KINDS and cleared.intersection(files.parents(key.name)):
                changed[key] = _at("start", fate)
    return changed


def _at(part: Part, fate: Fate) -> Fate:
    return replace(fate, steps=tuple(replace(step, part=part) for step in fate.steps))


def _given_way(
    key: Key, view: View, fates: Mapping[Key, Fate], wanted: Mapping[Key, tuple[str, ...]]
) -> Fate:
    """The fate of a resource that is to be deleted. `wanted`: the claims that others take."""
    fate, held = fates[key], held_claims(key, view)
    clash = any(claims.clashing(taken, held) for taken in wanted.values())
    if key.kind == "container":
        attached = any(view.recreated & set(c.networks) for c in view.containers(key.name))
        early = clash or attached or _loses_file(key, view, fates)
        return replace(fate, steps=container.give_up(key, view)) if early else fate
    if clash or _blocks(key, wanted):
        return _at("release", fate)
    return _at("start", fate) if _app_file_in_use(key, view, fates) else fate


def _start_first(view: View, fates: dict[Key, Fate]) -> dict[Key, Fate]:
    """Containers whose service says `start-first` start beside the old ones, unless something waits for a
    claim of the old one.
    """
    wanted = {key: taken for key, fate in fates.items() if (taken := wants(key, fate, view))}
    found = dict(fates)
    for key, fate in fates.items():
        first = fate
        if key.kind == "container" and not fate.refusal:
            first = update_policy.start_first(fate, view)
        if first is not fate and not _others_want(held_claims(key, view), key, wanted):
            found[key] = first
    return found


def _others_want(held: Iterable[str], key: Key, wanted: Mapping[Key, tuple[str, ...]]) -> bool:
    held = list(held)
    return any(claims.clashing(taken, held) for other, taken in wanted.items() if other != key)


def _blocks(key: Key, wanted: Iterable[Key]) -> bool:
    """Whether a file or link that is to be deleted lies where something new needs a directory."""
    return key.kind in ("file", "symlink") and any(
        other.kind in files.KINDS and other.name.startswith(f"{key.name}/") for other in wanted
    )


def _app_file_in_use(key: Key, view: View, fates: Mapping[Key, Fate]) -> bool:
    """Whether containers of the file's app are replaced now: they must not see the removed file when they
    start. When it is used by nobody but containers that run until the gate has passed, it stays for them.
    """
    owned = view.inventory.get(key)
    if key.kind not in files.KINDS or owned is None or not owned.app:
        return False
    replaced = {
        other
        for other, fate in fates.items()
        if fate.part("release") and other.kind == "container" and app_of(other, view) == owned.app
    }
    users = {other for other in fates if other.kind == "container" and key in _uses(other, view)}
    return bool(replaced) and not (users and users.isdisjoint(replaced))


def _loses_file(key: Key, view: View, fates: Mapping[Key, Fate]) -> bool:
    """Whether a container that is to be deleted uses a file that is removed before the gate."""
    paths = _uses(key, view) - set(view.target.manifest.resources)
    return any(path in fates and _app_file_in_use(path, view, fates) for path in paths)


def _uses(key: Key, view: View) -> set[Key]:
    owned = view.inventory.get(key)
    return set(map(Key.parse, owned.needs)) if owned else set()


def _stage(fate: Fate) -> Stage:
    late = all(step.part == "prune" for step in fate.steps)
    return "prune" if late and fate.verb not in ("keep", "adopt") else "apply"
