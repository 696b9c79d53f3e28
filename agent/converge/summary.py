"""What a pass says when it is over: one sentence for the log, one report for the heartbeat, one line of
history. This is the one place that turns an error into words.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from agent.converge.account import Account, Ending, ending_of
from agent.converge.context import Context
from agent.converge.watched import note_watched
from agent.decide.gate import probes
from agent.errors import (
    EXIT_HELD_BACK,
    EXIT_OK,
    EXIT_ROLLED_BACK,
    Failed,
    LimpetError,
    Transient,
)
from agent.kinds.health import FINE, health_word
from agent.model import Key, Manifest, Refusal
from agent.observed import ObservedContainer
from agent.report.sections import PassReport
from agent.store.history import History, HistoryEntry

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
    state, tip, refused = context.state, account.tip, account.plan.refused
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
        parts.append(f"{did['corrective']} of them to repair drift")
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
    _hand_on(context, account, _report(context, account, ending, entry, error))
    return replace(
        ending,
        sentence=sentence(context, account, ending),
        commit=tip.commit if tip else "",
        corrected=did["corrective"],
        looked_at=account.observed.at or None,
    )


def _report(
    context: Context, account: Account, ending: Ending, entry: HistoryEntry, error: LimpetError | None
) -> PassReport:
    """What the heartbeat is told. `entry`: the line of history; `error`: what is shown as such."""
    tip, commit = account.tip, account.tip.commit if account.tip else ""
    health, messages, hints = _health(context, account)
    return PassReport(
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
        flapping=context.state.flapping.quarantined,
        refusals=account.plan.refused,
        warnings=[*account.cautions, *account.warnings],
        damaged=context.damaged,
        fetched=(tip is not None) if account.asked else None,
        seen_at=_seen_at(context, account),
        blocked_by=[ending.reason] if ending.outcome == "HeldBack" else (),
    )


def _hand_on(context: Context, account: Account, report: PassReport) -> None:
    """Tells the heartbeat, and the daemon what is ours. A look that went well leaves what the last pass
    said.
    """
    if account.trigger == "event" and report.outcome == "Converged":
        context.reporter.looked(report, context.state)
    else:
        context.reporter.finish(report, context.state)
    note_watched(context, account.observed)


def _seen_at(context: Context, account: Account) -> float | None:
    """When the host was seen last, wall seconds; None when it was not."""
    at = account.observed.at
    return context.clock.wall() - (context.clock.monotonic() - at) if at else None


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
        if key.kind != "container":
            words[str(key)] = "present"
            continue
        instance = by_name.get(key.name)
        words[str(key)] = word = health_word(resource, instance)
        if word not in FINE:
            messages[str(key)] = _problem(word, instance)
            hints[str(key)] = _remedy(word, key)
    for check in manifest.checks:
        if wrong := account.failing.get(check.name):
            subject = f"check/{check.name}"
            words[subject], messages[subject], hints[subject] = "failing", wrong, check.by_hand
    return words, messages, hints


def _remedy(word: str, key: Key) -> str:
    return probes(key.name) if word == "unhealthy" else f"docker logs {key.name}"


def _problem(word: str, instance: ObservedContainer | None) -> str:
    if word == "unhealthy":
        return "its health check fails"
    return f"exit code {instance.exit_code}" if instance and instance.state == "exited" else word


def _held_now(context: Context) -> Manifest:
    state = context.state
    return context.target(state.attempt.release if state.attempt else state.applied).manifest
