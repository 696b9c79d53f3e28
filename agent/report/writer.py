"""Writes and reads the heartbeat: the small file by which a host reports. Standard library only.

Rules:
1. Several processes write it (the daemon, the pass, `sync`): each takes the heartbeat's lock, merges its
   facts into what is there, and replaces the file atomically and durably, mode 0644.
2. What it says of state and conditions is derived in `heartbeat`, never set.
3. When the file is gone or damaged (after a reboot), the facts that must not be forgotten are taken from the
   state.
4. It is also sent by HTTP PUT only from a pass (`finish`), and a receiver that is down never fails a pass.

How it is used::

    reporter = Reporter(paths, settings, clock)
    reporter.alive(poll_at=wall + 60, blocked_by=[])                     # the daemon, at least once per poll
    reporter.source(commit="1f2e...")
    reporter.source(error=Transient("git.example.org did not answer in 30 s", "check the network"),
    failures=2) reporter.phase("gate", revision="1f2e...", release=release.id)       # the pass, at every
    change of phase reporter.finish(PassReport(trigger="poll", started_at=..., duration_s=3.2,
    outcome="Converged", created=2), state) reporter.crashed(Transient("the pass was killed by signal 9", "see
    the log"))    # the daemon, for a pass without a result read(reporter.path)["state"]
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent import __version__
from agent.clock import Clock
from agent.decide.image_memory import short_id
from agent.errors import LimpetError, Stalled
from agent.installation import Paths
from agent.kinds.health import FINE, PENDING
from agent.model import Json, Refusal, canonical_json
from agent.redact import redact
from agent.report import heartbeat
from agent.revision import Revision
from agent.settings.values import Settings
from agent.store import durable
from agent.store.history import History
from agent.store.locks import Lock
from agent.store.orders import Orders
from agent.store.state import State, StateStore

_LOCK_WAIT = 5.0  # seconds for another writer
_PUT_TIMEOUT = 10.0  # seconds
_GRACE = 60.0  # seconds that a heartbeat may be late, at least


@dataclass(frozen=True, slots=True)
class PassReport:
    """What one pass has to say. Times: `started_at` wall, `duration_s` seconds. Counts are resources.

    `observed` and `attempted` are commits (or revisions); empty keeps what is known. `outcome` is one of
    heartbeat.OUTCOMES. `health` maps `kind/name` to a word (FINE and PENDING are not a problem), None
    keeps what is known; `messages` says why one of them has a problem, `hints` what to do. `drift` is what
    differs and stays so; what was repaired counts as `corrective`.
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
    phase: str = (
        ""  # where `error` arose; default: fetch when the source did not answer, else the phase at hand
    )
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
    blocked_by: Sequence[str] = ()  # why the observed revision waits: window, min_age, suspended
    fetched: bool | None = (
        None  # the source answered this pass, or did not (`error` says why), or was not asked
    )


