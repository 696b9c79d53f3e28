"""Writes and reads the heartbeat: the small file by which a host reports. Standard library only.

Rules:
1. Several processes write it (the daemon, the pass, `sync`). Each takes the heartbeat's lock, merges its
   facts into the file, and replaces it atomically and durably, mode 0644.
2. State and conditions are derived in `heartbeat`, never set.
3. When the file is gone or damaged (after a reboot), the facts that must not be forgotten are taken from the
   state.
4. Only a pass sends it by HTTP PUT (`finish`), and a receiver that is down never fails a pass.

How it is used::

    reporter = Reporter(paths, settings, clock)
    # the daemon, at least once per poll
    reporter.alive(poll_at=wall + 60, blocked_by=[])
    reporter.source(commit="1f2e...")
    reporter.source(error=Transient("git.example.org did not answer in 30 s", "..."), failures=2)
    # the pass, at every change of phase, and at its end
    reporter.phase("gate", revision="1f2e...", release=release.id)
    reporter.finish(PassReport(trigger="poll", started_at=..., duration_s=3.2, outcome="Converged"), state)
    # the daemon, for a pass without a result
    reporter.crashed(Transient("the pass was killed by signal 9", "see the log"))
    # everybody
    read(reporter.path)["state"]
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agent import __version__
from agent.clock import Clock
from agent.errors import LimpetError, Stalled
from agent.installation import Paths
from agent.model import Json, canonical_json
from agent.redact import redact
from agent.report import heartbeat, sections
from agent.report.bounds import bounded
from agent.report.sections import FIRST, MERGED, PassReport, error_section, seconds_of, time_text, with_times
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
        watching: bool | None = None,
        unseen: bool = False,
        retry_at: float | None = None,
        waits_for: str = "",
    ) -> None:
        """The daemon lives.

        poll_at: when it looks next, wall time
        blocked_by: why the observed revision waits
        backoff: failures in a row, by their kind
        watching: whether it hears what happens to the host
        unseen: something has happened that nobody has looked at yet
        retry_at: when a failed pass is tried again at the latest, wall time
        waits_for: what ends that wait sooner
        """
        upcoming: dict[str, Json] = {"poll_at": poll_at}
        upcoming |= {"retry_at": time_text(retry_at or 0.0), "waits_for": waits_for}
        upcoming |= {} if blocked_by is None else {"blocked_by": list(blocked_by)}
        health: dict[str, Json] = {} if watching is None else {"watching": watching}
        if watching and not unseen:
            health["at"] = self._clock.wall()
        self.update(
            next=upcoming if backoff is None else upcoming | {"backoff": dict(backoff)}, health=health
        )

    def source(
        self,
        *,
        commit: str = "",
        error: LimpetError | None = None,
        failures: int = 0,
    ) -> None:
        """The source was asked: it is at `commit`, or did not answer, `failures` times in a row."""
        facts: dict[str, Json] = {"failures": failures, "error": error_section(error)}
        if error is None:
            facts["last_success_at"] = self._clock.wall()
        self.update(source=facts, revision={"observed": self._revision(commit)} if commit else {})

    def phase(self, name: str, *, revision: Revision | str = "", release: str = "") -> None:
        """The pass enters a phase (heartbeat.PHASES). It is about `revision`, and about the release with the
        id `release`, or else about the attempt in the state, if there is one.
        """
        facts: dict[str, Any] = {
            "phase": name,
            "last_progress_at": self._clock.wall(),
            "pulls": [],
            "waiting": "",
        }
        if revision:
            facts["revision"] = {"attempted": self._revision(revision)}
        if release or name in heartbeat.CHANGING:
            facts["attempted_release"] = release or self._attempted()
        self.update(**facts)

    def pulls(self, progress: Mapping[str, tuple[int, int]]) -> None:
        """Images are being pulled: reference -> bytes so far, bytes in all as far as known."""
        self.update(
            last_progress_at=self._clock.wall(),
            pulls=[
                {"reference": reference, "bytes": done, "total": total}
                for reference, (done, total) in sorted(progress.items())
            ],
        )

    def waiting(self, text: str) -> None:
        """The phase at hand waits. `text`: for what, and for how long at most."""
        self.update(last_progress_at=self._clock.wall(), waiting=text)

    def _attempted(self) -> str:
        try:
            attempt = StateStore(self._paths.state).load().attempt
        except LimpetError:
            return ""
        return attempt.release.id if attempt else ""

    def finish(self, report: PassReport, state: State) -> None:
        """The pass is over. `state`: all that is known now. Also sends the heartbeat where the settings say
        so.
        """
        now, before = self._clock.wall(), self._previous()
        facts = sections.of_state(state, self._settings) | {
            "phase": "idle",
            "outcome": report.outcome,
            "last_progress_at": now,
            "pulls": [],
            "waiting": "",
            "last_pass": sections.last_pass(report, before["phase"]),
            "source": sections.source_of(report, before, now),
            "refused": [{"resource": str(r.key), "cause": r.cause, "hint": r.hint} for r in report.refusals],
            "warnings": list(report.warnings),
            "damaged": list(report.damaged),
            "system": self._system(),
            "history": self._history(),
            "next": {"blocked_by": list(report.blocked_by)},
        }
        facts["drift"] |= {"now": sorted(report.drift), "flapping": sorted(report.flapping)}
        for name in ("observed", "attempted"):
            if getattr(report, name):
                facts["revision"][name] = self._revision(getattr(report, name))
        self.update(**facts, **_seen(report))
        if self._settings.heartbeat.url:
            self._put()

    def looked(self, report: PassReport, state: State) -> None:
        """A look between two passes is over: what it saw and repaired. What the last pass said stays."""
        known = sections.of_state(state, self._settings)
        drift = known["drift"] | {"now": sorted(report.drift), "flapping": sorted(report.flapping)}
        self.update(drift=drift, counters=known["counters"], history=self._history(), **_seen(report))

    def crashed(self, error: LimpetError) -> None:
        """A pass ended without a result, or could not even begin."""
        doc = self._previous()
        last = doc["last_pass"] or {
            "trigger": "",
            "started_at": time_text(self._clock.wall()),
            "duration_s": 0.0,
        }
        outcome = "Stalled" if isinstance(error, Stalled) else "Failed"
        if error.retryable:
            outcome = "Temporary"
        self.update(
            phase="idle",
            outcome=outcome,
            pulls=[],
            waiting="",
            last_pass={**last, "error": {**(error_section(error) or {}), "phase": doc["phase"]}},
        )

    def update(self, **facts: Any) -> None:
        """Merges facts into the heartbeat, section by section, and writes it. Times are wall seconds.

        Errors: Transient, Stalled (cannot be written).
        """
        with self._lock:
            durable.make_directory(self.path.parent, 0o755)
            durable.remove_temporaries(self.path.parent, self.path.name)
            previous = self._previous()
            doc = dict(previous)
            for name, value in facts.items():
                if isinstance(value, Mapping):
                    value = with_times(
                        value, "poll_at", "last_success_at", *(("at",) if name == "health" else ())
                    )
                doc[name] = {**doc[name], **value} if name in MERGED else value
            doc |= self._alive(doc)
            doc = bounded(heartbeat.concluded(doc, previous, time_text(self._clock.wall())))
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
            "written_at": time_text(now),
            "uptime_s": round(self._clock.monotonic(), 3),
            "boot_id": self._clock.boot_id(),
            "interval_s": interval,
            "due_by": time_text(due),
            "last_progress_at": time_text(doc["last_progress_at"] or now),
            "suspended": self._suspended(now),
            "host": {"name": self._settings.host.name, "labels": dict(self._settings.host.labels)},
        }

    def _previous(self) -> dict[str, Json]:
        """The heartbeat that is there, or a first one with the facts that the state remembers."""
        source = self._settings.source
        try:
            doc = read(self.path)
            if doc["schema"] == heartbeat.SCHEMA and set(FIRST) <= set(doc):
                about = {"url": source.url, "branch": source.ref_name}
                same = all(doc["source"][name] == redact(value) for name, value in about.items())
                return doc if same else {**doc, "source": sections.first_source(self._settings)}
        except (LimpetError, KeyError, TypeError):
            pass
        doc = {**FIRST, "source": sections.first_source(self._settings)}
        try:
            state = StateStore(self._paths.state).load()
        except LimpetError:
            return doc
        for name, value in sections.of_state(state, self._settings).items():
            doc[name] = {**doc[name], **value} if name in MERGED else value
        return doc | {"history": self._history()}

    def _history(self) -> list[dict[str, Json]]:
        return [with_times(entry.to_json(), "at") for entry in History(self._paths.history).tail(10)]

    def _revision(self, known: Revision | str) -> str:
        return sections.revision_text(known, self._settings)

    def _suspended(self, now: float) -> list[dict[str, Json]]:
        """The suspensions that a person ordered, also those since the last pass."""
        try:
            orders = Orders(self._paths.state).load()
        except LimpetError:
            return []
        return [
            {"resource": name, "reason": s.reason, "since": time_text(s.since), "until": time_text(s.until)}
            for name, s in sorted(orders.suspended.items())
            if s.holds(now)
        ]

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

    def _put(self) -> None:
        from agent.report import push

        failure = push.put(self._settings.heartbeat.url, self.path.read_bytes(), timeout=_PUT_TIMEOUT)
        if failure:
            warnings = self._previous()["warnings"]
            self.update(warnings=[*warnings, failure])


def _seen(report: PassReport) -> dict[str, Any]:
    """What the host is like, as far as it was looked at."""
    if report.health is None:
        return {}
    return {
        "resources": sections.resources(report.health, report.messages, report.hints),
        "health": {"at": report.seen_at} if report.seen_at else {},
    }


def read(path: Path) -> dict[str, Json]:
    """The heartbeat at `path`. Errors: Stalled when there is none, or when the file is damaged."""
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
            f"the heartbeat {path} is damaged", "the next poll writes it again", code="NoHeartbeat"
        ) from error
    if not isinstance(doc, dict):
        raise Stalled(f"the heartbeat {path} is damaged", "the next poll writes it again", code="NoHeartbeat")
    return doc
