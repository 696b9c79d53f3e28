"""Suspends convergence of everything or of one resource, until `limpet resume` or for a time. Survives
reboots.

A running pass finishes; the next one changes nothing that is suspended. The heartbeat shows what is
suspended, and why.
"""

from __future__ import annotations

import argparse
import re
import time

from agent.errors import LimpetError
from agent.installation import Paths
from agent.store.orders import ALL, Orders, Suspension

_RESOURCE = re.compile(r"[a-z]+/.+")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "resource",
        nargs="?",
        default=ALL,
        metavar="RESOURCE",
        help="such as container/shop-web-1 or file/etc/motd (default: everything)",
    )
    parser.add_argument("--reason", required=True, help="shown to others who look at this host")
    parser.add_argument(
        "--for",
        dest="duration",
        default="",
        metavar="TIME",
        help="such as 30m or 2h (default: until resumed)",
    )


def run(args: argparse.Namespace) -> int:
    resource = checked(args.resource)
    now = time.time()
    until = now + seconds(args.duration) if args.duration else 0.0
    Orders(Paths(args.root).state).suspend(resource, Suspension(args.reason, now, until))
    what = "convergence" if resource == ALL else resource
    print(f"{what} is suspended " + (f"for {args.duration}" if args.duration else "until `limpet resume`"))
    return 0


def checked(resource: str) -> str:
    """The name of the resource, if it is written as `limpet plan` does. Raises LimpetError."""
    if resource != ALL and not _RESOURCE.fullmatch(resource):
        raise LimpetError(
            f"{resource!r} is not a resource",
            "write it as `limpet plan` does: container/shop-web-1",
            code="NoResource",
        )
    return resource


def seconds(duration: str) -> float:
    """The seconds of a duration. Raises LimpetError."""
    from agent.units import parse_duration

    try:
        return parse_duration(duration)
    except ValueError as error:
        raise LimpetError(*error.args, code="NoDuration") from None
