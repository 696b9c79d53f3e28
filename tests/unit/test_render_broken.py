"""Each repository of `tests/broken` is refused with all that is wrong with it: file, line, message and remedy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.__main__ import main
from tests.harness import broken


@pytest.mark.parametrize("name", broken.names())
def test_broken_repository(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`validate` must tell every problem with its place and remedy, say how many they are, and exit 1."""
    repo = broken.materialise(name, tmp_path)
    wanted = broken.expected(name)
    code = main(["validate", "--repo", str(repo), "--host", "web-01", *broken.arguments(name)])
    output = capsys.readouterr().out
    assert code == 1
    for problem in wanted:
        assert str(problem) in output
    assert len(wanted) >= 1
    count = re.search(r"^(\d+) problems? \(host web-01\)$", output, re.MULTILINE)
    assert count is not None
    assert int(count[1]) == len(wanted), output


def test_every_problem_has_a_remedy() -> None:
    """No problem may be told without a hint."""
    for name in broken.names():
        assert all(problem.hint for problem in broken.expected(name)), name


def test_there_are_enough_of_them() -> None:
    """The contract asks for at least thirty broken repositories."""
    assert len(broken.names()) >= 30
