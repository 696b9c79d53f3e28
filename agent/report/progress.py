"""How long work shows that it moves: to a person, to the log, or from a pass to the process that waits for
the pass.

Rules:
1. Progress is for people. It decides nothing, and a reader that is gone never stops the work.
2. `step` is one thing done or begun, in one line; `detail` belongs to the step before it; `pull` and `wait`
   may come often and are shown at most twice a second.
3. Work in several threads may report at once.
4. No secret is ever passed in.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TextIO

from agent.units import shown_bytes

Event = dict[str, Any]  # one of step, detail, wait: text; or pull: reference, bytes: n, total: n

INTERVAL = 0.5  # seconds between two events of the same pull or wait
WAIT_INTERVAL = 10.0  # seconds between two lines about the same wait, where lines stay


class Progress(Protocol):
    """The calls by which a pass reports its work. `total` of a pull is 0 while it is unknown; done == total >
    0 means complete.
    """

    def step(self, text: str) -> None: ...
    def detail(self, text: str) -> None: ...
    def pull(self, reference: str, done: int, total: int) -> None: ...
    def wait(self, text: str) -> None: ...


class Silent:
    """Shows nothing."""

    def step(self, text: str) -> None: ...
    def detail(self, text: str) -> None: ...
    def pull(self, reference: str, done: int, total: int) -> None: ...
    def wait(self, text: str) -> None: ...


class Events:
    """Turns the calls into events for `emit`, thinning out pulls and waits."""

    def __init__(
        self, emit: Callable[[Event], None], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._emit = emit
        self._monotonic = monotonic
        self._last: dict[str, float] = {}

    def step(self, text: str) -> None:
        self._emit({"step": text})

    def detail(self, text: str) -> None:
        self._emit({"detail": text})

    def pull(self, reference: str, done: int, total: int) -> None:
        if self._due(f"pull {reference}", at_once=0 < total <= done):
            self._emit({"pull": reference, "bytes": done, "total": total})

    def wait(self, text: str) -> None:
        if self._due("wait"):
            self._emit({"wait": text})

    def _due(self, subject: str, *, at_once: bool = False) -> bool:
        now = self._monotonic()
        if not at_once and now - self._last.get(subject, -INTERVAL) < INTERVAL:
            return False
        self._last[subject] = now
        return True


class Told:
    """Hands everything on to `progress`, and waits also to `wait`, at most every WAIT_INTERVAL seconds."""

    def __init__(
        self, progress: Progress, wait: Callable[[str], None], monotonic: Callable[[], float]
    ) -> None:
        self.step, self.detail, self.pull = progress.step, progress.detail, progress.pull
        self._progress, self._wait, self._monotonic = progress, wait, monotonic
        self._told = -WAIT_INTERVAL

    def wait(self, text: str) -> None:
        self._progress.wait(text)
        now = self._monotonic()
        if now - self._told >= WAIT_INTERVAL:
            self._told = now
            self._wait(text)


def replay(event: Event, progress: Progress) -> None:
    """Calls the method that the event came from; an event of an unknown kind is ignored."""
    if "step" in event:
        progress.step(str(event["step"]))
    elif "detail" in event:
        progress.detail(str(event["detail"]))
    elif "wait" in event:
        progress.wait(str(event["wait"]))
    elif "pull" in event:
        progress.pull(str(event["pull"]), int(event.get("bytes", 0)), int(event.get("total", 0)))


class LineProgress:
    """Plain lines on a stream: steps and details as they come, a wait now and then, a pull at its start and
    end.
    """

    def __init__(self, stream: TextIO, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._monotonic = monotonic
        self._said: set[str] = set()
        self._waited = -WAIT_INTERVAL
        self._lock = threading.Lock()

    def step(self, text: str) -> None:
        self._said.clear()
        self._print(text)

    def detail(self, text: str) -> None:
        self._print(f"  {text}")

    def wait(self, text: str) -> None:
        now = self._monotonic()
        if now - self._waited >= WAIT_INTERVAL:
            self._waited = now
            self._once(f"  {text}")

    def pull(self, reference: str, done: int, total: int) -> None:
        if 0 < total <= done:
            self._once(f"  pulled {reference} ({shown_bytes(total)})")
        else:
            self._once(f"  pulling {reference}")

    def _once(self, line: str) -> None:
        if line not in self._said:
            self._said.add(line)
            self._print(line)

    def _print(self, line: str) -> None:
        # When the reader is gone, the work goes on.
        with self._lock, contextlib.suppress(BrokenPipeError, ValueError):
            print(line, file=self._stream, flush=True)


class JsonLines:
    """Events as JSON lines on a descriptor, written whole; for a pass whose parent streams them on."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        data = json.dumps(event, ensure_ascii=False).encode() + b"\n"
        with self._lock, contextlib.suppress(BrokenPipeError):  # the reader is gone; the work goes on
            while data:
                data = data[os.write(self._descriptor, data) :]


@contextlib.contextmanager
def for_person(*, quiet: bool = False) -> Iterator[Progress]:
    """The progress that suits this process's stderr: none, a live display on a terminal, or plain lines. At
    the end the display is gone, so that the next lines stay.
    """
    if quiet:
        yield Silent()
    elif sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        from agent.report.terminal import Terminal

        with contextlib.closing(Terminal()) as terminal:
            yield terminal
    else:
        yield LineProgress(sys.stderr)
