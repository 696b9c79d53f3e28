"""A child of the daemon: a fresh process in its own session that answers in JSON lines on stdout.

A pass says progress events and then `{"result": {...}}`. A fetch is asked in JSON on stdin (see `sandbox`)
and gives its answer in one line; that is its result.

Rules:
1. Nothing here blocks but the start of the process.
2. A child that is silent for too long, or takes too long in all, is sent TERM; after a grace its group is
   sent KILL.
3. TERM goes to the child alone: a pass ends its own children when it has finished the action at hand.
4. The child's stderr is ours.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent import sandbox
from agent.errors import LimpetError, Stalled, Transient
from agent.report.progress import Event

MAX_LINE = 1 << 20  # bytes; a longer line is dropped
# The environment of a child that handles foreign bytes.
CLEAN = {"PATH": sandbox.PATH, "HOME": "/", "LANG": "C.UTF-8"}
PRIVATE = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """Seconds: of silence, in all, and between TERM and KILL."""

    silence: float
    total: float
    grace: float = 30.0


@dataclass(frozen=True, slots=True)
class ChildEnd:
    """How a child ended: its result line if any, its exit status (negative: the signal), and why we stopped
    it, if we did.
    """

    result: Mapping[str, Any] | None
    status: int
    stopped: str = ""

    @property
    def crashed(self) -> bool:
        """It left no result, and nobody asked it to go."""
        return self.result is None and not self.stopped

    @property
    def error(self) -> LimpetError | None:
        """The error that it reports; None when there is none."""
        error = (self.result or {}).get("error")
        if not isinstance(error, dict):
            return None
        kind = Stalled if error.get("class") in ("Stalled", "BadInput") else Transient
        return kind(
            str(error.get("message", "")), str(error.get("hint", "")), code=str(error.get("code", ""))
        )

    def __str__(self) -> str:
        if self.status < 0:
            with contextlib.suppress(ValueError):
                return f"ended by {signal.Signals(-self.status).name}"
        return f"ended with status {self.status}"


class Child:
    """One running child."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        limits: TimeLimits,
        now: float,
        request: Mapping[str, Any] | None = None,
    ) -> None:
        """
        name: for messages
        argv: the command
        limits: how long it may take
        now: monotonic seconds
        request: what it is asked on stdin; None for a pass, which is not asked
        """
        self.name = name
        self._asked = request is not None
        self.started = self.heard = now
        self.silent = False  # it has closed its stdout
        self.stopped = ""
        self._limits = limits
        self._kill_at = float("inf")
        self._buffer = b""
        self._result: Mapping[str, Any] | None = None
        environment = CLEAN if self._asked else {k: v for k, v in os.environ.items() if k not in PRIVATE}
        self.process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            cwd="/",
            start_new_session=True,
        )
        assert self.process.stdin and self.process.stdout
        with contextlib.suppress(BrokenPipeError), self.process.stdin as stdin:
            stdin.write(json.dumps(request).encode() if self._asked else b"")  # far less than a pipe holds
        self.output = self.process.stdout.fileno()
        os.set_blocking(self.output, False)

    def read(self, now: float) -> list[Event]:
        """The events that came since the last call. The result line is retained for the end."""
        data = b""
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self.output, 65536):
                data += chunk
            self.silent = True
        if data:
            self.heard = now
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        self._buffer = self._buffer[:MAX_LINE]
        events = [event for event in map(_event, lines) if event]
        for event in events:
            result = event if self._asked else event.get("result")
            if isinstance(result, dict):
                self._result = result
        return [event for event in events if not self._asked and "result" not in event]

    @property
    def deadline(self) -> float:
        """When `enforce` must be called."""
        if self.stopped:
            return self._kill_at
        return min(self.heard + self._limits.silence, self.started + self._limits.total)

    def enforce(self, now: float) -> None:
        """Ends the child when it has overrun its time."""
        if now < self.deadline:
            return
        if self.stopped:
            self.kill()
            self._kill_at = float("inf")
        elif now >= self.started + self._limits.total:
            self.stop(f"took longer than {self._limits.total:.0f} s", now)
        else:
            self.stop(f"was silent for {self._limits.silence:.0f} s", now)

    def stop(self, reason: str, now: float, grace: float | None = None) -> None:
        """Asks the child to end, once; after the grace it is killed."""
        if not self.stopped:
            self.stopped = reason
            self._kill_at = now + (self._limits.grace if grace is None else grace)
            self.process.terminate()

    def kill(self) -> None:
        """Ends the child and its group at once."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def ended(self) -> ChildEnd | None:
        """How it ended, or None while it runs. To be called after the last `read`."""
        status = self.process.poll()
        return None if status is None else ChildEnd(self._result, status, self.stopped)

    def close(self) -> None:
        """Lets go of the pipe; of an ended child, also of what it may have left in its group."""
        self.kill()
        assert self.process.stdout
        self.process.stdout.close()


def _event(line: bytes) -> Event | None:
    with contextlib.suppress(ValueError):
        event = json.loads(line)
        if isinstance(event, dict):
            return event
    return None
