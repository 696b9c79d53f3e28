"""Prints the version of Limpet, of its digest scheme, and of Python."""

from __future__ import annotations

import argparse
import platform

from agent import __version__
from agent.model import SCHEME


def add_arguments(parser: argparse.ArgumentParser) -> None:
    pass


def run(args: argparse.Namespace) -> int:
    print(f"limpet {__version__} (digest scheme {SCHEME}, Python {platform.python_version()})")
    return 0
