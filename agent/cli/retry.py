"""Forgets that a release was rejected, so that the next pass tries it again, and lets a release that failed
and stays (the very first one) begin anew, its images asked for again. Also ends a rollback by hand (`limpet
rollback`), and lets a flapping resource (`kind/name`) be corrected again.

An image that was repaired under the same tag needs --pull: registries are asked again for all images of the
release that are not known good. Beside a running daemon the order waits for its next pass.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping

from agent.errors import EXIT_FAILED, EXIT_OK
from agent.installation import Paths
from agent.kinds.table import KINDS
from agent.store.orders import Orders
from agent.store.state import State, StateStore
from agent.store.verdicts import Rejection


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "release",
        nargs="?",
        default="all",
        metavar="RELEASE|RESOURCE",
        help="a release, manifest digest or commit, or the beginning of one; or a flapping resource, such "
        "as container/shop-web-1 (default: all)",
    )
    parser.add_argument(
        "--pull",
        action="store_true",
        help="ask the registries again for the images that are not known good, and wait until they answer",
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
        orders.retry("", time.time(), pull=args.pull)
        print(
            "the rollback by hand has ended; the next pass follows the branch again; to start one now: "
            "limpet sync"
        )
        return EXIT_OK
    return _retry_releases(state, wanted, orders, pull=args.pull, quiet=bool(corrected))


def _retry_releases(state: State, wanted: str, orders: Orders, *, pull: bool, quiet: bool) -> int:
    """Lets rejected releases be tried again, and one that failed and stays. With `quiet`, nothing is printed
    if there is none.
    """
    rejected = dict(state.rejected)
    gone = state.forget_rejected(wanted)
    for id in gone:
        orders.retry(id, time.time(), pull=pull)
        print(f"release {id} ({rejected[id].revision}) may be tried again")
    stays = state.attempt if state.failed_and_stays(wanted) else None
    if stays is not None:
        orders.retry(stays.release.id, time.time(), pull=pull)
        print(f"release {stays.release.id} ({stays.revision}), which is not proved, begins anew")
    if gone or stays:
        asked = ", after the registries were asked again for its images" if pull or stays else ""
        print(f"the next pass tries it{asked}; to start one now: limpet sync")
        return EXIT_OK
    return EXIT_OK if quiet else _nothing_to_retry(rejected, wanted)


def _nothing_to_retry(rejected: Mapping[str, Rejection], wanted: str) -> int:
    print(f"no rejected release begins with {wanted}" if rejected else "no release is rejected")
    for id, found in rejected.items():
        print(f"  {id}  {found.revision}  {found.reason}")
    return EXIT_FAILED if rejected else EXIT_OK