class Reporter:
    """The heartbeat of one installation."""

    def __init__(self, paths: Paths, settings: Settings, clock: Clock) -> None:
        self.path = paths.host(settings.heartbeat.file)
        self._paths = paths
        self._settings = settings
        self._clock = clock
        self._lock = Lock(paths.run / "heartbeat.lock", "a writer of the heartbeat", wait=_LOCK_WAIT)

    def alive(
        self,
        *,
        poll_at: float | None = None,
        blocked_by: Sequence[str] | None = None,
        backoff: Mapping[str, int] | None = None,
    ) -> None:
        """The daemon lives. `poll_at`: when it looks next, wall time. `backoff`: passes in a row, by what
        they wait for.
        """
        upcoming: dict[str, Json] = {"poll_at": poll_at}
        upcoming |= {} if blocked_by is None else {"blocked_by": list(blocked_by)}
        self.update(next=upcoming if backoff is None else upcoming | {"backoff": dict(backoff)})

    def source(
        self,
        *,
        commit: str = "",
        error: LimpetError | None = None,
        failures: int = 0,
    ) -> None:
        """The source was asked: it is at `commit`, or did not answer, `failures` times in a row."""
        facts: dict[str, Json] = {"failures": failures, "error": _error(error)}
        if error is None:
            facts["last_success_at"] = self._clock.wall()
        self.update(source=facts, revision={"observed": self._revision(commit)} if commit else {})

    def phase(self, name: str, *, revision: Revision | str = "", release: str = "") -> None:
        """The pass goes into a phase (heartbeat.PHASES); it is about `revision`, and about the release id
        `release`.

        Without `release` it is about the attempt that the state holds, if any.
        """
        sections: dict[str, Any] = {
            "phase": name,
            "last_progress_at": self._clock.wall(),
            "pulls": [],
            "waiting": "",
        }
        if revision:
            sections["revision"] = {"attempted": self._revision(revision)}
        if release or name in heartbeat.CHANGING:
            sections["attempted_release"] = release or self._attempted()
        self.update(**sections)

    def pulls(self, progress: Mapping[str, tuple[int, int]]) -> None:
        """Images are being pulled: reference -> bytes so far, bytes known of."""
        self.update(
            last_progress_at=self._clock.wall(),
            pulls=[
                {"reference": reference, "bytes": done, "total": total}
                for reference, (done, total) in sorted(progress.items())
            ],
        )

    def waiting(self, text: str) -> None:
        """The phase at hand waits, for what and for how long at most."""
        self.update(last_progress_at=self._clock.wall(), waiting=text)

    def _attempted(self) -> str:
        try:
            attempt = StateStore(self._paths.state).load().attempt
        except LimpetError:
            return ""
        return attempt.release.id if attempt else ""

    def finish(self, report: PassReport, state: State) -> None:
        """The pass is over: what it did, and what is known now. Also sends the heartbeat where the settings
        say so.
        """
        now, before = self._clock.wall(), self._previous()
        sections = self._of_state(state) | {
            "phase": "idle",
            "outcome": report.outcome,
            "last_progress_at": now,
            "pulls": [],
            "waiting": "",
            "last_pass": self._last_pass(report, before["phase"]),
            "source": self._source_of(report, before, now),
            "refused": [{"resource": str(r.key), "cause": r.cause, "hint": r.hint} for r in report.refusals],
            "warnings": list(report.warnings),
            "damaged": list(report.damaged),
            "system": self._system(),
            "history": [
                self._times(entry.to_json(), "at") for entry in History(self._paths.history).tail(10)
            ],
            "next": {"blocked_by": list(report.blocked_by)},
        }
        sections["drift"] = {
            **sections["drift"],
            "now": sorted(report.drift),
            "flapping": sorted(report.flapping),
        }
        for name in ("observed", "attempted"):
            if getattr(report, name):
                sections["revision"][name] = self._revision(getattr(report, name))
        if report.health is not None:
            sections["resources"] = _resources(report.health, report.messages, report.hints)
        self.update(**sections)
        if self._settings.heartbeat.url:
            self._put()

    def crashed(self, error: LimpetError) -> None:
        """A pass ended without a result, or could not even begin."""
        doc = self._previous()
        last = doc["last_pass"] or {
            "trigger": "",
            "started_at": self._text(self._clock.wall()),
            "duration_s": 0.0,
        }
        outcome = "Temporary" if error.retryable else "Stalled" if isinstance(error, Stalled) else "Failed"
        self.update(
            phase="idle",
            outcome=outcome,
            pulls=[],
            waiting="",
            last_pass={**last, "error": {**(_error(error) or {}), "phase": doc["phase"]}},
        )

    def update(self, **sections: Any) -> None:
        """Merges facts into the heartbeat, section by section, and writes it. Times are wall seconds.

        Errors: Transient, Stalled (cannot be written).
        """
        with self._lock:
            durable.make_directory(self.path.parent, 0o755)
            durable.remove_temporaries(self.path.parent, self.path.name)
            previous = self._previous()
            doc = dict(previous)
            for name, value in sections.items():
                value = (
                    self._times(value, "poll_at", "last_success_at") if isinstance(value, Mapping) else value
                )
                doc[name] = {**doc[name], **value} if name in _MERGED else value
            doc = heartbeat.bounded(
                heartbeat.concluded(doc | self._alive(doc), previous, self._text(self._clock.wall()))
            )
            durable.write_file(self.path, canonical_json(doc).encode() + b"\n", mode=0o644)
        if self._settings.heartbeat.prometheus:
            from agent.report import prometheus

            prometheus.write_metrics(self._paths.host(self._settings.heartbeat.prometheus), doc)

    # --- parts ---

    def _alive(self, doc: Mapping[str, Json]) -> dict[str, Json]:
        now, interval = self._clock.wall(), self._settings.source.poll
        due = max(seconds_of(doc["next"]["poll_at"]) or now, now) + max(_GRACE, 2 * interval)
        return {
            "schema": heartbeat.SCHEMA,
            "agent_version": __version__,
            "seq": doc["seq"] + 1,
            "written_at": self._text(now),
            "uptime_s": round(self._clock.monotonic(), 3),
            "boot_id": self._clock.boot_id(),
            "interval_s": interval,
            "due_by": self._text(due),
            "last_progress_at": self._text(doc["last_progress_at"] or now),
            "suspended": self._suspended(now),
            "host": {"name": self._settings.host.name, "labels": dict(self._settings.host.labels)},
        }

    def _previous(self) -> dict[str, Json]:
        """The heartbeat that is there, or a first one with the facts that the state remembers."""
        source = self._settings.source
        try:
            doc = read(self.path)
            if doc["schema"] == heartbeat.SCHEMA and set(_FIRST) <= set(doc):
                about = {"url": source.url, "branch": source.ref_name}
                same = all(doc["source"][name] == redact(value) for name, value in about.items())
                return doc if same else {**doc, "source": _first_source(self._settings)}
        except (LimpetError, KeyError, TypeError):
            pass
        doc = {**_FIRST, "source": _first_source(self._settings)}
        try:
            state = StateStore(self._paths.state).load()
        except LimpetError:
            return doc
        for name, value in self._of_state(state).items():
            doc[name] = {**doc[name], **value} if name in _MERGED else value
        doc["history"] = [
            self._times(entry.to_json(), "at") for entry in History(self._paths.history).tail(10)
        ]
        return doc

    def _suspended(self, now: float) -> list[dict[str, Json]]:
        """As a person ordered it, also since the last pass."""
        try:
            orders = Orders(self._paths.state).load()
        except LimpetError:
            return []
        return [
            {"resource": name, "reason": s.reason, "since": self._text(s.since), "until": self._text(s.until)}
            for name, s in sorted(orders.suspended.items())
            if s.holds(now)
        ]

    def _of_state(self, state: State) -> dict[str, Any]:
        back, held = state.rolled_back, state.held
        good = state.known_good[0] if state.known_good else None
        pin = state.pin.commit if state.pin else ""
        return {
            "revision": {
                "applied": self._revision(state.applied_revision),
                "applied_at": self._text(state.applied_at),
                "known_good": self._revision(pin or (good.revision if good else "")),
                "pin": self._revision(pin),
            },
            "release": state.applied.id if state.applied else "",
            "manifest_digest": state.applied.manifest_digest if state.applied else "",
            "images": [
                {"reference": reference, "id": short_id(image_id)}
                for reference, image_id in sorted(state.applied.lock.items())
            ]
            if state.applied
            else [],
            "attempted_release": state.attempt.release.id if state.attempt else "",
            "rejected": [
                {
                    "release": id,
                    "revision": self._revision(r.revision),
                    "reason": r.reason,
                    "at": self._text(r.at),
                }
                for id, r in reversed(state.rejected.items())
            ],
            "rolled_back": {
                "from_release": back.from_release,
                "from_revision": self._revision(back.from_revision),
                "reason": back.reason,
                "at": self._text(back.at),
            }
            if back
            else None,
            "held": {
                "release": held.release,
                "revision": self._revision(held.revision),
                "reason": held.reason,
                "at": self._text(held.at),
            }
            if held
            else None,
            "drift": {
                "mode": self._settings.converge.mode,
                "corrected_total": state.counters.get("corrected_total", 0),
            },
            "counters": dict(state.counters),
        }

    def _source_of(self, report: PassReport, before: Mapping[str, Json], now: float) -> dict[str, Json]:
        facts: dict[str, Json] = {}
        if report.fetched:
            facts |= {"failures": 0, "error": None, "last_success_at": now}
        elif report.fetched is False:
            facts |= {"failures": before["source"]["failures"] + 1, "error": _error(report.error)}
        return facts

    def _last_pass(self, report: PassReport, at_hand: str) -> dict[str, Json]:
        error, phase = _error(report.error), report.phase or ("fetch" if report.fetched is False else at_hand)
        return {
            "trigger": report.trigger,
            "started_at": self._text(report.started_at),
            "duration_s": round(report.duration_s, 3),
            "created": report.created,
            "replaced": report.replaced,
            "deleted": report.deleted,
            "corrective": report.corrective,
            "failed": report.failed,
            "error": error and {**error, "phase": phase},
        }

    def _system(self) -> dict[str, Json]:
        found: dict[str, Json] = {"reboot_required": self._paths.host("/run/reboot-required").exists()}
        try:
            disk = os.statvfs(self._paths.state)
        except OSError:
            return found
        return found | {
            "disk_free_bytes": disk.f_bavail * disk.f_frsize,
            "disk_total_bytes": disk.f_blocks * disk.f_frsize,
        }

    def _revision(self, known: Revision | str) -> str:
        """The revision as text, with the name of the branch where only the commit is known."""
        revision = Revision.parse(known) if isinstance(known, str) else known
        if revision and not revision.ref:
            revision = Revision(self._settings.source.ref_name, revision.commit)
        return str(revision)

    @staticmethod
    def _text(time: float | str) -> str:
        """RFC 3339 in UTC of wall seconds; empty for 0."""
        if isinstance(time, str):
            return time
        return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if time else ""

    def _times(self, section: Mapping[str, Json], *names: str) -> dict[str, Json]:
        return {key: self._text(value or 0.0) if key in names else value for key, value in section.items()}

    def _put(self) -> None:
        from agent.report import push

        failure = push.put(self._settings.heartbeat.url, self.path.read_bytes(), timeout=_PUT_TIMEOUT)
        if failure:
            warnings = self._previous()["warnings"]
            self.update(warnings=[*warnings, failure])


