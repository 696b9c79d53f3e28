"""How values become what the canonical form has: text, numbers, sizes, durations, lists, mappings,
structures.

A decoder takes a value and gives its canonical form, or raises ValueError with what is wrong; structures
report the errors of their keys, each at its place, and go on.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .errors import LoadProblems, Place
from .interpolate import boolean, integer, number
from .scalars import Timestamp, duration_ns, parse_bytes, show, show_duration, split_words
from .tree import List, Map


class Unfit(ValueError):
    """A value that a key cannot take; the text says why."""


@dataclass(frozen=True, slots=True)
class ValueContext:
    """Where a value stands, for errors."""

    problems: LoadProblems
    place: Place
    path: tuple[str, ...]

    def below(self, key: str, place: Place) -> ValueContext:
        return ValueContext(self.problems, place, (*self.path, key))


Decode = Callable[[Any, ValueContext], Any]


@dataclass(frozen=True, slots=True)
class Field:
    """How a key is decoded; `keep` its zero, `null` its explicit null."""

    decode: Decode
    keep: bool = False
    null: bool = False


def as_text(value: Any, at: ValueContext) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int) or isinstance(value, Timestamp):
        raise Unfit(f"must be text, not {show(value)}")
    return str(value)


def as_flag(value: Any, at: ValueContext) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return boolean(value)
    raise Unfit(f"must be true or false, not {show(value)}")


def as_int(value: Any, at: ValueContext) -> int:
    if isinstance(value, str):
        return integer(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unfit(f"must be a whole number, not {show(value)}")
    return int(value)


def as_count(value: Any, at: ValueContext) -> int:
    if isinstance(value, str):
        raise Unfit(f"must be a number, not {value!r}")
    number = as_int(value, at)
    if number < 0:
        raise Unfit(f"must not be negative, not {number}")
    return number


def as_float(value: Any, at: ValueContext) -> float:
    if isinstance(value, str):
        return number(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unfit(f"must be a number, not {show(value)}")
    return float(value)


def as_bytes(value: Any, at: ValueContext) -> int:
    if isinstance(value, str):
        return parse_bytes(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def as_duration(value: Any, at: ValueContext) -> str:
    return show_duration(duration_ns(show(value)))


def as_time(value: Any, at: ValueContext) -> str:
    """A duration whose zero means "not set"."""
    text = as_duration(value, at)
    return "" if text == "0s" else text


def as_texts(value: Any, at: ValueContext) -> List:
    items = value if isinstance(value, List) else List([value], at=at.place)
    return List((as_text(item, at) for item in items), items.at, list(items.places))


def as_shown(value: Any, at: ValueContext) -> List:
    items = value if isinstance(value, List) else List([value], at=at.place)
    return List((show(item) for item in items), items.at, list(items.places))


def as_command(value: Any, at: ValueContext) -> Any:
    if isinstance(value, str):
        return List(split_words(value), at=at.place)
    return as_texts(value, at)


def as_test(value: Any, at: ValueContext) -> List:
    if isinstance(value, str):
        return List(["CMD-SHELL", value], at=at.place)
    return as_texts(value, at)


def pairs_of(blank: str | None) -> Decode:
    """A mapping of text; a key without a value becomes `blank`."""

    def decode(value: Any, at: ValueContext) -> Map:
        result = Map(at=at.place)
        if isinstance(value, Map):
            for key, item in value.items():
                result.put(key, blank if item is None else show(item), value.place(key))
        elif isinstance(value, List):
            for item, where in value.placed():
                key, equals, text = show(item).partition("=")
                if blank is None and key and key[-1].isspace():
                    raise Unfit(f"the name {key!r} ends with a space")
                result.put(key, text if equals else blank, where)
        else:
            raise Unfit("must be a mapping or a list of KEY=VALUE")
        return result

    return decode


def as_options(value: Any, at: ValueContext) -> Map:
    if not isinstance(value, Map):
        raise Unfit("must be a mapping")
    return pairs_of("")(value, at)  # type: ignore[no-any-return]


def as_hosts(value: Any, at: ValueContext) -> List:
    """`host=address`, sorted; one entry for each address."""
    pairs: list[tuple[str, str]] = []
    if isinstance(value, Map):
        for host, item in value.items():
            for address in item if isinstance(item, List) else [item]:
                pairs.append((host, "" if address is None else show(address)))
    else:
        for item in as_shown(value, at):
            separator = "=" if "=" in item else ":"
            host, found, addresses = item.partition(separator)
            if not found:
                raise Unfit(f"{item!r} has no address")
            pairs.extend((host, address) for address in addresses.split(","))
    for host, _ in pairs:
        if not host or ":" in host or "=" in host:
            raise Unfit(f"{host!r} is not a host name")
    bare = ((h, a[1:-1] if len(a) > 2 and a.startswith("[") and a.endswith("]") else a) for h, a in pairs)
    return List(sorted(f"{host}={address}" for host, address in bare), at=at.place)


def as_mode(value: Any, at: ValueContext) -> str:
    if isinstance(value, str):
        if not re.fullmatch(r"[0-7]{1,20}", value):
            raise Unfit(f"{value!r} is not an octal mode")
        return f"0{int(value, 8):o}"
    if isinstance(value, bool) or not isinstance(value, int):
        raise Unfit(f"must be an octal mode, not {show(value)}")
    return f"0{value:o}"


def as_device_count(value: Any, at: ValueContext) -> int:
    if isinstance(value, str) and value.lower() == "all":
        return -1
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise Unfit(f"must be `all` or a number, not {show(value)}")
    return integer(value) if isinstance(value, str) else value


def as_is(value: Any, at: ValueContext) -> Any:
    return value


def list_of(of: Decode) -> Decode:
    def decode(value: Any, at: ValueContext) -> List:
        if not isinstance(value, List):
            raise Unfit("must be a list")
        result = List(at=value.at)
        for index, (item, where) in enumerate(value.placed()):
            below = _guard(of, item, at.below(f"[{index}]", where))
            if below is not _NOTHING:
                result.add(below, where)
        return result

    return decode


def distinct(of: Decode) -> Decode:
    """A list whose equal items are kept once."""

    def decode(value: Any, at: ValueContext) -> List:
        items, result, seen = of(value, at), List(at=at.place), set()
        for item, where in items.placed():
            if (text := repr(item)) not in seen:
                seen.add(text)
                result.add(item, where)
        return result

    return decode


def map_of(of: Decode) -> Decode:
    def decode(value: Any, at: ValueContext) -> Map:
        if not isinstance(value, Map):
            raise Unfit("must be a mapping")
        result = Map(at=value.at)
        for key, item in value.items():
            where = value.place(key)
            below = None if item is None else _guard(of, item, at.below(key, where))
            if below is not _NOTHING:
                result.put(key, below, where)
        return result

    return decode


def struct_of(fields: dict[str, Field]) -> Decode:
    def decode(value: Any, at: ValueContext) -> Map:
        if not isinstance(value, Map):
            raise Unfit("must be a mapping")
        result = Map(at=value.at)
        for key in sorted(value):
            item, where = value[key], value.place(key)
            if key.startswith("x-"):
                result.put(key, item, where)
                continue
            field = fields.get(key)
            if field is None or (item is None and not field.null):
                continue
            if item is None:
                result.put(key, None, where)
                continue
            below = _guard(field.decode, item, at.below(key, where))
            if below is not _NOTHING and (field.keep or below or below is None):
                result.put(key, below, where)
        return result

    return decode


_NOTHING = object()


def _guard(decode: Decode, value: Any, at: ValueContext) -> Any:
    """The decoded value, or nothing and an error at its place."""
    try:
        return decode(value, at)
    except ValueError as error:
        at.problems.error(at.place, f"{'.'.join(at.path)}: {error}", "correct the value")
        at.problems.broken.add(".".join(at.path[:2]))
        return _NOTHING


def decode(
    kind: Decode, value: Any, place: Place, path: tuple[str, ...], problems: LoadProblems
) -> Map | None:
    """A service or resource in canonical types; None when it is no mapping at all. Errors go to
    `problems`.
    """
    result = _guard(kind, value, ValueContext(problems, place, path))
    return result if isinstance(result, Map) else None
