"""What a pass says when it is over: one sentence for the log, one report for the heartbeat, one line of
history. This is the one place that turns an error into words.

Rules:
1. The steps only write in the account; no decision reads it. What a step needs to know is returned to it.
2. What went wrong is told as it was raised: with its code, its resource and its remedy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from agent.converge.desired import Tip
from agent.decide.gate import describe_check, probes
from agent.decide.plan import both
from agent.errors import (
    EXIT_HELD_BACK,
    EXIT_OK,
    EXIT_ROLLED_BACK,
    Failed,
    HeldBack,
    LimpetError,
    Stalled,
    Transient,
)
from agent.kinds.health import FINE, health_word
from agent.model import Manifest, Observed, ObservedContainer, Outcome, Plan, Refusal
from agent.report.writer import PassReport
from agent.store.history import History, HistoryEntry

if TYPE_CHECKING:
    from agent.converge.context import Context

COUNTED = {
    "create": "created",
    "replace": "replaced",
    "update": "updated",
    "start": "started",
    "return": "returned",
    "adopt": "adopted",
    "delete": "deleted",
}
TELLING = ("RollbackFailed", "Inconclusive", "Degraded")  # outcomes that say more than the error behind them


@dataclass(frozen=True, slots=True)
class Ending:
    """How the host was left. `outcome` is a word of the heartbeat; `reason` and `hint` are for people.

    again_in: seconds after which another pass makes sense, when that is known.
    error: what went wrong, as it was raised.
    sentence: the pass in one sentence; only once it is over, as are the next two.
    commit: the commit that the pass worked on.
    corrected: how many resources had drifted and were repaired.
    """

    outcome: str
    exit_code: int
    reason: str = ""
    hint: str = ""
    again_in: float | None = None
    error: LimpetError | None = None
    sentence: str = ""
    commit: str = ""
    corrected: int = 0


def ending_of(error: LimpetError) -> Ending:
    """How a pass ends that met this error."""
    if isinstance(error, HeldBack):
        return Ending("HeldBack", error.exit_code, error.message, error.hint, error.again_in)
    outcome = "Failed"
    if error.retryable:
        outcome = "Temporary"
    elif isinstance(error, Stalled):
        outcome = "Stalled"
    return Ending(outcome, error.exit_code, error.message, error.hint, error=error)


@dataclass(slots=True)
class Account:
    """What one pass did and saw, written down as it happens. `started`: wall time, `begun`: monotonic."""

    trigger: str
    started: float
    begun: float
    tip: Tip | None = None
    asked: bool = False
    plan: Plan = field(default_factory=Plan)
    outcomes: list[Outcome] = field(default_factory=list)
    observed: Observed = field(default_factory=Observed)
    trouble: LimpetError | None = None
    warnings: list[str] = field(default_factory=list)
    drift: set[str] = field(default_factory=set)
    failing: dict[str, str] = field(default_factory=dict)

    # --- what the steps write ---

    def asks(self) -> None:
        """The source is asked."""
        self.asked = True

    def fetched(self, tip: Tip) -> None:
        self.tip = tip

    def planned(self, plan: Plan) -> None:
        self.plan = plan

    def planned_more(self, plan: Plan) -> None:
        """The rest of what was planned before."""
        self.plan = both(self.plan, plan)

    def left(self, refusals: tuple[Refusal, ...]) -> None:
        """What stays refused after all was done."""
        self.plan = replace(self.plan, refusals=refusals)

    def did(self, outcomes: Iterable[Outcome]) -> None:
        for outcome in outcomes:
            self.outcomes.append(outcome)
            if outcome.result == "excused":
                self.warnings.append(f"{outcome.action.key}: {outcome.error}")

    def saw(self, observed: Observed) -> None:
        self.observed = observed

    def warn(self, warnings: Iterable[str]) -> None:
        self.warnings += warnings

    def drifted(self, names: Iterable[str]) -> None:
        """What differs and stays so."""
        self.drift.update(names)

    def found_failing(self, checks: dict[str, str]) -> None:
        """Checks of known good that fail now: name -> what is wrong."""
        self.failing = checks

    def went_on_after(self, error: LimpetError | None) -> None:
        """The pass met this, and went on; the first one counts."""
        self.trouble = self.trouble or error


# --- what is read when the pass is over ---------------------------------------------------------------------


def counts(context: Context, account: Account) -> Counter[str]:
    """Resources by what was done to them, where every action of this pass is done; and those that failed."""
    plan, outcomes = account.plan, account.outcomes
    failed = {outcome.action.key for outcome in outcomes if outcome.result == "failed"}
    done = {outcome.action.key for outcome in outcomes if outcome.result == "done"} - failed
    idle = {change.key for change in plan.changes} - {action.key for action in plan.actions}
    entries = context.inventory.entries
    done |= {key for key in idle if (owned := entries.get(key)) and owned.adopted}  # needs no action
    found = Counter(COUNTED.get(change.verb, change.verb) for change in plan.changes if change.key in done)
    found["corrective"] = sum(change.corrective for change in plan.changes if change.key in done)
    found["failed"] = len(failed)
    return +found


def sentence(context: Context, account: Account, ending: Ending) -> str:
    """The pass in one sentence, with the remedy behind it when there is one."""
    state, tip, refused = context.state, account.tip, account.plan.refusals
    revision = (tip.revision if tip else state.applied_revision).short or "?"
    what = _what_was_done(counts(context, account), refused)
    good = _known_good(context)
    text = {
        "Converged": f"converged at {revision}: {what}" if what else f"nothing to do at {revision}",
        "RolledBack": f"rolled back from {revision} to {good}: {ending.reason}",
        "HoldingKnownGood": f"holding {good}: "
        + ("" if state.held else f"{revision} was rejected: ")
        + ending.reason,
        "RollbackFailed": ending.reason,
        "Inconclusive": f"{revision} was undone, but is not to blame for certain: {ending.reason}",
    }.get(ending.outcome)
    if text is None:
        text = f"{ending.outcome.lower()} at {revision}: {ending.reason}" if tip else ending.reason
    if ending.outcome == "Converged" and ending.reason:
        text = f"{text}; {ending.reason}"
    remedy = ending.hint or (refused[0].hint if refused else "")
    return f"{text} (hint: {remedy})" if remedy else text


def _what_was_done(did: Counter[str], refused: tuple[Refusal, ...]) -> str:
    parts = [f"{did[word]} {word}" for word in (*COUNTED.values(), "failed") if did[word]]
    if did["corrective"]:
        parts.append(f"{did['corrective']} of it drift")
    if refused:
        parts.append(f"{len(refused)} refused ({refused[0].key}: {refused[0].cause})")
    return ", ".join(parts)


def _known_good(context: Context) -> str:
    """Known good's revision for people; before the first release it is what somebody else had started."""
    good = context.known_good
    return "?" if good is None else good.revision.short or "what was there before"


