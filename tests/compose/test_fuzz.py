"""Random projects: what the schema allows, against the oracle; what nobody would write, against the
budget.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from agent.compose import ComposeErrors, canonical, load_project
from tests.compose.differential import (
    Oracle,
    Scratch,
    as_ours,
    build_oracle,
    differences,
    load_arguments,
    project_view,
    reference_view,
)
from tests.compose.mutation import OUTCOMES, judge
from tests.compose.mutation import projects as mutations
from tests.compose.store import ask, ask_canonical
from tests.compose.strategies import projects

# What only one of the two refuses, and may: (the message, the reason).
ACCEPTED = (
    (r"\.group_add: ", "equal groups are kept once"),
    (r"^panic: ", "the reference loader's parser panics"),
    (
        r"^the canonical form: .*\.pre_start\[\d+\]\.environment\.",
        "a hook's variables are not seen by its service's env files",
    ),
    (r"SSHKey: invalid character", "the reference loader answers `build.ssh` with a path in invalid JSON"),
)


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    asked = Oracle(build_oracle())
    yield asked
    asked.close()


@pytest.fixture(scope="module")
def scratch() -> Iterator[Scratch]:
    one = Scratch()
    yield one
    one.close()


def disagreement(oracle: Oracle, scratch: Scratch, files: dict[str, bytes]) -> list[str]:
    """How the library and the reference loader differ over a project; empty when they agree."""
    answer = ask(oracle, scratch, files, {})
    try:
        project = load_project(**load_arguments(files, {}))
    except ComposeErrors as errors:
        return [] if "error" in answer or accepted(str(errors)) else [f"only we refuse it: {errors}"]
    if "error" in answer:
        return [] if accepted(answer["error"]) else [f"only the oracle refuses it: {answer['error']}"]
    wanted = reference_view(answer["project"])
    found = differences(as_ours(wanted), project_view(project))
    again = ask_canonical(oracle, scratch, files, {}, canonical(project))
    if "error" in again:
        return [*found, f"the canonical form is refused: {again['error']}"]
    found += [f"the canonical form: {text}" for text in differences(wanted, reference_view(again["project"]))]
    return [text for text in found if not accepted(text)]


def accepted(message: str) -> bool:
    return any(re.search(pattern, line) for pattern, _ in ACCEPTED for line in message.splitlines())


def test_generated_projects_load_as_the_reference_loader_loads_them(oracle: Oracle, scratch: Scratch) -> None:
    """Any project that the schema can make must come out as the reference loader's, as must its canonical
    form.
    """

    @settings(max_examples=300, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(projects())
    def agree(files: dict[str, bytes]) -> None:
        assert disagreement(oracle, scratch, files) == []

    agree()


def test_mutated_projects_end_in_a_manifest_or_in_errors_with_a_place() -> None:
    """No sequence of bytes may end in a traceback or in an error that does not say where and what to do."""
    outcomes = {judge(files, options) for files, options in mutations(seed=1, count=1500)}
    assert outcomes == OUTCOMES


def test_bombs_cost_little() -> None:
    """Small files that expand without end must be refused within 60 s of CPU and 512 MiB, with a file and a
    line.
    """
    code = "import tests.compose.bombs as b; b.run()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
