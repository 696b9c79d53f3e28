"""dockerd goes down and comes back while a gate waits and old containers are kept."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.ground import SERIAL, end
from tests.harness import images
from tests.harness.engine import private_engine
from tests.harness.gitrepo import GitRepo
from tests.harness.site import Site, make_site
from tests.harness.wait import eventually

COMPOSE = """\
name: shop
services:
  web:
    image: limpet-test/idle:v1
    restart: '{policy}'
    environment: {{MARK: '{mark}'}}
    healthcheck: {{test: [CMD, test, -e, /tmp/go], interval: 0.3s, retries: 1000}}
  still: {{image: 'limpet-test/stubborn:v1', restart: always, stop_grace_period: 3s}}
"""


def running(site: Site) -> dict[str, bool]:
    """Container name, without the id of a kept one, -> whether it runs."""
    return {
        str(c.name).partition(".")[0] + (".kept" if ".kept-" in str(c.name) else ""): c.status == "running"
        for c in site.engine.client.containers.list(all=True, ignore_removed=True)
    }


def let_go(site: Site) -> None:
    """Make the new container healthy. The gate may end at once, so nobody may look for it after this."""

    def touched() -> bool:
        return bool(
            site.engine.client.containers.get("shop-web-1").exec_run(["touch", "/tmp/go"]).exit_code == 0
        )

    eventually(touched, 60, "the file that makes shop-web-1 healthy")


@pytest.mark.parametrize(
    ("policy", "good"),
    [("always", True), ("always", False), ("no", True)],
    ids=["healthy", "rolled-back", "ends-with-dockerd"],
)
def test_dockerd_restarts_while_old_containers_are_kept(
    repo: GitRepo, tmp_path: Path, policy: str, good: bool
) -> None:
    """A kept container must not start with dockerd, whatever its restart policy was; the pass must condemn
    nothing for it, though dockerd shows for some seconds how all containers end, and the next one end as if
    nothing had happened.
    """
    (tmp_path / "engine").mkdir()
    with private_engine(tmp_path / "engine") as private:
        for kind in ("idle", "stubborn"):
            images.load(private.client, images.image(kind, "v1"))
        site = make_site(private.engine, repo, tmp_path / "site")
        site.configure(gate={"settle": "0.2s", "deadline": "10m" if good else "40s"})
        site.commit({"compose.yaml": COMPOSE.format(policy=policy, mark="a")})
        argv = [sys.executable, "-I", "-m", "agent", "--root", str(site.root), "sync"]

        def spawn() -> subprocess.Popen[str]:
            return subprocess.Popen(
                argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
            )

        first = spawn()
        let_go(site)
        assert end(first).code == 0
        before = site.container("shop-web-1")["Id"]
        site.commit({"compose.yaml": COMPOSE.format(policy=policy, mark="b")})
        waiting = spawn()
        eventually(
            lambda: site.heartbeat()["phase"] == "gate" and running(site).get("shop-web-1.kept") is False,
            60,
            "the gate",
        )
        private.stop()
        cut = end(waiting)
        assert cut.code == 75 and "hint: " in cut.err, cut
        private.start()
        back = {"shop-web-1": policy == "always", "shop-web-1.kept": False, "shop-still-1": True}
        eventually(lambda: running(site) == back, 60, "what dockerd starts to be back")
        again = spawn()
        if good:
            let_go(site)
        ended = end(again, 180)
        assert ended.code == (0 if good else 4), ended
        assert running(site) == {"shop-web-1": True, "shop-still-1": True}
        assert (site.container("shop-web-1")["Id"] == before) is not good
        assert site.sync(expect=0 if good else 4, env=SERIAL).code == (0 if good else 4)
