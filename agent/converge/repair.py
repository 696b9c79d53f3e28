"""Drift of known good is repaired, and what flaps is left alone. There is no gate: it was proved before."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from agent.converge.account import Account, Ending
from agent.converge.context import Context, Executed, Wanted
from agent.converge.prune import collect, collect_images
from agent.converge.transaction import clear_away, execute, note_notified, prove, settled_ending
from agent.converge.watch_gate import failing_checks
from agent.decide import ownership
from agent.errors import LimpetError, Transient
from agent.kinds.base import View
from agent.model import Plan
from agent.store.verdicts import Rejection


def repair(
    context: Context,
    account: Account,
    wanted: Wanted,
    view: View,
    plan: Plan,
    rejection: Rejection | None = None,
) -> Ending:
    """Repairs drift of known good, prunes what an earlier pass left, and looks at the checks. Known good at a
    new commit is proved there. Errors: LimpetError.

    wanted: what the branch says.
    view, plan: what was prepared, for known good.
    rejection: why it is held instead of the branch's release; None: it is what the branch says.
    """
    assert view.target.release is not None
    _leave_alone(context, account, wanted, plan)
    remaining, error = plan, None
    if plan.changes:
        _correct(context, account, wanted, view, plan)
        refused = {refusal.key for refusal in plan.refusals}
        left, error = clear_away(context, account, wanted, view.target, refused)
        corrected = {action.key for action in plan.actions}  # once more at once would be too often
        remaining = replace(
            left, refusals=tuple(refusal for refusal in left.refusals if refusal.key not in corrected)
        )
    elif unowned := ownership.owned_entries(plan, view, context.host.save_original):
        context.inventory.own(unowned)
    failure = _collect_what_is_due(context, account, wanted)
    error = error or failure
    if not plan.changes:  # what was just repaired has its time: the next look comes soon
        account.found_failing(failing_checks(context, view.observed, view.target.manifest))
    untroubled = wanted.trouble is None and error is None
    if rejection is None and wanted.tip is not None and untroubled:
        prove(context, view.target.release, rejection)
    return settled_ending(account, remaining, error)


def _collect_what_is_due(context: Context, account: Account, wanted: Wanted) -> LimpetError | None:
    """Removes contents and images that nothing needs, when pulls have left some; why that failed."""
    if not context.state.images.collection_due or wanted.manifest is None:
        return None
    collect(context, wanted, always=True)
    return collect_images(context, account, wanted)


def _leave_alone(context: Context, account: Account, wanted: Wanted, plan: Plan) -> None:
    """Remembers what flaps, so that only a person, a commit or another release ends it."""
    flapping, refused = context.flapping(), {str(refusal.key) for refusal in plan.refusals}
    often = {name: times for name, times in flapping.items() if name in refused}
    account.drifted(often)
    commit = context.state.pin.commit if context.state.pin else ""
    if wanted.tip:
        commit = wanted.tip.commit
    if context.state.flapping.leave(often, context.clock.wall(), commit):
        context.save()


def _correct(context: Context, account: Account, wanted: Wanted, view: View, plan: Plan) -> None:
    """Carries out a repair; what is corrected is remembered before it is, and what failed of it is forgotten
    again. Errors: LimpetError.
    """
    flapping, now = context.state.flapping, context.clock.monotonic()
    begun = {change.key for change in plan.changes if change.corrective and change.stage == "apply"}
    if begun:
        flapping.note(sorted(map(str, begun)), now, context.clock.boot_id())
        with suppress(Transient):  # a full disk keeps no service down
            context.save()
    try:
        executed = execute(context, account, wanted, view, plan)
    except LimpetError as error:
        executed = Executed(failure=error)
    if executed.failure is not None:
        undone = {action.key for action in plan.staged("apply") if action.id not in executed.done}
        flapping.withdraw(map(str, begun & undone), now)
        raise executed.failure
    note_notified(context, account, view, plan)
