"""One release, all or nothing: own -> apply -> gate -> commit, or back to known good.

Rules:
1. What is about to be done is written down before it is done: the attempt before its first action, the
   rejection before the first action of the rollback, the verdict before the prune.
2. Trouble that may pass (`Transient`) condemns nothing: the attempt stays, and the next pass goes on with it.
   Neither does what failed while Docker went down or came back: it stops all containers meanwhile.
3. With no known good there is nothing to go back to: the release stays as it is, degraded, and is judged
   again each pass. But a first release that adopts goes back to what was there before: then known good is the
   release that holds nothing. So does one stay that has started what cannot be undone (`kinds/oneshots.py`),
   and each that follows it until one is proved.
4. A rollback is done when all that known good had is back, and judged. Until then every pass that does not
   bring it about says that it failed, and why.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace

from agent.converge import watch_gate
from agent.converge.context import Session
from agent.converge.prune import collect, collect_images, prune
from agent.decide import gate, ownership
from agent.decide.plan import both, deferred
from agent.errors import (
    CORRECT_IT,
    EXIT_FAILED,
    EXIT_HELD_BACK,
    EXIT_OK,
    EXIT_ROLLBACK_FAILED,
    EXIT_ROLLED_BACK,
    EXIT_TEMPORARY,
    Failed,
    Interrupted,
    LimpetError,
    Transient,
)
from agent.fetch.address import shown_url
from agent.kinds import adoption, notify, oneshots
from agent.kinds.base import Target, View
from agent.model import EMPTY, Key, Plan, Refusal, Release
from agent.store.state import Attempt, Pin, RolledBack


@dataclass(frozen=True, slots=True)
class Ending:
    """How the host was left. `outcome` is a word of the heartbeat; `reason` and `hint` are for people."""

    outcome: str
    exit_code: int
    reason: str = ""
    hint: str = ""
    again_in: float | None = None  # seconds after which another pass makes sense, when it is known


def attempt(session: Session, release: Release, view: View, plan: Plan) -> Ending:
    """Applies a prepared release, judges it, and commits it or goes back. Errors: Transient, Interrupted,
    Superseded.
    """
    if not session.state.releases() and adoption.is_first(view):
        session.state.known_good = [
            Release(session.desired.manifests.put(EMPTY), {}, at=session.clock.wall())
        ]
    good = session.known_good
    _begin(session, release, view, plan)
    failure = _carry_out(session, view, plan)
    _note(session, view.target, view, look=True)
    if failure is not None:
        verdict = gate.Verdict(
            "rejected", (gate.Finding(failure.resource, "bad", failure.message, failure.hint),)
        )
    else:
        resumed = _enter_gate(session, release)
        verdict = watch_gate.watch(session, view.target, plan, resumed=resumed)
    if verdict.decision == "healthy":
        return commit(session, release, view.target)
    session.host.steady()
    state, now = session.state, session.clock.wall()
    assert state.attempt is not None
    if good is None or good.id == release.id or not session.settings.gate.rollback or state.irrevocable:
        return _stay(session, release, verdict)
    state.reject(release, reason=verdict.reason, at=now, revision=state.attempt.revision)
    return roll_back(session, verdict.reason, verdict.hint, view.target)


def _stay(session: Session, release: Release, verdict: gate.Verdict) -> Ending:
    """The release is held as it is, and judged again by the next pass."""
    state = session.state
    state.applied = release
    session.save()
    if not state.irrevocable:
        return Ending("Failed", EXIT_FAILED, verdict.reason, verdict.hint)
    begun = f"{', '.join(state.irrevocable)} {'was' if len(state.irrevocable) == 1 else 'were'} started"
    remedy = (
        "push a commit that corrects it; or, when the old release can run with what was changed: "
        "limpet rollback"
    )
    return Ending(
        "Degraded",
        EXIT_FAILED,
        f"{verdict.reason}; not rolled back, for {begun} and cannot be undone",
        "; ".join(filter(None, [remedy, verdict.hint])),
    )


def _note(session: Session, held: Target, view: View, *, look: bool = False) -> None:
    """Notes which one-shots ran to success, and which of the release `held` were started and cannot be
    undone. `look`: the host has changed since `view`. Errors: Transient.
    """
    if look and not any(resource.spec["oneshot"] for resource in held.manifest.of_kind("container")):
        return
    state = session.state
    now = replace(view, observed=session.observe(held), inventory=session.inventory.entries) if look else view
    state.ran = oneshots.seen(replace(now, ran=state.ran))
    begun = oneshots.irrevocable(held, view.known_good, now.observed)
    state.irrevocable = tuple(sorted(begun.union(state.irrevocable)))


def repair(session: Session, view: View, plan: Plan) -> Ending:
    """Repairs drift of known good, prunes what an earlier pass left, and looks at the checks. Errors:
    LimpetError.
    """
    _leave_alone(session, plan)
    remaining = plan
    if plan.changes:
        _correct(session, view, plan)
        left = _finish(session, view.target, {refusal.key for refusal in plan.refusals})
        corrected = {action.key for action in plan.actions}  # once more at once would be too often
        remaining = replace(
            left, refusals=tuple(refusal for refusal in left.refusals if refusal.key not in corrected)
        )
    elif unowned := ownership.owned_entries(plan, view, session.host.save_original):
        session.inventory.own(unowned)
    if session.state.images.collection_due and session.wanted is not None:
        collect(session, always=True)
        collect_images(session)
    if not plan.changes:  # what was just repaired has its time: the next look comes soon
        session.record.red = watch_gate.red(session, view.target.manifest)
    return _settled(session, remaining)


def _settled(session: Session, remaining: Plan) -> Ending:
    """How a pass ends that has proved or repaired a release; what is shown as refused is what is left."""
    session.record.plan = replace(session.record.plan, refusals=remaining.refusals)
    return Ending("Converged", EXIT_HELD_BACK if remaining.refusals else EXIT_OK)


def _leave_alone(session: Session, plan: Plan) -> None:
    """Remembers what flaps, so that only a person, a commit or another release ends it."""
    flapping, refused = session.flapping(), {str(refusal.key) for refusal in plan.refusals}
    often = {name: times for name, times in flapping.items() if name in refused}
    session.record.drift = sorted({*session.record.drift, *often})
    if session.state.flapping.leave(often, session.clock.wall(), session.commit):
        session.save()


def _correct(session: Session, view: View, plan: Plan) -> None:
    """Carries out a repair; what is corrected is remembered before it is, and what failed of it is forgotten
    again. Errors: LimpetError.
    """
    flapping, now = session.state.flapping, session.clock.monotonic()
    begun = {change.key for change in plan.changes if change.corrective and change.stage == "apply"}
    if begun:
        flapping.note(sorted(map(str, begun)), now, session.clock.boot_id())
        with suppress(Transient):  # a full disk keeps no service down
            session.save()
    failure: LimpetError | None = None
    try:
        failure = _carry_out(session, view, plan)
    except LimpetError as error:
        failure = error
    if failure is not None:
        done = {
            outcome.action.id for outcome in session.record.outcomes if outcome.result in ("done", "excused")
        }
        undone = {action.key for action in plan.staged("apply") if action.id not in done}
        flapping.withdraw(map(str, begun & undone), now)
        raise failure


def commit(session: Session, release: Release, target: Target) -> Ending:
    """The gate has passed: known good := this release, pin := its revision; then what it replaced is removed,
    and what that was in the way of is done. Errors: LimpetError.
    """
    session.phase("commit", release)
    session.state.images.collection_due = True
    session.state.flapping.forget()
    prove(session, release)
    return _settled(session, _finish(session, target))


def _finish(session: Session, target: Target, refused: set[Key] | None = None) -> Plan:
    """Removes what nothing needs any more, and does what that was in the way of (a directory that was not
    empty); what remains. `refused`: nothing else is done. Errors: LimpetError.
    """
    view, left = prune(session, target)
    if refused is not None:
        left = deferred(left, {action.key for action in left.staged("apply")} - refused)
    if left.staged("apply"):
        if failure := _carry_out(session, view, left, more=True):
            raise failure
        _, left = prune(session, target)
    return left


def prove(session: Session, release: Release) -> None:
    """Makes a release known good at its revision, durably; nothing is written when nothing changes."""
    state, source, good = session.state, session.settings.source, session.known_good
    pin = state.pin
    if session.following or pin is None:
        pin = Pin(shown_url(source.url), source.ref, release.revision.partition("@sha1:")[2])
    first_seen = good.at if good is not None and good.id == release.id else release.at
    state.prove(replace(release, at=first_seen), pin, session.clock.wall())
    session.save()


def roll_back(session: Session, reason: str, remedy: str, failed_target: Target) -> Ending:
    """Back to known good; the release that failed is remembered before anything is touched."""
    state, good, failed = session.state, session.known_good, session.state.attempt
    assert good is not None and failed is not None
    session.phase("rollback", good)
    session.progress.step(f"rolling back to {good.revision or 'what was there before'}: {reason}")
    state.attempt = replace(failed, phase="rolling-back")
    session.save()
    try:
        target, after = _go_back(session, good, failed_target)
    except Interrupted:
        raise
    except LimpetError as error:
        return unfinished(
            session,
            Ending(
                "Failed",
                error.exit_code,
                f"{error.message} (it is undone because {reason})",
                error.hint or remedy,
            ),
        )
    state.count(rollbacks=1)
    state.applied, state.attempt = good, None
    if after.decision != "healthy":
        state.forget_rejected(failed.release.id)
        session.save()
        doubt = f"{reason}; but known good is not healthy either: {after.reason}"
        return Ending("Inconclusive", EXIT_TEMPORARY, doubt, after.hint)
    state.images.collection_due = True
    state.rolled_back = RolledBack(failed.release.id, failed.revision, reason, session.clock.wall())
    session.save()
    prune(session, target, applied=failed_target)
    return Ending("RolledBack", EXIT_ROLLED_BACK, reason, remedy or CORRECT_IT)


def _go_back(session: Session, good: Release, failed_target: Target) -> tuple[Target, gate.Verdict]:
    """Brings known good back as far as can be, removes what the failed release made, which may be what is
    wrong, and judges it. Errors: LimpetError when something of it is not back.
    """
    target = session.held(good)
    if target.manifest.digest != good.manifest_digest:
        raise Failed("the manifest of known good was lost on this host", CORRECT_IT, code="ManifestMissing")
    lacking: list[Refusal] = []
    for again in (False, True):  # what the failed release made may have been in the way
        view, plan = session.decide(target, target, applied=failed_target)
        if failure := _carry_out(session, view, plan, more=again):
            raise failure
        prune(session, target, applied=failed_target)
        if not (lacking := _lacking(session, view, plan)):
            return target, watch_gate.watch(session, target, plan, again=True)
    raise Failed(
        f"{lacking[0].key}: {lacking[0].cause}", lacking[0].hint, code="Refused", resource=str(lacking[0].key)
    )


def _lacking(session: Session, view: View, plan: Plan) -> list[Refusal]:
    """What known good had and cannot have back; what a person suspended is left to that person."""
    frozen, wanted = session.policy().suspended, view.target.manifest.resources
    return [
        refusal
        for refusal in plan.refusals
        if refusal.key in wanted
        and str(refusal.key) not in frozen
        and (owned := view.owned(refusal.key))
        and not adoption.unproved(owned)
    ]


def unfinished(session: Session, ending: Ending) -> Ending:
    """How a pass ends that met an error: as a rollback that failed when one is not done yet. The next pass
    goes on with it.
    """
    attempt = session.state.attempt
    if attempt is None or attempt.phase != "rolling-back" or ending.exit_code == EXIT_HELD_BACK:
        return ending
    return Ending(
        "RollbackFailed", EXIT_ROLLBACK_FAILED, f"rolling back failed: {ending.reason}", ending.hint
    )


def _begin(session: Session, release: Release, view: View, plan: Plan) -> None:
    """Writes the attempt down; what failed before it began cannot condemn it. Known good is held no more."""
    state, clock = session.state, session.clock
    state.rolled_back = None
    known = state.attempt
    if known and known.release.id == release.id:
        state.attempt = replace(
            known, tries=known.tries + 1, phase=known.phase if not plan.staged("apply") else "applying"
        )
    else:
        if known:
            _note(session, session.held(known.release), view)
        excused = watch_gate.failing_before(session, view, plan) if session.known_good else frozenset()
        state.attempt = Attempt(
            release,
            release.revision,
            "applying",
            clock.wall(),
            clock.monotonic(),
            clock.boot_id(),
            tuple(sorted(excused)),
        )
    _note(session, view.target, view)
    session.save()


def _enter_gate(session: Session, release: Release) -> bool:
    """The deadline begins, unless an earlier pass began it already: then true."""
    session.phase("gate", release)
    state, clock = session.state, session.clock
    resumed = state.attempt is not None and state.attempt.phase == "gating"
    if state.attempt and not resumed:
        state.attempt = replace(
            state.attempt,
            phase="gating",
            started_wall=clock.wall(),
            started_monotonic=clock.monotonic(),
            boot_id=clock.boot_id(),
        )
    session.save()
    return resumed


def _carry_out(session: Session, view: View, plan: Plan, *, more: bool = False) -> LimpetError | None:
    """Owns, then executes the plan's apply stage; the failure that is the release's own. `more`: it is the
    rest of what was carried out before. Errors: Transient, Interrupted.
    """
    actions = plan.staged("apply")
    session.inventory.own(ownership.owned_entries(plan, view, session.host.save_original))
    if not actions:
        return None
    session.record.plan = both(session.record.plan, plan) if more else plan
    session.phase("apply")
    failure = session.execute(actions, view.target.manifest)
    if failure is None and (telling := notify.telling(actions, view)):
        after = replace(view, inventory=session.inventory.entries, observed=session.observe(view.target))
        session.inventory.own(ownership.notified_entries(telling, after))
    return failure
