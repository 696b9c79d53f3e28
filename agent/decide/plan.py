"""Manifest + observed + inventory -> plan. Pure: equal arguments, equal plan.

Rules:
1. Fates come first (`agent.kinds`), each decided for one resource. Only then are their steps ordered across
   resources.
2. A step waits for what it needs, never for more: unrelated resources are changed in parallel.
3. A service is down as shortly as can be: it gives way (`release`) only when all it needs is ready and its
   candidate is created (and those of all that give way for the same file), unless something it needs (a
   changed file, a re-created network) or another's claim waits for it to give way.
4. What gives way to nobody is removed only after the gate has passed (stage "prune").
5. A resource whose need is refused is refused too, and so is one that wants what a refused one holds; half of
   a change is never planned.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from agent.decide.graph import Graph, app_of, held_claims, running_claims, wants
from agent.kinds import KINDS, claims, container, files, network, update_policy
from agent.kinds.base import Fate, View, refuse
from agent.model import Change, Key, Plan, Refusal, Stage

WAIT_LIMIT = 300.0  # seconds that an `await` action may take


def plan(view: View, wait_limit: float = WAIT_LIMIT) -> Plan:
    """What must be done, in which order, and why. `wait_limit`: seconds a dependency may take to become
    healthy.
    """
    view, fates = _decide(view)
    fates = _start_first(view, _give_way(view, fates))
    graph = Graph(view, fates, wait_limit)
    for key in graph.awaited():
        fates[key] = replace(fates[key], verb="keep", cause="others wait for it")
    changes = [
        Change(key, fate.verb, fate.cause, _stage(fate), fate.verb != "keep" and view.corrective(key))
        for key, fate in fates.items()
        if fate.verb not in ("ok", "refuse")
    ]
    changes.sort(key=lambda change: (change.stage, KINDS[change.key.kind].rank, change.key))
    refusals = [fate.refusal for fate in fates.values() if fate.refusal]
    return Plan(
        tuple(changes), tuple(graph.actions()), tuple(sorted(refusals, key=lambda refusal: refusal.key))
    )


def without(whole: Plan, refusals: Iterable[Refusal]) -> Plan:
    """The plan without the resources that are refused and without all that waits for them."""
    refused = {refusal.key: refusal for refusal in refusals}
    by_id = {action.id: action for action in whole.actions}
    grew = True
    while grew:
        grew = False
        for action in whole.actions:
            blocker = next((by_id[i].key for i in action.after if by_id[i].key in refused), None)
            if blocker is not None and action.key not in refused:
                refused[action.key] = Refusal(
                    action.key, f"waits for {blocker}, which is refused", refused[blocker].hint
                )
                grew = True
    return Plan(
        tuple(change for change in whole.changes if change.key not in refused),
        tuple(action for action in whole.actions if action.key not in refused),
        tuple(sorted({*whole.refusals, *refused.values()}, key=lambda refusal: refusal.key)),
    )


def deferred(whole: Plan, keys: Iterable[Key]) -> Plan:
    """The plan without these resources and without all that waits for them: nobody refuses them, they cannot
    be changed now.
    """
    return replace(without(whole, [Refusal(key, "put off") for key in keys]), refusals=whole.refusals)


def both(first: Plan, rest: Plan) -> Plan:
    """For the report, what a pass did in two parts: the second is no drift, and each resource counts once."""
    known = {change.key for change in first.changes}
    more = tuple(replace(change, corrective=False) for change in rest.changes if change.key not in known)
    return Plan((*first.changes, *more), (*first.actions, *rest.actions), rest.refusals)


# --- fates --------------------------------------------------------------------------------------------------


def _decide(view: View) -> tuple[View, dict[Key, Fate]]:
    """The fate of every resource that is desired, owned or there. Networks first: containers must know which
    are replaced.
    """
    owned = {Key("container", c.key_name) for c in view.observed.containers if c.owned and c.key_name}
    owned |= {Key("network", n.name) for n in view.observed.networks.values() if n.owned}
    keys = {*view.target.manifest.resources, *view.inventory, *owned} - files.needed(view)
    stuck: set[Key] = set()
    while True:
        fates = {key: _fate(key, view) for key in keys if key.kind == "network"}
        for key in stuck:
            why = (
                "be re-created" if key in view.target.manifest.resources else "make room for another network"
            )
            fates[key] = refuse(
                key, f"must {why}, but a container on it is refused", "see the refusal of the container"
            )
        fates = network.make_room(fates, view)
        view = replace(
            view, recreated=frozenset(key.name for key, fate in fates.items() if fate.part("release"))
        )
        fates |= {key: _fate(key, view) for key in keys if key.kind != "network"}
        _refuse_dependents(view, fates)
        refused = {
            key.name for key, fate in fates.items() if key.kind == "container" and fate.verb == "refuse"
        }
        held = {
            name for c in view.observed.containers if c.owned and c.key_name in refused for name in c.networks
        }
        newly = {Key("network", name) for name in view.recreated & held} - stuck
        if not newly:
            return view, fates
        stuck |= newly


def _fate(key: Key, view: View) -> Fate:
    return KINDS[key.kind].fate(key, view.target.manifest.resources.get(key), view)


def _refuse_dependents(view: View, fates: dict[Key, Fate]) -> None:
    """What needs a refused resource is refused too, and what wants a claim of a container that stays as it is
    for its refusal.
    """
    changing = sorted(
        key for key in view.target.manifest.resources if fates[key].steps or fates[key].verb == "adopt"
    )
    grew = any(fate.refusal for fate in fates.values())
    while grew:
        grew = False
        standing = {
            key: held
            for key, fate in sorted(fates.items())
            if fate.refusal and not fate.steps and (held := running_claims(key, view))
        }
        for key in changing:
            blocked = None if fates[key].refusal else _blocker(key, view, fates, standing)
            if blocked:
                blocker, cause = blocked
                first = fates[blocker].refusal
                fates[key] = refuse(key, cause, first.hint if first else "")
                grew = True


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
    """Deletions that free what something new needs happen before it; the rest waits for the gate."""
    wanted = {key: taken for key, fate in fates.items() if (taken := wants(key, fate, view))}
    changed = dict(fates)
    for key, fate in fates.items():
        if not fate.part("prune") or key in view.target.manifest.resources:
            continue
        held = held_claims(key, view)
        clash = any(claims.clashing(taken, held) for taken in wanted.values())
        if key.kind == "container":
            attached = any(view.recreated & set(c.networks) for c in view.containers(key.name))
            if clash or attached:
                changed[key] = replace(fate, steps=container.give_up(key, view))
        elif clash or _blocks(key, wanted):
            changed[key] = replace(fate, steps=tuple(replace(step, part="release") for step in fate.steps))
        elif _app_file_in_use(key, view, fates):
            changed[key] = replace(fate, steps=tuple(replace(step, part="start") for step in fate.steps))
    return changed


def _start_first(view: View, fates: dict[Key, Fate]) -> dict[Key, Fate]:
    """Containers that are to start beside the old ones do so, unless something waits for what the old one
    holds.
    """
    wanted = {key: taken for key, fate in fates.items() if (taken := wants(key, fate, view))}
    found = dict(fates)
    for key, fate in fates.items():
        ahead = (
            update_policy.start_first(fate, view) if key.kind == "container" and not fate.refusal else fate
        )
        held = held_claims(key, view) if ahead is not fate else set()
        if ahead is not fate and not any(
            claims.clashing(taken, held) for other, taken in wanted.items() if other != key
        ):
            found[key] = ahead
    return found


def _blocks(key: Key, wanted: Iterable[Key]) -> bool:
    """Whether a file or link that is to be deleted lies where something new needs a directory."""
    return key.kind in ("file", "symlink") and any(
        other.kind in files.KINDS and other.name.startswith(f"{key.name}/") for other in wanted
    )


def _app_file_in_use(key: Key, view: View, fates: dict[Key, Fate]) -> bool:
    """Whether containers of the file's app are replaced now: they must not see the removed file when they
    start.
    """
    owned = view.inventory.get(key)
    return (
        key.kind in files.KINDS
        and bool(owned and owned.app)
        and any(
            fate.part("release")
            and other.kind == "container"
            and app_of(other, view) == (owned.app if owned else "")
            for other, fate in fates.items()
        )
    )


def _stage(fate: Fate) -> Stage:
    return (
        "prune"
        if fate.verb not in ("keep", "adopt") and all(step.part == "prune" for step in fate.steps)
        else "apply"
    )
