"""What of others is in the way of a container says nothing about the release: it is waited for."""

from __future__ import annotations

from typing import Any

import pytest

from agent.errors import Failed
from agent.kinds import claims
from agent.model import Action, Resource
from tests.fakes.passes import Passes, service
from tests.passes.moves import proved, with_images

WEB, PORT = "shop-web-1", "port/tcp/0.0.0.0/8080"


def web(mark: str = "1", **config: Any) -> Resource:
    return service("shop/web:1", WEB, environment={"E": mark}, config={"restart": "always", **config})


def publishing(mark: str = "1") -> Resource:
    return web(mark, ports=[{"target": 80, "published": "8080", "protocol": "tcp"}])


@pytest.fixture
def passes(tmp_path: Any) -> Passes:
    """A host with a service that publishes nothing."""
    found = with_images(tmp_path, ("shop/web:1", "idle"))
    proved(found, web())
    return found


@pytest.mark.parametrize("held", [PORT, "port/tcp/127.0.0.1/8080", "port/tcp/::1/8080"])
def test_a_port_that_a_process_holds(passes: Passes, held: str) -> None:
    """A port that a process of the host holds must be refused with a remedy; the old container runs on, and
    the port is taken when it is free.
    """
    passes.host.ports_of_others.add(held)
    passes.branch.push(publishing())
    for _ in range(2):
        result = passes.run()
        assert result.exit_code == 6, result
        [refusal] = passes.plan.refused
        assert refusal.cause == "port 8080/tcp is held by a process of the host"
        assert "ss -lntp" in refusal.hint
        assert passes.host._find(WEB).seen.state == "running" and not passes.state.rejected
    passes.host.ports_of_others.clear()
    assert passes.run().exit_code == 0
    assert passes.host._find(WEB).seen.ports == (PORT,)


def test_a_running_container_keeps_its_port(passes: Passes) -> None:
    """What runs as it should must not be refused, whatever seems to hold its port."""
    proved(passes, publishing())
    passes.host.ports_of_others.add("port/tcp/10.0.0.1/8080")
    assert passes.run().exit_code == 0


def test_a_device_that_is_missing(passes: Passes) -> None:
    """A device that is not there must be waited for."""
    passes.host.missing_devices.add("/dev/ttyUSB0")
    passes.branch.push(web(devices=["/dev/ttyUSB0:/dev/ttyUSB0:rwm"]))
    assert passes.run().exit_code == 6
    assert passes.plan.refused[0].cause == "the device /dev/ttyUSB0 is not there"
    passes.host.missing_devices.clear()
    assert passes.run().exit_code == 0


@pytest.mark.parametrize("code", ["PortTaken", "AddressTaken", "NameTaken"])
def test_what_is_taken_in_the_last_moment(passes: Passes, code: str) -> None:
    """When the Engine itself finds that something is taken, the old container must come back, and the release
    must not be condemned.
    """
    old = passes.host._find(WEB).seen.id
    execute = passes.host.execute

    def taken(action: Action, resource: Resource | None) -> None:
        if action.verb == "start" and passes.state.attempt and passes.state.attempt.phase == "applying":
            raise Failed("it is taken", "free it", code=code, resource=str(action.key))
        execute(action, resource)

    passes.host.execute = taken  # type: ignore[method-assign]
    passes.branch.push(publishing())
    result = passes.run()
    assert (result.outcome, result.exit_code) == ("Inconclusive", 75), result
    assert passes.host._find(WEB).seen.id == old and passes.host._find(WEB).seen.state == "running"
    passes.host.execute = execute  # type: ignore[method-assign]
    assert passes.run().exit_code == 0 and not passes.state.rejected


def test_claims_of_devices_and_ports() -> None:
    """The harness's claims are those of the product."""
    assert claims.of_service(WEB, publishing().spec["config"]) == (f"name/{WEB}", PORT)
