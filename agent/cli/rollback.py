"""Goes back to a known good release of this host, and holds it until the branch changes or `limpet retry`.

Without RELEASE, it goes back to the release before the current one. To undo a commit on all hosts, use `git
revert` and push; this command is for one host, now. Exit code: as for `limpet sync`; 4 if the release is
held.
"""

from __future__ import annotations

import argparse
import time

from agent.cli import sync
from agent.errors import Stalled
from agent.installation import Paths
from agent.model import Release
from agent.store.orders import Orders
from agent.store.state import State, StateStore


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "release",
        nargs="?",
        default="",
        metavar="RELEASE",
        help="a known good release or commit, or the beginning of one",
    )
    parser.add_argument(
        "--reason", default="asked for on this host", help="shown to others who look at this host"
    )
    sync.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    directory = Paths(args.root).state
    release = chosen(StateStore(directory).load(), args.release)
    Orders(directory).roll_back(release.id, args.reason, time.time())
    return sync.run(args)


def chosen(state: State, which: str) -> Release:
    """The selected release. Raises Stalled, with the releases that can be selected."""
    running = state.attempt.release if state.attempt else state.applied
    others = [good for good in state.known_good if running is None or good.id != running.id]
    found = [good for good in state.known_good if _begins(good, which)] if which else others[:1]
    if len({good.id for good in found}) == 1:
        return found[0]
    known = ", ".join(f"{good.id} ({good.revision.short})" for good in others) or "none"
    what = "there is no other known good release"
    if which:
        what = f"{len(found)} known good releases begin with {which}"
    raise Stalled(what, f"known good besides the current release: {known}", code="NoRelease")


def _begins(release: Release, which: str) -> bool:
    return release.id.startswith(which) or release.revision.begins_with(which)
