"""What a container that is adopted is attached to: binds that would move, addresses that were chosen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agent.kinds.container import container_resource
from agent.kinds.engine import attachments
from agent.model import Resource

DIRECTORY = "/apps/shop"


def service(*volumes: dict[str, Any], **config: Any) -> Resource:
    return container_resource(
        "shop-web-1",
        app="shop",
        service="web",
        number=1,
        config={"image": "web:1", "volumes": list(volumes), **config},
        inputs={},
        folded={},
        compose={"project": "shop", "working_dir": DIRECTORY},
    )


def bind(source: str, target: str = "/data") -> dict[str, Any]:
    return {"type": "bind", "source": source, "target": target}


def mounted(source: str, type: str = "bind", target: str = "/data") -> dict[str, Any]:
    return {"container": {"Mounts": [{"Type": type, "Source": source, "Destination": target}]}}


@pytest.mark.parametrize(
    ("wanted", "there", "moves"),
    [
        (bind(f"{DIRECTORY}/data"), mounted("/home/me/shop/data"), True),
        (bind(f"{DIRECTORY}/data/"), mounted(f"{DIRECTORY}/data"), False),
        (bind(DIRECTORY), mounted("/home/me/shop"), True),
        (bind("/srv/data"), mounted("/home/me/shop/data"), False),
        (bind("/apps/shopping/data"), mounted("/home/me/shop/data"), False),
        (bind(f"{DIRECTORY}/.limpet/data"), mounted("/home/me/shop/data"), False),
        (bind(f"{DIRECTORY}/data"), mounted("/var/lib/docker/v", "volume"), False),
        (bind(f"{DIRECTORY}/data"), mounted("/home/me/shop/data", target="/other"), False),
        ({"type": "volume", "source": "v", "target": "/data"}, mounted("/home/me/shop/data"), False),
        (bind(f"{DIRECTORY}/data", "/data/"), mounted("/home/me/shop/data", target="/data"), True),
    ],
)
def test_a_bind_of_the_app_that_would_move(wanted: dict[str, Any], there: Any, moves: bool) -> None:
    """A bind from the app's own directory must not silently point elsewhere than it did; others may."""
    found = attachments.moved(service(wanted), there)
    source = wanted["source"].rstrip("/")
    assert found == ([("/data", there["container"]["Mounts"][0]["Source"], source)] if moves else [])


def test_each_bind_of_the_app_is_looked_at() -> None:
    """Volumes, and binds that the container lacks, must hide no other bind; an app without a directory has
    none.
    """
    wanted = [
        {"type": "volume", "source": "v", "target": "/v"},
        bind(f"{DIRECTORY}/lacking", "/lacking"),
        bind(f"{DIRECTORY}/.limpet/x", "/filled"),
        bind(f"{DIRECTORY}/data"),
        bind(f"{DIRECTORY}/more", "/more"),
    ]
    there = mounted("/home/me/data")
    there["container"]["Mounts"] += mounted("/home/me/more", target="/more")["container"]["Mounts"]
    moves = [(f"/{name}", f"/home/me/{name}", f"{DIRECTORY}/{name}") for name in ("data", "more")]
    assert attachments.moved(service(*wanted), there) == moves
    nowhere = service(*wanted)
    assert attachments.moved(replace(nowhere, spec={**nowhere.spec, "compose": {}}), there) == []


@pytest.mark.parametrize(
    ("there", "wanted", "directory"),
    [
        ("/home/me/shop/data", f"{DIRECTORY}/data", "/home/me/shop"),
        ("/home/me/shop", DIRECTORY, "/home/me/shop"),
        ("/home/me/other", f"{DIRECTORY}/data", ""),
        ("data", f"{DIRECTORY}/data", ""),
    ],
)
def test_where_the_app_would_have_to_be(there: str, wanted: str, directory: str) -> None:
    """The directory that keeps a bind where it is must be named, and none when there is none."""
    assert attachments.directory_for(service(), there, wanted) == directory


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ({"networks": {"n": {"mac_address": "02:42:ac:11:00:02"}}}, "02:42:ac:11:00:02"),
        ({"networks": {"n": {}}}, None),
    ],
)
def test_an_address_counts_when_somebody_chose_it(asked: dict[str, Any], shown: str | None) -> None:
    """The hardware address of an endpoint must be compared only when the service asks for one."""
    endpoint = {"MacAddress": "02:42:ac:11:00:02"}
    there = {"Id": "0" * 64, "Name": "/x", "Config": {}, "NetworkSettings": {"Networks": {"n": endpoint}}}
    assert attachments.networks_there(service(**asked), there)["n"]["mac_address"] == shown


def test_the_engines_own_bridge_is_no_network_of_a_service() -> None:
    """A container that asks for no network is on `bridge`, which must not count as a difference."""
    there = {"Id": "0" * 64, "Name": "/x", "Config": {}, "NetworkSettings": {"Networks": {"bridge": {}}}}
    assert attachments.networks_there(service(), there) == {}
    assert set(attachments.networks_there(service(networks={"n": {}}), there)) == {"bridge"}
    assert attachments.networks_there(service(network_mode="host"), there) == {}
