"""Fixtures that every test may use; the parts themselves are in tests/harness.

Rules:
1. Fixtures that cost more than a second live as long as the session.
2. In CI (CI=true) a skipped test is a failure.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.harness import hostimage, hosts, images, net
from tests.harness.engine import Engine, machine_engine, private_engine
from tests.harness.gitrepo import GitRepo
from tests.harness.hosts import HostNetwork, host_network
from tests.harness.site import Site, make_site


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--sweep",
        default="sample",
        help="fault sweeps: `sample`, `all`, or a number of points per scenario and mechanism",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--sweep") != "sample":
        config.option.timeout = 0  # a whole sweep is one test


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        for each in list(hosts.RUNNING):
            each.keep_artifacts(hosts.artifacts(each.name))
    if report.skipped and os.environ.get("CI") == "true" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and in CI that is a failure: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """The machine's Docker Engine with all test images loaded; the last test run to end removes them."""
    found = machine_engine()
    with (hostimage.cache_directory() / "sessions.lock").open("w") as sessions:
        fcntl.flock(sessions, fcntl.LOCK_SH)
        images.load_all(found.client)
        yield found
        with suppress(BlockingIOError):
            fcntl.flock(sessions, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found.remove_all(f"{images.REPOSITORY}/")
    found.client.close()


@pytest.fixture(scope="session")
def roomy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An Engine of this run alone, with room for many networks and with no port or name taken. Tests clean up
    as everywhere.
    """
    pools = [{"base": "10.16.0.0/12", "size": 24}]
    with private_engine(tmp_path_factory.mktemp("roomy"), **{"default-address-pools": pools}) as made:
        images.load_all(made.client, ("v1",))
        yield made.engine


@pytest.fixture
def prefix(engine: Engine) -> Iterator[str]:
    """A unique prefix; containers, networks, volumes and image tags that carry it are removed after the
    test.
    """
    with engine.prefix() as name:
        yield name


@pytest.fixture
def repo(tmp_path: Path) -> GitRepo:
    """An empty bare Git repository."""
    return GitRepo(tmp_path / "git" / "fleet.git")


@pytest.fixture(scope="session")
def host_net(engine: Engine) -> Iterator[HostNetwork]:
    """The network of the test hosts; servers that they reach bind to its `gateway`."""
    with host_network(engine) as made:
        yield made


def pytest_sessionfinish() -> None:
    hosts.forget_wheel()


@pytest.fixture
def site(engine: Engine, repo: GitRepo, prefix: str, tmp_path: Path) -> Site:
    """A Limpet below a root of its own on the machine's Engine, following `repo` as files."""
    return make_site(engine, repo, tmp_path / "site")


@pytest.fixture
def free_port() -> int:
    """A TCP port of loopback that nobody listens on."""
    return net.free_port()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """How many points the fault tests have visited, of how many: each test says its own as the property
    `sweep`.
    """
    reports = [
        report
        for found in terminalreporter.stats.values()
        for report in found
        if getattr(report, "when", "") == "call"
    ]
    lines = sorted(value for report in reports for name, value in report.user_properties if name == "sweep")
    for mechanism, scenario, visited, total in lines:
        terminalreporter.write_line(f"{mechanism}: {scenario}: {visited} points of {total}")
    for mechanism in sorted({line[0] for line in lines}):
        visited, total = (sum(line[part] for line in lines if line[0] == mechanism) for part in (2, 3))
        terminalreporter.write_line(f"{mechanism}: all: {visited} points of {total}")
