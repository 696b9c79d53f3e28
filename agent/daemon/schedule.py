"""When the next poll and the next pass are due. Pure: monotonic seconds and randomness are arguments.

Rules:
1. Polls of one host keep their phase, which follows from its machine-id: a fleet that boots together does not
   poll together. Every cycle has some jitter on top.
2. A temporary failure is tried again with exponential backoff, full jitter and a cap. Three counts
   are separate: polls without an answer, temporary failures of passes, and drift (repairs that failed, and
   repairs that must be looked at again because they may be needed once more). Success and a new revision
   start them again. A wait ends sooner when what it waited for is there (`waits.py`).
3. A failure that needs a person or a new commit is not retried sooner than the usual resync.
4. A pass that is wanted while one runs starts when that one has ended; several wishes become one pass.

Intervals are counted here, by the monotonic clock, and not by a library's scheduler: APScheduler's counts by
the wall clock, so that a clock set back by an hour stops it for an hour, and costs 12 MiB in a process that
has 28.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from random import Random

from agent.errors import EXIT_FAILED, EXIT_ROLLBACK_FAILED, EXIT_TEMPORARY
from agent.model import TRIGGERS

POLL_BACKOFF_CAP = 1800.0  # seconds; or the poll interval, when that is longer
JITTER = 0.1  # share of an interval
NEVER = math.inf


@dataclass(frozen=True, slots=True)
class Cadence:
    """Intervals in seconds. `retry` is the bound of the first backoff of a pass."""

    poll: float
    resync: float
    retry: float = 10.0


def phase(machine_id: str) -> float:
    """The host's place within an interval, 0 up to 1: it never changes, and hosts are spread evenly."""
    return zlib.crc32(machine_id.encode()) / 2**32


