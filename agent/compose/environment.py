"""`env_file` and `label_file`: read, and laid below what the service sets itself.

Variables in an env file see the project's variables first, then the service's own environment, then the names
above.
"""

from __future__ import annotations

from collections.abc import Callable

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
    own = service.get("environment")
    own = own if isinstance(own, Map) else Map(at=service.at)
    for key, value in own.items():
        if value is None and key in environment:
            own[key] = environment[key]

    def lookup(name: str) -> str | None:
        value = environment.get(name)
        return own.get(name) if value is None else value

    known: dict[str, str] = {key: value for key, value in own.items() if value is not None}
    places: dict[str, Place] = {}
    for entry, where in _placed(service.get("env_file")):
        found = _read(entry.get("path"), entry.get("required", True), where, read, problems, "env_file")
        if found is None:
            continue
        try:
            _parse(entry.get("format", ""), *found, where, lookup, problems, known, places)
        except ComposeError as error:
            problems.add(error)
    merged = Map(at=own.at)
    for key in [*known, *own]:
        merged.put(key, own[key] if key in own else known[key], own.places.get(key, places.get(key, own.at)))
    if merged or "environment" in service:
        _put_sorted(service, "environment", merged)


def _parse(
    kind: str,
    file: str,
    data: bytes,
    where: Place,
    lookup: Lookup,
    problems: LoadProblems,
    known: dict[str, str],
    places: dict[str, Place],
) -> None:
    if kind == "raw":
        dotenv.parse_raw(file, data, known, places)
    elif kind in ("", ".env"):
        dotenv.parse_dotenv(file, data, lookup, problems, known, places)
    else:
        problems.error(
            where, f"the env_file format {kind!r} is not known", "leave `format` out, or write `raw`"
        )


def resolve_labels(service: Map, read: ReadFile, problems: LoadProblems) -> None:
    """Completes `labels` from the service's label files, in place."""
    labels = Map(at=service.at)
    for entry, where in _placed(service.get("label_file")):
        found = _read(entry, True, where, read, problems, "label_file")
        if found is not None:
            values: dict[str, str] = {}
            places: dict[str, Place] = {}
            try:
                dotenv.parse_dotenv(*found, labels.get, problems, values, places)
            except ComposeError as error:
                problems.add(error)
            for key, value in values.items():
                labels.put(key, value, places[key])
    own = service.get("labels")
    if isinstance(own, Map):
        for key, value in own.items():
            labels.put(key, value, own.place(key))
    if labels:
        _put_sorted(service, "labels", labels)


def _put_sorted(service: Map, key: str, value: Map) -> None:
    """Sets a key of a service whose keys are sorted, and keeps them so."""
    service.put(key, value, service.place(key))
    entries = sorted(service.items(), key=lambda entry: entry[0])
    service.clear()
    service.update(entries)


def _placed(value: object) -> list[tuple[Map, Place]]:
    return list(value.placed()) if isinstance(value, List) else []


def _read(
    path: object, required: bool, where: Place, read: ReadFile, problems: LoadProblems, key: str
) -> tuple[str, bytes] | None:
    if not isinstance(path, str) or not path:
        problems.error(where, f"the {key} has no path", "name the file")
        return None
    if is_host_path(path):
        if required:
            hint = "move it into the repository, or set `required: false`"
            problems.error(where, f"the {key} {path!r} is not in the repository", hint)
        return None
    try:
        return read(path, where, required)
    except ComposeError as error:
        problems.add(error)
        return None


def read_dotenv(
    path: str,
    data: bytes,
    environment: dict[str, str],
    problems: LoadProblems,
    known: dict[str, str],
    places: dict[str, Place] | None = None,
) -> None:
    """Lays the variables of a `.env` file over `known`; a syntax error is reported and leaves those above
    it.
    """

    def lookup(name: str) -> str | None:
        value = environment.get(name)
        return known.get(name) if value is None else value

    try:
        dotenv.parse_dotenv(path, data, lookup, problems, known, {} if places is None else places)
    except ComposeError as error:
        problems.add(error)
