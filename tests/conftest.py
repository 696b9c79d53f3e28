"""Fixtures that every test may use; the parts themselves are in tests/harness.

Rules:
1. Fixtures that cost more than a second live as long as the session.
2. In CI (CI=true) a skipped test is a failure.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import images
from tests.harness.engine import Engine, machine_engine
from tests.harness.gitrepo import GitRepo


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--sweep", default="sample", help="kill sweeps: `sample` (50 points), `all`, or a number of points"
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if report.skipped and os.environ.get("CI") == "true" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and in CI that is a failure: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """The machine's Docker Engine with all test images loaded."""
    found = machine_engine()
    images.load_all(found.client)
    yield found
    found.client.close()


@pytest.fixture
def prefix(engine: Engine) -> Iterator[str]:
    """A unique prefix; containers, networks, volumes and image tags that carry it are removed after the test."""
    with engine.prefix() as name:
        yield name


@pytest.fixture
def repo(tmp_path: Path) -> GitRepo:
    """An empty bare Git repository."""
    return GitRepo(tmp_path / "git" / "fleet.git")
