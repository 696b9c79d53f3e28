"""Keys that an older Engine would ignore or refuse, and what is said of them."""

from __future__ import annotations

from typing import Any

import pytest

from agent.converge.prefetch import check_engine
from agent.decide.plan import plan
from agent.errors import Stalled
from agent.kinds.base import Target, View
from agent.kinds.container import container_resource
from agent.kinds.engine.versions import ENGINES, newer_keys
from agent.kinds.network import network_resource
from agent.model import Manifest
from agent.observed import Observed

SERVICES: dict[str, tuple[dict[str, Any], tuple[int, int]]] = {
    "annotations": ({"annotations": {"a": "b"}}, (1, 43)),
    "healthcheck.start_interval": ({"healthcheck": {"start_interval": "1s"}}, (1, 44)),
    "networks.*.mac_address": (
        {"networks": {n: {"mac_address": f"02:42:ac:11:65:4{n}"} for n in "12"}},
        (1, 44),
    ),
    "networks.n.gw_priority": ({"networks": {"n": {"gw_priority": 5}}}, (1, 48)),
    "networks.n.interface_name": ({"networks": {"n": {"interface_name": "lan0"}}}, (1, 49)),
    "volumes /a: type image": ({"volumes": [{"type": "image", "source": "x:1", "target": "/a"}]}, (1, 48)),
    "volumes /a: subpath": (
        {"volumes": [{"type": "volume", "target": "/a", "volume": {"subpath": "s"}}]},
        (1, 45),
    ),
    "volumes /a: recursive": (
        {"volumes": [{"type": "bind", "target": "/a", "bind": {"recursive": "readonly"}}]},
        (1, 44),
    ),
}


def service(config: dict[str, Any]) -> Any:
    return container_resource(
        "shop-web-1",
        app="shop",
        service="web",
        number=1,
        config={"image": "x", **config},
        inputs={},
        folded={},
        origin="compose.yaml:3",
    )


@pytest.mark.parametrize("key", SERVICES)
def test_a_key_says_what_it_needs(key: str) -> None:
    """Each key that an Engine before some version does not know must be named with that version."""
    config, needed = SERVICES[key]
    assert newer_keys(service(config)) == {key: needed} and needed in ENGINES


def test_what_every_engine_knows_needs_nothing() -> None:
    """Usual keys, and a network that keeps IPv4, must need no newer Engine; one without IPv4 must."""
    plain = {
        "networks": {"n": {"aliases": ["x"], "mac_address": "02:42:ac:11:65:43"}},
        "healthcheck": {"test": ["CMD", "true"]},
    }
    assert newer_keys(service(plain)) == {}
    assert newer_keys(network_resource("n", app="a", config={"enable_ipv4": True})) == {}
    assert newer_keys(network_resource("n", app="a", config={"enable_ipv4": False})) == {
        "enable_ipv4: false": (1, 48)
    }


def test_both_versions_and_the_place_are_named() -> None:
    """An Engine that is too old must end the pass before anything is touched, with both versions, and the
    line to change.
    """
    resource = service({"annotations": {"a": "b"}})
    manifest = Manifest({resource.key: resource})
    old = Observed(engine_version="20.10.24", engine_api=(1, 41))
    wanted = plan(View(Target(manifest, {"x": "sha256:x"}), old, {}))
    with pytest.raises(Stalled) as caught:
        check_engine(wanted, manifest, old)
    assert str(caught.value) == (
        "container/shop-web-1: annotations needs Docker Engine 24.0 (API 1.43), "
        "and this host has 20.10.24 (API 1.41)"
    )
    assert "compose.yaml:3" in caught.value.hint and caught.value.exit_code == 78
    check_engine(wanted, manifest, Observed(engine_version="26.1.5", engine_api=(1, 45)))
