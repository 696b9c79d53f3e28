"""What a pass has found to be ours, for the daemon, which wakes when something happens to it. Standard
library only.

Rules:
1. It lies in the run-time directory: after a boot the first pass writes it anew.
2. A list that is missing or damaged is empty: then nothing wakes the daemon, and its polls look.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from agent.store import durable


@dataclass(frozen=True, slots=True)
class WatchList:
    """What is watched.

    paths: host paths of files, directories and links
    networks, volumes: names
    containers: ids
    unlabelled: ids of the containers among them that have no label of ours
    checks_every: seconds between two runs of the checks; 0 without checks
    """

    paths: frozenset[str] = frozenset()
    networks: frozenset[str] = frozenset()
    volumes: frozenset[str] = frozenset()
    containers: frozenset[str] = frozenset()
    unlabelled: frozenset[str] = frozenset()
    checks_every: float = 0.0


FILE, EVERY = "watched.json", "checks_every"


def _items(watched: WatchList) -> list[tuple[str, Any]]:
    return [(each.name, getattr(watched, each.name)) for each in fields(watched)]


def write_watch_list(run: Path, watched: WatchList) -> None:
    """Writes the list, unless it is what lies there. Errors: Transient, Stalled."""
    doc = {name: sorted(value) if isinstance(value, frozenset) else value for name, value in _items(watched)}
    text = json.dumps(doc)
    path = run / FILE
    try:
        if path.read_text(encoding="utf-8") == text:
            return
    except (OSError, UnicodeDecodeError):
        pass
    durable.write_file(path, text.encode(), mode=0o600)


def read_watch_list(run: Path) -> WatchList:
    """The list that the last pass has written."""
    try:
        doc = json.loads((run / FILE).read_bytes())
        named = {name: frozenset(map(str, doc[name])) for name, _ in _items(WatchList()) if name != EVERY}
        return WatchList(**named, checks_every=float(doc[EVERY]))
    except (OSError, ValueError, KeyError, TypeError):
        return WatchList()
