"""What the fault tests share: the ground of a scenario, what is not ours, and how many points a run takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.faults import scenarios
from tests.faults.ground import Ground
from tests.faults.scenarios import SCENARIOS, Names, Scenario
from tests.harness.engine import Engine
from tests.harness.gitrepo import GitRepo
from tests.harness.gitserver import HttpsRemote
from tests.harness.registry import registry
from tests.harness.site import Site, make_site

POINTS = "sweep"  # the property of a test's report: mechanism, scenario, visited, of


@pytest.fixture
def most(request: pytest.FixtureRequest) -> Callable[[int], int | None]:
    """How many points a test takes, given its share of the sample; None: all."""
    asked = request.config.getoption("--sweep")
    return lambda sample: None if asked == "all" else sample if asked == "sample" else int(asked)


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Callable[[str, str, int, int], None]:
    """Tells the summary at the end of the run how many points were visited."""

    def tell(mechanism: str, scenario: str, visited: int, of: int) -> None:
        request.node.user_properties.append((POINTS, (mechanism, scenario, visited, of)))

    return tell


@contextmanager
def foreign(site: Site, name: str) -> Iterator[None]:
    """A container, a network, a volume, an image and a file that are not ours; they must be as they were at
    the end.
    """
    client = site.engine.client
    try:
        network, volume = client.networks.create(name), client.volumes.create(name)
        client.images.get("limpet-test/idle:v1").tag(name, "v1")
        container = client.containers.run(
            f"{name}:v1", name=name, detach=True, network=name, volumes=[f"{name}:/data"]
        )
        container.reload()
        (site.root / "etc").mkdir(exist_ok=True)
        (site.root / "etc/foreign.conf").write_text("mine\n")
        before = container.attrs
        yield
        container.reload()
        now = container.attrs
        for seen in (("Id",), ("State", "StartedAt"), ("RestartCount",), ("State", "Running")):
            assert _at(now, seen) == _at(before, seen), f"the foreign container: {seen} has changed"
        assert now["NetworkSettings"]["Networks"].keys() == {name}
        network.reload()
        volume.reload()
        assert (site.root / "etc/foreign.conf").read_text() == "mine\n"
        assert client.images.get(f"{name}:v1").id == container.attrs["Image"]
    finally:
        site.engine.remove_all(name)


def _at(document: Any, path: Sequence[str]) -> Any:
    return _at(document[path[0]], path[1:]) if path else document


@pytest.fixture
def make_ground(
    engine: Engine, repo: GitRepo, tmp_path: Path
) -> Iterator[Callable[[str | Scenario], Ground]]:
    """Makes the ground of a scenario, at its start."""
    with ExitStack() as stack:

        def make(wanted: str | Scenario, *, https: bool = False) -> Ground:
            scenario, address, server = SCENARIOS[wanted] if isinstance(wanted, str) else wanted, "", None
            app = stack.enter_context(engine.prefix())
            remote = stack.enter_context(HttpsRemote(repo, tmp_path / "https")) if https else None
            site = make_site(engine, repo, tmp_path / "site", remote)
            if scenario.pushed:
                server = stack.enter_context(registry(tmp_path / "registry"))
                address = server.address
                server.push(
                    scenarios.image(Names(app, address), scenario.pushed), f"{app}/{scenario.pushed}:1"
                )
            ground = Ground(site, scenario, Names(app, address), server)
            stack.callback(ground.forget_images)
            stack.callback(engine.remove_all, app)
            stack.enter_context(foreign(site, f"foreign-{app}"))
            ground.start()
            return ground

        yield make
