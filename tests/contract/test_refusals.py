"""What the Engines refuse, and how they word it: each in its own words, with a status of its own."""

from __future__ import annotations

from typing import Any

import pytest
from docker.errors import APIError

from agent.errors import Failed, LimpetError
from agent.render.mounts import ENGINE_NAME
from tests.contract.bench import RealBench, act, create, run, service
from tests.harness.net import free_port

on_both_engines = pytest.mark.parametrize("bench", ["real", "debian13"], indirect=True)


@on_both_engines
@pytest.mark.parametrize(
    ("config", "code"),
    [
        ({"command": ["/no/such/program"]}, "CannotStart"),
        ({"command": ["no-such-program"]}, "CannotStart"),
        ({"command": ["/etc/passwd"]}, "CannotStart"),
        ({"user": "nobody-knows"}, "UnknownUser"),
        ({"devices": [{"source": "/dev/none", "target": "/dev/none", "permissions": "rwm"}]}, "NoDevice"),
        ({"runtime": "none-such"}, "NotInstalled"),
        ({"networks": {"bridge": {"ipv4_address": "172.17.0.99"}}}, "NoSubnet"),
        ({"network_mode": "container:no-such-container"}, "Namespace"),
        ({"external_links": ["no-such-container"], "network_mode": "bridge"}, "Namespace"),
        ({"mem_limit": 1024}, "RuntimeRefused"),
        ({"volumes": [{"type": "bind", "source": "/etc/passwd", "target": "/etc", "bind": {}}]}, "BindType"),
    ],
)
def test_what_cannot_start_says_why(bench: RealBench, config: dict[str, Any], code: str) -> None:
    """A container that cannot be created or started must fail with the Engine's reason and with what to
    do.
    """
    bench.put_file("/etc/passwd", b"")
    web = service(bench, "web", **config)
    with pytest.raises(LimpetError, match=web.key.name) as error:
        run(bench, web)
    assert (error.value.code, bool(error.value.hint)) == (code, True), error.value.message
    assert isinstance(error.value, Failed)


@pytest.mark.parametrize("bench", ["real"], indirect=True)  # both word it alike, and look for it for 15 s
def test_a_log_driver_that_is_not_installed(bench: RealBench) -> None:
    """A log driver that the host lacks must be told as what is not installed."""
    with pytest.raises(Failed) as error:
        run(bench, service(bench, "web", logging={"driver": "none-such"}))
    assert error.value.code == "NotInstalled"


@on_both_engines
def test_shared_memory_that_is_not_to_be_shared(bench: RealBench) -> None:
    """A lender whose shared memory is its own must be named as what has to change."""
    gateway = service(bench, "gw", network_mode="none")
    run(bench, gateway)
    app = service(bench, "app", network_mode="none", ipc=f"container:{gateway.key.name}")
    create(bench, app)
    with pytest.raises(Failed) as error:
        act(bench, app, "start", container=app.key.name)
    assert error.value.code == "Namespace" and "ipc: shareable" in error.value.hint


@on_both_engines
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_port_of_another_container(bench: RealBench, protocol: str) -> None:
    """A port that a container publishes must be told apart from an address that is taken."""
    ports = [{"mode": "ingress", "target": 80, "published": str(free_port()), "protocol": protocol}]
    run(bench, service(bench, "one", ports=ports))
    with pytest.raises(Failed) as error:
        run(bench, service(bench, "other", ports=ports))
    assert error.value.code == "PortTaken"


@on_both_engines
def test_names_that_no_engine_takes(bench: RealBench) -> None:
    """`validate` must refuse the names of volumes and containers that the Engine refuses, and no others."""
    api = bench.engine.client.api
    for name in (*"n-_.", "-lt", "_lt", ".lt", "lt/x", "lt x", "lt:x", "lté", "lt\n"):
        assert not ENGINE_NAME.match(name), name
        for make in (api.create_volume, lambda name: api.create_container("limpet-test/idle:v1", name=name)):
            with pytest.raises(APIError) as error:
                make(name)
            assert error.value.status_code == 400, name
    for name in (f"{bench.prefix}{end}" for end in "._-X9"):
        assert ENGINE_NAME.match(name), name
        api.create_volume(name)
        api.create_container("limpet-test/idle:v1", name=name)
