"""Forgets that a release was rejected, so that the next pass tries it again. Also ends a rollback by hand
(`limpet rollback`), and lets a flapping resource (`kind/name`) be corrected again.
"""

from __future__ import annotations

import argparse
import time

from agent.errors import EXIT_FAILED, EXIT_OK
from agent.installation import Paths
from agent.kinds.table import KINDS
from agent.store.orders import Orders
from agent.store.state import State, StateStore


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "release",
        nargs="?",
        default="all",
        metavar="RELEASE|RESOURCE",
        help="a release, manifest digest or commit, or the beginning of one; or a flapping resource, such "
        "as container/shop-web-1 (default: all)",
    )


def run(args: argparse.Namespace) -> int:
    directory = Paths(args.root).state
    state, orders = StateStore(directory).load(), Orders(directory)
    wanted, flapping = args.release, sorted(state.flapping.quarantined)
    corrected = [name for name in flapping if wanted in ("all", name)]
    for name in corrected:
        orders.retry(name, time.time())
        print(f"{name} will be corrected again by the next pass; to start one now: limpet sync")
    if wanted.partition("/")[0] in KINDS:  # a branch may have a slash, too
        if not corrected:
            print(f"{wanted} is not flapping" + "".join(f"\n  {name}" for name in flapping))
        return EXIT_OK if corrected else EXIT_FAILED
    if state.held:
        orders.retry("", time.time())
        print(
            "the rollback by hand has ended; the next pass follows the branch again; to start one now: "
            "limpet sync"
        )
        return EXIT_OK
    return _retry_rejected(state, wanted, orders, quiet=bool(corrected))


def _retry_rejected(state: State, wanted: str, orders: Orders, *, quiet: bool) -> int:
    """Lets rejected releases be tried again. With `quiet`, nothing is printed if there is none."""
    rejected = dict(state.rejected)
    gone = state.forget_rejected(wanted)
    for id in gone:
        orders.retry(id, time.time())
        print(f"release {id} ({rejected[id].revision}) may be tried again")
    if gone:
        print("the next pass tries it; to start one now: limpet sync")
    if gone or quiet:
        return EXIT_OK
    print(f"no rejected release begins with {wanted}" if rejected else "no release is rejected")
    for id, found in rejected.items():
        print(f"  {id}  {found.revision}  {found.reason}")
    return EXIT_FAILED if rejected else EXIT_OK
