"""Collects all problems of one rendering, so that a person sees them at once, each with its place and
remedy.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable

from agent.compose.errors import ComposeError, ComposeErrors
from agent.errors import BadInput, Problem
from agent.render.tree import EntryRefused

MAX_SHOWN = 500  # a broken generator can cause thousands


class Wrong(Exception):
    """One problem that stops the work on one item. The rest continues."""

    def __init__(self, file: str, line: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.problem = Problem(file, line, message, hint)


class _Collect:
    def __init__(self, problems: Problems) -> None:
        self._problems = problems

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        return self._problems.keep(error)


class Problems:
    """Collects errors and warnings. With `strict`, a warning is an error."""

    def __init__(self, strict: bool = False) -> None:
        self.strict = strict
        self._errors: dict[tuple[str, int, str], Problem] = {}
        self._warnings: dict[str, None] = {}

    def add(self, file: str, line: int, message: str, hint: str = "") -> None:
        if len(self._errors) < MAX_SHOWN:
            self._errors.setdefault((file, line, message), Problem(file, line, message, hint))

    def warn(self, file: str, line: int, message: str, hint: str = "") -> None:
        if self.strict:
            self.add(file, line, message, hint)
        else:
            self._warnings.setdefault(str(Problem(file, line, message, hint)))

    @property
    def errors(self) -> list[Problem]:
        return [self._errors[key] for key in sorted(self._errors)]

    @property
    def warnings(self) -> tuple[str, ...]:
        return tuple(sorted(self._warnings))

    def collect(self) -> _Collect:
        """A context manager that ends its block at the first problem, and collects it."""
        return _Collect(self)

    def keep(
        self,
        error: BaseException | None,
        shown: Callable[[str], str] = str,
        hinted: Callable[[ComposeError], str] = lambda error: error.hint,
    ) -> bool:
        """Collects the problems of an exception. False if it is not one of ours.

        `shown`: turns a Compose file into the path to show. `hinted`: the hint for an error in it.
        """
        if isinstance(error, EntryRefused):
            self.add(error.path, error.line, error.message, error.hint)
        elif isinstance(error, Wrong):
            self.add(error.problem.file, error.problem.line, error.problem.message, error.problem.hint)
        elif isinstance(error, ComposeError | ComposeErrors):
            for each in error.errors if isinstance(error, ComposeErrors) else (error,):
                self.add(shown(each.file), each.line, each.message, hinted(each))
        else:
            return False
        return True

    def raise_any(self) -> None:
        if self._errors:
            raise BadInput(self.errors)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`did you mean X?`, or the list of known words; empty if there are none."""
    words = sorted(set(known))
    close = difflib.get_close_matches(word, words, 1, 0.6)
    if close:
        return f"did you mean {close[0]}?"
    return f"known here: {', '.join(words[:20])}{', …' if len(words) > 20 else ''}" if words else ""
