"""Problems and their places."""

from __future__ import annotations

import pytest

from agent.compose import ComposeError, ComposeErrors, Place, Warning
from agent.compose.errors import LoadProblems


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ComposeError("m"), "m"),
        (ComposeError("m", "f"), "f: m"),
        (ComposeError("m", "f", 3), "f:3: m"),
        (ComposeError("m", "f", 3, 5), "f:3:5: m"),
        (ComposeError("m", "f", 3, 5, hint="h"), "f:3:5: m"),
        (Warning("m"), "m"),
        (Warning("m", "f", 2), "f:2: m"),
    ],
)
def test_a_problem_starts_with_its_place(error: object, text: str) -> None:
    """A problem must be told after as much of its place as is known."""
    assert str(error) == text


def test_what_is_not_known_of_an_error_is_empty() -> None:
    """An error must say all that its maker said, and nothing else."""
    bare, full = ComposeError("m"), ComposeError("m", "f", 3, 5, "h")
    assert (bare.message, bare.file, bare.line, bare.column, bare.hint) == ("m", "", 0, 0, "")
    assert (full.message, full.file, full.line, full.column, full.hint) == ("m", "f", 3, 5, "h")
    assert (bare.args, Warning("m")) == (("m",), Warning("m", "", 0))


def test_errors_are_sorted_by_place_and_message() -> None:
    """All errors must be told in the order of a person's reading."""
    order = [("a", 1, 1, "m"), ("a", 1, 1, "n"), ("a", 1, 2, "b"), ("a", 2, 1, "a"), ("b", 1, 1, "a")]
    shuffled = [order[index] for index in (4, 2, 0, 3, 1)]
    found = ComposeErrors([ComposeError(message, *place) for *place, message in shuffled])  # type: ignore[arg-type]
    assert str(found) == "a:1:1: m\na:1:1: n\na:1:2: b\na:2:1: a\nb:1:1: a"
    assert [str(error) for error in found.errors] == str(found).splitlines()


def test_problems_are_told_once_and_not_without_end() -> None:
    """The same message for the same line must be told once, a long one be cut, and only so many be told."""
    problems = LoadProblems()
    problems.raise_any()
    for place in (Place("f", 1, 1), Place("f", 1, 2), Place("f", 2, 1), Place("g", 1, 1)):
        problems.error(place, "m", "h")
        problems.warn(place, "w")
    problems.error(Place("f", 1), "n")
    problems.add(ComposeError("o", "f", 9, 8, "i"))
    assert [f"{error} | {error.hint}" for error in problems.errors] == [
        "f:1:1: m | h",
        "f:2:1: m | h",
        "g:1:1: m | h",
        "f:1: n | ",
        "f:9:8: o | i",
    ]
    assert [str(warning) for warning in problems.warnings] == ["f:1: w", "f:2: w", "g:1: w"]
    problems.error(Place("f", 3), "x" * 500)
    problems.error(Place("f", 4), "x" * 501)
    assert [error.message for error in problems.errors[-2:]] == ["x" * 500, "x" * 500 + "…"]
    for line in range(300):
        problems.error(Place("h", line), "m")
        problems.warn(Place("h", line), "w")
    assert (len(problems.errors), len(problems.warnings)) == (200, 200)
    with pytest.raises(ComposeErrors) as caught:
        problems.raise_any()
    assert len(caught.value.errors) == 200
