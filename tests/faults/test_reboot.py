"""A whole host is switched off hard in a phase and started again: its service ends by itself where an
uninterrupted pass ends.

A drop-in below /run, which the reboot forgets, makes the pass stop itself at the phase; then the plug is
pulled.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness import images, snapshot
from tests.harness.engine import Engine
from tests.harness.gitrepo import GitRepo
from tests.harness.gitserver import HttpsRemote
from tests.harness.hosts import Host, HostNetwork, host
from tests.harness.registry import Registry, registry
from tests.harness.tls import Authority
from tests.harness.wait import eventually

IMAGE = "team/web:1"
PATIENCE = 120  # seconds for a host to be where it is to be
DROP_IN = "/run/systemd/system/limpet.service.d/test.conf"
COMPOSE = """\
name: shop
services:
  web:
    image: {image}
    restart: always
    environment: {{MARK: '{mark}'}}
    depends_on: [db]
  db:
    image: limpet-test/idle:v1
    restart: unless-stopped
    volumes: ['./db.conf:/db.conf:ro']
  still: {{image: 'limpet-test/idle:v1', restart: always}}
"""


@dataclass(frozen=True)
class Phase:
    """`at`: the journal line at which the plug is pulled; `pulls`: the image comes from the registry; `good`:
    it is healthy.
    """

    at: str
    good: bool = True
    pulls: bool = False


PHASES = {
    "gate": Phase("step gate"),
    "apply": Phase("begin start"),
    "rollback": Phase("step rollback", good=False),
    "prune": Phase("begin remove"),
    "prefetch": Phase("step prefetch", pulls=True),
    "fetch": Phase("step fetch"),
    "render": Phase("step render"),
    "stop": Phase("end stop"),
    "return": Phase("end stop", good=False),
}
SAMPLE = 2  # phases in `make test`


class Machine:
    """One host with a service that follows a branch."""

    def __init__(self, made: Host, repo: GitRepo, server: Registry) -> None:
        self.host, self.repo, self.server = made, repo, server

    def commit(self, mark: str, phase: Phase) -> str:
        image = "limpet-test/web:v1" if phase.good else "limpet-test/sick:v1"
        if phase.pulls:
            image = self.server.push(images.image("plain-web"), IMAGE)
        return self.repo.commit(
            {
                "compose.yaml": COMPOSE.format(image=image, mark=mark),
                "db.conf": f"{mark}\n",
                "files/etc/shop.conf": f"{mark}\n",
            }
        )

    def forget_image(self) -> None:
        """A person cleans up: what is to be pulled is not there."""
        self.host.run(["docker", "rmi", "-f", f"{self.server.address}/{IMAGE}"])

    def reach(self, mark: str, phase: Phase) -> dict[str, object]:
        """The host after a commit that nothing disturbs."""
        return self.settles(self.commit(mark, phase), phase)

    def settles(self, commit: str, phase: Phase) -> dict[str, object]:
        eventually(
            lambda: self._settled(commit, phase.good),
            PATIENCE,
            f"{commit} to be {'applied' if phase.good else 'undone'}",
        )
        return self.state()

    def _settled(self, commit: str, good: bool) -> bool:
        """The service has done all that it does about this commit."""
        beat = self.host.heartbeat()
        there = beat["revision"]["applied" if good else "observed"] == f"main@sha1:{commit}"
        return bool(
            there and beat["phase"] == "idle" and beat["state"] == ("Synced" if good else "RolledBack")
        )

    def state(self) -> dict[str, object]:
        inventory = json.loads(self.host.read("/var/lib/limpet/inventory.json").splitlines()[1])
        engine = self.host.engine
        return {
            "containers": snapshot.containers(engine, "shop"),
            "networks": snapshot.networks(engine, "shop"),
            "files": {path: str(state) for path, state in self.host.files("/var/lib/limpet/apps").items()},
            "conf": self.host.read("/etc/shop.conf"),
            "owned": {key: entry["digest"] for key, entry in inventory.items()},
        }

    def stop_at(self, line: str) -> None:
        self.host.put(
            DROP_IN, f'[Service]\nEnvironment="LIMPET_TEST_KILL_AT={line}" LIMPET_TEST_KILL_BY=SIGSTOP\n'
        )
        self.host.systemctl("daemon-reload")
        self.host.systemctl("restart", "limpet")

    def stopped(self) -> bool:
        """The pass stands still."""
        return "T" in self.host.run(["ps", "-C", "python", "-o", "stat="], check=False).out

    def pull_the_plug(self) -> None:
        self.host.kill()
        self.host.boot()


@pytest.fixture
def machine(engine: Engine, host_net: HostNetwork, repo: GitRepo, tmp_path: Path) -> Iterator[Machine]:
    authority = Authority(tmp_path / "tls")
    with (
        HttpsRemote(repo, tmp_path / "https", bind=host_net.gateway) as git,
        registry(tmp_path / "registry", bind=host_net.gateway, tls=authority) as server,
        host(engine, host_net, "web-01") as made,
    ):
        made.install_limpet()
        for kind in ("web", "idle", "sick"):
            made.load_image(images.image(kind))
        made.put("/etc/limpet/registry.crt", authority.ca_file.read_bytes())
        access = {server.address: {"ca_file": "/etc/limpet/registry.crt"}}
        made.configure(git, source={"poll": "1s"}, engine={"registries": access})
        yield Machine(made, repo, server)


def test_rebooted_in_each_phase(
    machine: Machine, most: Callable[[int], int | None], report: Callable[[str, str, int, int], None]
) -> None:
    """A host that is switched off in a phase must, once it is started again, end by itself where an
    uninterrupted pass ends.
    """
    chosen = list(PHASES.items())[: most(SAMPLE)]
    machine.host.start_limpet()
    known_good = machine.reach("start", PHASES["gate"])
    undisturbed = {}
    for pulls in {phase.pulls for _, phase in chosen if phase.good}:
        undisturbed[pulls] = machine.reach("changed", Phase("", pulls=pulls))
        assert machine.reach("start", PHASES["gate"]) == known_good
    still = machine.host.engine.client.containers.get("shop-still-1").id
    for number, (name, phase) in enumerate(chosen):
        if phase.pulls:
            machine.forget_image()
        machine.stop_at(phase.at)
        commit = machine.commit("changed" if phase.good else f"bad {number}", phase)
        eventually(machine.stopped, PATIENCE, f"the pass to stop in {name}")
        machine.pull_the_plug()
        after = machine.settles(commit, phase)
        assert after == (undisturbed[phase.pulls] if phase.good else known_good), name
        assert machine.reach("start", PHASES["gate"]) == known_good, name
        assert machine.host.engine.client.containers.get("shop-still-1").id == still, name
    report("reboot", "phases", len(chosen), len(PHASES))
