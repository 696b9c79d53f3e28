"""The names of the fields in which two specs differ. Pure.

Only names leave here, never values: they may be secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Form = dict[str, Any]
NOT_STATED: tuple[Any, ...] = (None, "", [], (), {}, False, 0)


def differing_fields(before: Any, after: Any, prefix: str = "") -> list[str]:
    """The dotted names of the fields that differ, sorted."""
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return [prefix]
    found: list[str] = []
    for key in sorted({*before, *after}):
        if before.get(key) != after.get(key):
            name = f"{prefix}.{key}" if prefix else str(key)
            found += differing_fields(before.get(key), after.get(key), name)
    return found


def differing_statements(mine: Form, theirs: Form) -> list[str]:
    """The dotted names of the fields that differ, where an empty value says as much as a missing one.

    Where one side is a mapping and the other is empty, the fields of the mapping are named.
    """
    one, other = _stated(mine), _stated(theirs)
    empty: Form = {key: {} for key, value in (one | other).items() if isinstance(value, Mapping)}
    return differing_fields(empty | one, empty | other)


def _stated(value: Any) -> Any:
    """The value without its empty parts, in mappings and in mappings in lists."""
    if isinstance(value, Mapping):
        stated = {key: _stated(item) for key, item in value.items()}
        return {key: item for key, item in stated.items() if item not in NOT_STATED}
    return [_stated(item) for item in value] if isinstance(value, list | tuple) else value
