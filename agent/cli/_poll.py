"""One look at the source, as a child of the daemon: fetches, and answers with one JSON line; a pass does the rest."""

from __future__ import annotations

import argparse
from typing import Any

from agent import settings
from agent.children import call
from agent.cli._pass import of_error
from agent.desired import FETCH_LIMIT, request
from agent.errors import LimpetError
from agent.paths import Paths
from agent.progress import JsonLines
from agent.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    pass


def run(args: argparse.Namespace) -> int:
    emit = JsonLines(1)
    try:
        answer = fetch(Paths(args.root), settings.load(args.root))
    except LimpetError as error:
        emit({"result": of_error(error)})
        return error.exit_code
    emit({"result": answer})
    return 0


def fetch(paths: Paths, current: Settings) -> dict[str, Any]:
    """What the source has for this host now; new commits are in the cache then. Errors: LimpetError."""
    answer, _ = call("_fetch", request(paths, current, pin=""), timeout=FETCH_LIMIT)
    return answer
