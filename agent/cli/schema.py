"""Prints the JSON Schema of a format; without a name, lists the formats."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from agent.errors import LimpetError

SCHEMAS = Path(__file__).resolve().parents[1] / "schemas"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help=", ".join(names()))


def run(args: argparse.Namespace) -> int:
    print("\n".join(names()) if args.name is None else schema_text(args.name))
    return 0


def names() -> list[str]:
    """The formats that have a schema."""
    return sorted([*(path.stem for path in SCHEMAS.glob("*.json")), "settings"])


def schema_text(name: str) -> str:
    """The schema of a format. Raises LimpetError for an unknown name."""
    if name not in names():
        raise LimpetError(f"there is no schema {name!r}", f"use one of {', '.join(names())}", code="NoSchema")
    if name == "settings":
        from agent.settings.models import json_schema

        return json.dumps(json_schema(), indent=2)
    return (SCHEMAS / f"{name}.json").read_text(encoding="utf-8").rstrip()
