"""One release, all or nothing: own -> apply -> gate -> commit, or back to known good.

Rules:
1. What is about to be done is written down before it is done: the attempt before its first action, the
   rejection before the first action of the rollback, the verdict before the prune.
2. Trouble that may pass (`Transient`) condemns nothing: the attempt stays, and the next pass goes on with it.
   Neither does what failed while Docker went down or came back (it stops all containers meanwhile), nor a
   step that failed on what was so before and was not changed.
3. With no known good there is nothing to go back to: the release stays as it is, degraded, and is judged
   again each pass. But a first release that adopts goes back to what was there before: then known good is the
   release that holds nothing. A release that has started what cannot be undone (`kinds/oneshots.py`) stays
   too, and so does each that follows it until one is proved.
4. A rollback is done when all that known good had is back, and judged. Until then every pass that does not
   bring it about says that it failed, and why.
"""

from __future__ import annotations

from dataclasses import replace

from agent.converge import naming
from agent.converge.account import Account, Ending
from agent.converge.context import Context, Executed, Wanted
from agent.converge.prune import prune
from agent.converge.watch_gate import failing_before, unwell, watch
from agent.decide import gate, ownership
from agent.decide.handling import handling_of
from agent.decide.plan import deferred
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
)
from agent.fetch.address import shown_url
from agent.kinds import adoption, notify, obstacles, oneshots
from agent.kinds.base import Target, View
from agent.model import EMPTY, Key, Plan, Refusal, Release
from agent.store.state import State
from agent.store.verdicts import Attempt, Pin, Rejection, RolledBack

# --- a release ----------------------------------------------------------------------------------------------


def attempt(
    context: Context,
    account: Account,
    wanted: Wanted,
    view: View,
    plan: Plan,
    rejection: Rejection | None = None,
) -> Ending:
    """Applies a prepared release, judges it, and commits it or goes back. Errors: Transient, Interrupted.

    wanted: what the branch says.
    view, plan: what was prepared, for `view.target`.
    rejection: why this is known good instead of the branch's release; None: it is not.
    """
    release, state = view.target.release, context.state
    assert release is not None
    if not state.releases() and adoption.is_first(view):
        state.known_good = [Release(context.desired.manifests.put(EMPTY), {}, at=context.clock.wall())]
    good = context.known_good
    _begin(context, release, view, plan)
    failure = _apply(context, account, wanted, view, plan)
    seen = _note_after(context, account, view)
    if failure is not None:
        verdict = gate.condemned(failure)
    else:
        resumed = _enter_gate(context, wanted, release)
        found = watch(context, account, wanted, seen, plan, resumed=resumed)
        if found is None:
            return Ending("Superseded", EXIT_HELD_BACK, "a newer revision arrived")
        verdict = found
    if verdict.decision == "healthy":
        return commit(context, account, wanted, view.target, rejection)
    context.host.steady()
    assert state.attempt is not None
    may_go_back = context.settings.gate.rollback and not state.irrevocable
    if good is None or good.id == release.id or not may_go_back:
        return _stay(context, release, verdict, failure)
    state.reject(
        release,
        reason=verdict.reason,
        at=context.clock.wall(),
        revision=state.attempt.revision,
        handling=handling_of(view.target.manifest),
        source_silent=verdict.blames_source,
        doubtful=failure is not None
        and (failure.resource in state.attempt.baseline or failure.code in obstacles.TAKEN),
    )
    return roll_back(context, account, wanted, view.target, verdict.reason, verdict.hint, failure)


def _stay(context: Context, release: Release, verdict: gate.Verdict, failure: LimpetError | None) -> Ending:
    """The release is held as it is, and judged again by the next pass."""
    state = context.state
    state.applied = release
    context.save()
    if not state.irrevocable:
        return Ending("Failed", EXIT_FAILED, verdict.reason, verdict.hint, error=failure)
    begun = f"{', '.join(state.irrevocable)} {'was' if len(state.irrevocable) == 1 else 'were'} started"
    remedy = (
        "push a commit that corrects it; or, when the old release can run with what was changed: "
        "limpet rollback"
    )
    return Ending(
        "Degraded",
        EXIT_FAILED,
        f"{verdict.reason}; not rolled back, because {begun} and cannot be undone",
        "; ".join(filter(None, [remedy, verdict.hint])),
        error=failure,
    )


def _begin(context: Context, release: Release, view: View, plan: Plan) -> None:
    """Writes the attempt down; what failed before it began cannot condemn it. Known good is held no more."""
    state, clock = context.state, context.clock
    state.rolled_back = None
    known = state.attempt
    if known and known.release.id == release.id:
        phase = "applying" if plan.staged("apply") else known.phase
        state.attempt = replace(known, tries=known.tries + 1, phase=phase)
    else:
        if known:
            _note(context, view, context.target(known.release))
        baseline = failing_before(context, view, plan) if context.known_good else frozenset()
        for caution in plan.cautions:
            context.progress.step(f"warning: {caution}")
        state.attempt = Attempt(
            release,
            release.revision,
            "applying",
            clock.wall(),
            clock.monotonic(),
            clock.boot_id(),
            tuple(sorted(baseline)),
        )
    _note(context, view, view.target)
    if release.part_of:
        context.desired.manifests.put(view.target.manifest)
    context.save()


