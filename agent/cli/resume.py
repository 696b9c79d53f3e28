"""Ends a suspension; the next pass converges again."""

from __future__ import annotations

import argparse

from agent.cli.suspend import checked
from agent.installation import Paths
from agent.store.orders import ALL, Orders


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "resource",
        nargs="?",
        default=ALL,
        metavar="RESOURCE",
        help="the suspended resource (default: everything)",
    )


def run(args: argparse.Namespace) -> int:
    orders = Orders(Paths(args.root).state)
    resource = checked(args.resource)
    left = [name for name in orders.load().suspended if name != resource]
    what = "convergence" if resource == ALL else resource
    print(
        f"{what} resumes with the next pass; to start one now: limpet sync"
        if orders.resume(resource)
        else f"{what} was not suspended"
    )
    if left:
        print(f"still suspended: {', '.join(sorted(left))}")
    return 0
