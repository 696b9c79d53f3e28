"""Compose projects as people have them: brought in, changed, disturbed, rolled back, removed."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.harness import images
from tests.harness.engine import Engine
from tests.harness.gitrepo import GitRepo
from tests.harness.site import Site, make_site
from tests.harness.wait import eventually

PROJECTS = Path(__file__).parent.parent / "projects"
GROUPS, SAMPLE = 4, 2  # `make test` takes one group, `make sweep` all
CALM = 3.0  # seconds between two probes: they are many
STAND_IN = "stand-in"
TAGS = ("latest", "stable", "v3")
ANSWER = ["CMD-SHELL", "wget -q -O /dev/null http://127.0.0.1:${PORT:-8080}/"]
SCRIPT = '#!/bin/sh\ntrap "exit 0" TERM INT\nhttpd -f -p {port} -h ${{WWW:-/www}} &\nwait $!\n'
NOTHING = "#!/bin/sh\nexit 0\n"
AGENT = '#!/bin/sh\ntrap "exit 0" TERM INT HUP\nsleep 1000000 &\nwait $!\n'
# What stands in for a database, a cache, … of which only the ports, the tools and the way it is made count.
ROLES: Mapping[str, tuple[dict[str, Any], dict[str, str]]] = {
    "app": (
        {
            "Entrypoint": ["/entry"],
            "ExposedPorts": {"8080/tcp": {}},
            "Healthcheck": images.healthcheck_of(ANSWER, CALM),
        },
        {"entry": SCRIPT.format(port="${PORT:-8080}"), "cron.sh": AGENT, "bin/curl": NOTHING},
    ),
    "agent": ({"Entrypoint": ["/entry"], "User": "1000"}, {"entry": AGENT}),
    "gateway": (
        {
            "Cmd": ["/entry"],
            "Healthcheck": images.healthcheck_of(["CMD", "wget", "-qO-", "http://127.0.0.1:8000/"], CALM),
        },
        {"entry": SCRIPT.format(port="8000")},
    ),
    "site": ({"Entrypoint": ["/entry"], "Volumes": {"/data": {}}}, {"entry": SCRIPT.format(port="80")}),
    "mariadb": (
        {"Entrypoint": ["/entry"], "Healthcheck": images.healthcheck_of(["CMD", "mysqladmin", "ping"], CALM)},
        {"entry": SCRIPT.format(port="3306"), "bin/mysqladmin": NOTHING},
    ),
    "cache": (
        {"Cmd": ["redis-server"]},
        {"bin/redis-server": SCRIPT.format(port="6379"), "bin/redis-cli": NOTHING},
    ),
    "database": (
        {"Cmd": ["postgres"], "StopSignal": "SIGINT", "Volumes": {"/var/lib/postgresql/data": {}}},
        {"bin/postgres": SCRIPT.format(port="5432"), "bin/pg_isready": NOTHING},
    ),
}


@dataclass(frozen=True)
class Project:
    """One directory of tests/projects. `files`: path in the repository -> text."""

    name: str
    case: dict[str, Any]
    files: dict[str, str]

    def at(self, version: str) -> dict[str, str]:
        """Its files with another version of the image that changes."""
        return {path: text.replace("1.0.0", version) for path, text in self.files.items()}


def projects() -> list[Project]:
    found = []
    for directory in sorted(path for path in PROJECTS.iterdir() if path.is_dir()):
        several = (directory / "apps").is_dir()
        root = "" if several else f"apps/{directory.name}/"
        files = {
            f"{root}{path.relative_to(directory)}": path.read_text()
            for path in sorted(directory.rglob("*"))
            if path.is_file() and path.name != "case.yaml"
        }
        found.append(Project(directory.name, yaml.safe_load((directory / "case.yaml").read_text()), files))
    return found


ALL = projects()


@pytest.fixture
def loaded(roomy: Engine) -> Engine:
    """The Engine with all stand-ins. Version 3.0.0 of the one that changes is never healthy."""
    for role, (config, files) in ROLES.items():
        for tag in TAGS:
            images.load(roomy.client, images.make(f"{STAND_IN}/{role}:{tag}", config, "stable", files))
    for role in ("app", "gateway"):
        config, files = ROLES[role]
        sick = {**config, "Healthcheck": images.healthcheck_of(["CMD", "false"], retries=1)}
        for version, made in (("1.0.0", config), ("2.0.0", config), ("3.0.0", sick)):
            images.load(roomy.client, images.make(f"{STAND_IN}/{role}:{version}", made, version, files))
    return roomy


class Group:
    """Some of the projects on one host."""

    def __init__(self, engine: Engine, site: Site, members: list[Project]) -> None:
        self.engine, self.site, self.members = engine, site, members

    def commit(self, version: str) -> None:
        files = {path: text for project in self.members for path, text in project.at(version).items()}
        self.site.commit(files, f"version {version}")

    def here(self) -> dict[str, Any]:
        """Container name -> the container, of all that are ours."""
        mine = self.engine.client.containers.list(
            all=True, filters={"label": f"io.limpet.instance={self.instance}"}
        )
        return {str(each.name): each for each in mine}

    @property
    def instance(self) -> str:
        from agent.installation import Paths, instance

        return instance(Paths(self.site.root))

    def ids(self) -> dict[str, str]:
        return {name: str(each.id) for name, each in self.here().items()}

    def run(self) -> bool:
        """Whether all that is to run does, and is healthy."""
        return all(
            each.status == "running"
            and each.attrs["State"].get("Health", {"Status": "healthy"})["Status"] == "healthy"
            for name, each in self.here().items()
            if "migrate" not in name
        )

    def answer(self) -> None:
        """What is behind every published port answers. The Engine's ports are not this machine's."""
        inside = {
            binding["HostPort"]: port.partition("/")[0]
            for each in self.here().values()
            for port, bindings in each.attrs["NetworkSettings"]["Ports"].items()
            for binding in bindings or ()
        }
        for project in self.members:
            for port, name in project.case["answers"].items():
                url = f"http://127.0.0.1:{inside.get(str(port), port)}/"
                container = self.here()[name]
                eventually(
                    functools.partial(_answers, container, url), what=f"{project.name} answers on {port}"
                )


def _answers(container: Any, url: str) -> bool:
    return bool(container.exec_run(["wget", "-qO-", url]).exit_code == 0)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    numbers = [SAMPLE] if metafunc.config.getoption("--sweep") == "sample" else range(GROUPS)
    metafunc.parametrize("group", numbers, indirect=True, ids=lambda number: f"group {number + 1}")


@pytest.fixture
def group(request: pytest.FixtureRequest, loaded: Engine, repo: GitRepo, tmp_path: Path) -> Iterator[Group]:
    members = ALL[request.param :: GROUPS]
    site = make_site(loaded, repo, tmp_path / "site")
    site.configure(gate={"settle": "0.5s", "deadline": "90s"})
    around = [name for project in members for name in project.case.get("around", ())]
    made = [loaded.client.networks.create(name) for name in around]
    found = Group(loaded, site, members)
    yield found
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda each: each.remove(force=True, v=True), found.here().values()))
    for network in loaded.client.networks.list(filters={"label": f"io.limpet.instance={found.instance}"}):
        network.remove()
    for network in made:
        network.remove()


def test_the_life_of_a_project(group: Group) -> None:
    """Each project must come in as it is, and then need nothing; a new image must replace what uses it and
    nothing else; who lives by a container that somebody restarted must be started again; an image that is not
    healthy must be undone; and what the repository drops must go, without its data.
    """
    site, members = group.site, group.members
    group.commit("1.0.0")
    site.sync(timeout=300)
    group.answer()
    assert "nothing to do" in site.sync(timeout=300).out

    before = group.ids()
    group.commit("2.0.0")
    site.sync(timeout=300)
    group.answer()
    replaced = {name for name, id in group.ids().items() if before.get(name) != id}
    assert replaced == {name for project in members for name in project.case["replaced"]}
    assert "nothing to do" in site.sync(timeout=300).out

    for project in members:
        group.here()[project.case["restart"]].restart(timeout=5)
    eventually(lambda: site.sync(expect=None, timeout=300).code == 0, what="all is well after the restarts")
    started = {name: each.attrs["State"]["StartedAt"] for name, each in group.here().items()}
    for project in members:
        for name in project.case.get("follows", ()):
            assert started[name] > started[project.case["restart"]], f"{name} was left behind"
    eventually(group.run, what="all run and are healthy")
    group.answer()
    assert "nothing to do" in site.sync(timeout=300).out

    before = group.ids()
    group.commit("3.0.0")
    site.sync(expect=4, timeout=300)
    assert group.ids() == before
    group.answer()

    volumes = {
        volume.name for volume in group.engine.client.volumes.list(filters={"label": "io.limpet.instance"})
    }
    gone: dict[str, None] = {path: None for project in members for path in project.files}
    site.commit({**gone, "layer.yaml": "{}\n"}, f"all go\n\nLimpet-Allow-Prune: {len(gone) + 200}")
    site.sync(timeout=300)
    assert group.here() == {}
    networks = group.engine.client.networks.list(filters={"label": f"io.limpet.instance={group.instance}"})
    assert networks == []
    left = {
        volume.name for volume in group.engine.client.volumes.list(filters={"label": "io.limpet.instance"})
    }
    assert volumes == left
