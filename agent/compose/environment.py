"""Reads `env_file` and `label_file`. Values that the service sets itself take precedence.

A variable in an env file is looked up first in the project's variables, then in the service's own
environment, then in the lines above.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import dotenv
from .errors import ComposeError, LoadProblems, Place
from .interpolate import Lookup
from .paths import is_host_path
from .tree import List, Map

ReadFile = Callable[[str, Place, bool], tuple[str, bytes] | None]


def resolve_environment(
    service: Map, environment: dict[str, str], read: ReadFile, problems: LoadProblems
) -> None:
    """Completes `environment` from the project's variables and the service's env files, in place."""
    own = _own_environment(service, environment)

    def lookup(name: str) -> str | None:
        value = environment.get(name)
        return own.get(name) if value is None else value

    known = Map(((key, value) for key, value in own.items() if value is not None), own.at)
    for entry, where in _placed(service.get("env_file")):
        _parse_env_file(entry, where, _Files(read, problems, "env_file"), lookup, known)
    merged = Map(at=own.at)
    for key in [*known, *own]:
        merged.put(key, own.get(key, known.get(key)), own.places.get(key, known.place(key)))
    if merged or "environment" in service:
        _put_sorted(service, "environment", merged)


def _own_environment(service: Map, environment: dict[str, str]) -> Map:
    """The environment that the service sets itself; names without a value take the project's."""
    found = service.get("environment")
    own = found if isinstance(found, Map) else Map(at=service.at)
    for key, value in own.items():
        if value is None and key in environment:
            own[key] = environment[key]
    return own


def _parse_env_file(entry: Map, where: Place, files: _Files, lookup: Lookup, known: Map) -> None:
    """Adds the variables of one env file to `known`, and reports errors.

    entry: the item of `env_file`
    where: the place of the item
    files: reads the file
    lookup: looks up variables that take precedence over `known`
    known: the variables so far
    """
    kind = entry.get("format", "")
    try:
        found = files.get(entry.get("path"), where, entry.get("required", True))
        if found is None:
            return
        if kind == "raw":
            dotenv.parse_raw(*found, known)
        elif kind in ("", ".env"):
            dotenv.parse_dotenv(*found, lookup, files.problems, known)
        else:
            hint = "leave `format` out, or write `raw`"
            files.problems.error(where, f"the env_file format {kind!r} is not known", hint)
    except ComposeError as error:
        files.problems.add(error)


def resolve_labels(service: Map, read: ReadFile, problems: LoadProblems) -> None:
    """Completes `labels` from the service's label files, in place."""
    labels = Map(at=service.at)
    files = _Files(read, problems, "label_file")
    for entry, where in _placed(service.get("label_file")):
        values = Map()
        try:
            if found := files.get(entry, where):
                dotenv.parse_dotenv(*found, labels.get, problems, values)
        except ComposeError as error:
            problems.add(error)
        _put_all(labels, values)
    own = service.get("labels")
    if isinstance(own, Map):
        _put_all(labels, own)
    if labels:
        _put_sorted(service, "labels", labels)


def _put_all(into: Map, entries: Map) -> None:
    for key, value in entries.items():
        into.put(key, value, entries.place(key))


def _put_sorted(service: Map, key: str, value: Map) -> None:
    """Sets a key of a service, and keeps its keys sorted."""
    service.put(key, value, service.place(key))
    entries = sorted(service.items(), key=lambda entry: entry[0])
    service.clear()
    service.update(entries)


def _placed(value: object) -> list[tuple[Map, Place]]:
    return list(value.placed()) if isinstance(value, List) else []


@dataclass(frozen=True, slots=True)
class _Files:
    """Reads the files that a service names under `key`."""

    read: ReadFile
    problems: LoadProblems
    key: str

    def get(self, path: object, where: Place, required: bool = True) -> tuple[str, bytes] | None:
        """The path and content of a file. None if it is optional and missing, or if the problem is reported.
        Raises ComposeError.
        """
        if not isinstance(path, str) or not path:
            self.problems.error(where, f"the {self.key} has no path", "name the file")
            return None
        if not is_host_path(path):
            return self.read(path, where, required)
        if required:
            hint = "move it into the repository, or set `required: false`"
            self.problems.error(where, f"the {self.key} {path!r} is not in the repository", hint)
        return None


def read_dotenv(
    path: str, data: bytes, environment: dict[str, str], problems: LoadProblems, known: Map
) -> None:
    """Adds the variables of a `.env` file to `known`. A syntax error is reported, and the lines above it
    count.

    path: the file
    data: its content
    environment: the variables that take precedence over `known`
    problems: collects errors and warnings
    known: the variables so far
    """

    def lookup(name: str) -> str | None:
        value = environment.get(name)
        return known.get(name) if value is None else value

    try:
        dotenv.parse_dotenv(path, data, lookup, problems, known)
    except ComposeError as error:
        problems.add(error)
