"""Fixtures that every test may use; the parts themselves are in tests/harness.

Rules:
1. Fixtures that cost more than a second live as long as the session.
2. In CI (CI=true) a skipped test is a failure.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.harness import durations, hostimage, hosts, images, net
from tests.harness.engine import Engine, machine_engine, private_engine
from tests.harness.gitrepo import GitRepo
from tests.harness.hosts import Host, HostNetwork, attached, host, host_network
from tests.harness.schedule import Scheduling, needs_host, rank
from tests.harness.sessions import session
from tests.harness.shared import end, shared
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


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling | None:
    if config.getoption("dist") != "load":
        return None
    config.option.loadscopereorder = False
    return Scheduling(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=rank)


def pytest_collection_finish(session: pytest.Session) -> None:
    """The first worker begins to make images of test hosts while other tests run."""
    wanted = [item for item in session.items if needs_host(item)]
    if (
        wanted
        and os.environ.get("PYTEST_XDIST_WORKER", "gw0") == "gw0"
        and not session.config.option.collectonly
    ):
        only_trixie = all("debian13" in item.name or "trixie" in item.name for item in wanted)
        hostimage.prepare(["trixie"] if only_trixie else ["trixie", "bookworm"])


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
    with session(found):
        images.load_all(found.client)
        yield found
    found.client.close()


@pytest.fixture(scope="session")
def of_the_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that all workers of a run share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def roomy(of_the_run: Path) -> Iterator[Engine]:
    """An Engine of this run alone, with room for many networks and with no port or name taken. All workers
    use it; tests clean up as everywhere.
    """

    @contextmanager
    def make() -> Iterator[dict[str, str]]:
        directory = of_the_run / "roomy"
        pools = [{"base": "10.16.0.0/12", "size": 24}]
        with private_engine(directory, **{"default-address-pools": pools}) as made:
            images.load_all(made.client, ("v1",))
            yield {"socket": made.socket}

    with shared(of_the_run, "roomy", make) as where:
        yield Engine(where["socket"])


@pytest.fixture
def site_host(request: pytest.FixtureRequest) -> Host | None:
    """The test host whose Engine `site` and `prefix` use; none, but for tests that are `on_both_engines`."""
    return request.getfixturevalue("debian13") if getattr(request, "param", "") == "debian13" else None


@pytest.fixture
def prefix(engine: Engine, site_host: Host | None) -> Iterator[str]:
    """A unique prefix; containers, networks, volumes and image tags that carry it are removed after the
    test.
    """
    with (site_host.engine if site_host else engine).prefix() as name:
        yield name


@pytest.fixture
def repo(tmp_path: Path) -> GitRepo:
    """An empty bare Git repository."""
    return GitRepo(tmp_path / "git" / "fleet.git")


@pytest.fixture(scope="session")
def host_net(engine: Engine, of_the_run: Path) -> Iterator[HostNetwork]:
    """The network of the test hosts of all workers; servers that they reach bind to its `gateway`."""
    with run_network(of_the_run) as made:
        yield made


@contextmanager
def run_network(directory: Path) -> Iterator[HostNetwork]:
    @contextmanager
    def make() -> Iterator[dict[str, str]]:
        with host_network(machine_engine()) as made:
            yield {"id": str(made.network.id), "gateway": made.gateway}

    with shared(directory, "host-network", make) as where:
        yield HostNetwork(machine_engine().client.networks.get(where["id"]), where["gateway"])


@pytest.fixture(scope="session")
def debian13(engine: Engine, of_the_run: Path) -> Iterator[Host]:
    """A Debian 13 host (Engine 26.1) that all workers use: its Engine and its files. It sees the directories
    of all tests at their paths. Who restarts anything needs a host of its own.
    """

    @contextmanager
    def make() -> Iterator[dict[str, str]]:
        with (
            run_network(of_the_run) as net,
            host(machine_engine(), net, "debian13", "trixie", share=of_the_run) as made,
        ):
            images.load_all(made.engine.client)
            yield {"id": str(made.container.id)}

    with shared(of_the_run, "debian13", make) as where:
        with attached(engine.client.containers.get(where["id"]), "debian13", "trixie") as made:
            yield made


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    end()
    hostimage.end()
    hosts.forget_wheel()


@pytest.fixture
def site(engine: Engine, repo: GitRepo, prefix: str, tmp_path: Path, site_host: Host | None) -> Site:
    """A Limpet below a root of its own on the machine's Engine, following `repo` as files."""
    return make_site(site_host.engine if site_host else engine, repo, tmp_path / "site", host=site_host)


@pytest.fixture
def free_port() -> int:
    """A TCP port of loopback that nobody listens on."""
    return net.free_port()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """How many points the fault tests have visited, of how many: each test says its own as the property
    `sweep`.
    """
    told = [
        report for found in terminalreporter.stats.values() for report in found if hasattr(report, "when")
    ]
    directory = (
        terminalreporter.config.getoption("xmlpath") and Path(terminalreporter.config.option.xmlpath).parent
    )
    if directory and directory.is_dir():
        (directory / "durations.txt").write_text(durations.table(told))
    reports = [report for report in told if report.when == "call"]
    lines = sorted(value for report in reports for name, value in report.user_properties if name == "sweep")
    for mechanism, scenario, visited, total in lines:
        terminalreporter.write_line(f"{mechanism}: {scenario}: {visited} points of {total}")
    for mechanism in sorted({line[0] for line in lines}):
        visited, total = (sum(line[part] for line in lines if line[0] == mechanism) for part in (2, 3))
        terminalreporter.write_line(f"{mechanism}: all: {visited} points of {total}")
