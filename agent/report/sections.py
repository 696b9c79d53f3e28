"""The sections of the heartbeat, made of the state and of a pass. No I/O, no clock.

Times are wall seconds here, and RFC 3339 in the heartbeat.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from agent.decide.image_memory import short_id
from agent.errors import LimpetError
from agent.kinds.health import FINE, PENDING
from agent.model import Json, Refusal, Release
from agent.revision import Revision
from agent.settings.values import Settings
from agent.store.state import State

# The sections that are merged into what is there; the others replace it.
MERGED = ("revision", "source", "drift", "resources", "health", "next")
FIRST: dict[str, Json] = {
    "seq": 0,
    "phase": "idle",
    "outcome": "",
    "last_progress_at": "",
    "waiting": "",
    "revision": {
        "observed": "",
        "attempted": "",
        "applied": "",
        "applied_at": "",
        "known_good": "",
        "pin": "",
    },
    "release": "",
    "attempted_release": "",
    "manifest_digest": "",
    "images": [],
    "pulls": [],
    "source": {},
    "rejected": [],
    "rolled_back": None,
    "held": None,
    "suspended": [],
    "drift": {"mode": "enforce", "now": [], "corrected_total": 0, "flapping": []},
    "refused": [],
    "resources": {"total": 0, "by_health": {}, "problems": [], "truncated": False},
    "health": {"at": "", "watching": False},
    "warnings": [],
    "damaged": [],
    "last_pass": None,
    "history": [],
    "next": {"poll_at": "", "blocked_by": []},
    "counters": {},
    "system": {},
}


@dataclass(frozen=True, slots=True)
class PassReport:
    """The report of one pass. Counts are resources.

    trigger: why it ran
    started_at: wall seconds
    duration_s: seconds
    outcome: one of heartbeat.OUTCOMES
    created, replaced, deleted: changes by kind
    corrective: changes that repaired drift
    failed: actions that failed
    error: why it failed, or what it could not do
    phase: where `error` arose; default: fetch when the source did not answer, else the phase at hand
    observed: the revision of the branch; empty keeps the one that is known
    attempted: the revision that it was about; empty keeps the one that is known
    health: kind/name -> a word (FINE and PENDING are not a problem); None keeps the words that are known
    messages: kind/name -> the problem
    hints: kind/name -> the remedy
    drift: the resources that differ and stay so
    flapping: the resources that are corrected again and again
    refusals: the changes that were refused
    warnings: of the manifest and of the pass
    damaged: the files of the state that were damaged
    blocked_by: why the observed revision waits: window, min_age, suspended
    fetched: whether the source answered; None when it was not asked
    seen_at: when the host was seen last, wall seconds; None when it was not
    """

    trigger: str
    started_at: float
    duration_s: float
    outcome: str
    created: int = 0
    replaced: int = 0
    deleted: int = 0
    corrective: int = 0
    failed: int = 0
    error: LimpetError | None = None
    phase: str = ""
    observed: str = ""
    attempted: str = ""
    health: Mapping[str, str] | None = None
    messages: Mapping[str, str] = field(default_factory=dict)
    hints: Mapping[str, str] = field(default_factory=dict)
    drift: Collection[str] = ()
    flapping: Collection[str] = ()
    refusals: Sequence[Refusal] = ()
    warnings: Sequence[str] = ()
    damaged: Sequence[str] = ()
    blocked_by: Sequence[str] = ()
    fetched: bool | None = None
    seen_at: float | None = None


# --- of the state -------------------------------------------------------------------------------------------


def of_state(state: State, settings: Settings) -> dict[str, Any]:
    """All that the state knows."""
    good = state.known_good[0] if state.known_good else None
    pin = state.pin.commit if state.pin else ""
    return {
        "revision": {
            "applied": revision_text(state.applied_revision, settings),
            "applied_at": time_text(state.applied_at),
            "known_good": revision_text(pin or (good.revision if good else ""), settings),
            "pin": revision_text(pin, settings),
        },
        **_of_release(state.applied),
        "attempted_release": state.attempt.release.id if state.attempt else "",
        "rejected": [
            {
                "release": id,
                "revision": revision_text(rejection.revision, settings),
                "reason": rejection.reason,
                "at": time_text(rejection.at),
            }
            for id, rejection in reversed(state.rejected.items())
        ],
        "rolled_back": _rolled_back(state, settings),
        "held": _held(state, settings),
        "drift": {
            "mode": settings.converge.mode,
            "corrected_total": state.counters.get("corrected_total", 0),
        },
        "counters": dict(state.counters),
    }


def _of_release(release: Release | None) -> dict[str, Json]:
    if release is None:
        return {"release": "", "manifest_digest": "", "images": []}
    images = [
        {"reference": reference, "id": short_id(image_id)}
        for reference, image_id in sorted(release.lock.items())
    ]
    return {"release": release.id, "manifest_digest": release.manifest_digest, "images": images}


def _rolled_back(state: State, settings: Settings) -> dict[str, Json] | None:
    back = state.rolled_back
    if back is None:
        return None
    return {
        "from_release": back.from_release,
        "from_revision": revision_text(back.from_revision, settings),
        "reason": back.reason,
        "at": time_text(back.at),
    }


def _held(state: State, settings: Settings) -> dict[str, Json] | None:
    held = state.held
    if held is None:
        return None
    return {
        "release": held.release,
        "revision": revision_text(held.revision, settings),
        "reason": held.reason,
        "at": time_text(held.at),
    }


# --- of a pass ----------------------------------------------------------------------------------------------


def source_of(report: PassReport, before: Mapping[str, Json], now: float) -> dict[str, Json]:
    """What a pass knows about the source. `before`: the last heartbeat; `now`: wall seconds."""
    if report.fetched:
        return {"failures": 0, "error": None, "last_success_at": now}
    if report.fetched is False:
        return {"failures": before["source"]["failures"] + 1, "error": error_section(report.error)}
    return {}


def last_pass(report: PassReport, at_hand: str) -> dict[str, Json]:
    """The counts and the error of a pass. `at_hand`: the phase that it was in."""
    error, phase = error_section(report.error), report.phase
    if not phase:
        phase = "fetch" if report.fetched is False else at_hand
    return {
        "trigger": report.trigger,
        "started_at": time_text(report.started_at),
        "duration_s": round(report.duration_s, 3),
        "created": report.created,
        "replaced": report.replaced,
        "deleted": report.deleted,
        "corrective": report.corrective,
        "failed": report.failed,
        "error": error and {**error, "phase": phase},
    }


def resources(
    health: Mapping[str, str], messages: Mapping[str, str], hints: Mapping[str, str]
) -> dict[str, Json]:
    """The health of all resources, by kind/name."""
    by_health: dict[str, int] = {}
    for word in health.values():
        by_health[word] = by_health.get(word, 0) + 1
    bad = [
        {
            "resource": name,
            "health": word,
            "message": messages.get(name, ""),
            **({"hint": hints[name]} if name in hints else {}),
        }
        for name, word in sorted(health.items())
        if word not in (*FINE, *PENDING)
    ]
    return {"total": len(health), "by_health": by_health, "problems": bad, "truncated": len(bad) > 20}


def error_section(error: LimpetError | None) -> dict[str, Json] | None:
    """An error with all that a person or a machine needs; `phase` is added by the caller."""
    if error is None:
        return None
    return {
        "code": error.code,
        "phase": "",
        "resource": error.resource,
        "retryable": error.retryable,
        "message": error.message,
        "hint": error.hint,
    }


def first_source(settings: Settings) -> dict[str, Json]:
    """The section `source` before anything is known of it."""
    source = settings.source
    return {
        "url": source.url,
        "branch": source.ref_name,
        "last_success_at": "",
        "failures": 0,
        "error": None,
        "verification": {"mode": source.verify, "result": "", "signer": ""},
    }


# --- texts --------------------------------------------------------------------------------------------------


def revision_text(known: Revision | str, settings: Settings) -> str:
    """The revision, with the name of the branch where only the commit is known."""
    revision = Revision.parse(known) if isinstance(known, str) else known
    if revision and not revision.ref:
        revision = Revision(settings.source.ref_name, revision.commit)
    return str(revision)


def time_text(time: float | str) -> str:
    """RFC 3339 in UTC of wall seconds; empty for 0."""
    if isinstance(time, str):
        return time
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if time else ""


def with_times(section: Mapping[str, Json], *names: str) -> dict[str, Json]:
    """The section with these of its fields as texts."""
    return {key: time_text(value or 0.0) if key in names else value for key, value in section.items()}


def seconds_of(text: str | None) -> float:
    """Wall seconds of an RFC 3339 time of the heartbeat; 0 for none."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp() if text else 0.0
