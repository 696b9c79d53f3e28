"""What ruff, mypy and complexipy say of the code, in `make check` and in `make test` alike."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    "tool", ["ruff check --quiet", "ruff format --check --quiet", "mypy --no-error-summary"]
)
def test_the_code_is_clean_and_typed(tool: str) -> None:
    """ruff and mypy --strict must have nothing to say."""
    argv = [sys.executable, "-m", *tool.split()]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_function_needs_a_second_reading() -> None:
    """complexipy must find no function above the limit of pyproject.toml."""
    argv = [Path(sys.executable).parent / "complexipy"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
