"""What to say when a source does not have the branch or tag: which ones it has."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping

from agent.errors import Stalled
from agent.fetch import wire
from agent.fetch.address import Address

SHOWN = 6
PREFIXES = {"branch": "refs/heads/", "tag": "refs/tags/"}
PLURAL = {"branch": "branches", "tag": "tags"}
OTHER = {"branch": "tag", "tag": "branch"}


def missing_ref(address: Address, kind: str, name: str, refs: Mapping[str, str]) -> Stalled:
    """The error for a source without this branch or tag.

    kind: branch or tag
    name: as people call it
    refs: all branches and tags that are there, by their full names
    """
    there = {kind: _names(refs, prefix) for kind, prefix in PREFIXES.items()}
    if not there["branch"] and not there["tag"]:
        return Stalled(
            f"{address.shown} is empty: it has no branch yet",
            f"push a first commit to its branch {name}" if kind == "branch" else f"push its tag {name}",
            code="EmptyRepository",
        )
    what = f"{address.shown} has no {kind} {name}: it was deleted, renamed or never pushed"
    known = _some(there[kind], name, newest_first=kind == "tag")
    listed = f"its {PLURAL[kind]} are {known}" if known else f"it has no {kind} at all"
    remedy = f"push it again, or set source.{kind}; {listed}"
    if name in there[OTHER[kind]]:
        remedy = f"{name} is a {OTHER[kind]} there: set source.{OTHER[kind]} instead; {listed}"
    return Stalled(f"{what}; what runs here is kept", remedy, code="RefMissing")


def _names(refs: Iterable[str], prefix: str) -> list[str]:
    return [
        name.removeprefix(prefix) for name in refs if name.startswith(prefix) and not name.endswith("^{}")
    ]


def _some(names: list[str], wanted: str, newest_first: bool) -> str:
    """The likeliest of the names for people, those first that resemble the wanted one; then how many more."""
    near = difflib.get_close_matches(wanted, names, 3)
    rest = sorted(set(names) - set(near), key=_natural, reverse=newest_first)
    shown = [*near, *rest][:SHOWN]
    more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    return ", ".join(wire.printable(name) for name in shown) + more


def _natural(name: str) -> list[tuple[int, str]]:
    """A key by which v1.10 comes after v1.9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", name)]
