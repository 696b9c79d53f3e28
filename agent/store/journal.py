"""Writes down what the current pass is doing, line by line: for people after a crash, and for kill sweeps.

Rules:
1. Nothing is ever decided from the journal: a pass is level-triggered, and a lost line loses no work. So a
   full disk costs lines, but no pass.
2. Lines are simply appended; only the first and the last line of a pass wait for the disk.
3. Each pass has one file: `start` moves the file of the pass before to NAME.1.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from agent.model import Action, Json, canonical_json
from agent.store import durable


def _nothing(line: int, event: str, name: str) -> None:
    """Follows a line, outside of fault tests."""


after_line: Callable[[int, str, str], None] = _nothing  # only the fault tests put something else here


class Journal:
    """An append-only file of JSON lines. Safe to use from several threads."""

    def __init__(self, path: Path, *, wall: Callable[[], float] = time.time) -> None:
        self.path = path
        self.writes = 0
        self._wall = wall
        self._descriptor = -1
        self._mutex = threading.Lock()

    def start(self, what: str) -> None:
        """Begins the file of a new pass; `what` names it (trigger, revision)."""
        durable.make_directory(self.path.parent)
        with durable.file_errors(self.path, "write the journal"):
            with suppress(FileNotFoundError):
                self.path.replace(self.path.with_name(self.path.name + ".1"))
            self._descriptor = os.open(
                self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
            )
        self._line("start", durable_line=True, what=what, pid=os.getpid())

    def step(self, name: str) -> None:
        """Says that a step of the pass begins (observe, apply, gate, commit, ...)."""
        self._line("step", name=name)

    def begin(self, action: Action) -> None:
        """Says that an action is about to be done."""
        self._line("begin", id=action.id, verb=action.verb, key=str(action.key), cause=action.cause)

    def end(self, action: Action, result: str) -> None:
        """Says that an action ended: done, failed or skipped."""
        self._line("end", id=action.id, verb=action.verb, key=str(action.key), result=result)

    def finish(self, result: str) -> None:
        """Says how the pass ended, and how many lines it wrote: the number of kill points."""
        self._line("finish", durable_line=True, result=result, writes=self.writes + 1)
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)

    def _line(self, event: str, *, durable_line: bool = False, **fields: Json) -> None:
        with self._mutex:
            if self._descriptor < 0:
                return  # not started: a preview leaves no trace
            self.writes += 1
            line = (
                canonical_json({"n": self.writes, "at": round(self._wall(), 3), "event": event, **fields})
                + "\n"
            )
            with durable.file_errors(self.path, "write the journal"), durable.unless_full():
                os.write(self._descriptor, line.encode())
                if durable_line:
                    os.fsync(self._descriptor)
            after_line(self.writes, event, str(fields.get("name", fields.get("verb"))))
