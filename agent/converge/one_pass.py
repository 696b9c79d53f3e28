"""One pass, top to bottom; with `transaction`, the only module that knows all the steps.

    fetch -> verify -> render       `prepare`: what the branch says (`desired`)
    choose                          `choose`: that, or known good when it was rejected, or what a person holds
    observe -> plan -> brakes       `Context.plan_for`
    prefetch                        `prepare`: images and candidates; nothing is touched before this is done
    apply -> gate -> commit         `transaction.attempt`, or `transaction.repair` of known good
      or roll back, `prune`
    report                          `summary`

Rules:
1. Trouble before `apply` leaves the running set alone: the pass goes on with what it held before, repairs its
   drift, and ends with the trouble's exit code.
2. A release goes through the gate unless it is known good already. Repairing drift of known good needs no
   gate.
3. A pass remembers nothing in memory: what a killed pass leaves is in the state and on the host.
4. Each step is given values and returns what it found. `Context` is the installation and its memory; what a
   pass learns is in `Wanted`, `Target`, `View` and `Plan`, and what it did is written in the `Account`.
"""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import replace

from agent.clock import Clock
from agent.converge import recover, transaction
from agent.converge.account import Account, Ending, ending_of
from agent.converge.context import Context, Wanted
from agent.converge.desired import Desired
from agent.converge.look import look
from agent.converge.prepare import bring_in
from agent.converge.repair import repair
from agent.converge.summary import report_pass
from agent.drivers.host import RealHost
from agent.errors import (
    CORRECT_IT,
    EXIT_HELD_BACK,
    EXIT_OK,
    EXIT_ROLLED_BACK,
    Interrupted,
    LimpetError,
    Stalled,
)
from agent.installation import Paths, instance, machine_id
from agent.kinds.base import View
from agent.model import Plan
from agent.report.heartbeat_writer import Reporter
from agent.report.progress import Progress
from agent.settings.values import Settings
from agent.store.verdicts import Rejection

ASK_AT_MOST = 60.0  # seconds between two passes for the sake of `pull_policy`, at least
ROUNDS = 5  # passes in a row when newer revisions cancel the gate


def run_pass(
    paths: Paths,
    settings: Settings,
    *,
    trigger: str,
    reporter: Reporter,
    clock: Clock,
    progress: Progress,
    cancel: threading.Event,
    stopped: Collection[str] | None = None,
) -> Ending:
    """One pass under the pass lock, which the caller holds. Errors that a pass meets are in its ending; only
    a state that cannot be read or written raises (Stalled, Transient).

    paths, settings: the installation.
    trigger: why there is a pass now (`model.TRIGGERS`); "event" is a look between two passes.
    reporter, clock, progress: the heartbeat, time, and what a person sees meanwhile.
    cancel: set when the pass is asked to stop; it finishes the action at hand.
    stopped: for a look: the names of the containers that somebody stopped; None where that is not known.
    """
    desired = Desired(paths, settings, cancel)
    host = RealHost(paths, settings.engine, desired.content, instance(paths), cancel)
    try:
        for _ in range(ROUNDS):
            context = Context(paths, settings, host, desired, clock, progress, reporter, cancel)
            if trigger == "event":
                return one_look(context, Account(trigger, clock.wall(), clock.monotonic()), stopped)
            ending = one_round(context, Account(trigger, clock.wall(), clock.monotonic()), trigger)
            if ending.outcome != "Superseded":
                break
            trigger = "revision"
        return ending
    finally:
        host.close()


def one_round(context: Context, account: Account, trigger: str) -> Ending:
    """One pass, which a newer revision may end early. Errors: as `run_pass`."""
    context.load()
    context.journal.start(f"{trigger} pass")
    try:
        ending = converge(context, account)
        if ending.exit_code == EXIT_OK:
            context.settle()
    except Interrupted as error:
        ending = ending_of(error)
    except LimpetError as error:
        ending = transaction.unfinished(context.state, ending_of(error))
    context.state.count(passes=1)
    ending = report_pass(context, account, ending)
    context.journal.finish(ending.outcome)
    return ending


def one_look(context: Context, account: Account, stopped: Collection[str] | None = None) -> Ending:
    """A look between two passes. Errors: as `run_pass`."""
    context.load()
    try:
        check_supported(context.settings)
        _same_machine(context)
        frozen = context.state.suspension("*", context.clock.wall()) is not None
        ending = look(context, account, stopped, only=frozen)
    except LimpetError as error:
        ending = ending_of(error)
    return report_pass(context, account, ending)


