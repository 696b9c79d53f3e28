"""Runs one pass now. If a daemon is running, the command asks the daemon for the pass, shows its progress and
waits; ctrl-C ends only the waiting.

Exit codes:
   0  converged
   1  failed
   4  rolled back, or still holding known good instead of a rejected release
   5  a rollback failed
   6  held back (suspended, window, brake)
  75  a temporary problem: try again
  78  needs a person or a new commit

The sentence on stderr says why; later, `limpet status` does. `agent/errors.py` has the codes.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

from agent.daemon import control
from agent.errors import EXIT_FAILED, EXIT_OK, Stalled, Transient
from agent.installation import Paths
from agent.report import log
from agent.report.progress import Event, Progress, for_person, replay


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-q",
        "--quiet",
        action="store_true",
        help="print no progress, and a sentence only if the host did not converge",
    )


def run(args: argparse.Namespace) -> int:
    log.set_up(level=logging.WARNING)
    with for_person(quiet=args.quiet) as progress:
        exit_code, sentence = _pass(args.root, progress)
    if exit_code != EXIT_OK:
        print(sentence, file=sys.stderr)
    elif not args.quiet:
        print(sentence)
    return exit_code


def _pass(root: Path, progress: Progress) -> tuple[int, str]:
    """Runs a pass in the daemon, or in this process if there is no daemon. Raises LimpetError."""
    try:
        answer = control.ask(Paths(root).run, {"verb": "sync"})
    except PermissionError:
        raise Stalled(
            "only the user who runs the daemon may ask it for a pass", "run it as root: sudo limpet sync"
        ) from None
    if answer is not None:
        return _wait(answer, progress)
    from agent.cli._pass import cancelled_by_signals, pass_here

    result = pass_here(root, trigger="sync", progress=progress, cancel=cancelled_by_signals())
    return result.exit_code, result.sentence


def _wait(answer: Iterator[Event], progress: Progress) -> tuple[int, str]:
    """The result of the daemon's pass. Raises Transient if the daemon ends before the pass does."""
    try:
        for event in answer:
            result = event.get("result")
            if isinstance(result, dict):
                return int(result.get("exit_code", EXIT_FAILED)), str(result.get("sentence", ""))
            replay(event, progress)
    except KeyboardInterrupt:
        print("no longer waiting; the daemon's pass continues: limpet status", file=sys.stderr)
        raise
    raise Transient("the daemon ended before its pass did", "the next daemon continues it; try again")