def _enter_gate(context: Context, wanted: Wanted, release: Release) -> bool:
    """The deadline begins, unless an earlier pass began it already: then true."""
    context.phase("gate", wanted, release)
    state, clock = context.state, context.clock
    resumed = state.attempt is not None and state.attempt.phase == "gating"
    if state.attempt and not resumed:
        state.attempt = replace(
            state.attempt,
            phase="gating",
            started_wall=clock.wall(),
            started_monotonic=clock.monotonic(),
            boot_id=clock.boot_id(),
        )
    context.save()
    return resumed


def _note(context: Context, view: View, release: Target) -> None:
    """Notes which one-shots ran to success, and which of a release were started and cannot be undone."""
    state = context.state
    state.ran = oneshots.seen(replace(view, ran=state.ran))
    begun = oneshots.irrevocable(release, view.known_good, view.observed)
    state.irrevocable = tuple(sorted(begun.union(state.irrevocable)))


def _note_after(context: Context, account: Account, view: View) -> View:
    """The same after the host has changed; what is seen then. Without one-shots nothing is looked at.
    Errors: Transient.
    """
    if not any(resource.spec["oneshot"] for resource in view.target.manifest.of_kind("container")):
        return view
    observed = context.observe(view.target)
    account.saw(observed)
    seen = replace(view, observed=observed, inventory=context.inventory.entries)
    _note(context, seen, seen.target)
    return seen


def _apply(
    context: Context, account: Account, wanted: Wanted, view: View, plan: Plan, *, more: bool = False
) -> LimpetError | None:
    """Owns, executes the plan's apply stage, and notes what was notified; the failure for which the release
    is to blame. `more`: it is the rest of what was carried out before. Errors: Transient, Interrupted.
    """
    executed = execute(context, account, wanted, view, plan, more=more)
    failure = executed.blamed()
    if failure is None:
        note_notified(context, account, view, plan)
    return failure


def execute(
    context: Context, account: Account, wanted: Wanted, view: View, plan: Plan, *, more: bool = False
) -> Executed:
    """Owns, then executes the plan's apply stage. Errors: Transient, Stalled when that cannot be written."""
    actions = plan.staged("apply")
    context.inventory.own(ownership.owned_entries(plan, view, context.host.save_original))
    if not actions:
        return Executed()
    if more:
        account.planned_more(plan)
    else:
        account.planned(plan)
    context.phase("apply", wanted)
    return context.execute(account, actions, view.target.manifest)


def note_notified(context: Context, account: Account, view: View, plan: Plan) -> None:
    """Notes which containers were notified of changed files. Errors: Transient."""
    if telling := notify.telling(plan.staged("apply"), view):
        observed = context.observe(view.target)
        account.saw(observed)
        after = replace(view, inventory=context.inventory.entries, observed=observed)
        context.inventory.own(ownership.notified_entries(telling, after))


def commit(
    context: Context, account: Account, wanted: Wanted, target: Target, rejection: Rejection | None
) -> Ending:
    """The gate has passed: known good := this release, pin := its revision; then removes what it replaced,
    and does what that was in the way of. Errors: LimpetError.
    """
    assert target.release is not None
    context.phase("commit", wanted, target.release)
    context.state.images.collection_due = True
    context.state.flapping.forget()
    prove(context, target.release, rejection)
    remaining, error = clear_away(context, account, wanted, target)
    return settled_ending(account, remaining, error)


def clear_away(
    context: Context, account: Account, wanted: Wanted, target: Target, refused: set[Key] | None = None
) -> tuple[Plan, LimpetError | None]:
    """Removes what nothing needs any more, and does what that was in the way of (a directory that was not
    empty); what remains, and the first removal that failed. `refused`: nothing else is done. Errors:
    LimpetError; Transient when Docker was restarted meanwhile.
    """
    pruned = prune(context, account, wanted, target)
    left, error = pruned.plan, pruned.error
    if refused is not None and (others := {action.key for action in left.staged("apply")} - refused):
        context.host.steady()  # what is needed again at once may have been stopped with Docker
        left = deferred(left, others)
    if left.staged("apply"):
        if failure := _apply(context, account, wanted, pruned.view, left, more=True):
            raise failure
        again = prune(context, account, wanted, target)
        left, error = again.plan, error or again.error
    return left, error


def settled_ending(account: Account, remaining: Plan, error: LimpetError | None) -> Ending:
    """How a pass ends that has proved or repaired a release; what is shown as refused is what is left."""
    account.left(remaining)
    return Ending("Converged", EXIT_HELD_BACK if remaining.refused else EXIT_OK, error=error)


