"""Errors and warnings of a project with their places, and the collector of one load.

Every error has a place in a file. Loading continues after an error as far as possible, so that a person sees
all of them at once. A project with an error is never returned, not even in part.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

MAX_SHOWN = 200
MAX_MESSAGE = 500


class Place(NamedTuple):
    """Where something was written. Lines and columns start at 1; 0 means the file as a whole."""

    file: str
    line: int = 0
    column: int = 0


class ComposeError(Exception):
    """One problem, its place, and a hint that says what to do about it. A line or column of 0 is
    not known.
    """

    def __init__(self, message: str, file: str = "", line: int = 0, column: int = 0, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.file, self.line, self.column, self.hint = message, file, line, column, hint

    def __str__(self) -> str:
        where = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        return f"{where}: {self.message}" if where else self.message


class ComposeErrors(Exception):
    """All problems of a project, sorted by file and line. `errors` is never empty."""

    def __init__(self, errors: list[ComposeError]) -> None:
        self.errors = tuple(sorted(errors, key=lambda e: (e.file, e.line, e.column, e.message)))
        super().__init__("\n".join(str(error) for error in self.errors))


@dataclass(frozen=True, slots=True)
class Warning:
    """Something that Compose accepts, but a person should look at."""

    message: str
    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}" if self.file else self.message


@dataclass(slots=True)
class Blamed:
    """The variables that left nothing where they stand: the place of a value -> name -> `not set` or `empty`.
    `within` has the same for the mappings and lists that such a value lies in.
    """

    at: dict[Place, dict[str, str]] = field(default_factory=dict)
    within: dict[Place, dict[str, str]] = field(default_factory=dict)

    def told(self, place: Place, message: str, hint: str) -> tuple[str, str]:
        """A message and hint about what is at a place, with the variables that left nothing in it."""
        names = self.at.get(place) or self.within.get(place)
        if not names:
            return message, hint
        shown = " and ".join(f"${{{name}}}" for name in names)
        verb, why = "is" if len(names) == 1 else "are", " or ".join(sorted(set(names.values()), reverse=True))
        remedy = (
            f"set {' and '.join(names)} in the .env file beside the Compose file, or write ${{NAME:-default}}"
        )
        if place in self.at:
            return f"{message}, after {shown}, which {verb} {why}", remedy
        return f"{message}; in it, {shown} {verb} {why}", f"{remedy}; or {hint}" if hint else remedy


@dataclass(slots=True)
class LoadProblems:
    """Collects the errors and warnings of one load without duplicates.

    `broken` holds the paths of entries with an error, such as `services.web`. They are not checked further,
    because follow-up errors would mislead. `blamed` holds the variables that left nothing in a value.
    """

    errors: list[ComposeError] = field(default_factory=list)
    warnings: list[Warning] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    blamed: Blamed = field(default_factory=Blamed)
    _seen: set[tuple[str, str, int]] = field(default_factory=set)

    def blame(self, name: str, why: str, place: Place, above: Iterable[Place] = ()) -> None:
        """Notes a variable that left nothing in the value at a place. `why`: it is `not set`, or `empty`.
        `above`: what the value lies in.
        """
        self.blamed.at.setdefault(place, {})[name] = why
        for each in above:
            self.blamed.within.setdefault(each, {})[name] = why

    def error(self, place: Place, message: str, hint: str = "", of_key: bool = False) -> None:
        """Adds an error about the value at a place; `of_key`: about its key, whatever the value is."""
        if not of_key:
            message, hint = self.blamed.told(place, message, hint)
        if len(message) > MAX_MESSAGE:
            message = f"{message[:MAX_MESSAGE]}…"
        if len(self.errors) < MAX_SHOWN and self._new(message, place):
            self.errors.append(ComposeError(message, place.file, place.line, place.column, hint))

    def add(self, error: ComposeError) -> None:
        self.error(Place(error.file, error.line, error.column), error.message, error.hint)

    def warn(self, place: Place, message: str) -> None:
        if len(self.warnings) < MAX_SHOWN and self._new(message, place):
            self.warnings.append(Warning(message, place.file, place.line))

    def _new(self, message: str, place: Place) -> bool:
        key = (message, place.file, place.line)
        if key in self._seen:
            return False
        self._seen.add(key)
        return True

    def raise_any(self) -> None:
        if self.errors:
            raise ComposeErrors(self.errors)
