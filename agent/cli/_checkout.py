"""The context of `--repo` on a host that follows the same repository: it has the name by which the host knows
it.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from agent.errors import LimpetError
from agent.fetch.address import repo_name, shown_url
from agent.installation import Paths
from agent.render import local
from agent.render.assembly import RenderContext
from agent.render.directory import DirTree


def context_here(args: argparse.Namespace, tree: DirTree, *, strict: bool = False) -> RenderContext:
    """The context that the options select. The name of the repository is that of the directory, unless it is
    a checkout of what this host follows. With `strict`, warnings are errors.
    """
    context = local.context_of(args, tree, strict=strict)
    return replace(context, repo_name=_known_here(args.root, tree) or context.repo_name)


def _known_here(root: Path, tree: DirTree) -> str:
    """The name by which the host remembers the repository of a checkout; empty when it follows another one,
    or when nobody may look.
    """
    from agent.store.state import StateStore

    remotes = {shown_url(url) for url in tree.remotes()}
    try:
        state = StateStore(Paths(root).state).load()
        followed = {state.pin.url, *_set_now(root)} if state.pin else set()
    except LimpetError:
        return ""
    if state.pin is None or remotes.isdisjoint(followed):
        return ""
    return state.repository or repo_name(state.pin.url)


def _set_now(root: Path) -> set[str]:
    """The URL in the settings, which may be another one than that of the last pass."""
    from agent.settings.load import load_settings

    return {shown_url(load_settings(root).source.url)} if Paths(root).settings.is_file() else set()