def prove(context: Context, release: Release, rejection: Rejection | None) -> None:
    """Makes a release known good at its revision, durably; nothing is written when nothing changes. The pin
    moves only with what the branch says, not with what a person or a rejection holds.
    """
    state, source, good = context.state, context.settings.source, context.known_good
    pin = state.pin
    if pin is None or (rejection is None and state.held is None):
        pin = Pin(shown_url(source.url), source.ref, release.revision.commit)
    if pin != state.pin:
        naming.remember(context)
    first_seen = good.at if good is not None and good.id == release.id else release.at
    state.prove(replace(release, at=first_seen), pin, context.clock.wall())
    context.save()


# --- a rollback ---------------------------------------------------------------------------------------------


def roll_back(
    context: Context,
    account: Account,
    wanted: Wanted,
    failed_target: Target,
    reason: str,
    remedy: str = "",
    cause: LimpetError | None = None,
) -> Ending:
    """Back to known good; the release that failed is remembered before anything is touched. Errors:
    Interrupted.

    wanted: what the branch says.
    failed_target: the release that is undone.
    reason, remedy: why, and what a person can do.
    cause: the error behind the reason, when there was one.
    """
    state, good, failed = context.state, context.known_good, context.state.attempt
    assert good is not None and failed is not None
    context.phase("rollback", wanted, good)
    context.progress.step(f"rolling back to {str(good.revision) or 'what was there before'}: {reason}")
    state.attempt = replace(failed, phase="rolling-back")
    context.save()
    try:
        target, after = _go_back(context, account, wanted, good, failed_target)
    except Interrupted:
        raise
    except LimpetError as error:
        why = f"{error.message} (the release is undone because {reason})"
        ending = Ending("Failed", error.exit_code, why, error.hint or remedy, error=error)
        return unfinished(state, ending)
    state.count(rollbacks=1)
    state.applied, state.attempt = good, None
    rejection = state.rejected.get(failed.release.id)
    if after.decision != "healthy" or (rejection and rejection.doubtful):
        state.forget_rejected(failed.release.id)
        context.save()
        doubt = f"{reason}; this says nothing about the release"
        if after.decision != "healthy":
            doubt = f"{reason}; but known good is not healthy either: {after.reason}"
        return Ending("Inconclusive", EXIT_TEMPORARY, doubt, after.hint or remedy, error=cause)
    state.images.collection_due = True
    state.rolled_back = RolledBack(failed.release.id, failed.revision, reason, context.clock.wall())
    context.save()
    pruned = prune(context, account, wanted, target, applied=failed_target)
    return Ending("RolledBack", EXIT_ROLLED_BACK, reason, remedy or CORRECT_IT, error=cause or pruned.error)


def _go_back(
    context: Context, account: Account, wanted: Wanted, good: Release, failed_target: Target
) -> tuple[Target, gate.Verdict]:
    """Brings known good back as far as can be, removes what the failed release made, which may be what is
    wrong, and judges it. Errors: LimpetError when something of it is not back.
    """
    target = context.target(good)
    if target.manifest.digest != good.manifest_digest:
        raise Failed("the manifest of known good was lost on this host", CORRECT_IT, code="ManifestMissing")
    lacking: list[Refusal] = []
    before = unwell(context, target)
    for again in (False, True):  # what the failed release made may have been in the way
        view, plan = context.plan_for(wanted, target, target, applied=failed_target)
        if failure := _apply(context, account, wanted, view, plan, more=again):
            raise failure
        pruned = prune(context, account, wanted, target, applied=failed_target)
        if not (lacking := _lacking(context, wanted, view, plan)):
            verdict = watch(context, account, wanted, pruned.view, plan, again=True, excused=before)
            assert verdict is not None  # no newer revision ends this wait
            return target, verdict
    first = lacking[0]
    raise Failed(f"{first.key}: {first.cause}", first.hint, code="Refused", resource=str(first.key))


def _lacking(context: Context, wanted: Wanted, view: View, plan: Plan) -> list[Refusal]:
    """What known good had and cannot have back; what a person suspended is left to that person."""
    frozen, resources = context.policy(wanted).suspended, view.target.manifest.resources
    return [
        refusal
        for refusal in plan.refusals
        if refusal.key in resources
        and str(refusal.key) not in frozen
        and (owned := view.owned(refusal.key))
        and not adoption.unproved(owned)
    ]


def unfinished(state: State, ending: Ending) -> Ending:
    """How a pass ends that met an error: as a rollback that failed when one is not done yet. The next pass
    goes on with it.
    """
    attempt = state.attempt
    if attempt is None or attempt.phase != "rolling-back" or ending.exit_code == EXIT_HELD_BACK:
        return ending
    return Ending(
        "RollbackFailed",
        EXIT_ROLLBACK_FAILED,
        f"rolling back failed: {ending.reason}",
        ending.hint,
        error=ending.error,
    )
