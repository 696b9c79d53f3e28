"""Two agents on one host: one works, the other says who does."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.faults.ground import end
from tests.harness.site import Site
from tests.harness.wait import eventually

COMPOSE = """\
name: {app}
services:
  web:
    image: limpet-test/idle:v1
    healthcheck: {{test: [CMD, test, -e, /tmp/go], interval: 0.3s, start_period: 600s}}
"""


def spawn(site: Site, verb: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-I", "-m", "agent", "--root", str(site.root), verb]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def first_to_end(agents: list[subprocess.Popen[str]]) -> subprocess.Popen[str]:
    return eventually(lambda: [agent for agent in agents if agent.poll() is not None], 60, "one to give up")[
        0
    ]


@pytest.mark.parametrize(("verb", "what"), [("sync", "a pass"), ("run", "a daemon")])
def test_two_started_at_once(site: Site, prefix: str, verb: str, what: str) -> None:
    """Of two agents started at once exactly one must work, and the other exit 75 with the pid of the
    first.
    """
    site.configure(gate={"settle": "0.2s", "deadline": "10m"})
    site.commit({"compose.yaml": COMPOSE.format(app=prefix)})
    agents = [spawn(site, verb), spawn(site, verb)]
    refused = first_to_end(agents)
    works = agents[1 - agents.index(refused)]
    result = end(refused)
    assert result.code == 75, result
    assert f"{what} is running already (pid {works.pid})" in result.err, result
    web = f"{prefix}-web-1"

    def healthy() -> bool:
        site.engine.client.containers.get(web).exec_run(["touch", "/tmp/go"])
        return bool(site.heartbeat()["state"] == "Synced")

    eventually(healthy, 60, "the other one to converge")
    if verb == "run":
        works.send_signal(signal.SIGTERM)
    assert end(works).code == 0
    assert set(site.ids(prefix)) == {web}
