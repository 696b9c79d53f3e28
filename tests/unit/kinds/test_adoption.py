"""What the inventory keeps of an object that was taken over, and how it is recognised."""

from __future__ import annotations

from typing import Any

import pytest

from agent.kinds import adoption
from agent.model import INSTANCE_LABEL, Key
from tests.plan.cases import view

NET, DATA, WEB = Key("network", "net"), Key("volume", "data"), Key("container", "web")
SERVICE = {"image": "a:1", "networks": {"net": {}}, "volumes": ["data"], "adopt": True, "ports": ["80"]}
CASE: dict[str, Any] = {
    "desired": {"network": {"net": {}}, "volume": {"data": {}}, "container": {"web": SERVICE}},
    "network": {"net": {"compose": {}}},
    "volume": {"data": {"compose": {}}},
    "container": [{"compose": "desired/web", "id": "old", "name": "shop_web_1", "restart_policy": "always"}],
}


def test_what_is_taken_over_is_kept_with_how_it_was_found() -> None:
    """Until a release is proved the entry must say how an object was found; then only which it is."""
    at = adoption.take_over(view(CASE))
    wanted = at.target.manifest.resources
    found = {key: adoption.record(key, at, proved=False) for key in (NET, DATA, WEB)}
    was = {"name": "shop_web_1", "policy": "always", "running": True, "claims": ["port/tcp/0.0.0.0/80"]}
    assert found == {
        NET: {"id": "id-net", "digest": wanted[NET].digest, "original": {"name": "net"}},
        DATA: {"id": "data", "digest": wanted[DATA].digest, "original": {"name": "data"}},
        WEB: {"id": "old", "digest": wanted[WEB].digest, "original": was},
    }
    assert adoption.record(NET, at, proved=True) == {"id": "id-net", "digest": wanted[NET].digest}
    assert adoption.record(Key("network", "other"), at, proved=False) == {}


@pytest.mark.parametrize(("kept", "original"), [({"original": {}}, {"name": "net"}), ({}, None)])
def test_an_object_that_was_taken_over_before(kept: dict[str, Any], original: Any) -> None:
    """It must keep how it was found as long as it is not proved, and no longer."""
    case = {**CASE, "inventory": {"network/net": {"adopted": {"id": "id-net", "digest": "d", **kept}}}}
    assert adoption.record(NET, adoption.take_over(view(case)), proved=False).get("original") == original


@pytest.mark.parametrize(
    ("kind", "labels", "handle"),
    [
        ("container", None, "container/x"),
        ("network", {"com.docker.compose.project": "shop"}, "network/x"),
        (
            "container",
            {
                "com.docker.compose.project": "shop",
                "com.docker.compose.service": "web",
                "com.docker.compose.container-number": "2",
                "com.docker.compose.oneoff": "False",
            },
            "service/shop/web/2",
        ),
        ("container", {"com.docker.compose.project": "shop", "com.docker.compose.oneoff": "True"}, ""),
        ("volume", {INSTANCE_LABEL: "other"}, ""),
    ],
)
def test_by_what_an_object_is_recognised(kind: str, labels: dict[str, str] | None, handle: str) -> None:
    """Compose's labels must count before the name; what a Limpet owns, or ran once, is nobody's to take."""
    assert adoption.adoption_handle(kind, "x", labels) == handle


def test_all_that_a_service_adopts_is_looked_for() -> None:
    """A service that adopts must be found by its name and by Compose's labels, with what it uses."""
    assert adoption.handles(view(CASE).target.manifest) == {
        "container/web",
        "service/shop/web/1",
        "network/net",
        "volume/data",
    }
    plain = {"desired": {"container": {"web": {"image": "a:1"}}}}
    assert adoption.handles(view(plain).target.manifest) == set()


@pytest.mark.parametrize(
    ("restart", "policy"), [(None, "no"), ("always", "always"), ("on-failure:3", "on-failure:3")]
)
def test_a_container_whose_entry_was_lost(restart: str | None, policy: str) -> None:
    """What was put aside must come back as its service says that it ran."""
    config = {"restart": restart} if restart else {}
    held = view(
        {"desired": {"container": {"web": {**SERVICE, "networks": {}, "volumes": [], "config": config}}}}
    )
    assert adoption.put_aside(WEB, "old", held.target.manifest.resources[WEB]) == {
        "id": "old",
        "digest": "",
        "original": {"name": "web", "policy": policy, "running": True, "claims": ["port/tcp/0.0.0.0/80"]},
    }
