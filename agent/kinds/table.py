"""The table of resource kinds, in the order of creation. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agent.kinds import container, files, network, volume
from agent.kinds.base import Fate, View
from agent.model import Key, Resource


@dataclass(frozen=True, slots=True)
class Kind:
    """`rank`: created ascending, deleted descending."""

    rank: int
    fate: Callable[[Key, Resource | None, View], Fate]


KINDS = {
    "directory": Kind(files.RANK_DIRECTORY, files.fate),
    "file": Kind(files.RANK, files.fate),
    "symlink": Kind(files.RANK, files.fate),
    "network": Kind(network.RANK, network.fate),
    "volume": Kind(volume.RANK, volume.fate),
    "container": Kind(container.RANK, container.fate),
}
