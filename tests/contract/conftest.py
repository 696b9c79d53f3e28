"""The suite runs on the fake host, on the machine's Engine, and on that of a Debian 13 test host (Engine
26.1).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.bench import Bench, FakeBench, HostBench, RealBench
from tests.harness.hosts import Host


@pytest.fixture(params=["fake", "real", "debian13"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """A host: in memory, or this machine's Engine, or that of a test host, with a root below tmp_path."""
    if request.param == "fake":
        yield FakeBench("fake-host")
        return
    if request.param == "real":
        real = RealBench(request.getfixturevalue("prefix"), request.getfixturevalue("engine"), tmp_path)
        yield real
        real.close()
        return
    machine: Host = request.getfixturevalue("debian13")
    with machine.engine.prefix() as prefix:
        inside = HostBench(prefix, machine, tmp_path)
        yield inside
        inside.close()
