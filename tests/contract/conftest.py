"""The suite runs on the fake and on the real host."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.bench import Bench, FakeBench, RealBench


@pytest.fixture(params=["fake", "real"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """A host: in memory, or this machine's Engine with a root below tmp_path."""
    if request.param == "fake":
        yield FakeBench("fake-host")
        return
    real = RealBench(request.getfixturevalue("prefix"), request.getfixturevalue("engine"), tmp_path)
    yield real
    real.close()
