"""Each repository of `tests/broken` is refused with all that is wrong with it: file, line, message and
remedy.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from agent.__main__ import main
from agent.errors import BadInput
from agent.render.assembly import RenderContext
from agent.render.child import handle_render
from agent.render.directory import DirTree
from agent.render.facts import gather
from agent.render.render import render
from tests.harness import broken
from tests.harness.broken import Expected

TOLD = re.compile(r"^(?!warning: )([^\s:]+)(?::(\d+))?: (.+)\n    hint: (.+)$", re.MULTILINE)


@pytest.mark.parametrize("name", broken.names())
def test_broken_repository(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`validate` must tell every problem with its place and remedy, say how many they are, and exit 1."""
    repo = broken.materialise(name, tmp_path)
    wanted = broken.expected(name)
    code = main(["validate", "--repo", str(repo), "--host", "web-01", *broken.arguments(name)])
    output = capsys.readouterr().out
    assert code == 1
    told = [Expected(found[1], int(found[2] or 0), found[3], found[4]) for found in TOLD.finditer(output)]
    for problem in wanted:
        assert any(problem.is_told_by(found) for found in told), f"{problem}\n\nis not among\n\n{output}"
    assert len(wanted) == len(told) >= 1, output
    count = re.search(r"^(\d+) problems? \(host web-01\)$", output, re.MULTILINE)
    assert count is not None
    assert int(count[1]) == len(wanted), output


@pytest.mark.parametrize("name", [name for name in broken.names() if not broken.arguments(name)])
def test_a_host_says_what_validate_says(name: str, tmp_path: Path) -> None:
    """The render child of a host must tell of the commit exactly what `validate` tells of the checkout."""
    repo = broken.materialise(name, tmp_path)
    facts = gather() | {"hostname": "web-01"}
    context: dict[str, Any] = {
        "host": "web-01",
        "labels": {},
        "facts": facts,
        "root": "/",
        "repo_name": "fleet",
        "strict": False,
    }
    with pytest.raises(BadInput) as here:
        render(DirTree(repo), RenderContext(**context))
    with pytest.raises(BadInput) as there:
        handle_render(
            {"git_dir": str(repo / ".git"), "commit": broken.commit(repo), "path": ".", "context": context}
        )
    assert there.value.problems == here.value.problems
    assert there.value.exit_code == 78


def test_every_problem_has_a_remedy() -> None:
    """No problem may be told without a hint."""
    for name in broken.names():
        assert all(problem.hint for problem in broken.expected(name)), name


def test_there_are_enough_of_them() -> None:
    """The contract asks for at least thirty broken repositories."""
    assert len(broken.names()) >= 30
