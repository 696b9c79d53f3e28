"""Networks: what they are in a release, and what becomes of them on the host."""

from __future__ import annotations

from typing import Any

import pytest

from agent.kinds import network
from agent.kinds.base import Fate
from agent.model import Key
from tests.plan.cases import view

NET = Key("network", "net")
SUBNET = {"ipam": {"config": [{"subnet": "10.1.0.0/24"}]}}


def fate(case: dict[str, Any]) -> Fate:
    at = view(case)
    return network.fate(NET, at.target.manifest.resources.get(NET), at)


def test_an_external_network_is_only_named() -> None:
    """It must claim no addresses, for they are not ours to keep, and be another resource than one of ours."""
    ours = network.network_resource("net", app="shop", config=SUBNET, compose={"key": "n"}, origin="c:1")
    external = network.network_resource("net", app="shop", config=SUBNET, external=True)
    assert (ours.key, ours.origin, ours.claims) == (NET, "c:1", ("subnet/10.1.0.0/24",))
    assert ours.spec == {
        "name": "net",
        "app": "shop",
        "external": False,
        "config": SUBNET,
        "compose": {"key": "n"},
    }
    assert external.claims == () and external.digest != ours.digest
    assert external.spec == {**ours.spec, "external": True, "compose": {}}


def test_labels_and_apps_make_no_other_network() -> None:
    """Its app, its labels and where it is written must not be in its digest."""
    one = network.network_resource("net", app="shop", config=SUBNET)
    other = network.network_resource("net", app="blog", config=SUBNET, compose={"key": "n"}, origin="c:1")
    assert one.digest == other.digest


@pytest.mark.parametrize("there", [{"owned": False}, {"owned": True, "digest": "d0"}])
def test_an_external_network_is_taken_as_it_is(there: dict[str, Any]) -> None:
    """Whoever made it and whatever is in it, an external network must be neither adopted nor replaced."""
    desired = {"network": {"net": {"external": True, "config": SUBNET}}}
    assert fate({"desired": desired, "network": {"net": there}}).verb == "ok"


def test_an_external_network_that_is_missing_is_refused() -> None:
    """It must be said who is to create it, and how; Limpet must not."""
    found = fate({"desired": {"network": {"net": {"external": True}}}})
    assert found.verb == "refuse" and found.steps == () and found.refusal is not None
    assert found.refusal.hint == "create it: docker network create net"


def test_a_network_that_becomes_external_is_no_longer_ours_to_remove() -> None:
    """When the branch says that it is external now, it must stay as it is."""
    found = fate({"applied": {"network": {"net": {}}}, "desired": {"network": {"net": {"external": True}}}})
    assert found.verb == "ok"


def test_a_network_of_ours_is_removed_and_made_anew_when_it_differs() -> None:
    """The cause must name what changed when the release before is known, and be general when it is not."""
    case = {"applied": {"network": {"net": {}}}, "desired": {"network": {"net": {"config": SUBNET}}}}
    found = fate(case)
    assert (found.verb, found.cause) == ("replace", "ipam changed")
    assert [(step.part, step.verb, step.args) for step in found.steps] == [
        ("release", "remove", {"id": "id-net"}),
        ("start", "create", {}),
    ]
    there = {"network": {"net": {"owned": True, "digest": "d0"}}}
    assert fate({"desired": case["desired"], **there}).cause == "content differs from the release"


@pytest.mark.parametrize(
    ("wanted", "verb"), [({"net": {"config": SUBNET}}, "re-created"), ({}, "repository")]
)
def test_a_foreign_container_keeps_its_network(wanted: dict[str, Any], verb: str) -> None:
    """A network that a container of somebody else is on must neither be re-created nor removed."""
    found = fate(
        {
            "applied": {"network": {"net": {}}},
            "desired": {"network": wanted},
            "container": [{"foreign": "theirs", "networks": {"net": "id-net"}}],
        }
    )
    assert found.verb == "refuse" and found.refusal is not None
    assert verb in found.cause and "theirs" in found.cause
    assert found.refusal.hint == "docker network disconnect net theirs"


def test_a_network_that_is_gone_or_not_ours_is_forgotten() -> None:
    """What the branch drops must be removed when it is ours, and forgotten when it is not there, or not ours
    any more.
    """
    applied: dict[str, Any] = {"network": {"net": {}}}
    assert [step.part for step in fate({"applied": applied}).steps] == ["prune"]
    assert fate({"applied": applied, "gone": ["network/net"]}).cause == "is gone"
    found = fate({"applied": applied, "network": {"net": {"owned": False}}})
    assert (found.verb, found.cause) == ("forget", "is not ours any more")
