"""A host that nobody can reach: a commit cuts it off, its Git server goes away, it starts without any
network, or its Docker is updated in the night.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness import images
from tests.harness.engine import Engine
from tests.harness.gitrepo import GitRepo
from tests.harness.gitserver import HttpsRemote
from tests.harness.hosts import Host, HostNetwork, host
from tests.harness.wait import eventually

WEB = "name: shop\nservices:\n  web:\n    image: limpet-test/web:{version}\n    restart: unless-stopped\n"
CUT = """\
  cut:
    image: limpet-test/idle:v1
    network_mode: host
    cap_add: [NET_ADMIN]
    stop_grace_period: 5s
    command:
      - sh
      - -c
      - |
        ip route show dev eth0 > /tmp/routes
        restore() {
          for kind in -v -e; do
            grep $$kind via /tmp/routes | while read route; do ip route add $$route dev eth0; done
          done
          exit 0
        }
        trap restore TERM
        ip route flush dev eth0
        while :; do sleep 1000 & wait $$!; done
"""
SLOW = """\
name: shop
services:
  web:
    image: limpet-test/web:v1
    environment: {{MARK: '{mark}'}}
    healthcheck: {{test: [CMD, test, -e, /tmp/go], interval: 0.3s, retries: 1000}}
"""
PATIENCE = 120  # seconds; these machines are slow


@pytest.fixture
def git(repo: GitRepo, host_net: HostNetwork, tmp_path: Path) -> Iterator[HttpsRemote]:
    """The fleet's Git server."""
    with HttpsRemote(repo, tmp_path / "https", bind=host_net.gateway) as server:
        yield server


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`release`: the Debian release of the host; the newer one, and with `--sweep=all` both."""
    metafunc.parametrize(
        "release", ["trixie", "bookworm"] if metafunc.config.getoption("--sweep") == "all" else ["trixie"]
    )


@contextmanager
def service(
    engine: Engine, net: HostNetwork, git: HttpsRemote, release: str, deadline: str = "20s"
) -> Iterator[Host]:
    """A host with Limpet as its service, with little patience for a source that does not answer."""
    with host(engine, net, "web-01", release=release) as made:
        made.install_limpet()
        for kind, version in (("web", "v1"), ("web", "v2"), ("idle", "v1")):
            made.load_image(images.image(kind, version))
        made.configure(
            git, source={"poll": "1s", "timeout": "5s"}, gate={"settle": "1s", "deadline": deadline}
        )
        made.start_limpet()
        yield made


def holds(on: Host, commit: str, state: str = "Synced") -> None:
    """Waits until the heartbeat says that this commit is applied, and the state."""

    def said() -> bool:
        heartbeat = on.heartbeat()
        return (heartbeat["revision"]["applied"], heartbeat["state"]) == (f"main@sha1:{commit}", state)

    eventually(said, PATIENCE, f"{on.name} to be {state} at {commit}")


def version(on: Host) -> str:
    return on.engine.said("shop-web-1", "cat", "/version")


def test_the_commit_itself_cuts_the_host_off(
    engine: Engine, host_net: HostNetwork, repo: GitRepo, git: HttpsRemote, release: str
) -> None:
    """A commit that deletes the host's only route must be undone by the host itself, say that the source does
    not answer, not be applied again while the branch has it, and a revert must heal the state.
    """
    with service(engine, host_net, git, release) as machine:
        good = repo.commit({"compose.yaml": WEB.format(version="v1")}, "good")
        holds(machine, good)
        before = machine.engine.client.containers.get("shop-web-1").id
        routes = machine.run(["ip", "-4", "route", "show", "dev", "eth0"]).out
        bad = repo.commit({"compose.yaml": WEB.format(version="v2") + CUT}, "cut")
        eventually(
            lambda: not machine.run(["ip", "-4", "route", "show", "dev", "eth0"]).out,
            PATIENCE,
            "the routes to go",
        )
        holds(machine, good, "RolledBack")
        heartbeat = machine.heartbeat()
        condition = next(c for c in heartbeat["conditions"] if c["type"] == "RolledBack")
        assert "source: no longer answers" in condition["message"], condition
        assert heartbeat["rejected"][0]["revision"] == f"main@sha1:{bad}"
        assert len(machine.run(["ip", "-4", "route", "show", "dev", "eth0"]).out.splitlines()) == len(
            routes.splitlines()
        )
        assert machine.engine.client.containers.get("shop-web-1").id == before and version(machine) == "v1"
        polls = len(git.requests())
        eventually(lambda: len(git.requests()) >= polls + 6, PATIENCE, "the host to fetch again")
        holds(machine, good, "RolledBack")
        assert machine.heartbeat()["counters"]["rollbacks"] == 1
        assert {c.name for c in machine.engine.client.containers.list(all=True)} == {"shop-web-1"}
        holds(machine, repo.revert())
        assert machine.engine.client.containers.get("shop-web-1").id == before


def test_the_git_server_reboots_right_after_a_push(
    engine: Engine, host_net: HostNetwork, repo: GitRepo, git: HttpsRemote, release: str
) -> None:
    """When the Git server goes away in the gate of a good commit, for longer than the deadline, the commit
    must not be condemned: it is undone, said to be in doubt, and applied when the server is back.
    """
    with service(engine, host_net, git, release) as machine:
        good = repo.commit({"compose.yaml": WEB.format(version="v1")}, "good")
        holds(machine, good)
        better = repo.commit({"compose.yaml": WEB.format(version="v2")}, "better")
        eventually(
            lambda: machine.heartbeat()["phase"] in ("apply", "gate"),
            PATIENCE,
            "the commit to be applied",
            0.01,
        )
        git.stop()
        eventually(
            lambda: machine.heartbeat()["outcome"] == "Inconclusive", PATIENCE, "the verdict to be given up"
        )
        heartbeat = machine.heartbeat()
        assert heartbeat["rejected"] == [] and heartbeat["revision"]["known_good"] == f"main@sha1:{good}"
        assert "source: no longer answers" in heartbeat["last_pass"]["error"]["message"], heartbeat[
            "last_pass"
        ]
        assert version(machine) == "v1"
        git.start()
        holds(machine, better)
        assert version(machine) == "v2"


def test_a_host_without_any_network(
    engine: Engine, host_net: HostNetwork, repo: GitRepo, git: HttpsRemote, release: str
) -> None:
    """A host that boots with neither Git nor a registry must run what it held, repair its drift from its own
    store and images, and go back by hand to each of its known good releases.
    """
    with service(engine, host_net, git, release, deadline="2m") as machine:
        commits = []
        for image, motd in (("v1", "one"), ("v2", "two"), ("v1", "three")):
            commits.append(
                repo.commit({"compose.yaml": WEB.format(version=image), "files/etc/motd": f"{motd}\n"}, motd)
            )
            holds(machine, commits[-1])
        git.stop()
        machine.kill()
        machine.boot()
        machine.run(["ip", "link", "set", "eth0", "down"])

        def in_order(image: str, motd: str) -> bool:
            return version(machine) == image and machine.read("/etc/motd") == f"{motd}\n"

        eventually(lambda: in_order("v1", "three"), PATIENCE, "what the host held to run after the boot")
        machine.run(["docker", "rm", "-f", "shop-web-1"])
        machine.put("/etc/motd", "edited\n")
        assert machine.limpet("sync").code == 75
        assert in_order("v1", "three"), "drift was not repaired"
        assert machine.heartbeat()["revision"]["applied"] == f"main@sha1:{commits[2]}"
        for commit, image, motd in ((commits[1], "v2", "two"), (commits[0], "v1", "one")):
            done = machine.limpet("rollback", commit[:10], "--reason", "no network")
            assert in_order(image, motd), done
            assert machine.heartbeat()["revision"]["applied"] == f"main@sha1:{commit}"
        git.start()
        machine.run(["ip", "link", "set", "eth0", "up"])
        last = repo.commit({"files/etc/motd": "four\n"}, "four")
        holds(machine, last)


def test_docker_is_restarted_in_the_gate(
    engine: Engine, host_net: HostNetwork, repo: GitRepo, git: HttpsRemote, release: str
) -> None:
    """A service that says nothing about restarts ends with dockerd, of which systemd keeps the socket: the
    commit must not be condemned, and the service be started again and proved.
    """
    with service(engine, host_net, git, release, deadline="5m") as machine:

        def let_go() -> bool:
            return machine.run(["docker", "exec", "shop-web-1", "touch", "/tmp/go"], check=False).code == 0

        good = repo.commit({"compose.yaml": SLOW.format(mark="a")}, "good")
        eventually(let_go, PATIENCE, "the first container to run")
        holds(machine, good)
        before = machine.engine.client.containers.get("shop-web-1").id
        better = repo.commit({"compose.yaml": SLOW.format(mark="b")}, "better")
        eventually(lambda: machine.heartbeat()["phase"] == "gate", PATIENCE, "the gate to wait")
        machine.restart("docker")
        eventually(let_go, PATIENCE, "the new container to run again")
        holds(machine, better)
        assert machine.heartbeat()["rejected"] == []
        assert machine.engine.client.containers.get("shop-web-1").id != before
