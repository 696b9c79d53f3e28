"""Renders a checked-out fleet repository for one host: files, apps and manifest.

limpet render --repo . --host web-01 --label role=web
    lists the resources
limpet render -o out
    writes the files below out/files, each app as out/compose/APP.yaml, and manifest.json
limpet render --compose shop
    prints one app as canonical Compose YAML; what this host could not run is a warning
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import Problem, Stalled

if TYPE_CHECKING:
    from agent.compose import Project
    from agent.render.render import Rendered


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from agent.render import local

    local.add_repository_arguments(parser)
    parser.add_argument(
        "-o", "--output", type=Path, metavar="DIR", help="write everything below DIR, which must be empty"
    )
    parser.add_argument(
        "--compose",
        nargs="?",
        const="",
        default=None,
        metavar="APP",
        help="print one app as canonical Compose YAML; APP may be left out if there is only one",
    )


def run(args: argparse.Namespace) -> int:
    from agent.cli._checkout import context_here
    from agent.errors import EXIT_FAILED, BadInput
    from agent.render import local
    from agent.render.render import read_apps, render

    tree = local.open_tree(args)
    context = context_here(args, tree)
    try:
        if args.compose is not None:
            return _print_compose(*read_apps(tree, context), args.compose)
        rendered = render(tree, context)
    except BadInput as error:
        print_problems(error.problems)
        return EXIT_FAILED
    _warn(rendered.manifest.warnings)
    if args.output is not None:
        _write(rendered, args.output)
    else:
        _print(rendered)
    return 0


def print_problems(problems: tuple[Problem, ...]) -> None:
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    sys.stderr.write(f"{len(problems)} {'problem' if len(problems) == 1 else 'problems'}\n")


def _print(rendered: Rendered) -> None:
    for key, resource in rendered.manifest.resources.items():
        print(f"{resource.digest[:12]}  {key}  ({resource.origin})")
    for check in rendered.manifest.checks:
        print(f"check  {check.name}  ({check.origin})")
    print(f"manifest {rendered.manifest.digest}: {len(rendered.manifest.resources)} resources")


def _warn(warnings: Iterable[object]) -> None:
    for warning in warnings:
        sys.stderr.write(f"warning: {warning}\n")


def _print_compose(apps: list[Project], problems: list[Problem], warnings: tuple[str, ...], name: str) -> int:
    """Prints one app as YAML. Problems that prevent it from running here are warnings. Raises Stalled if it
    is not clear which app is meant.
    """
    from agent.compose import canonical

    names = sorted(app.name for app in apps)
    if not name and len(names) != 1:
        raise Stalled(
            f"the host has {len(names)} apps",
            f"name one: {', '.join(names)}" if names else "add compose.yaml",
        )
    chosen = [app for app in apps if app.name == (name or names[0])]
    if not chosen:
        raise Stalled(f"there is no app {name}", f"this host has {', '.join(names) or 'none'}")
    _warn((*warnings, *problems))
    print(canonical(chosen[0]), end="")
    return 0


def _write(rendered: Rendered, output: Path) -> None:
    """Writes all files below `output/files`, each app as Compose YAML, and the manifest."""
    from agent.compose import canonical

    if output.exists() and any(output.iterdir()):
        raise Stalled(f"{output} is not empty", "name a new directory, or empty it")
    for resource in rendered.manifest.of_kind("file"):
        if resource.spec.get("content"):
            target = output / "files" / resource.key.name.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(rendered.content[resource.spec["content"]])
            target.chmod(int(resource.spec["mode"], 8) & 0o777)
    for app in rendered.apps:
        target = output / "compose" / f"{app.project.name}.yaml"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(canonical(app.project), encoding="utf-8")
    output.mkdir(parents=True, exist_ok=True)
    document = {**rendered.manifest.to_json(), "digest": rendered.manifest.digest}
    (output / "manifest.json").write_text(
        json.dumps(document, indent=2, sort_keys=True) + "\n", encoding="utf-8"
    )
    print(
        f"{len(rendered.manifest.resources)} resources of manifest {rendered.manifest.digest[:12]} are in "
        f"{output}"
    )
