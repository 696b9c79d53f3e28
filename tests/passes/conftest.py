"""A host whose passes are made in the process of the test, on the fake host."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.passes import Passes


@pytest.fixture
def passes(tmp_path: Path) -> Passes:
    """A host with nothing on it, and a branch that says nothing yet."""
    return Passes(tmp_path)
