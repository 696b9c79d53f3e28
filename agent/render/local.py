"""A repository in a directory, for `--repo`: the options that select a host, and their context."""

from __future__ import annotations

import argparse
from pathlib import Path

from agent.errors import Stalled
from agent.render.assembly import RenderContext
from agent.render.directory import DirTree
from agent.render.facts import gather


def add_repository_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--repo",
        type=Path,
        default=None,
        metavar="DIR",
        help="a checked-out fleet repository (default: this directory)",
    )
    parser.add_argument("--host", default="", metavar="H", help="the host's name (default: this machine's)")
    parser.add_argument(
        "--label", action="append", default=[], metavar="K=V", help="a label of the host; may be repeated"
    )
    parser.add_argument(
        "--path",
        default="",
        metavar="DIR",
        help="the directory in the repository that source.path would name",
    )


def open_tree(args: argparse.Namespace) -> DirTree:
    """The repository. Raises Stalled if the directory does not exist."""
    directory = args.repo or Path()
    if not directory.is_dir():
        raise Stalled(
            f"{directory} is not a directory", "name the directory of a fleet repository with --repo"
        )
    return DirTree(directory)


def labels_of(args: argparse.Namespace) -> dict[str, str]:
    """The labels in the options. Raises Stalled for a label without a value."""
    found = {}
    for text in args.label:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise Stalled(f"--label {text} has no value", "write --label role=web")
        found[key] = value
    return found


def context_of(args: argparse.Namespace, tree: DirTree, *, strict: bool = False) -> RenderContext:
    """The context of the host that the options select. With `strict`, warnings are errors."""
    facts = gather()
    name = args.host or facts["hostname"]
    return RenderContext(
        name,
        labels_of(args),
        {**facts, "hostname": name},
        repo_name=tree.name,
        strict=strict,
        path=args.path,
    )
