"""Prints the facts that templates can use as `facts.NAME`. They change only when the machine does."""

from __future__ import annotations

import argparse
import json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds no arguments besides `--root`."""


def run(args: argparse.Namespace) -> int:
    from agent.render.facts import gather

    print(json.dumps(gather(args.root), indent=2, sort_keys=True))
    return 0
