"""The hidden verb of the fetch child: the request is on stdin, the answer on stdout (see `agent.sandbox`)."""

from __future__ import annotations

import argparse

from agent.sandbox import serve


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds no arguments: everything is in the request."""


def run(args: argparse.Namespace) -> int:
    from agent.fetch.one_fetch import handle_fetch

    return serve(handle_fetch)
