"""The eyes of the gate: looks at the host until `decide.gate` has a verdict.

Rules:
1. A newer revision ends the wait; so does a request to stop. The next pass resumes with what is left of the
   deadline.
2. The source is asked once all else is well, and again as long as it does not answer.
"""

from __future__ import annotations

from dataclasses import replace

from agent.converge.account import Account
from agent.converge.context import Context, Wanted
from agent.decide import gate
from agent.errors import Interrupted
from agent.fetch.address import parse_address
from agent.kinds import oneshots
from agent.kinds.base import Target, View
from agent.model import Manifest, Plan
from agent.observed import Observed
from agent.store.verdicts import Attempt

INTERVAL = 0.5  # seconds between two looks


def failing_before(context: Context, view: View, plan: Plan) -> frozenset[str]:
    """What fails now, before anything is touched, and is not about to change: it can condemn no release."""
    manifest = view.known_good.manifest
    observed = context.host.observe(context.look([view.known_good], deep=True))
    sample = _sample(context, observed, manifest)
    changed = {change.key for change in plan.changes if change.verb != "keep"}  # "keep" is only waited for
    return gate.allowed_to_fail(manifest, sample, changed)


def unwell(context: Context, target: Target) -> frozenset[str]:
    """The runs of containers that are unhealthy now, before the release that may be why is undone."""
    return gate.unhealthy_runs(context.observe(target, deep=True).containers)


def watch(
    context: Context,
    account: Account,
    wanted: Wanted,
    view: View,
    plan: Plan,
    *,
    resumed: bool = False,
    again: bool = False,
    excused: frozenset[str] = frozenset(),
) -> gate.Verdict | None:
    """Looks until there is a verdict; None when a newer revision ends the wait. Errors: Interrupted,
    Transient.

    wanted: what the branch says; when its source answered before, it must answer now.
    view, plan: what is judged, as it was seen after the last action, and what was refused of it.
    resumed: an earlier pass began the deadline.
    again: known good is judged, after a rollback.
    excused: the runs of containers that were unhealthy before the rollback.
    """
    manifest = _judged(view.target.manifest, plan)
    terms = _terms(context, wanted, view, resumed=resumed, again=again)
    terms = replace(terms, allowed_to_fail=terms.allowed_to_fail | excused)
    memory = _memory(context, resumed=resumed)
    source: str | None = None  # asked once all else is well, and again as long as it does not answer
    while True:
        observed = context.observe(view.target, deep=True)
        account.saw(observed)
        source = context.desired.source_answers() if source else source
        sample = replace(_sample(context, observed, manifest), source=source)
        verdict, after = gate.judge(manifest, sample, memory, terms)
        if verdict.decision == "healthy" and terms.source_required and source is None:
            source = context.desired.source_answers()
            sample = replace(sample, at=context.clock.monotonic(), source=source)
            verdict, after = gate.judge(manifest, sample, memory, terms)
        memory = after
        if verdict.decision != "wait":
            return verdict
        _wait(context, verdict)
        if not again and context.desired.newest_observed() != wanted.newest:
            return None


def _terms(context: Context, wanted: Wanted, view: View, *, resumed: bool, again: bool) -> gate.Terms:
    """By what the release is judged: for how long, without which probes, and with or without the source."""
    attempt, settings = context.state.attempt, context.settings.gate
    now_known = replace(view, inventory=context.inventory.entries, ran=context.state.ran)
    excused = oneshots.need_not_run(now_known).union(attempt.baseline if attempt else ())
    deadline = max(settings.deadline, _least(context)) if resumed else settings.deadline
    asks = _asks_source(context, wanted, attempt if again else None, again)
    return gate.Terms(settings.settle, deadline, excused, asks)


def _memory(context: Context, *, resumed: bool) -> gate.GateMemory:
    """What the gate remembers at its beginning: how much of the deadline an earlier pass has used."""
    now, attempt = context.clock.monotonic(), context.state.attempt
    used = _elapsed(context, attempt) if resumed and attempt else 0.0
    return gate.GateMemory(now - used, now)


def _judged(manifest: Manifest, plan: Plan) -> Manifest:
    """Without what is refused: it is not as the release wants it."""
    refused = {refusal.key for refusal in plan.refusals}
    return replace(
        manifest, resources={key: each for key, each in manifest.resources.items() if key not in refused}
    )


def _asks_source(context: Context, wanted: Wanted, undone: Attempt | None, again: bool) -> bool:
    """Whether the source must answer. After a rollback, known good is asked the same as the release was."""
    rejection = context.state.rejected.get(undone.release.id) if undone else None
    answered = rejection.source_silent if rejection else wanted.tip is not None and not again
    remote = parse_address(context.settings.source.url).scheme not in ("file", "bundle")
    return context.settings.gate.require_source and remote and answered


def _least(context: Context) -> float:
    """Seconds that a resumed gate has at least."""
    return context.settings.gate.settle + gate.LEAST_LEFT


def _elapsed(context: Context, attempt: Attempt) -> float:
    """Seconds of the deadline that an earlier pass has used. Across boots the wall clock counts, which may
    have jumped: both ends are bounded.
    """
    clock = context.clock
    elapsed = attempt.elapsed(monotonic=clock.monotonic(), wall=clock.wall(), boot_id=clock.boot_id())
    return min(elapsed, max(0.0, context.settings.gate.deadline - _least(context)))


def _wait(context: Context, verdict: gate.Verdict) -> None:
    """Waits until the next look. Errors: Interrupted."""
    if verdict.findings:
        what, pause = f"{verdict.reason}; at most {verdict.left_s:.0f} s more", INTERVAL
    else:
        what = f"healthy, watching for {verdict.wait_s:.0f} s more"
        pause = min(INTERVAL, max(verdict.wait_s, 0.05))
    context.progress.wait(what)
    context.clock.sleep(pause, context.cancel)
    if context.cancel.is_set():
        raise Interrupted(
            "the pass was asked to stop while the gate waited", "the next pass resumes the gate"
        )


def failing_checks(context: Context, observed: Observed, manifest: Manifest) -> dict[str, str]:
    """The checks that fail now: name -> what is wrong. Only a manifest that has checks costs anything."""
    sample = _sample(context, observed, manifest) if manifest.checks else None
    return {name: wrong for name, wrong in sample.checks.items() if wrong} if sample else {}


def _sample(context: Context, observed: Observed, manifest: Manifest) -> gate.Sample:
    from agent.drivers.checks import run_checks  # http.client and all: only who has checks or a gate pays

    return gate.Sample(context.clock.monotonic(), observed.containers, run_checks(manifest.checks))