def read(path: Path) -> dict[str, Json]:
    """The heartbeat at `path`. Errors: Stalled when there is none, or it is none."""
    try:
        doc = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise Stalled(
            f"there is no heartbeat at {path}",
            "start the daemon (systemctl start limpet), or run `limpet sync` once",
            code="NoHeartbeat",
        ) from None
    except OSError as error:
        raise Stalled(
            f"cannot read the heartbeat {path}: {error.strerror}", "check its directory", code="NoHeartbeat"
        ) from error
    except ValueError as error:
        raise Stalled(
            f"the heartbeat {path} is damaged", "the next poll writes it anew", code="NoHeartbeat"
        ) from error
    if not isinstance(doc, dict):
        raise Stalled(f"the heartbeat {path} is damaged", "the next poll writes it anew", code="NoHeartbeat")
    return doc


def seconds_of(text: str | None) -> float:
    """Wall seconds of an RFC 3339 time of the heartbeat; 0 for none."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp() if text else 0.0


def _error(error: LimpetError | None) -> dict[str, Json] | None:
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


def _resources(
    health: Mapping[str, str], messages: Mapping[str, str], hints: Mapping[str, str]
) -> dict[str, Json]:
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


def _first_source(settings: Settings) -> dict[str, Json]:
    source = settings.source
    return {
        "url": source.url,
        "branch": source.ref_name,
        "last_success_at": "",
        "failures": 0,
        "error": None,
        "verification": {"mode": source.verify, "result": "", "signer": ""},
    }


_MERGED = ("revision", "source", "drift", "resources", "next")
_FIRST: dict[str, Json] = {
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
    "warnings": [],
    "damaged": [],
    "last_pass": None,
    "history": [],
    "next": {"poll_at": "", "blocked_by": []},
    "counters": {},
    "system": {},
}
