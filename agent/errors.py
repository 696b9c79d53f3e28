"""Errors are classified by what the loop does next; every message carries its remedy as a separate hint.

Rules:
1. Each edge (Git, Docker, files, children) turns foreign exceptions into `Transient` or `Stalled`, once,
   where they arise.
2. `message` names the object and what is wrong, with numbers; `hint` says what a person can do.
3. Neither ever holds a secret, file content or a URL with credentials.
4. Anything else that escapes is a bug and ends the process.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_CHANGES = 2  # plan and diff: there is something to do
EXIT_ROLLED_BACK = 4
EXIT_ROLLBACK_FAILED = 5
EXIT_HELD_BACK = 6
EXIT_TEMPORARY = 75  # EX_TEMPFAIL: try again
EXIT_STALLED = 78  # EX_CONFIG: needs a person or a new commit

# the remedy for a rejected release
CORRECT_IT = "push a commit that corrects or reverts the change; to try it again: limpet retry"


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a repository or in the settings, with its place and its remedy. `line` counts from 1; 0
    is the whole file.
    """

    file: str
    line: int
    message: str
    hint: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.message}" + (f"\n    hint: {self.hint}" if self.hint else "")


class LimpetError(Exception):
    """The base of all errors that the agent reports. `code` is a stable word for machines, `resource` a
    `kind/name` or empty, `place` where space is lacking or empty.
    """

    retryable = False
    exit_code = EXIT_FAILED

    def __init__(
        self, message: str, hint: str = "", *, code: str = "", resource: str = "", place: str = ""
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code or type(self).__name__
        self.resource = resource
        self.place = place

    def __str__(self) -> str:
        return self.message


class Transient(LimpetError):
    """The world did not answer; the same pass may succeed later. Retried with backoff, condemns no
    release.
    """

    retryable = True
    exit_code = EXIT_TEMPORARY


class Stalled(LimpetError):
    """Retrying cannot help: a person or a new commit is needed."""

    exit_code = EXIT_STALLED


class BadInput(Stalled):
    """The repository or the settings are wrong; holds every problem found, not only the first."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        first = self.problems[0]
        more = f" (and {len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
        where = f"{first.file}:{first.line}: " if first.line else f"{first.file}: "
        super().__init__(
            f"{where}{first.message}{more}",
            first.hint or "run `limpet validate` to see all problems",
            code="BadInput",
        )


class Failed(LimpetError):
    """An action of this release failed for good (a container that cannot start): the release is to blame."""


class HeldBack(LimpetError):
    """A release must not start now, because of a window; nobody is at fault. `again_in`: seconds until it
    may start.
    """

    retryable = True
    exit_code = EXIT_HELD_BACK

    def __init__(self, message: str, hint: str, again_in: float) -> None:
        super().__init__(message, hint)
        self.again_in = again_in


class Interrupted(LimpetError):
    """The pass was asked to stop (SIGTERM); the action at hand was finished. The next pass goes on."""

    retryable = True
    exit_code = EXIT_TEMPORARY