class Schedule:
    """The times of one daemon. `poll_at` and `pass_at` are `NEVER` while a poll or a pass runs."""

    def __init__(self, cadence: Cadence, *, phase: float, random: Random, now: float) -> None:
        self.cadence = cadence
        self.poll_failures = 0
        self.temporary = 0
        self.drift = 0
        self.trigger = "start"
        self._phase = phase
        self._random = random
        self._passing = False
        self._wanted = ""
        self.pass_at = now
        self.poll_at = self._next_slot(now)

    def polling(self) -> None:
        """A poll has started."""
        self.poll_at = NEVER

    def polled(self, now: float, *, succeeded: bool) -> None:
        """A poll has ended."""
        if succeeded:
            self.poll_failures = 0
            self.poll_at = self._next_slot(now)
        else:
            self.poll_failures += 1
            cap = max(POLL_BACKOFF_CAP, self.cadence.poll)
            self.poll_at = now + self._backoff(self.poll_failures, self.cadence.poll, cap)

    def source_answered(self, now: float) -> None:
        """A pass has reached the source: polls need not wait any longer."""
        if self.poll_failures and self.poll_at != NEVER:
            self.polled(now, succeeded=True)

    def poll_soon(self, now: float) -> None:
        """Polls as soon as no poll runs."""
        if self.poll_at != NEVER:
            self.poll_at = now

    def passing(self) -> str:
        """A pass has started; returns why."""
        self._passing, trigger = True, self.trigger
        self.pass_at, self.trigger, self._wanted = NEVER, "", ""
        return trigger

    def passed(
        self, now: float, exit_code: int, *, again_in: float | None = None, corrected: bool = False
    ) -> None:
        """A pass has ended. `again_in`: it asks for another one after so many seconds (a window opens then,
        say). `corrected`: it repaired drift.
        """
        self._passing = False
        temporary, failed = exit_code == EXIT_TEMPORARY, exit_code in (EXIT_FAILED, EXIT_ROLLBACK_FAILED)
        self.temporary = self.temporary + 1 if temporary else 0
        if failed or corrected:
            self.drift += 1
        elif not temporary:
            self.drift = 0
        delay = self._retry_delay(temporary, failed, corrected)
        if delay is not None:
            self.pass_at, self.trigger = now + delay, "retry"
        else:
            self.pass_at, self.trigger = now + self._jittered(self.cadence.resync), "resync"
        if again_in is not None and now + again_in < self.pass_at:
            self.pass_at, self.trigger = now + again_in, "retry"
        if self._wanted:
            self.pass_at, self.trigger = now, self._wanted

    def looked(self, now: float, exit_code: int) -> None:
        """A look between two passes has repaired something, or has failed: a pass follows, as after a pass
        that did, or sooner when one is due.
        """
        temporary, failed = exit_code == EXIT_TEMPORARY, exit_code in (EXIT_FAILED, EXIT_ROLLBACK_FAILED)
        if temporary:
            self.temporary += 1
        else:
            self.drift += 1
        delay = self._retry_delay(temporary, failed, not temporary)
        if delay is not None and now + delay < self.pass_at:
            self.pass_at, self.trigger = now + delay, "retry"

    def _retry_delay(self, temporary: bool, failed: bool, corrected: bool) -> float | None:
        """Seconds until the next pass; None when the usual resync is soon enough."""
        delays = []
        if temporary:
            delays.append(self._backoff(self.temporary, self.cadence.retry, self.cadence.resync))
        if failed or corrected:
            base = self.cadence.retry if failed else self.cadence.poll
            delays.append(self._backoff(self.drift, base, self.cadence.resync))
        return max(delays, default=None)

    def want(self, trigger: str, now: float) -> None:
        """Asks for a pass now, or right after the one that runs. New revisions and new settings start the
        failures from 0.
        """
        if trigger in ("poll", "settings"):
            self.temporary = self.drift = 0
        if self._passing:
            self._wanted = _weightier(trigger, self._wanted)
        else:
            due = self.trigger if self.pass_at <= now else ""
            self.pass_at, self.trigger = min(now, self.pass_at), _weightier(trigger, due)

    def end_wait(self, now: float) -> None:
        """What a backoff waited for is there: the pass is due now. It counts as another try."""
        if not self._passing and self.trigger == "retry":
            self.pass_at = min(now, self.pass_at)

    @property
    def retry_at(self) -> float | None:
        """When a failed pass is tried again; None when none waits for that."""
        failing = (self.temporary or self.drift) and self.trigger == "retry" and not self._passing
        return self.pass_at if failing else None

    def unwant(self, trigger: str) -> None:
        """The running pass has done what this wish was for."""
        if self._wanted == trigger:
            self._wanted = ""

    def change(self, cadence: Cadence, now: float) -> None:
        """Takes other intervals from now on; a poll or pass that is due sooner stays due."""
        self.cadence = cadence
        if self.poll_at != NEVER:
            self.poll_at = min(self.poll_at, self._next_slot(now))
        if not self._passing:
            self.pass_at = min(self.pass_at, now + self._jittered(cadence.resync))

    def next_look(self, now: float) -> float:
        """When the source or the host is looked at next; a running poll is followed by another one."""
        poll_at = self.poll_at if self.poll_at < NEVER else now + self.cadence.poll
        return max(now, min(poll_at, self.pass_at))

    def _next_slot(self, now: float) -> float:
        interval = self.cadence.poll
        offset = self._phase * interval
        slot = (math.floor((now - offset) / interval) + 1) * interval + offset
        return slot + self._random.uniform(0, JITTER * interval)

    def _jittered(self, interval: float) -> float:
        return interval + self._random.uniform(0, JITTER * interval)

    def _backoff(self, failures: int, base: float, cap: float) -> float:
        bound = min(cap, base * 2.0 ** min(failures - 1, 30))
        return max(min(1.0, base), self._random.uniform(0, bound))


def _weightier(one: str, other: str) -> str:
    return min((trigger for trigger in (one, other) if trigger), key=TRIGGERS.index)
