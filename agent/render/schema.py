"""Reads Limpet's own YAML files (`fleet.yaml`, `layer.yaml`). Every value is checked; every problem has a
line.

The loader is that of `agent.compose`, so places, limits and duplicate keys are treated the same everywhere.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from agent.compose.document import parse_yaml
from agent.compose.errors import Place
from agent.compose.limits import Budget, OverBudget
from agent.compose.scalars import Timestamp, duration_ns
from agent.compose.tree import List, Map
from agent.render.problems import Problems, Wrong, did_you_mean
from agent.render.tree import Tree

MAX_YAML = 256 << 10  # bytes


def yaml_bound(path: str, data: bytes) -> None:
    """Raises Wrong for a YAML file that is too large to be configuration."""
    if len(data) > MAX_YAML:
        raise Wrong(
            path,
            0,
            f"has {len(data)} bytes; the limit of a YAML file is {MAX_YAML >> 10} KiB",
            "split it, or keep data in files of its own",
        )


def read_yaml(tree: Tree, path: str, problems: Problems) -> Map | None:
    """The mapping in a YAML file; None if the file does not exist, or if it has errors, which are
    collected.
    """
    with problems.collect():
        data = tree.read(path)
        if data is None:
            return None
        yaml_bound(path, data)
        try:
            documents = parse_yaml(path, data, Budget())
        except OverBudget as over:
            raise over.error from None
        if len(documents) > 1:
            raise Wrong(
                path, 0, f"has {len(documents)} YAML documents; it must have one", "remove the --- lines"
            )
        root = documents[0].root if documents else None
        if root is None:
            return Map(at=Place(path, 1))
        if not isinstance(root, Map):
            raise Wrong(path, 1, f"must be a mapping, not {kind_of(root)}", "write key: value lines")
        return root
    return None


def kind_of(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if isinstance(value, int | float):
        return f"the number {value}"
    return {"str": "text", "Timestamp": "text", "Map": "a mapping", "List": "a list"}.get(
        type(value).__name__, "this"
    )


def without_places(value: Any) -> Any:
    """The value without places: plain dicts, lists and scalars."""
    if isinstance(value, Map):
        return {key: without_places(item) for key, item in value.items()}
    if isinstance(value, List):
        return [without_places(item) for item in value]
    if isinstance(value, Timestamp):
        return str(value).removesuffix(" 00:00:00 +0000 UTC")
    return value


def merged(below: Any, above: Any) -> Any:
    """Merges mappings deeply. Any other value of `above` replaces that of `below`."""
    if isinstance(below, dict) and isinstance(above, dict):
        return {
            **below,
            **{key: merged(below.get(key), item) if key in below else item for key, item in above.items()},
        }
    return above


def host_path(text: str) -> str | None:
    """An absolute host path in canonical form; None if the text is not one."""
    if not text.startswith("/") or "\0" in text or ".." in text.split("/"):
        return None
    return "/" + posixpath.normpath(text).strip("/")


@dataclass(frozen=True, slots=True)
class Section:
    """One mapping that is being read. Messages call it `what` (such as `checks.shop`), and its file
    `shown(file)`.
    """

    map: Map
    what: str
    problems: Problems
    shown: Callable[[str], str] = str

    def place(self, key: str) -> Place:
        return self.map.place(key)

    def wrong(self, key: str, message: str, hint: str = "") -> None:
        place = self.place(key)
        self.problems.add(self.shown(place.file), place.line, message, hint)

    def name(self, key: str) -> str:
        return f"{self.what}.{key}" if self.what else key

    def known(self, *keys: str) -> None:
        """Reports every key that is not one of these."""
        for key in self.map:
            if key not in keys:
                self.wrong(key, f"unknown key {self.name(key)}", did_you_mean(key, keys))

    def text(self, key: str, default: str = "") -> str:
        value = self.map.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            self.wrong(key, f"{self.name(key)} must be text, not {kind_of(value)}", "put it in quotes")
            return default
        return str(value)

    def truth(self, key: str, default: bool = False) -> bool:
        value = self.map.get(key, default)
        if not isinstance(value, bool):
            self.wrong(
                key, f"{self.name(key)} must be true or false, not {kind_of(value)}", "write true or false"
            )
            return default
        return value

    def integer(self, key: str, default: int, low: int, high: int) -> int:
        value = self.map.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.wrong(
                key,
                f"{self.name(key)} must be a whole number, not {value!r}",
                f"use a number from {low} to {high}",
            )
            return default
        return value

    def seconds(self, key: str, default: float) -> float:
        value = self.map.get(key)
        if value is None:
            return default
        try:
            found = duration_ns(value) / 1e9 if isinstance(value, str) else -1.0
        except ValueError:
            found = -1.0
        if found <= 0:
            self.wrong(
                key,
                f"{self.name(key)} must be a duration, not {value!r}",
                "write a number and a unit: 10s, 1m30s",
            )
            return default
        return found

    def choice(self, key: str, default: str, *choices: str) -> str:
        value = self.text(key, default)
        if value not in choices:
            self.wrong(
                key,
                f"{self.name(key)} must be {' or '.join(choices)}, not {value!r}",
                did_you_mean(value, choices),
            )
            return default
        return value

    def section(self, key: str) -> Section:
        """The mapping at `key`; an empty one if it is missing or not a mapping."""
        value = self.map.get(key)
        if value is None or not isinstance(value, Map):
            if value is not None:
                self.wrong(
                    key,
                    f"{self.name(key)} must be a mapping, not {kind_of(value)}",
                    "write key: value lines below it",
                )
            value = Map(at=self.place(key))
        return Section(value, self.name(key), self.problems, self.shown)

    def sections(self) -> Iterator[tuple[str, Section]]:
        """Every entry as a section of its own."""
        for key in self.map:
            yield key, self.section(key)

    def items(self, key: str) -> list[tuple[Any, Place]]:
        """The items of a list with their places; a single value counts as a list of one."""
        value = self.map.get(key)
        if value is None:
            return []
        return list(value.placed()) if isinstance(value, List) else [(value, self.place(key))]
