"""Renders a checked-out fleet repository for one host: files, apps and manifest.

    limpet render --repo . --host web-01 --label role=web      the list of resources
    limpet render -o out                                       the files below out/files, manifest.json, compose/APP.yaml
    limpet render --compose shop                               one app as canonical Compose YAML
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import Problem, Stalled

if TYPE_CHECKING:
    from agent.render.render import Rendered


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from agent.render import local

    local.add_arguments(parser)
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="writes everything below DIR, which must be empty")
    parser.add_argument("--compose", nargs="?", const="", default=None, metavar="APP",
                        help="prints one app as canonical Compose YAML; APP may be left out when there is one")


def run(args: argparse.Namespace) -> int:
    from agent.errors import EXIT_FAILED, BadInput
    from agent.render import local
    from agent.render.render import render

    tree = local.open_tree(args)
    try:
        rendered = render(tree, local.context_of(args, tree))
    except BadInput as error:
        report(error.problems)
        return EXIT_FAILED
    for warning in rendered.manifest.warnings:
        sys.stderr.write(f"warning: {warning}\n")
    if args.compose is not None:
        print(_compose(rendered, args.compose), end="")
    elif args.output is not None:
        _write(rendered, args.output)
    else:
        _print(rendered)
    return 0


def report(problems: tuple[Problem, ...]) -> None:
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    sys.stderr.write(f"{len(problems)} {'problem' if len(problems) == 1 else 'problems'}\n")


def _print(rendered: Rendered) -> None:
    for key, resource in rendered.manifest.resources.items():
        print(f"{resource.digest[:12]}  {key}  ({resource.origin})")
    for check in rendered.manifest.checks:
        print(f"check  {check.name}  ({check.origin})")
    print(f"manifest {rendered.manifest.digest}: {len(rendered.manifest.resources)} resources")


def _compose(rendered: Rendered, name: str) -> str:
    """One app as YAML. Errors: Stalled when it is not clear which."""
    from agent.compose import canonical

    names = sorted(app.project.name for app in rendered.apps)
    if not name and len(names) != 1:
        raise Stalled(f"the host has {len(names)} apps", f"name one: {', '.join(names)}" if names else "add compose.yaml")
    project = rendered.app(name or names[0])
    if project is None:
        raise Stalled(f"there is no app {name}", f"this host has {', '.join(names) or 'none'}")
    return canonical(project)


def _write(rendered: Rendered, output: Path) -> None:
    """All files below `output/files`, each app as Compose YAML, and the manifest."""
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
        target.write_text(_compose(rendered, app.project.name), encoding="utf-8")
    output.mkdir(parents=True, exist_ok=True)
    document = {**rendered.manifest.to_json(), "digest": rendered.manifest.digest}
    (output / "manifest.json").write_text(json.dumps(document, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    print(f"{len(rendered.manifest.resources)} resources of manifest {rendered.manifest.digest[:12]} are in {output}")
