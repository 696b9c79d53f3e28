"""Validates against the Compose Specification's JSON Schema (`compose-spec.json`, shipped as published).

It supports the part of JSON Schema that this schema uses, and reports every error with the path of its key.
If a value may have several forms, the errors of the intended form (the one of the same type) are reported.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PathStep = str | int
Found = tuple[tuple[PathStep, ...], str, str]

_NAMES = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "null": "nothing",
}


@dataclass(slots=True)
class SchemaRule:
    """One compiled schema."""

    types: tuple[str, ...] = ()
    properties: dict[str, SchemaRule] | None = None
    patterns: tuple[tuple[Callable[[str], Any], SchemaRule], ...] = ()
    additional: SchemaRule | None = None
    closed: bool = False
    required: tuple[str, ...] = ()
    items: SchemaRule | None = None
    unique: bool = False
    enum: tuple[Any, ...] = ()
    pattern: Callable[[str], Any] | None = None
    pattern_text: str = ""
    minimum: float | None = None
    maximum: float | None = None
    one_of: tuple[SchemaRule, ...] = ()


class _Compiler:
    def __init__(self, schema: dict[str, Any]) -> None:
        self.schema = schema
        self.refs: dict[str, SchemaRule] = {}

    def rule(self, schema: dict[str, Any]) -> SchemaRule:
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            if name not in self.refs:
                self.refs[name] = SchemaRule()
                self.fill(self.refs[name], self.schema["$defs"][name])
            return self.refs[name]
        rule = SchemaRule()
        self.fill(rule, schema)
        return rule

    def fill(self, rule: SchemaRule, schema: dict[str, Any]) -> None:
        types = schema.get("type", ())
        rule.types = (types,) if isinstance(types, str) else tuple(types)
        if "properties" in schema:
            rule.properties = {key: self.rule(below) for key, below in schema["properties"].items()}
        rule.patterns = tuple(
            (_search(pattern), self.rule(below))
            for pattern, below in schema.get("patternProperties", {}).items()
        )
        additional = schema.get("additionalProperties", True)
        rule.closed = additional is False
        rule.additional = self.rule(additional) if isinstance(additional, dict) else None
        rule.required = tuple(schema.get("required", ()))
        rule.items = self.rule(schema["items"]) if "items" in schema else None
        rule.unique = schema.get("uniqueItems", False)
        rule.enum = tuple(schema.get("enum", ()))
        rule.pattern_text = schema.get("pattern", "")
        rule.pattern = _search(rule.pattern_text) if rule.pattern_text else None
        rule.minimum, rule.maximum = schema.get("minimum"), schema.get("maximum")
        rule.one_of = tuple(self.rule(below) for below in schema.get("oneOf", ()))


def _search(pattern: str) -> Callable[[str], Any]:
    return re.compile(re.sub(r"\$$", r"\\Z", pattern)).search


SPECIFICATION: dict[str, Any] = json.loads((Path(__file__).parent / "compose-spec.json").read_bytes())
ROOT = _Compiler(SPECIFICATION).rule(SPECIFICATION)


def validate(value: Any, rule: SchemaRule = ROOT) -> Iterator[Found]:
    """Every error as (path, message, hint)."""
    return _errors(value, rule, ())


def _type(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "integer" if value.is_integer() else "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _accepts(rule: SchemaRule, kind: str) -> bool:
    return not rule.types or kind in rule.types or (kind == "integer" and "number" in rule.types)


def _errors(value: Any, rule: SchemaRule, path: tuple[PathStep, ...]) -> Iterator[Found]:
    kind = _type(value)
    if isinstance(value, float) and not math.isfinite(value):
        yield (
            path,
            "infinity and NaN are not allowed here",
            "write a finite number, or quote the text",
        )
        return
    if rule.types and not _accepts(rule, kind):
        yield path, f"must be {_or(rule.types)}, not {_NAMES[kind]}", _quote_hint(rule.types, kind)
        return
    if rule.one_of:
        yield from _forms(value, kind, rule.one_of, path)
    if rule.enum and value not in rule.enum:
        yield path, f"must be one of {', '.join(map(str, rule.enum))}", "choose one of them"
    check = _CHECKS.get(kind)
    if check is not None:
        yield from check(value, rule, path)


def _text(value: str, rule: SchemaRule, path: tuple[PathStep, ...]) -> Iterator[Found]:
    if rule.pattern is not None and not rule.pattern(value):
        yield path, f"{value!r} does not match {rule.pattern_text}", "write it in that form"


def _number(value: float, rule: SchemaRule, path: tuple[PathStep, ...]) -> Iterator[Found]:
    if rule.minimum is not None and value < rule.minimum:
        yield path, f"must be at least {rule.minimum}, not {value}", "raise it"
    if rule.maximum is not None and value > rule.maximum:
        yield path, f"must be at most {rule.maximum}, not {value}", "lower it"


def _object(value: dict[str, Any], rule: SchemaRule, path: tuple[PathStep, ...]) -> Iterator[Found]:
    for key, item in value.items():
        rules = _rules_of(key, rule)
        for below in rules:
            yield from _errors(item, below, (*path, key))
        if not rules and rule.closed:
            known = rule.properties or {}
            yield (*path, key), *_unknown(key, known, bool(rule.patterns) and not known)
    for key in rule.required:
        if key not in value:
            yield path, f"the key {key!r} is missing", f"add `{key}:`"


def _rules_of(key: str, rule: SchemaRule) -> list[SchemaRule]:
    """The rules for the value of a key; empty if the key is unknown or may have any value."""
    named = rule.properties.get(key) if rule.properties is not None else None
    found = [below for search, below in rule.patterns if search(key)]
    if named is not None:
        found.insert(0, named)
    return found if found or rule.additional is None else [rule.additional]


def _array(value: list[Any], rule: SchemaRule, path: tuple[PathStep, ...]) -> Iterator[Found]:
    if rule.items is not None:
        for index, item in enumerate(value):
            yield from _errors(item, rule.items, (*path, index))
    if rule.unique and len(value) > 1:
        for index in _repeated(value):
            yield (*path, index), "the item is already in the list", "remove one of the two"


def _repeated(items: list[Any]) -> Iterator[int]:
    """The indexes of items that occur earlier in the list.

    For the reference loader a number equals the same number in quotes before it, but not after it.
    """
    seen: set[str] = set()
    for index, item in enumerate(items):
        number = isinstance(item, int | float) and not isinstance(item, bool)
        text = json.dumps(float(item) if number else item, sort_keys=True)
        if text in seen or (number and {f'"{item}"', f'"{int(item)}"'} & seen):
            yield index
        seen.add(text)


_CHECKS: dict[str, Callable[[Any, SchemaRule, tuple[PathStep, ...]], Iterator[Found]]] = {
    "object": _object,
    "array": _array,
    "string": _text,
    "integer": _number,
    "number": _number,
}


def _forms(
    value: Any, kind: str, forms: tuple[SchemaRule, ...], path: tuple[PathStep, ...]
) -> Iterator[Found]:
    attempts = [list(_errors(value, form, path)) for form in forms]
    matching = sum(not found for found in attempts)
    if matching == 1:
        return
    if matching > 1:
        yield path, "fits more than one form of this key", "use one form"
        return
    meant = [
        found
        for form, found in zip(forms, attempts, strict=True)
        if _accepts(form, kind) or any(f[0] != path for f in found)
    ]
    if meant:
        yield from max(meant, key=lambda found: max(len(error[0]) for error in found))
        return
    types = tuple(dict.fromkeys(name for form in forms for name in form.types))
    yield path, f"must be {_or(types)}, not {_NAMES[kind]}", _quote_hint(types, kind)


def _or(types: tuple[str, ...]) -> str:
    names = [_NAMES[name] for name in types]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _quote_hint(types: tuple[str, ...], kind: str) -> str:
    if "string" in types and kind in ("integer", "number", "boolean"):
        return "put it in quotes"
    return "see the Compose Specification for the forms of this key"


def _unknown(key: str, known: dict[str, SchemaRule], names: bool) -> tuple[str, str]:
    if names:
        return f"the name {key!r} is not allowed", "use letters, digits, dots, dashes and underscores"
    from difflib import get_close_matches

    close = get_close_matches(key, known, 1)
    hint = f"did you mean {close[0]!r}?" if close else "remove it; keys of your own start with x-"
    return f"unknown key {key!r}", hint
