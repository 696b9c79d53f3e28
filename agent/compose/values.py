"""Decodes values into their canonical form: text, numbers, sizes, durations, lists, mappings and structures.

A decoder returns the canonical form of a value, or raises ValueError with the problem. Structures report the
errors of their keys, each at its own place, and continue.
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
    """A value is not valid for its key; the text says why."""


@dataclass(frozen=True, slots=True)
class ValueContext:
    """The place and path of a value, for errors."""

    problems: LoadProblems
    place: Place
    path: tuple[str, ...]

    def below(self, key: str, place: Place) -> ValueContext:
        return ValueContext(self.problems, place, (*self.path, key))


Decode = Callable[[Any, ValueContext], Any]


@dataclass(frozen=True, slots=True)
class Field:
    """The decoder of a key. `keep`: a zero value is kept. `null`: an explicit null is kept."""

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
        raise Unfit(f"must not be negative, but is {number}")
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
        if isinstance(value, Map):
            result = Map(at=at.place)
            for key, item in value.items():
                result.put(key, blank if item is None else show(item), value.place(key))
            return result
        if isinstance(value, List):
            return _pairs(value, blank, at.place)
        raise Unfit("must be a mapping or a list of KEY=VALUE")

    return decode


def _pairs(items: List, blank: str | None, at: Place) -> Map:
    """A list of KEY=VALUE and KEY as a mapping."""
    result = Map(at=at)
    for item, where in items.placed():
        key, equals, text = show(item).partition("=")
        if blank is None and key and key[-1].isspace():
            raise Unfit(f"the name {key!r} ends with a space")
        result.put(key, text if equals else blank, where)
    return result


def as_options(value: Any, at: ValueContext) -> Map:
    if not isinstance(value, Map):
        raise Unfit("must be a mapping")
    return pairs_of("")(value, at)  # type: ignore[no-any-return]


def as_hosts(value: Any, at: ValueContext) -> List:
    """`host=address`, sorted; one entry for each address."""
    found = []
    for host, address in _host_pairs(value, at):
        if not host or ":" in host or "=" in host:
            raise Unfit(f"{host!r} is not a host name")
        bracketed = len(address) > 2 and address.startswith("[") and address.endswith("]")
        found.append(f"{host}={address[1:-1] if bracketed else address}")
    return List(sorted(found), at=at.place)


def _host_pairs(value: Any, at: ValueContext) -> list[tuple[str, str]]:
    """The hosts and addresses of a mapping, or of a list of HOST=ADDRESS."""
    if isinstance(value, Map):
        entries = [(host, _addresses(item)) for host, item in value.items()]
    else:
        entries = [_host_entry(item) for item in as_shown(value, at)]
    return [(host, address) for host, addresses in entries for address in addresses]


def _addresses(value: Any) -> list[str]:
    items = value if isinstance(value, List) else [value]
    return ["" if item is None else show(item) for item in items]


def _host_entry(item: str) -> tuple[str, list[str]]:
    host, found, addresses = item.partition("=" if "=" in item else ":")
    if not found:
        raise Unfit(f"{item!r} has no address")
    return host, addresses.split(",")


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
    """A list without duplicates."""

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
    """A mapping with known keys. Extensions stay as they are; other unknown keys are dropped."""
    return lambda value, at: _struct(fields, value, at)


def _struct(fields: dict[str, Field], value: Any, at: ValueContext) -> Map:
    if not isinstance(value, Map):
        raise Unfit("must be a mapping")
    result = Map(at=value.at)
    for key in sorted(value):
        where = value.place(key)
        field = _EXTENSION if key.startswith("x-") else fields.get(key)
        item = _NOTHING if field is None else _field(field, value[key], at.below(key, where))
        if item is not _NOTHING:
            result.put(key, item, where)
    return result


def _field(field: Field, value: Any, at: ValueContext) -> Any:
    """The decoded value of a key, or _NOTHING if it is left out."""
    if field is _EXTENSION:
        return value
    if value is None:
        return None if field.null else _NOTHING
    decoded = _guard(field.decode, value, at)
    return decoded if field.keep or decoded or decoded is None else _NOTHING


_NOTHING = object()
_EXTENSION = Field(as_is)


def _guard(decode: Decode, value: Any, at: ValueContext) -> Any:
    """The decoded value; _NOTHING, and an error at its place, if it is not valid."""
    try:
        return decode(value, at)
    except ValueError as error:
        at.problems.error(at.place, f"{'.'.join(at.path)}: {error}", "correct the value")
        at.problems.broken.add(".".join(at.path[:2]))
        return _NOTHING


def decode(
    kind: Decode, value: Any, place: Place, path: tuple[str, ...], problems: LoadProblems
) -> Map | None:
    """A service or resource in canonical form; None if it is not a mapping.

    kind: the decoder of the service or resource
    value: the value as it is written
    place: its place
    path: its section and name
    problems: collects errors
    """
    result = _guard(kind, value, ValueContext(problems, place, path))
    return result if isinstance(result, Map) else None
