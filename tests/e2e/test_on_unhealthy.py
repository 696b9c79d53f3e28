"""What becomes unhealthy after its release was proved, on the real Engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.harness.site import Site
from tests.harness.wait import eventually

COMPOSE = """\
name: {app}
services:
  web:
    image: limpet-test/idle:v1
    entrypoint: [sh, -c, "rm -f /sick; exec sleep 1d"]
    init: true
    healthcheck: {{test: [CMD, test, "!", -e, /sick], interval: 1s, retries: 1}}
    network_mode: none
    post_start: [{{command: [touch, /filled]}}]
    {more}
"""


@pytest.fixture
def sick(site: Site, prefix: str) -> Site:
    """A service that is known good and becomes unhealthy."""
    site.commit({"compose.yaml": COMPOSE.format(app=prefix, more="")})
    site.sync()
    sicken(site, prefix)
    return site


def sicken(site: Site, prefix: str) -> None:
    assert site.engine.client.containers.get(f"{prefix}-web-1").exec_run(["touch", "/sick"]).exit_code == 0
    eventually(lambda: health(site, prefix) == "unhealthy", 60, "it becomes unhealthy")


def health(site: Site, prefix: str) -> str:
    return str(site.container(f"{prefix}-web-1")["State"]["Health"]["Status"])


def life(site: Site, prefix: str) -> tuple[Any, Any]:
    """The id, and when it was started."""
    doc = site.container(f"{prefix}-web-1")
    return doc["Id"], doc["State"]["StartedAt"]


def test_it_is_reported_then_restarted(sick: Site, prefix: str) -> None:
    """Without a word an unhealthy container must be left alone and make the host Degraded; `on_unhealthy:
    restart` must restart the same container as soon as it is said, with its hooks, and re-create nothing.
    """
    before = life(sick, prefix)
    sick.sync(real=True)
    told = sick.heartbeat()
    assert life(sick, prefix) == before and told["state"] == "Degraded"
    assert [(p["resource"], p["health"]) for p in told["resources"]["problems"]] == [
        (f"container/{prefix}-web-1", "unhealthy")
    ]
    assert "docker inspect" in sick.limpet("status").out
    sick.commit({"compose.yaml": COMPOSE.format(app=prefix, more="x-limpet: {on_unhealthy: restart}")})
    assert f"update container/{prefix}-web-1: is unhealthy" in sick.limpet("plan").out
    assert "1 of them to repair drift" in sick.sync().out
    id, started = life(sick, prefix)
    assert id == before[0] and started != before[1]
    eventually(lambda: health(sick, prefix) == "healthy", 60, "it is healthy again")
    assert "nothing to do" in sick.sync().out and sick.heartbeat()["state"] == "Synced"


def test_it_is_restarted_five_times_an_hour(sick: Site, prefix: str) -> None:
    """What becomes unhealthy again and again must be restarted five times, then be left alone until `limpet
    retry` names it.
    """
    sick.commit({"compose.yaml": COMPOSE.format(app=prefix, more="x-limpet: {on_unhealthy: restart}")})
    for _ in range(5):
        sick.sync()
        sicken(sick, prefix)
    before, name = life(sick, prefix), f"container/{prefix}-web-1"
    assert "flapping: corrected 5 times within an hour, and needs it again: is unhealthy" in sick.sync(6).err
    assert life(sick, prefix) == before and sick.heartbeat()["drift"]["flapping"] == [name]
    assert f"limpet retry {name}" in sick.limpet("status").out
    assert sick.limpet("retry", name).code == 0
    sick.sync()
    assert life(sick, prefix)[1] != before[1] and sick.heartbeat()["drift"]["flapping"] == []


def test_a_check_that_fails_later_is_reported(site: Site, prefix: str, tmp_path: Path) -> None:
    """A check that gets red after its release was proved must make the host Degraded with the check as
    problem, change nothing, and be forgotten when it is green again.
    """
    up = tmp_path / "up"
    up.touch()
    site.commit(
        {
            "compose.yaml": f"name: {prefix}\nservices: {{web: {{image: 'limpet-test/idle:v1', "
            f"network_mode: none}}}}\n",
            "layer.yaml": f"checks: {{up: {{exec: [test, -e, {up}]}}}}\n",
        }
    )
    site.sync()
    before = site.ids(prefix)
    up.unlink()
    site.sync()
    told = site.heartbeat()
    assert told["state"] == "Degraded" and site.ids(prefix) == before
    assert [(p["resource"], p["health"]) for p in told["resources"]["problems"]] == [("check/up", "failing")]
    assert f"test -e {up}" in site.limpet("status").out
    up.touch()
    site.sync()
    assert site.heartbeat()["state"] == "Synced"
