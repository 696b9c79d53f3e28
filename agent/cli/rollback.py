"""Goes back to a known good release of this host, and holds it until the branch changes or `limpet retry`.

Without RELEASE, it goes back to the release before the current one; once more, to the one before that, and
never forward to one that was left. With RELEASE it goes to any of the last three good ones. To undo a commit
on all hosts, use `git revert` and push; this command is for one host, now. Exit code: as for `limpet sync`; 4
if the release is held, 78 if there is nothing further back.
"""

from __future__ import annotations

import argparse
import time
from typing import NoReturn

from agent.cli import sync
from agent.errors import Stalled
from agent.installation import Paths
from agent.model import Release
from agent.store.orders import Orders
from agent.store.state import KNOWN_GOOD, State, StateStore


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
    if not args.quiet:
        print(f"going back to release {release.id} ({release.revision})")
    Orders(directory).roll_back(release.id, args.reason, time.time())
    return sync.run(args)


def chosen(state: State, which: str) -> Release:
    """The selected release. Raises Stalled, with the releases that can be selected."""
    if not which:
        return state.further_back() or _nothing(state)
    found = [good for good in state.known_good if _begins(good, which)]
    if len({good.id for good in found}) == 1:
        return found[0]
    raise Stalled(
        f"{len(found)} known good releases begin with {which}", _named(_others(state)), code="NoRelease"
    )


def _nothing(state: State) -> NoReturn:
    """Says that there is nothing further back."""
    others, what = _others(state), "no other release is known good"
    hint = _named(others)
    if others:
        what = f"of the last {KNOWN_GOOD} good releases this host runs the oldest that was not left"
        hint += "; to go to one of them, name it: limpet rollback RELEASE"
    raise Stalled(f"there is nothing further back: {what}", hint, code="NoRelease")


def _others(state: State) -> list[Release]:
    running = state.attempt.release if state.attempt else state.applied
    return [good for good in state.line() if running is None or good.id != running.id]


def _named(others: list[Release]) -> str:
    shown = [f"{good.id} ({good.revision.short or 'what was there before'})" for good in others]
    return f"known good besides the current release: {', '.join(shown) or 'none'}"


def _begins(release: Release, which: str) -> bool:
    return release.id.startswith(which) or release.revision.begins_with(which)
