"""The bounds of the heartbeat: redaction, the lengths of its lists and texts, and 64 KiB in all. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agent.model import Json, canonical_json
from agent.redact import redact

MAX_BYTES = 64 * 1024

_LISTS = {  # name -> the most entries; 100 of all other lists
    "problems": 20,
    "history": 10,
    "rejected": 20,
    "refused": 20,
    "warnings": 20,
    "damaged": 10,
    "suspended": 20,
    "now": 50,
    "flapping": 20,
    "blocked_by": 10,
    "images": 100,
    "pulls": 20,
}
_LONGEST_TEXT = 600
# What is shortened when the whole is too long, in this order.
_CUT = (
    ("warnings",),
    ("images",),
    ("pulls",),
    ("drift", "now"),
    ("refused",),
    ("history",),
    ("rejected",),
    ("resources", "problems"),
    ("damaged",),
    ("suspended",),
    ("drift", "flapping"),
    ("host", "labels"),
    ("last_pass",),
    ("counters",),
    ("system",),
)


def bounded(doc: dict[str, Json]) -> dict[str, Json]:
    """The document redacted, with bounded lists and texts, of at most MAX_BYTES as canonical JSON."""
    cut: list[str] = []
    doc = _trim(doc, "", cut)
    for path in _CUT:
        if len(canonical_json({**doc, "truncated": cut}).encode()) < MAX_BYTES:
            break
        holder: Any = doc
        for part in path[:-1]:
            holder = holder[part]
        if holder[path[-1]]:
            holder[path[-1]] = _least(holder[path[-1]])
            cut.append(".".join(path))
    return {**doc, "truncated": cut}


def _least(section: Any) -> Any:
    """The least of a section with which `state_of` still finds the same state: the first entry of a list,
    nothing of a map.
    """
    if isinstance(section, dict) and "error" in section:
        return {key: section[key] for key in ("trigger", "started_at", "duration_s", "error")}
    return section[:1] if isinstance(section, list) else {}


def _trim(value: Any, name: str, cut: list[str]) -> Any:
    """The value with its texts and lists bounded. `name`: of the field; `cut` gets the names of bounded
    lists.
    """
    if isinstance(value, str):
        text = redact(value)
        return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…"
    if isinstance(value, dict):
        return {key: _trim(item, key, cut) for key, item in value.items() if not _is_note(key, item)}
    return _bounded_list(value, name, cut) if isinstance(value, list | tuple) else value


def _bounded_list(value: Sequence[Any], name: str, cut: list[str]) -> list[Any]:
    bound = _LISTS.get(name, 100)
    if len(value) > bound and name not in cut:
        cut.append(name)
    return [_trim(item, "", cut) for item in value[:bound]]


def _is_note(key: str, item: Any) -> bool:
    """Whether it is the list of what was cut before."""
    return key == "truncated" and isinstance(item, list)
