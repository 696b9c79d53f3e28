"""Runs one pass as a child of the daemon. Progress and the result are JSON lines on stdout."""

from __future__ import annotations

import argparse
import os
import signal
import threading
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from agent.clock import SystemClock
from agent.errors import EXIT_TEMPORARY, LimpetError
from agent.installation import Paths
from agent.model import TRIGGERS
from agent.report import log
from agent.report.progress import Events, JsonLines, Progress
from agent.sandbox import error_document
from agent.settings.load import load_settings

if TYPE_CHECKING:
    from agent.converge.account import Ending


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--trigger", choices=TRIGGERS, default="sync")
    parser.add_argument("--stopped", nargs="*", default=None)


def run(args: argparse.Namespace) -> int:
    log.set_up()
    emit = JsonLines(_take_stdout())
    try:
        result = pass_here(
            args.root,
            trigger=args.trigger,
            progress=Events(emit),
            cancel=cancelled_by_signals(),
            stopped=args.stopped,
        )
    except LimpetError as error:
        emit({"result": {"exit_code": error.exit_code, "sentence": error.message, **error_document(error)}})
        return error.exit_code
    emit(
        {
            "result": {
                "exit_code": result.exit_code,
                "sentence": result.sentence,
                "observed": result.commit,
                "again_in": result.again_in,
                "corrected": result.corrected,
                "looked_at": result.looked_at,
                **waits_for(result),
            }
        }
    )
    return result.exit_code


def waits_for(ending: Ending) -> dict[str, dict[str, str]]:
    """What a pass that must be tried again waits for: the code of its error, and where space is lacking."""
    if ending.exit_code != EXIT_TEMPORARY or ending.error is None:
        return {}
    return {"waits_for": {"code": ending.error.code, "place": ending.error.place}}


def pass_here(
    root: Path,
    *,
    trigger: str,
    progress: Progress,
    cancel: threading.Event,
    stopped: Collection[str] | None = None,
) -> Ending:
    """Runs a pass in this process. Raises Transient if one is running already, and BadInput if the settings
    are wrong.
    """
    from agent.converge.one_pass import run_pass
    from agent.report.heartbeat_writer import Reporter
    from agent.store.locks import Lock

    paths, clock = Paths(root), SystemClock()
    with Lock(paths.run / "lock", "a pass"):
        current = load_settings(root)
        return run_pass(
            paths,
            current,
            trigger=trigger,
            reporter=Reporter(paths, current, clock),
            clock=clock,
            progress=progress,
            cancel=cancel,
            stopped=stopped,
        )


def cancelled_by_signals() -> threading.Event:
    """An event that the first SIGTERM or SIGINT sets: the pass ends after the current action. A second SIGINT
    interrupts it.
    """
    cancel = threading.Event()

    def ask(number: int, frame: object) -> None:
        if cancel.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        cancel.set()

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, ask)
    return cancel


def _take_stdout() -> int:
    """A descriptor for the answer, which no child inherits. From now on, anything else printed to stdout goes
    to stderr.
    """
    answer = os.dup(1)
    os.dup2(2, 1)
    return answer
