"""Between two passes: what happens to the host is seen, said and, where nobody did it on purpose, repaired.
The daemon polls and resyncs so seldom that only events can have told it.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness.daemon import Daemon
from tests.harness.site import Site
from tests.harness.wait import eventually

WEB = """\
name: {app}
services:
  web:
    image: limpet-test/idle:v1
    init: true
    restart: "{restart}"
    healthcheck: {{test: [CMD, test, "!", -e, /sick], interval: 0.3s, retries: 1, start_period: 0s}}
"""


@pytest.fixture
def daemon(site: Site) -> Iterator[Daemon]:
    daemon = Daemon(site)
    site.configure(source={"poll": "10m"}, converge={"resync": "1h"}, gate={"settle": "0.5s"})
    yield daemon
    daemon.kill()


def brought_in(daemon: Daemon, site: Site, prefix: str, restart: str = "always", **files: str) -> Any:
    """The container of a service that the daemon has brought in, and watches."""
    commit = site.commit({"compose.yaml": WEB.format(app=prefix, restart=restart), **files})
    daemon.start()
    daemon.applied(commit)
    eventually(lambda: site.heartbeat()["health"]["watching"], what="the daemon watches")
    return site.engine.client.containers.get(f"{prefix}-web-1")


def says(site: Site, state: str, *conditions: str) -> None:
    """Waits until the heartbeat says so."""

    def said() -> bool:
        beat = site.heartbeat()
        held = {each["type"] for each in beat["conditions"] if each["status"] == "True"}
        return beat["state"] == state and held.issuperset(conditions)

    eventually(said, what=f"{state} {conditions}")


def runs(site: Site, prefix: str) -> None:
    """Waits until the service runs."""

    def running() -> bool:
        found = site.engine.client.containers.list(filters={"name": f"{prefix}-web-1"})
        return any(each.status == "running" for each in found)

    eventually(running, what="the container runs")


@pytest.mark.parametrize("how", ["killed", "exits", "removed"])
def test_what_ends_by_itself_is_repaired(daemon: Daemon, site: Site, prefix: str, how: str) -> None:
    """A container that ends, and that Docker does not start again, or that is gone, must be back at once."""
    web = brought_in(daemon, site, prefix, restart="no")
    before = web.attrs["State"]["StartedAt"]
    if how == "killed":
        web.kill("SIGKILL")
    elif how == "exits":
        web.exec_run("kill -TERM 1", user="root")
    else:
        web.remove(force=True)

    def again() -> bool:
        found = site.engine.client.containers.list(filters={"name": f"{prefix}-web-1"})
        return any(each.attrs["State"]["StartedAt"] != before for each in found)

    eventually(again, what="the container runs again")
    eventually(lambda: site.heartbeat()["drift"]["corrected_total"] == 1, what="the repair is counted")
    says(site, "Synced", "Healthy")


def test_what_becomes_unhealthy_is_said(daemon: Daemon, site: Site, prefix: str) -> None:
    """A service that becomes unhealthy must be Degraded without a pass, and Synced when it is well again."""
    web = brought_in(daemon, site, prefix)
    web.exec_run("touch /sick")
    says(site, "Degraded")
    assert site.heartbeat()["resources"]["problems"][0]["health"] == "unhealthy"
    web.exec_run("rm /sick")
    says(site, "Synced", "Healthy")


def test_an_edited_file_is_said_and_left(daemon: Daemon, site: Site, prefix: str) -> None:
    """An edited file must be said to have drifted at once, and be left to the person until a pass."""
    brought_in(daemon, site, prefix, **{"files/etc/demo.conf": "one\n"})
    demo = site.root / "etc/demo.conf"
    demo.write_text("by hand\n")
    says(site, "Degraded", "Drifted")
    assert site.heartbeat()["drift"]["now"] == ["file/etc/demo.conf"]
    assert demo.read_text() == "by hand\n"
    site.sync(real=True)
    assert demo.read_text() == "one\n"
    says(site, "Synced")


def test_a_stopped_container_is_said_and_left(daemon: Daemon, site: Site, prefix: str) -> None:
    """A container that a person stops must be said to have drifted, and stay stopped until the person starts
    it.
    """
    web = brought_in(daemon, site, prefix)
    web.stop(timeout=1)
    says(site, "Degraded", "Drifted")
    web.reload()
    assert web.status == "exited"
    web.start()
    says(site, "Synced", "Healthy")
    assert site.heartbeat()["drift"]["corrected_total"] == 0


def test_a_red_check_is_said(daemon: Daemon, site: Site, prefix: str) -> None:
    """A check that becomes red after the gate must show, without a pass."""
    red = site.root / "red"
    layer = f"checks:\n  demo: {{exec: [test, '!', -e, {red}], every: 0.5s}}\n"
    brought_in(daemon, site, prefix, **{"layer.yaml": layer})
    red.write_text("")
    says(site, "Degraded")
    assert site.heartbeat()["resources"]["problems"][0]["resource"] == "check/demo"
    red.unlink()
    says(site, "Synced")


def test_suspended_is_only_looked_at(daemon: Daemon, site: Site, prefix: str) -> None:
    """On a suspended host a container that ends must be said to be missing, and nothing be repaired."""
    web = brought_in(daemon, site, prefix, restart="no")
    assert site.limpet("suspend", "--reason", "a disk is swapped").code == 0
    web.remove(force=True)
    eventually(lambda: site.heartbeat()["resources"]["by_health"].get("missing") == 1, what="missing")
    assert site.ids(prefix) == {} and site.heartbeat()["state"] == "Suspended"
    assert daemon.send(signal.SIGTERM) == 0
