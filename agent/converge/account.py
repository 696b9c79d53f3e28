"""What a pass says when it is over: one sentence for the log, one report for the heartbeat, one line of
history.
"""

from __future__ import annotations

from collections import Counter

from agent.converge.context import Session
from agent.converge.transaction import Ending
from agent.decide.gate import describe_check, probes
from agent.errors import EXIT_ROLLED_BACK, Failed, LimpetError, Transient
from agent.model import Manifest, ObservedContainer, Resource
from agent.report.heartbeat import FINE
from agent.report.writer import PassReport
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
TELLING = (
    "RollbackFailed",
    "Inconclusive",
    "Degraded",
)  # outcomes that say more than the error that led to them


def short(revision: str) -> str:
    """`main@sha1:1f2e...` as people write it: `main@1f2e3d4`."""
    name, _, commit = revision.partition("@sha1:")
    return f"{name}@{commit[:7]}" if commit else revision


def known(session: Session) -> str:
    """Known good's revision for people; before the first release it is what somebody else had started."""
    good = session.known_good
    return "?" if good is None else short(good.revision) or "what was there before"


def counts(session: Session) -> Counter[str]:
    """Resources by what was done to them, whose every action of this pass is done; and those that failed."""
    failed = {outcome.action.key for outcome in session.record.outcomes if outcome.result == "failed"}
    done = {outcome.action.key for outcome in session.record.outcomes if outcome.result == "done"} - failed
    idle = {change.key for change in session.record.plan.changes} - {
        action.key for action in session.record.plan.actions
    }
    done |= {
        key for key in idle if (owned := session.inventory.entries.get(key)) and owned.adopted
    }  # needs no action
    found = Counter(
        COUNTED.get(change.verb, change.verb) for change in session.record.plan.changes if change.key in done
    )
    found["corrective"] = sum(
        change.corrective for change in session.record.plan.changes if change.key in done
    )
    found["failed"] = len(failed)
    return +found


def sentence(session: Session, ending: Ending) -> str:
    """The pass in one sentence, with the remedy behind it when there is one."""
    revision = session.tip.revision if session.tip else session.state.applied_revision or "?"
    did = counts(session)
    parts = [f"{did[word]} {word}" for word in (*COUNTED.values(), "failed") if did[word]]
    if did["corrective"]:
        parts.append(f"{did['corrective']} of it drift")
    what = ", ".join(parts)
    refused = session.record.plan.refusals
    if refused:
        what = ", ".join(
            filter(None, [what, f"{len(refused)} refused ({refused[0].key}: {refused[0].cause})"])
        )
    good = known(session)
    text = {
        "Converged": f"converged at {short(revision)}: {what}"
        if what
        else f"nothing to do at {short(revision)}",
        "RolledBack": f"rolled back from {short(revision)} to {good}: {ending.reason}",
        "HoldingKnownGood": f"holding {good}: "
        + ("" if session.state.held else f"{short(revision)} was rejected: ")
        + ending.reason,
        "RollbackFailed": ending.reason,
        "Inconclusive": f"{short(revision)} was undone, but is not to blame for certain: {ending.reason}",
    }.get(
        ending.outcome,
        f"{ending.outcome.lower()} at {short(revision)}: {ending.reason}" if session.tip else ending.reason,
    )
    if ending.outcome == "Converged" and ending.reason:
        text = f"{text}; {ending.reason}"
    remedy = ending.hint or (refused[0].hint if refused else "")
    return f"{text} (hint: {remedy})" if remedy else text


