"""Resolves `include`: takes other projects' files into this one.

Rules: an included file is loaded as a project of its own, with its own directory and `.env`, and then its
resources are imported; the including file may override them by the merge rules; a resource that is included
twice is imported once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .document import Path
from .errors import ComposeError, LoadProblems, Place
from .extend import remove
from .merge import SPECIAL, merge, same
from .tree import List, Map

_KEYS = ("services", "volumes", "networks", "secrets", "configs", "models")


@dataclass(frozen=True, slots=True)
class Include:
    """One item: the first path is the project; the others override it. `env_files` is None if it is
    not set.
    """

    paths: tuple[str, ...]
    directory: str
    env_files: tuple[str, ...] | None
    place: Place


def include_entries(root: Map, problems: LoadProblems) -> list[Include]:
    listed = root.get("include")
    if listed is None:
        return []
    if not isinstance(listed, List):
        problems.error(
            root.place("include"), "`include` must be a list", "write each file as an item: `- path`"
        )
        return []
    result = []
    for item, place in listed.placed():
        try:
            result.append(_entry(item, place))
        except ComposeError as error:
            problems.add(error)
    return result


def _entry(item: Any, place: Place) -> Include:
    """One item of `include`. Raises ComposeError."""
    entry = Map([("path", item)], place) if isinstance(item, str) else item
    found = _mapping_entry(entry, place) if isinstance(entry, Map) else None
    if found is None:
        hint = "write the path, or a mapping with `path`"
        raise ComposeError("include: a path is expected", *place, hint=hint)
    return found


def _mapping_entry(item: Map, place: Place) -> Include | None:
    """The include that a mapping describes. None if a value has the wrong type."""
    for key in item:
        if key not in ("path", "project_directory", "env_file"):
            hint = "use path, project_directory and env_file"
            raise ComposeError(f"include: unknown key {key!r}", *item.place(key), hint=hint)
    paths = _texts(item.get("path"))
    env_files = _texts(item.get("env_file")) if item.get("env_file") is not None else ()
    directory = item.get("project_directory") or ""
    if not paths or env_files is None or not isinstance(directory, str):
        return None
    return Include(paths, directory, env_files or None, place)


def _texts(value: Any) -> tuple[str, ...] | None:
    items: Iterable[Any] = value if isinstance(value, List) else [value]
    texts = tuple(item for item in items if isinstance(item, str))
    return texts if len(texts) == (len(value) if isinstance(value, List) else 1) else None


def import_model(source: Map, target: Map, removed: list[Path], problems: LoadProblems) -> None:
    """Imports the resources of an included model into the including file's tree."""
    for section in _KEYS:
        found = source.get(section)
        if not isinstance(found, Map):
            continue
        if target.get(section) is None:
            target.put(section, Map(at=found.at), source.place(section))
        if not isinstance(target[section], Map):
            continue
        for name in found:
            try:
                _import_entry(section, name, found, target[section], removed)
            except ComposeError as error:
                problems.add(error)
                problems.broken.add(f"{section}.{name}")


def _import_entry(section: str, name: str, source: Map, into: Map, removed: list[Path]) -> None:
    """Imports one resource.

    section: the section: services, networks and so on
    name: its name in both
    source: the included section
    into: the section of the including file
    removed: the paths that the including file removes from included files
    """
    if name not in into:
        into.put(name, source[name], source.place(name))
    elif not same(source[name], into[name]):
        remove(source[name], removed, (section, name))
        into[name] = merge(source[name], into[name], into.place(name), SPECIAL.at(section, name))
