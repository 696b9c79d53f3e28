"""Shows what a pass would do now and why, without changing anything. Exit code: 0 nothing to do, 2 there are
changes, 1 an error.
"""

from __future__ import annotations

import argparse
import difflib
import json
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent.errors import EXIT_CHANGES, EXIT_FAILED, EXIT_OK, LimpetError
from agent.installation import Paths
from agent.kinds.base import Target, View
from agent.model import Action, Manifest, Plan
from agent.observed import Observed

if TYPE_CHECKING:
    from agent.converge.desired import Tip
    from agent.converge.preview import Preview

LARGEST_DIFF = 100_000  # bytes of a file whose difference is shown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from agent.render import local

    parser.add_argument("--json", action="store_true", help="the plan as JSON (limpet schema plan)")
    local.add_repository_arguments(parser)


def run(args: argparse.Namespace) -> int:
    try:
        found = _of_repository(args) if args.repo else _of_host(args)
    except LimpetError as error:
        if args.json:
            print(json.dumps({"error": {"code": error.code, "message": error.message, "hint": error.hint}}))
        raise _as_failure(error) from error
    for warning in found.warnings:
        sys.stderr.write(f"warning: {warning}\n")
    if args.json:
        print(json.dumps(as_json(found.plan, found.revision), indent=2))
    else:
        print(_text(found))
    return EXIT_CHANGES if found.plan.changes or found.plan.refused else EXIT_OK


def _as_failure(error: LimpetError) -> LimpetError:
    """The error with the single exit code that `plan` has for errors."""
    error.exit_code = EXIT_FAILED
    return error


class _Contents:
    """The old and new content of files, for showing differences."""

    def __init__(self, paths: Paths | None, new: Any) -> None:
        self.paths, self._new = paths, new

    def old(self, path: str) -> bytes:
        if self.paths is None:
            return b""
        try:
            return self.paths.host(path).read_bytes()
        except OSError:
            return b""

    def new(self, digest: str) -> bytes:
        return bytes(self._new(digest))


@dataclass(frozen=True, slots=True)
class _Found:
    """A plan to show. `head` introduces it; `revision` is empty for a directory; `warnings` are of what was
    rendered.
    """

    revision: str
    head: str
    view: View
    plan: Plan
    contents: _Contents
    warnings: tuple[str, ...]


def _of_host(args: argparse.Namespace) -> _Found:
    """The plan of this host. It fetches, renders and observes as a pass does, and stops there."""
    from agent.clock import SystemClock
    from agent.converge.context import Context
    from agent.converge.desired import Desired
    from agent.converge.preview import preview
    from agent.drivers.host import RealHost
    from agent.installation import instance
    from agent.report.heartbeat_writer import Reporter
    from agent.report.progress import Silent
    from agent.settings.load import load_settings

    paths, settings, clock, cancel = (
        Paths(args.root),
        load_settings(args.root),
        SystemClock(),
        threading.Event(),
    )
    desired = Desired(paths, settings, cancel)
    host = RealHost(paths, settings.engine, desired.content, instance(paths), cancel)
    reporter = Reporter(paths, settings, clock)
    try:
        found = preview(Context(paths, settings, host, desired, clock, Silent(), reporter, cancel))
    finally:
        host.close()
    tip = found.wanted.tip
    assert tip is not None
    contents = _Contents(paths, desired.content.get)
    head = _head(found, tip)
    return _Found(str(tip.revision), head, found.view, found.plan, contents, found.warnings)


def _head(found: Preview, tip: Tip) -> str:
    """The lines above a plan: the newest commit, the release held instead, and the images to ask registries
    for.
    """
    lines = [f"{tip.revision} {(tip.message.splitlines() or [''])[0]}".rstrip()]
    release = found.view.target.release
    holding = f"holding {release.revision if release else ''}"
    if found.rejection:
        lines += [f"rejected before: {found.rejection.reason}", holding]
    if found.held:
        lines += [f"rolled back by hand: {found.held.reason}", holding]
    lines += [f"pull image {reference}" for reference in found.pulls]
    for reference in found.asks:
        lines.append(
            f"ask for image {reference}: {'limpet retry' if reference in found.by_hand else 'pull_policy'}"
        )
    return "\n".join(lines)


def _of_repository(args: argparse.Namespace) -> _Found:
    """The plan of an empty host. It needs no settings, Docker, network or root."""
    from agent.cli._checkout import context_here
    from agent.decide.plan import plan as planned
    from agent.render import local
    from agent.render.render import render

    tree = local.open_tree(args)
    rendered = render(tree, context_here(args, tree))
    view = View(Target(rendered.manifest), Observed(), {})
    return _Found(
        "",
        f"{tree.name} on an empty host",
        view,
        planned(view),
        _Contents(None, rendered.content.__getitem__),
        rendered.manifest.warnings,
    )


def _text(found: _Found) -> str:
    parts, plan = [found.head], found.plan
    if plan.changes or plan.refused:
        parts += [
            str(plan),
            *_file_differences(plan, found.view.target.manifest, found.contents),
            _count(plan),
        ]
    else:
        parts += [str(plan)] if plan.cautions else []
        parts.append("nothing to do")
    return "\n".join(parts)


def _count(plan: Plan) -> str:
    numbers: dict[str, int] = {}
    for change in plan.changes:
        numbers[change.verb] = numbers.get(change.verb, 0) + 1
    words = [f"{count} to {verb}" for verb, count in numbers.items()]
    if plan.cautions:
        words.append(f"{len(plan.cautions)} {'warning' if len(plan.cautions) == 1 else 'warnings'}")
    if plan.refused:
        words.append(f"{len(plan.refused)} refused")
    return ", ".join(words)


def _file_differences(plan: Plan, manifest: Manifest, contents: _Contents) -> list[str]:
    """Unified diffs of the text files that are written, except for files that only their owner may read."""
    found = []
    for action in plan.actions:
        resource = manifest.resources.get(action.key)
        if action.verb != "write" or resource is None or int(resource.spec["mode"], 8) & 0o077 == 0:
            continue
        old, new = contents.old(action.key.name), contents.new(resource.spec["content"])
        if max(len(old), len(new)) > LARGEST_DIFF or b"\0" in old + new:
            continue
        lines = difflib.unified_diff(
            old.decode("utf-8", "replace").splitlines(),
            new.decode("utf-8", "replace").splitlines(),
            f"{action.key.name} (now)",
            f"{action.key.name} (then)",
            lineterm="",
            n=2,
        )
        found += list(lines)
    return found


def as_json(plan: Plan, revision: str) -> dict[str, Any]:
    """The plan as JSON data (`limpet schema plan`)."""
    return {
        "revision": revision,
        "changes": [
            {
                "resource": str(c.key),
                "verb": c.verb,
                "cause": c.cause,
                "stage": c.stage,
                "corrective": c.corrective,
            }
            for c in plan.changes
        ],
        "actions": [_action(action) for action in plan.actions],
        "refusals": [{"resource": str(r.key), "cause": r.cause, "hint": r.hint} for r in plan.refused],
        "warnings": [{"resource": str(w.key), "cause": w.cause, "hint": w.hint} for w in plan.cautions],
    }


def _action(action: Action) -> dict[str, Any]:
    return {
        "id": action.id,
        "verb": action.verb,
        "resource": str(action.key),
        "cause": action.cause,
        "args": dict(action.args),
        "after": list(action.after),
        "stage": action.stage,
        "corrective": action.corrective,
    }