def report_pass(session: Session, ending: Ending, trigger: str, started: float, duration: float) -> Ending:
    """Writes the history (when something happened), the state's counters, and the heartbeat; how the pass
    ended. What cannot be written down for now (a full disk) makes a converged pass a temporary failure, and
    is in the heartbeat. Errors: Stalled.
    """
    did, record, state = counts(session), session.record, session.state
    state.count(corrected_total=did["corrective"])
    held = ending.outcome == "HeldBack"
    error = (
        None
        if held
        else _as_error(ending)
        if ending.outcome in TELLING
        else record.trouble or _as_error(ending)
    )
    failing = ending.exit_code not in (0, 4, 6)
    health, messages, hints = _health(session)
    try:
        if record.outcomes or did["adopted"] or (failing and not _repeated(session, ending)):
            _remember(session, ending, trigger, started, duration)
        if record.outcomes or ending.outcome != "Converged":
            session.save()
    except Transient as trouble:
        record.trouble = error = record.trouble or trouble
        if not failing and ending.exit_code != EXIT_ROLLED_BACK:
            ending = Ending("Temporary", trouble.exit_code, trouble.message, trouble.hint)
    session.reporter.finish(
        PassReport(
            trigger=trigger,
            started_at=started,
            duration_s=duration,
            outcome=ending.outcome,
            created=did["created"],
            replaced=did["replaced"] + did["updated"] + did["returned"] + did["started"],
            deleted=did["deleted"],
            corrective=did["corrective"],
            failed=did["failed"],
            error=error,
            observed=session.tip.commit if session.tip else "",
            attempted=session.tip.commit if session.tip else "",
            health=health,
            messages=messages,
            hints=hints,
            drift=record.drift,
            flapping=state.flapping.quarantined,
            refusals=record.plan.refusals,
            warnings=record.warnings,
            damaged=record.damaged,
            fetched=record.fetched,
            blocked_by=[ending.reason] if held else (),
        ),
        state,
    )
    return ending


def _as_error(ending: Ending) -> LimpetError | None:
    failed = ending.outcome in ("Failed", *TELLING)
    return Failed(ending.reason, ending.hint, code=ending.outcome) if failed else None


def _repeated(session: Session, ending: Ending) -> bool:
    """Whether the newest line of history says just this already: an outage is one line, not one a minute."""
    newest = History(session.paths.history).tail(1)
    return bool(newest) and (newest[0].outcome, newest[0].message) == (ending.outcome, ending.reason)


def _remember(session: Session, ending: Ending, trigger: str, started: float, duration: float) -> None:
    did, tip, state = counts(session), session.tip, session.state
    release = state.attempt.release if state.attempt else state.applied
    failed = state.rolled_back.from_release if ending.outcome == "RolledBack" and state.rolled_back else ""
    History(session.paths.history).append(
        HistoryEntry(
            at=started,
            revision=tip.revision if tip else state.applied_revision,
            release=failed or (release.id if release else ""),
            outcome=ending.outcome,
            trigger=trigger,
            subject=(tip.message.splitlines() or [""])[0] if tip else "",
            by=tip.author if tip else "",
            duration_s=round(duration, 3),
            created=did["created"],
            replaced=did["replaced"] + did["updated"] + did["returned"] + did["started"],
            deleted=did["deleted"],
            corrective=did["corrective"],
            failed=did["failed"],
            message=ending.reason,
        )
    )


def _health(session: Session) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Each resource of what is held now in a word, and for those with a problem a sentence and a remedy."""
    manifest = _held_now(session)
    by_name = {c.name: c for c in session.observed.containers if c.owned}
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
        if wrong := session.record.red.get(check.name):
            subject = f"check/{check.name}"
            words[subject], messages[subject], hints[subject] = "failing", wrong, describe_check(check)
    return words, messages, hints


def _problem(word: str, instance: ObservedContainer | None) -> str:
    if word == "unhealthy":
        return "its health check fails"
    return f"exit code {instance.exit_code}" if instance and instance.state == "exited" else word


def _held_now(session: Session) -> Manifest:
    state = session.state
    return session.held(state.attempt.release if state.attempt else state.applied).manifest


def health_word(resource: Resource, instance: ObservedContainer | None) -> str:
    """healthy, running, completed, starting, unhealthy, restarting, exited, missing, ..."""
    if resource.spec["oneshot"]:
        if instance is None:
            return "completed"
        if instance.state == "exited":
            return "failed" if instance.exit_code else "completed"
        return instance.state
    if instance is None:
        return "missing"
    return instance.health or "running" if instance.state == "running" else instance.state
