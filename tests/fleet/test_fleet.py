"""Whole machines: Limpet as the installed service under systemd, with an Engine of its own, following a Git
server over https.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.harness import images
from tests.harness.engine import Engine
from tests.harness.gitrepo import GitRepo
from tests.harness.gitserver import HttpsRemote
from tests.harness.hosts import Host, HostNetwork, host
from tests.harness.wait import eventually

COMPOSE = """\
name: shop
services:
  web:
    image: limpet-test/{image}
    restart: unless-stopped
    ports: ["80:8080"]
  db:
    image: limpet-test/idle:v1
    restart: unless-stopped
"""
QUICK = {"source": {"poll": "1s"}, "gate": {"settle": "1s", "deadline": "20s"}}
PATIENCE = 90  # seconds for a commit to be on a host; these machines are slow


def files(image: str, motd: str = "welcome") -> dict[str, str]:
    return {"compose.yaml": COMPOSE.format(image=image), "files/etc/motd": f"{motd}\n"}


def revision(branch: str, commit: str) -> str:
    return f"{branch}@sha1:{commit}"


def start(
    stack: ExitStack, engine: Engine, net: HostNetwork, git: HttpsRemote, name: str, branch: str, release: str
) -> Host:
    """A host with Limpet as its service, pinned to a branch."""
    made = stack.enter_context(host(engine, net, name, release=release))
    made.install_limpet()
    for kind, version in (("web", "v1"), ("web", "v2"), ("idle", "v1"), ("sick", "v1")):
        made.load_image(images.image(kind, version))
    made.configure(git, branch=branch, **QUICK)
    made.start_limpet()
    return made


def applied(on: Host, wanted: str, state: str = "Synced") -> bool:
    """Whether the heartbeat says that a revision is applied, and the state."""
    heartbeat = on.heartbeat()
    return (heartbeat["revision"]["applied"], heartbeat["state"]) == (wanted, state)


def reaches(on: Host, wanted: str) -> None:
    eventually(lambda: applied(on, wanted), PATIENCE, f"{on.name} to apply {wanted}")


def web(on: Host) -> dict[str, Any]:
    return dict(on.engine.client.api.inspect_container("shop-web-1"))


@pytest.fixture
def git(repo: GitRepo, host_net: HostNetwork, tmp_path: Path) -> Iterator[HttpsRemote]:
    """The fleet's Git server."""
    with HttpsRemote(repo, tmp_path / "https", bind=host_net.gateway) as server:
        yield server


def test_three_hosts_on_two_branches(
    engine: Engine, host_net: HostNetwork, repo: GitRepo, git: HttpsRemote
) -> None:
    """A commit on main must reach the two hosts pinned to it and not the third; a git revert must bring both
    back.
    """
    first = repo.commit(files("web:v1"), "first")
    repo.set_branch("stable", first)
    with ExitStack() as stack:
        one = start(stack, engine, host_net, git, "web-01", "main", "bookworm")
        two = start(stack, engine, host_net, git, "web-02", "main", "trixie")
        three = start(stack, engine, host_net, git, "web-03", "stable", "bookworm")
        for each, branch in ((one, "main"), (two, "main"), (three, "stable")):
            reaches(each, revision(branch, first))
            assert each.read("/etc/motd") == "welcome\n"
        steady = web(three)["Id"]
        second = repo.commit(files("web:v2", "second"), "second")
        for each in (one, two):
            reaches(each, revision("main", second))
            assert each.read("/etc/motd") == "second\n"
            assert each.engine.said("shop-web-1", "cat", "/version") == "v2"
            assert each.heartbeat()["revision"]["applied_at"]
        back = repo.revert()
        for each in (one, two):
            reaches(each, revision("main", back))
            assert each.read("/etc/motd") == "welcome\n"
            assert each.engine.said("shop-web-1", "cat", "/version") == "v1"
        assert applied(three, revision("stable", first))
        assert web(three)["Id"] == steady


def test_rolled_back_stays_so(engine: Engine, host_net: HostNetwork, repo: GitRepo, git: HttpsRemote) -> None:
    """A rejected release must stay rolled back over ten polls and restarts of daemon and dockerd; a good
    commit then counts.
    """
    good = repo.commit(files("web:v1"), "good")
    with ExitStack() as stack:
        machine = start(stack, engine, host_net, git, "web-01", "main", "bookworm")
        reaches(machine, revision("main", good))
        before = web(machine)
        repo.commit(files("sick:v1"), "bad")
        eventually(lambda: machine.heartbeat()["state"] == "RolledBack", PATIENCE, "the host to roll back")

        def as_before() -> bool:
            now, heartbeat = web(machine), machine.heartbeat()
            return (
                heartbeat["state"] == "RolledBack"
                and len(heartbeat["rejected"]) == 1
                and now["Id"] == before["Id"]
                and now["State"]["Running"]
                and now["HostConfig"]["RestartPolicy"] == before["HostConfig"]["RestartPolicy"]
                and list(now["NetworkSettings"]["Networks"]) == list(before["NetworkSettings"]["Networks"])
            )

        assert as_before()
        asked = len(git.requests())
        eventually(lambda: len(git.requests()) >= asked + 20, PATIENCE, "ten further polls")
        assert as_before()
        machine.restart("limpet")
        eventually(as_before, PATIENCE, "the host to hold known good after a restart of the daemon")
        machine.restart("docker")
        eventually(as_before, PATIENCE, "the host to hold known good after a restart of dockerd")
        assert machine.limpet("sync").code == 4
        assert as_before()
        assert machine.heartbeat()["counters"]["rollbacks"] == 1
        better = repo.commit(files("web:v2"), "better")
        reaches(machine, revision("main", better))
        names = {c.name for c in machine.engine.client.containers.list(all=True)}
        assert names == {"shop-web-1", "shop-db-1"}


def test_sigterm_in_the_middle_of_a_pass(
    engine: Engine, host_net: HostNetwork, repo: GitRepo, git: HttpsRemote
) -> None:
    """A stop of the service while the gate waits must be quick, and the next start must go on with the
    release.
    """
    good = repo.commit(files("web:v1"), "good")
    with ExitStack() as stack:
        machine = start(stack, engine, host_net, git, "web-01", "main", "trixie")
        reaches(machine, revision("main", good))
        machine.configure(
            git, branch="main", source={"poll": "1s"}, gate={"settle": "15s", "deadline": "60s"}
        )
        reload = [
            "systemctl",
            "reload",
            "limpet",
        ]  # refused while the daemon is just reading the new file by itself
        eventually(lambda: machine.run(reload, check=False).code == 0, 60, "the service to be reloaded")
        next_one = repo.commit(files("web:v2"), "next")
        eventually(lambda: machine.heartbeat()["phase"] == "gate", PATIENCE, "the gate to wait")
        machine.run(["systemctl", "stop", "limpet"], timeout=60)
        assert machine.run(["systemctl", "show", "-p", "Result", "limpet"]).out == "Result=success\n"
        machine.run(["systemctl", "start", "limpet"])
        reaches(machine, revision("main", next_one))
        assert machine.heartbeat()["counters"].get("rollbacks", 0) == 0
