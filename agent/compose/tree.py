"""Mappings and lists that know the places of their entries, and rules that apply to paths in them.

A scalar has no place of its own: its container keeps it. Code that moves an entry moves its place too, so
places survive merging, extending and expanding short forms.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Generic, TypeVar

from .errors import Place

NOWHERE = Place("")


class Map(dict[str, Any]):
    """A mapping. `at` is its own place; `places` has the places of its keys."""

    __slots__ = ("at", "places")

    def __init__(self, entries: Iterable[tuple[str, Any]] = (), at: Place = NOWHERE) -> None:
        super().__init__(entries)
        self.at = at
        self.places: dict[str, Place] = {}

    def put(self, key: str, value: Any, place: Place) -> None:
        self[key] = value
        self.places[key] = place

    def place(self, key: str) -> Place:
        return self.places.get(key, self.at)


class List(list[Any]):
    """A list. `at` is its own place; `places` has the place of each item."""

    __slots__ = ("at", "places")

    def __init__(
        self, items: Iterable[Any] = (), at: Place = NOWHERE, places: list[Place] | None = None
    ) -> None:
        super().__init__(items)
        self.at = at
        self.places = [at] * len(self) if places is None else places

    def add(self, item: Any, place: Place) -> None:
        self.append(item)
        self.places.append(place)

    def placed(self) -> Iterator[tuple[Any, Place]]:
        return zip(self, self.places, strict=True)


def copy(value: Any) -> Any:
    """A deep copy that keeps places."""
    if isinstance(value, Map):
        twin = Map(((key, copy(item)) for key, item in value.items()), value.at)
        twin.places = dict(value.places)
        return twin
    if isinstance(value, List):
        return List((copy(item) for item in value), value.at, list(value.places))
    return value


def place_of(root: Any, path: Iterable[str | int]) -> Place:
    """The best known place of a path: the place of the deepest entry that exists."""
    node, best = root, getattr(root, "at", NOWHERE)
    for part in path:
        if isinstance(node, Map) and part in node:
            best, node = node.place(str(part)), node[str(part)]
        elif isinstance(node, List) and isinstance(part, int) and -len(node) <= part < len(node):
            best, node = node.places[part], node[part]
        else:
            break
    return best


Value = TypeVar("Value")


class Rules(Generic[Value]):
    """Values by path pattern, such as `services.*.ports`. `*` matches any key or item; `[]` matches a list
    item.

    Rules are walked step by step along with a tree, so that a lookup costs one dictionary access.
    """

    __slots__ = ("_any", "_next", "value")

    def __init__(self, patterns: dict[str, Value] | None = None) -> None:
        self.value: Value | None = None
        self._next: dict[str, Rules[Value]] = {}
        self._any: Rules[Value] | None = None
        for pattern, value in (patterns or {}).items():
            self._add(pattern.split("."), value)
        self._spread()

    def _add(self, parts: list[str], value: Value) -> None:
        node = self
        for part in parts:
            if part == "*":
                node._any = node._any or Rules()
                node = node._any
            else:
                node = node._next.setdefault(part, Rules())
        node.value = value

    def _spread(self) -> None:
        """Copies the subtree of `*` into every named sibling, so that a step needs a single lookup."""
        for child in self._next.values():
            if self._any is not None:
                child._under(self._any)
            child._spread()
        if self._any is not None:
            self._any._spread()

    def _under(self, other: Rules[Value]) -> None:
        if self.value is None:
            self.value = other.value
        for part, child in other._next.items():
            self._next.setdefault(part, Rules())._under(child)
        if other._any is not None:
            self._any = self._any or Rules()
            self._any._under(other._any)

    def step(self, part: str) -> Rules[Value] | None:
        return self._next.get(part, self._any)

    def at(self, *parts: str) -> Rules[Value] | None:
        node: Rules[Value] | None = self
        for part in parts:
            node = node.step(part) if node is not None else None
        return node
