"""Tells the daemon what is ours, so that it wakes when something happens to it."""

from __future__ import annotations

from agent.converge.context import Context
from agent.errors import LimpetError
from agent.model import PATH_KINDS
from agent.observed import Observed
from agent.store.watch_list import WatchList, write_watch_list


def note_watched(context: Context, observed: Observed) -> None:
    """Writes down what is ours after a pass. Where that cannot be written, polls look."""
    entries, checks = context.inventory.entries, context.target(context.state.applied).manifest.checks
    ours = [container for container in observed.containers if container.owned]
    watched = WatchList(
        paths=frozenset(key.name for key in entries if key.kind in PATH_KINDS),
        networks=frozenset(key.name for key in entries if key.kind == "network"),
        volumes=frozenset(key.name for key in entries if key.kind == "volume"),
        containers=frozenset(container.id for container in ours),
        unlabelled=frozenset(container.id for container in ours if container.adopted),
        checks_every=min((check.every for check in checks), default=0.0),
    )
    try:
        write_watch_list(context.paths.run, watched)
    except LimpetError as error:
        context.progress.step(f"{error.message}; until it can be written, only polls look at the host")
