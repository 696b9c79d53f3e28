"""A look between two passes: what the host is like now, against what was applied. Nothing is fetched.

Rules:
1. What is gone or has ended by itself is repaired; what a person did is only said (`decide/by_hand.py`).
2. While a release is brought in, or a person said hands off, it only says what it sees.
"""

from __future__ import annotations

from collections.abc import Collection

from agent.converge.account import Account, Ending
from agent.converge.context import Context, Wanted
from agent.converge.prepare import held_now, prepare_target
from agent.converge.repair import repair
from agent.converge.watch_gate import failing_checks
from agent.decide.by_hand import by_hand
from agent.decide.plan import deferred
from agent.errors import EXIT_OK


def look(
    context: Context, account: Account, stopped: Collection[str] | None, *, only: bool = False
) -> Ending:
    """Looks, and repairs what need not wait. Errors: LimpetError.

    stopped: names of the containers that somebody stopped; None where that is not known.
    only: nothing is repaired.
    """
    wanted = Wanted(newest=context.desired.newest_observed())
    found = held_now(context, wanted)
    if found is None:
        return Ending("Converged", EXIT_OK)
    target, _ = found
    observed = context.observe(target)
    account.saw(observed)
    if only or context.state.attempt is not None:
        account.found_failing(failing_checks(context, observed, target.manifest))
        return Ending("Converged", EXIT_OK)
    view, plan, _ = prepare_target(context, account, wanted, target, observed)
    every = {change.key for change in plan.changes if change.stage == "apply"}
    waiting = every if context.settings.converge.mode == "report" else by_hand(plan, view, stopped)
    account.drifted(map(str, waiting))
    return repair(context, account, wanted, view, deferred(plan, waiting))