def converge(context: Context, account: Account) -> Ending:
    """The steps. Errors: LimpetError that left everything as it was, or that the next pass goes on from."""
    check_supported(context.settings)
    _same_machine(context)
    if suspension := context.state.suspension("*", context.clock.wall()):
        return Ending("HeldBack", EXIT_HELD_BACK, f"suspended: {suspension.reason}", "limpet resume")
    context.inventory.tidy()
    if recover.inventory(context):
        context.inventory.save()
    wanted, view, plan, rejection = bring_in(context, account)
    ending = _carry_out(context, account, wanted, view, plan, rejection)
    if ending.exit_code == EXIT_OK and (held := context.state.held):
        ending = Ending(
            "HoldingKnownGood",
            EXIT_ROLLED_BACK,
            f"rolled back by hand: {held.reason}",
            "the next commit ends it; to follow the branch again at once: limpet retry",
        )
    if wanted.trouble is not None:
        followed = ending.exit_code in (EXIT_OK, EXIT_HELD_BACK)
        return ending_of(wanted.trouble) if followed else ending
    return _asking_again(context, wanted, ending)


def check_supported(settings: Settings) -> None:
    """A setting that had no effect would be worse than none. Errors: Stalled."""
    unsupported = {
        "converge.min_age": settings.converge.min_age > 0,
        "policy.trust": settings.policy.trust != "repository",
        "source.verify": settings.source.verify != "none",
    }
    for name, used in unsupported.items():
        if used:
            raise Stalled(
                f"{name} is not supported by this version", "leave it out of limpet.toml", code="Unsupported"
            )


def _same_machine(context: Context) -> None:
    """A copied machine stalls instead of acting as the original."""
    here = machine_id(context.paths)
    if context.state.machine_id and context.state.machine_id != here:
        raise Stalled(
            "this state belongs to another machine: the host was copied or restored on other hardware",
            f"on a copy: remove {context.paths.state} and run `limpet sync`",
            code="OtherMachine",
        )
    context.state.machine_id = here


def _asking_again(context: Context, wanted: Wanted, ending: Ending) -> Ending:
    """With the time of the next question to a registry; there is none while a person holds a release."""
    manifest = None if context.state.held else wanted.manifest
    due = context.state.images.next_due(manifest, context.clock.wall()) if manifest else None
    if due is None or ending.exit_code not in (EXIT_OK, EXIT_ROLLED_BACK):
        return ending
    return replace(ending, again_in=max(due, ASK_AT_MOST))


# --- bringing the host to it --------------------------------------------------------------------------------


def _carry_out(
    context: Context,
    account: Account,
    wanted: Wanted,
    view: View,
    plan: Plan,
    rejection: Rejection | None,
) -> Ending:
    """Brings a release in, finishes a rollback, or repairs known good. Errors: LimpetError.

    wanted: what the branch says.
    view, plan: what was prepared, for `view.target`.
    rejection: why known good is held instead of the branch's release; None: it is not.
    """
    state, good, release = context.state, context.known_good, view.target.release
    assert release is not None
    if rejection and state.attempt and state.attempt.phase == "rolling-back":
        failed = context.target(state.attempt.release)
        return transaction.roll_back(context, account, wanted, failed, rejection.reason)
    if good is None or release.id != good.id or state.attempt is not None:
        ending = transaction.attempt(context, account, wanted, view, plan, rejection)
    elif context.settings.converge.mode == "report" and plan.staged("apply"):
        return _report_drift(account, plan)
    else:
        ending = repair(context, account, wanted, view, plan, rejection)
    if rejection and ending.outcome == "Converged":
        if wanted.tip is not None:
            state.hold(rejection, wanted.tip.revision, context.clock.wall())
        return Ending("HoldingKnownGood", EXIT_ROLLED_BACK, rejection.reason, CORRECT_IT)
    return ending


def _report_drift(account: Account, plan: Plan) -> Ending:
    drift = [str(change.key) for change in plan.changes if change.stage == "apply"]
    account.drifted(drift)
    return Ending(
        "Converged",
        EXIT_HELD_BACK,
        f"{len(drift)} resources have drifted, and mode is report",
        'set converge.mode = "enforce" to have drift repaired',
    )
