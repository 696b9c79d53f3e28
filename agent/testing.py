"""What the fault tests change in the product, by variables in its environment. Imported only when one of them
is set (`agent.__main__`).

LIMPET_TEST_KILL_AT=N
    The process kills itself right after the N-th line of its journal, counted from 1. With "EVENT NAME"
    ("step gate", "begin stop") it does so after the first such line. An action writes one line before it
    starts and one after it ended.
LIMPET_TEST_KILL_BY=SIGNAL
    Another signal than SIGKILL.
LIMPET_TEST_SERIAL=1
    Actions run one after another, by number, so that point N is the same step in every pass.
LIMPET_TEST_PATIENCE=SECONDS
    No time limit for something outside of Limpet is longer than this.

The sandboxed children get none of these variables. The processes that the daemon starts for a pass do.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from typing import Any

from agent import clock

PREFIX = "LIMPET_TEST_"
KILL_AT, KILL_BY = f"{PREFIX}KILL_AT", f"{PREFIX}KILL_BY"
SERIAL, PATIENCE = f"{PREFIX}SERIAL", f"{PREFIX}PATIENCE"


def install(environ: Mapping[str, str] = os.environ) -> None:
    """Changes this process as the variables say. The patience goes first: modules read it when they are
    imported.
    """
    if PATIENCE in environ:
        clock.patience = float(environ[PATIENCE])
    if environ.get(KILL_AT):
        from agent.store import journal

        journal.after_line = _Killer(environ[KILL_AT], signal.Signals[environ.get(KILL_BY, "SIGKILL")])
    if environ.get(SERIAL):
        from agent.converge import apply

        apply.new_executor = Serial


class _Killer:
    """Sends this process a signal after one line of the journal, once."""

    def __init__(self, at: str, number: signal.Signals) -> None:
        self._at = at
        self._signal = number

    def __call__(self, line: int, event: str, name: str) -> None:
        if self._at in (str(line), f"{event} {name}"):
            self._at = ""
            os.kill(os.getpid(), self._signal)


class Serial(Executor):
    """Runs each action where it is submitted: one after another, by number, in the thread of the pass."""

    def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(call(*args, **kwargs))
        return done
