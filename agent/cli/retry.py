"""Forgets that a release was rejected, so that the next pass tries it again; ends what `limpet rollback`
holds, and lets what flaps (`kind/name`) be corrected again.
"""

from __future__ import annotations

import argparse
import time

from agent.errors import EXIT_FAILED
from agent.installation import Paths
from agent.kinds import KINDS
from agent.store.orders import Orders
from agent.store.state import StateStore


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "release",
        nargs="?",
        default="all",
        metavar="RELEASE|RESOURCE",
        help="a release, manifest digest or commit, or the beginning of one; or what flaps, such as "
        "container/shop-web-1 (default: all)",
    )


def run(args: argparse.Namespace) -> int:
    state_directory = Paths(args.root).state
    state = StateStore(state_directory).load()
    rejected, named = (
        dict(state.rejected),
        args.release.partition("/")[0] in KINDS,
    )  # a branch may have a slash, too
    flapping = [name for name in sorted(state.flapping.quarantined) if args.release in ("all", name)]
    for name in flapping:
        Orders(state_directory).retry(name, time.time())
        print(f"{name} is corrected again by the next pass; to start one now: limpet sync")
    if named and not flapping:
        print(
            f"{args.release} does not flap" + "".join(f"\n  {name}" for name in sorted(state.flapping.quarantined))
        )
        return EXIT_FAILED
    if named:
        return 0
    gone = state.forget_rejected(args.release)
    if state.held:
        Orders(state_directory).retry("", time.time())
        print(
            "the rollback by hand is ended; the next pass follows the branch again; to start one now: "
            "limpet sync"
        )
        return 0
    if not gone and flapping:
        return 0
    if not gone:
        print("no release is rejected" if not rejected else f"no rejected release begins with {args.release}")
        print(
            "\n".join(f"  {id}  {r.revision}  {r.reason}" for id, r in rejected.items()),
            end="\n" if rejected else "",
        )
        return 0 if not rejected else EXIT_FAILED
    for id in gone:
        Orders(state_directory).retry(id, time.time())
        print(f"release {id} ({rejected[id].revision}) may be tried again")
    print("the next pass tries it; to start one now: limpet sync")
    return 0
