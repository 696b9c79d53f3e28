"""A dry run: what a pass would do now. It uses the steps of a pass, with a state that cannot be changed."""

from __future__ import annotations

from dataclasses import dataclass

from agent.converge import prefetch, recover
from agent.converge.account import Account
from agent.converge.choose import choose, still_held
from agent.converge.context import Context, Wanted
from agent.converge.one_pass import check_supported
from agent.converge.prepare import FirstLook, asked_by_hand, fetch_tip, heed, render_tip, to_ask, warnings_of
from agent.kinds.base import View
from agent.model import Plan
from agent.settings.secret_files import open_secrets
from agent.store.read_only import read_only
from agent.store.verdicts import HandRollback, Rejection


@dataclass(frozen=True, slots=True)
class Preview:
    """What a pass would do now.

    wanted: what the branch says.
    rejection: why known good would be held instead.
    held: the rollback by hand that would hold.
    view, plan: what would be done, from what is seen.
    pulls, asks: image references that would be pulled, and for which registries would be asked.
    by_hand: those of the latter that a person wants to be asked for.
    warnings: of what the branch says, and of the settings.
    """

    wanted: Wanted
    rejection: Rejection | None
    held: HandRollback | None
    view: View
    plan: Plan
    pulls: tuple[str, ...]
    asks: tuple[str, ...]
    by_hand: frozenset[str]
    warnings: tuple[str, ...]


def preview(context: Context) -> Preview:
    """What a pass would do now, touching nothing: the state that it is given cannot be changed. Errors:
    LimpetError.
    """
    check_supported(context.settings)
    context.load()
    recover.inventory(context)
    account = Account("preview", context.clock.wall(), context.clock.monotonic())
    with FirstLook(context) as looking:
        wanted = fetch_tip(context, account)
        heed(context, wanted)
        context.state = read_only(context.state)
        wanted = render_tip(context, account, wanted, looking.result)
        observed = looking.observed(wanted)
    held = still_held(context, wanted)
    target, rejection = choose(context, wanted, held, observed)
    if target.manifest is not wanted.manifest:
        observed = context.observe(target, deep=True)
    view, plan = context.plan_for(wanted, target, context.target(context.known_good), observed=observed)
    prefetch.check_engine(plan, target.manifest, observed)
    pulls = prefetch.missing(plan, target.manifest, view.observed, target.lock)
    asks = set().union(*to_ask(context, wanted, held, view.observed)) - set(pulls)
    warnings = (*open_secrets(context.settings, context.paths), *warnings_of(context, wanted))
    by_hand = frozenset(asked_by_hand(context, wanted.manifest) if wanted.manifest else ())
    asked = tuple(sorted(asks))
    return Preview(wanted, rejection, held, view, plan, tuple(pulls), asked, by_hand, warnings)
