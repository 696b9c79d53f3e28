"""Digests, which no upgrade may change."""

from __future__ import annotations

from typing import Any

import pytest

from agent.kinds import container, files, network, volume
from agent.kinds.base import digest
from agent.model import Key, Need, Resource


def web(**differs: Any) -> Resource:
    spec: dict[str, Any] = {
        "app": "shop",
        "service": "web",
        "number": 1,
        "config": {"image": "nginx:1.27", "environment": {"A": "1"}},
        "inputs": {"/apps/shop/a.conf": "d" * 64},
        "folded": {"network/shop_default": "e" * 64},
    }
    return container.container_resource("shop-web-1", **{**spec, **differs})


FROZEN = {
    "file": files.file("/etc/motd", content="a" * 64, size=3),
    "file-with-all": files.file(
        "/etc/app.conf",
        content="b" * 64,
        size=9,
        mode="0600",
        owner="app",
        group="app",
        check=("nginx", "-t", "-c", "{file}"),
        app="shop",
    ),
    "absent": files.absent("/etc/old"),
    "directory": files.directory("/srv/data", mode="0750", owner="app"),
    "symlink": files.symlink("/etc/motd", target="/run/motd"),
    "network": network.network_resource("shop_default", app="shop", config={}),
    "network-with-subnet": network.network_resource(
        "shop_back", app="shop", config={"ipam": {"config": [{"subnet": "10.0.0.0/24"}]}}
    ),
    "network-external": network.network_resource("proxy", app="shop", config={}, external=True),
    "volume": volume.volume_resource("shop_data", app="shop", config={}),
    "container": web(),
    "container-with-all": web(
        oneshot=True, on_change={"/etc/app.conf": "signal:HUP"}, needs=(Need(Key("file", "/etc/x")),)
    ),
}


DIGESTS = {
    "file": "6c87458b6cbbc62a18e85641dc170cc85bab7619a1e67f37de282d6439b34627",
    "file-with-all": "6b79a89ddeaad526429a0d1adb809181b83ac4a342927d948401a0c99b7aefe5",
    "absent": "e5e6bcf3cc71cb835a948e602f18aa2f53ab60e44fcc752aa1fd9e7effee41e6",
    "directory": "32bac60b8e4ea6768f7f26f3dd25ebc126afc9e61fa73fbd2328e53f90e1fa9d",
    "symlink": "43925cdc31841f56ecabeeadd3a762c8a9772f76872a59291d71034d301fa1b7",
    "network": "dd6949f3e4fd549869e5bacf9ea96268309ab3720d94cd52de6253b611395faf",
    "network-with-subnet": "53a46657896d738d90d414d77c790f78544c8cb60fcf8518147353ad7f7501dd",
    "network-external": "1efac00b9114491ac82652863c7e8bb7b09ab4903020ca9ac03255dfb58d039e",
    "volume": "9d6e7fe2f591a02e6224099768134162566a194e06cc0d03f1f72e1ad26d4f03",
    "container": "ae894fa4eb71c0cd81a355715e128eae17bce9e2b725e6e1bb6cb0c0ec5f7066",
    "container-with-all": "454b49eaa6046b3f4d709080573b47c9f7bad96aebeb958e7e8d61cffd535ccf",
}


@pytest.mark.parametrize("name", FROZEN)
def test_digest_is_frozen(name: str) -> None:
    """A digest under scheme 1 must never change: an upgrade of Limpet causes no action. Never correct this
    table.
    """
    assert FROZEN[name].digest == DIGESTS[name]


def test_digest_covers_only_what_was_set() -> None:
    """Empty and false values must count as not set, so that a new optional field changes no digest."""
    assert digest("file", {"a": 1, "b": "", "c": None, "d": [], "e": {}, "f": False}) == digest(
        "file", {"a": 1}
    )
    assert digest("file", {"a": "0"}) != digest("file", {})
    assert digest("file", {"a": 1}) != digest("symlink", {"a": 1})
