"""Renders a revision into the manifest of one host: `render(tree, context)` has the steps in order. It uses
no network, no clock and no host.

    fleet.yaml -> layers -> layer.yaml -> host files -> apps -> claims

An equal tree and context give an equal manifest and content. All problems are raised together, as BadInput.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.compose import Project
from agent.errors import Problem
from agent.model import Manifest
from agent.render.apps import App, apps
from agent.render.assembly import Assembly, RenderContext
from agent.render.files import host_files
from agent.render.layerfile import read_layer_files
from agent.render.layers import Overlay, below, layer_vars, read_fleet, select
from agent.render.problems import Problems
from agent.render.templates import Templates
from agent.render.tree import EntryRefused, Tree

UNIT_SUFFIXES = (
    ".service",
    ".socket",
    ".timer",
    ".path",
    ".mount",
    ".automount",
    ".swap",
    ".target",
    ".slice",
    ".conf",
)


@dataclass(frozen=True, slots=True)
class Rendered:
    """The manifest, and the content of its files by SHA-256. `apps` and `layers` are for people."""

    manifest: Manifest
    content: dict[str, bytes]
    apps: tuple[App, ...] = ()
    layers: tuple[str, ...] = ()


def render(tree: Tree, context: RenderContext) -> Rendered:
    """The desired state of one host. Raises BadInput with all problems, and Transient if the Git cache is
    damaged.
    """
    problems = Problems(context.strict)
    work, found = _assemble(tree, context, problems)
    if not work.resources and not work.settings.checks and not problems.errors:
        problems.warn(
            below(context_base(context), "."),
            0,
            "nothing is defined for this host",
            tree.note("")
            or "add compose.yaml, apps/NAME/compose.yaml or files/; `limpet init` writes an example",
        )
    problems.raise_any()
    checks = tuple(work.settings.checks[name] for name in sorted(work.settings.checks))
    resources = {key: work.resources[key] for key in sorted(work.resources)}
    manifest = Manifest(resources, checks, problems.warnings)
    used = manifest.content()
    return Rendered(
        manifest, {digest: work.content[digest] for digest in sorted(used)}, tuple(found), work.overlay.layers
    )


def read_apps(tree: Tree, context: RenderContext) -> tuple[list[Project], list[Problem], tuple[str, ...]]:
    """The apps of one host as Compose reads them, with the problems and warnings from rendering them.

    An app that this host cannot run is included. Raises BadInput if an app cannot be loaded at all.
    """
    problems = Problems(context.strict)
    work, found = _assemble(tree, context, problems)
    if not work.loaded:
        problems.raise_any()
    return [app.project for app in found], problems.errors, problems.warnings


def context_base(context: RenderContext) -> str:
    """`source.path` as a directory of the tree, empty for the root."""
    base = context.path.strip("/")
    return "" if base == "." else base.removeprefix("./")


def _assemble(tree: Tree, context: RenderContext, problems: Problems) -> tuple[Assembly, list[App]]:
    """Runs all steps, and collects problems."""
    work = _prepare(tree, context, problems)
    found: list[App] = []
    with problems.collect():
        _unsupported(work)
    with problems.collect():
        host_files(work)
    with problems.collect():
        found = apps(work)
    work.check_claims()
    return work, found


def _prepare(tree: Tree, context: RenderContext, problems: Problems) -> Assembly:
    base = context_base(context)
    try:
        fleet = read_fleet(tree, base, problems)
        layers = select(tree, fleet, context.host, context.labels, problems)
        settings = read_layer_files(tree, layers, problems)
    except EntryRefused as error:
        problems.keep(error)
        problems.raise_any()
        raise
    names = {
        "host": context.host,
        "labels": dict(context.labels),
        "facts": dict(context.facts),
        "vars": layer_vars(fleet, settings.vars),
    }
    return Assembly(
        context, Overlay(tree, layers, Templates(names).render, settings.keeps), settings, problems
    )


def _unsupported(work: Assembly) -> None:
    """Reports parts of a layer that this version does not support. They are never ignored."""
    for path, source in work.overlay.files("units").items():
        if path.endswith(UNIT_SUFFIXES):
            work.problems.add(
                source.path,
                0,
                "systemd units are not supported by this version of Limpet yet",
                "remove it, or install the unit by hand for now",
            )
    for path, source in work.overlay.files("secrets").items():
        if path.endswith((".sops.yaml", ".sops.yml")) and path.count("/") == 1:
            work.problems.add(
                source.path,
                0,
                "SOPS files are not supported by this version of Limpet yet",
                "remove it, or keep the value in a file on the host for now",
            )
