"""The eyes of the gate: looks at the host until `gate` has a verdict.

Rules:
1. A newer revision ends the wait; so does a request to stop. The next pass resumes with what is left of the
   deadline.
2. The source is asked once all else is well, and again as long as it does not answer.
"""

from __future__ import annotations

from dataclasses import replace

from agent.converge.context import Session
from agent.decide import gate
from agent.errors import Interrupted
from agent.fetch.address import parse_address
from agent.kinds import oneshots
from agent.kinds.base import Target, View
from agent.model import Manifest, Observed, Plan

INTERVAL = 0.5  # seconds between two looks


class Superseded(Exception):
    """A newer revision was fetched while the gate waited."""


def failing_before(session: Session, view: View, plan: Plan) -> frozenset[str]:
    """What fails now, before anything is touched, and is not about to change: it can condemn no release."""
    manifest = view.known_good.manifest
    sample = _sample(session, session.host.observe(session.look([view.known_good], deep=True)), manifest)
    return gate.allowed_to_fail(manifest, sample, {change.key for change in plan.changes})


def watch(
    session: Session, target: Target, plan: Plan, *, resumed: bool = False, again: bool = False
) -> gate.Verdict:
    """Looks until there is a verdict. `again`: known good after a rollback. Errors: Superseded, Interrupted,
    Transient.
    """
    clock, settings, attempt = session.clock, session.settings.gate, session.state.attempt
    refused = {refusal.key for refusal in plan.refusals}
    wanted = target.manifest.resources.items()
    manifest = replace(
        target.manifest, resources={key: resource for key, resource in wanted if key not in refused}
    )
    elapsed, least = 0.0, settings.settle + gate.LEAST_LEFT
    if (
        resumed and attempt is not None
    ):  # across boots the wall clock counts, which may have jumped: both ends are bounded
        elapsed = min(
            attempt.elapsed(monotonic=clock.monotonic(), wall=clock.wall(), boot_id=clock.boot_id()),
            max(0.0, settings.deadline - least),
        )
    deadline = max(settings.deadline, least) if resumed else settings.deadline
    remote = parse_address(session.settings.source.url).scheme not in ("file", "bundle")
    undone = session.state.rejected.get(attempt.release.id) if again and attempt else None
    answered = gate.blames_source(undone.reason) if undone else session.source_answered and not again
    asks = settings.require_source and remote and answered
    have_run = oneshots.need_not_run(
        View(target, session.observed, session.inventory.entries, ran=session.state.ran)
    )
    terms = gate.Terms(settings.settle, deadline, have_run.union(attempt.baseline if attempt else ()), asks)
    progress = gate.GateMemory(clock.monotonic() - elapsed, clock.monotonic())
    source: str | None = None  # asked once all else is well, and again as long as it does not answer
    while True:
        session.observed = session.host.observe(session.look([target], deep=True))
        source = session.desired.source_answers() if source else source
        sample = replace(_sample(session, session.observed, manifest), source=source)
        verdict, after = gate.judge(manifest, sample, progress, terms)
        if verdict.decision == "healthy" and asks and source is None:
            source = session.desired.source_answers()
            verdict, after = gate.judge(
                manifest, replace(sample, at=clock.monotonic(), source=source), progress, terms
            )
        progress = after
        if verdict.decision != "wait":
            return verdict
        what = (
            f"{verdict.reason}; at most {verdict.left_s:.0f} s more"
            if verdict.findings
            else (f"healthy, watching for {verdict.wait_s:.0f} s more")
        )
        session.progress.wait(what)
        clock.sleep(
            INTERVAL if verdict.findings else min(INTERVAL, max(verdict.wait_s, 0.05)), session.cancel
        )
        if session.cancel.is_set():
            raise Interrupted(
                "the pass was asked to stop while the gate waited", "the next pass resumes the gate"
            )
        if not again and session.desired.newest_observed() != session.fetched_tip:
            raise Superseded


def red(session: Session, manifest: Manifest) -> dict[str, str]:
    """The checks that fail now: name -> what is wrong. Only a manifest that has checks costs anything."""
    sample = _sample(session, session.observed, manifest) if manifest.checks else None
    return {name: wrong for name, wrong in sample.checks.items() if wrong} if sample else {}


def _sample(session: Session, observed: Observed, manifest: Manifest) -> gate.Sample:
    from agent.drivers.probes import (
        run_checks,
    )  # http.client and all: only who has checks or a gate pays for it

    return gate.Sample(session.clock.monotonic(), observed.containers, run_checks(manifest.checks))
