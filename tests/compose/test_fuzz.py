"""Random projects: what the schema allows, against the oracle; what nobody would write, against the
budget.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hypothesis import HealthCheck, given, settings

from tests.compose.agreement import disagreement
from tests.compose.differential import Oracle
from tests.compose.mutation import OUTCOMES, judge
from tests.compose.mutation import projects as mutations
from tests.compose.strategies import projects


def test_generated_projects_load_as_the_reference_loader_loads_them(oracle: Oracle) -> None:
    """Any project that the schema can make must come out as the reference loader's, as must its canonical
    form.
    """

    @settings(max_examples=300, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(projects())
    def agree(files: dict[str, bytes]) -> None:
        assert disagreement(oracle, files) == []

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
