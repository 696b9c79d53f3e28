"""The generated projects themselves: whatever they never hold is never compared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from agent.compose.schema import SPECIFICATION
from tests.compose.strategies import RandomPick, project

Keys = tuple[str, ...]


class Loader(yaml.CSafeLoader):
    """Reads `!reset` and `!override` as nothing: what they stand on is seen elsewhere."""


Loader.add_multi_constructor("!", lambda loader, tag, node: None)


def forms(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A schema, resolved, and its alternatives."""
    while "$ref" in schema:
        schema = SPECIFICATION["$defs"][schema["$ref"].rpartition("/")[2]]
    yield schema
    for form in schema.get("oneOf", ()):
        yield from forms(form)


def below(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What a schema knows below itself: its keys, `*` for names and `[]` for items."""
    for form in forms(schema):
        yield from form.get("properties", {}).items()
        yield from (
            ("*", item)
            for pattern, item in form.get("patternProperties", {}).items()
            if item and pattern != "^x-"
        )
        if "items" in form:
            yield "[]", form["items"]


def declared(schema: dict[str, Any], path: Keys) -> Iterator[Keys]:
    for key, item in below(schema):
        yield (*path, key)
        yield from declared(item, (*path, key))


def written(value: Any, schema: dict[str, Any], path: Keys) -> Iterator[Keys]:
    known = list(below(schema))
    pairs = (
        value.items()
        if isinstance(value, dict)
        else (("[]", item) for item in value)
        if isinstance(value, list)
        else ()
    )
    for name, item in pairs:
        named = [(key, inner) for key, inner in known if key == name] or [
            pair for pair in known if pair[0] == "*" != name
        ]
        for key, inner in named:
            yield (*path, key)
            yield from written(item, inner, (*path, key))


def test_generated_projects_hold_every_key_of_the_schema() -> None:
    """Each key, in mappings and in items of lists, must be written by some project."""
    missing = set(declared(SPECIFICATION, ()))
    for seed in range(4000):
        for name, data in project(RandomPick(seed)).items():
            if name.endswith(".yaml"):
                missing -= set(written(yaml.load(data, Loader=Loader), SPECIFICATION, ()))
        if not missing:
            return
    assert sorted(missing) == []