def report_pass(context: Context, account: Account, ending: Ending) -> Ending:
    """Writes the history (when something happened), the state's counters, and the heartbeat; how the pass
    ended. What cannot be written down for now (a full disk) makes a converged pass a temporary failure, and
    is in the heartbeat. Errors: Stalled.
    """
    did, state, tip = counts(context, account), context.state, account.tip
    state.count(corrected_total=did["corrective"])
    held = ending.outcome == "HeldBack"
    error = None if held else _told(ending, account.trouble)
    failing = ending.exit_code not in (EXIT_OK, EXIT_ROLLED_BACK, EXIT_HELD_BACK)
    entry = _entry(context, account, ending, did)
    health, messages, hints = _health(context, account)
    try:
        history = History(context.paths.history)
        if account.outcomes or did["adopted"] or (failing and not _repeated(history, ending)):
            history.append(entry)
        if account.outcomes or ending.outcome != "Converged":
            context.save()
    except Transient as trouble:
        error = error or trouble
        if not failing and ending.exit_code != EXIT_ROLLED_BACK:
            ending = ending_of(trouble)
    commit = tip.commit if tip else ""
    report = PassReport(
        trigger=account.trigger,
        started_at=account.started,
        duration_s=context.clock.monotonic() - account.begun,
        outcome=ending.outcome,
        created=entry.created,
        replaced=entry.replaced,
        deleted=entry.deleted,
        corrective=entry.corrective,
        failed=entry.failed,
        error=error,
        observed=commit,
        attempted=commit,
        health=health,
        messages=messages,
        hints=hints,
        drift=account.drift,
        flapping=state.flapping.quarantined,
        refusals=account.plan.refusals,
        warnings=account.warnings,
        damaged=context.damaged,
        fetched=(tip is not None) if account.asked else None,
        blocked_by=[ending.reason] if held else (),
    )
    context.reporter.finish(report, state)
    said = sentence(context, account, ending)
    return replace(ending, sentence=said, commit=commit, corrected=did["corrective"])


