"""Levers for a whole fleet: `Limpet-...` trailers of the newest commit. Pure; the host's owner says whether they count."""

from __future__ import annotations

import re

_ALLOW_PRUNE = re.compile(r"^Limpet-Allow-Prune:\s*(\d+)\s*$", re.MULTILINE)
_RETRY = re.compile(r"^Limpet-Retry:\s*(\S+)\s*$", re.MULTILINE)
_URGENT = re.compile(r"^Limpet-Urgent:\s*yes\s*$", re.MULTILINE)


def allowed_prunes(message: str) -> int:
    """So many deletions of a kind are meant."""
    found = _ALLOW_PRUNE.search(message)
    return int(found[1]) if found else 0


def retries(message: str) -> list[str]:
    """The releases that may be tried again: "all", or what an id, a manifest digest or a commit begins with."""
    return _RETRY.findall(message)


def is_urgent(message: str) -> bool:
    """Whether it goes past windows."""
    return _URGENT.search(message) is not None
