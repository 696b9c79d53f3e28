"""What of others is in the way of a container is waited for, on the real Engine."""

from __future__ import annotations

from typing import Any

from tests.harness.site import Site, on_both_engines

pytestmark = on_both_engines


def compose(app: str, more: str) -> str:
    return f"name: {app}\nservices: {{web: {{image: 'limpet-test/idle:v1', init: true, {more}}}}}\n"


def test_a_port_that_a_process_holds(site: Site, prefix: str, free_port: int) -> None:
    """A port that a server of the host has must be refused; the old container runs on, and the port is taken
    as soon as it is free.
    """
    site.commit({"compose.yaml": compose(prefix, "environment: {E: '1'}")})
    site.sync()
    old = site.ids(prefix)
    site.commit({"compose.yaml": compose(prefix, f"ports: ['{free_port}:80']")})
    with site.holding(free_port):
        for _ in range(2):
            assert f"port {free_port}/tcp is held by a process of the host" in site.sync(expect=6).err
            assert site.ids(prefix) == old
    site.sync()
    assert site.ids(prefix) != old
    assert "nothing to do" in site.sync().out


def test_an_address_that_somebody_else_has(site: Site, prefix: str) -> None:
    """A static address that a foreign container has must be refused, and taken when it is free."""
    ipam = "ipam: {config: [{subnet: 10.213.77.0/24}]}"
    web = "networks: {front: {ipv4_address: 10.213.77.9}}"
    networks = f"networks: {{front: {{name: {prefix}_front, {ipam}}}}}\n"
    site.commit({"compose.yaml": compose(prefix, "networks: [front]") + networks})
    site.sync()
    api, name = site.engine.client.api, f"{prefix}-theirs"
    endpoint: Any = {f"{prefix}_front": api.create_endpoint_config(ipv4_address="10.213.77.9")}
    config = api.create_networking_config(endpoint)
    api.create_container("limpet-test/idle:v1", name=name, networking_config=config)
    api.start(name)
    site.commit({"compose.yaml": compose(prefix, web) + networks})
    assert f"is held by the foreign container {name}" in site.sync(expect=6).err
    api.remove_container(name, force=True)
    site.sync()


def test_a_device_that_is_missing(site: Site, prefix: str) -> None:
    """A device that is not there must be named, and condemn nothing."""
    site.commit({"compose.yaml": compose(prefix, "network_mode: none, devices: ['/dev/limpet-none']")})
    assert "the device /dev/limpet-none is not there" in site.sync(expect=6).err
    assert not site.heartbeat().get("rejected")