def _told(ending: Ending, trouble: LimpetError | None) -> LimpetError | None:
    """The error that the heartbeat shows: the ending's own, else what the pass went on after."""
    error = ending.error
    if ending.outcome in ("Failed", *TELLING) and (error is None or ending.outcome in TELLING):
        code, resource = (error.code, error.resource) if error else (ending.outcome, "")
        return Failed(ending.reason, ending.hint, code=code, resource=resource)
    return error or trouble


def _repeated(history: History, ending: Ending) -> bool:
    """Whether the newest line of history says just this already: an outage is one line, not one a minute."""
    newest = history.tail(1)
    return bool(newest) and (newest[0].outcome, newest[0].message) == (ending.outcome, ending.reason)


def _entry(context: Context, account: Account, ending: Ending, did: Counter[str]) -> HistoryEntry:
    """The line of history."""
    tip, state = account.tip, context.state
    release = state.attempt.release if state.attempt else state.applied
    failed = state.rolled_back.from_release if ending.outcome == "RolledBack" and state.rolled_back else ""
    return HistoryEntry(
        at=account.started,
        revision=str(tip.revision if tip else state.applied_revision),
        release=failed or (release.id if release else ""),
        outcome=ending.outcome,
        trigger=account.trigger,
        subject=(tip.message.splitlines() or [""])[0] if tip else "",
        by=tip.author if tip else "",
        duration_s=round(context.clock.monotonic() - account.begun, 3),
        created=did["created"],
        replaced=did["replaced"] + did["updated"] + did["returned"] + did["started"],
        deleted=did["deleted"],
        corrective=did["corrective"],
        failed=did["failed"],
        message=ending.reason,
    )


def _health(context: Context, account: Account) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Each resource of what is held now in a word, and for those with a problem a sentence and a remedy."""
    manifest = _held_now(context)
    by_name = {c.name: c for c in account.observed.containers if c.owned}
    words, messages, hints = {}, {}, {}
    for key, resource in manifest.resources.items():
        word = "present"
        if key.kind == "container":
            instance = by_name.get(key.name)
            word = health_word(resource, instance)
            if word not in FINE:
                messages[str(key)] = _problem(word, instance)
                hints[str(key)] = probes(key.name) if word == "unhealthy" else f"docker logs {key.name}"
        words[str(key)] = word
    for check in manifest.checks:
        if wrong := account.failing.get(check.name):
            subject = f"check/{check.name}"
            words[subject], messages[subject], hints[subject] = "failing", wrong, describe_check(check)
    return words, messages, hints


def _problem(word: str, instance: ObservedContainer | None) -> str:
    if word == "unhealthy":
        return "its health check fails"
    return f"exit code {instance.exit_code}" if instance and instance.state == "exited" else word


def _held_now(context: Context) -> Manifest:
    state = context.state
    return context.target(state.attempt.release if state.attempt else state.applied).manifest
