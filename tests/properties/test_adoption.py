"""What somebody else started comes to no harm, at whatever moment a pass that adopts it dies."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from agent.kinds.base import Target
from agent.kinds.container import container_resource
from agent.kinds.network import network_resource
from agent.model import Key, Manifest, Need, Resource
from tests.fakes.host import FakeHost
from tests.properties.machine import Machine

NETWORK = network_resource("shop_default", app="shop", config={})


def service(name: str, kind: str, *, adopt: bool = True, **config: Any) -> Resource:
    made = {"image": f"{kind}:1", "restart": "always", "networks": {"shop_default": {}}, **config}
    return container_resource(
        f"shop-{name}-1",
        app="shop",
        service=name,
        number=1,
        config=made,
        inputs={},
        folded={"network/shop_default": NETWORK.digest},
        needs=(Need(NETWORK.key),),
        compose={"project": "shop", "working_dir": "/apps/shop"},
        adopt=adopt,
    )


PORT = [{"target": 80, "published": "80", "protocol": "tcp"}]
WEB, DB = service("web", "web", ports=PORT), service("db", "idle")
OTHER = service("db", "idle", environment={"A": "1"})
EDGE = service("edge", "idle", adopt=False)


def release(host: FakeHost, *resources: Resource, network: bool = True) -> Target:
    held = {resource.key: resource for resource in (*([NETWORK] if network else []), *resources)}
    return Target(Manifest(held), {r.spec["image"]: host.images[r.spec["image"]] for r in resources})


def started(names: str) -> tuple[Machine, dict[str, str]]:
    """A host where Compose started web and db, named as Compose v1 (`_`) or v2 (`-`) does; their ids."""
    host = FakeHost()
    for kind in ("web", "idle", "sick"):
        host.add_image(f"{kind}:1", kind)
    host.add_compose_network(NETWORK)
    ids = {
        resource.spec["service"]: host.add_compose_container(resource, resource.key.name.replace("-", names))
        for resource in (WEB, DB)
    }
    return Machine(host, random.Random(0)), ids


def state(at: Machine) -> dict[str, Any]:
    """What a person sees of the containers and the network, and what is owned."""
    found: dict[str, Any] = {}
    for at_host in at.host.containers.values():
        seen = at_host.seen
        found[seen.name] = (
            seen.id if not seen.digest else "",
            seen.state,
            at_host.policy,
            sorted(seen.networks),
        )
    return found | {"networks": sorted(at.host.networks), "owned": sorted(map(str, at.inventory))}


@pytest.mark.parametrize("names", ["_", "-"])
@pytest.mark.parametrize("passes", [True, False])
def test_killed_anywhere_it_ends_as_if_nothing_had_happened(names: str, passes: bool) -> None:
    """A pass that adopts one container, replaces another and makes a third, killed at any action and run
    again, must end as an uninterrupted one; when its release fails, both that were there are as they were,
    and run.
    """
    at, ids = started(names)
    before = state(at)
    target = release(at.host, WEB, OTHER, EDGE)
    assert at.converge(target, passes=passes)
    points, wanted = at.host._points, state(at)
    assert points > 10
    if passes:
        assert (
            at.host.containers[ids["web"]].seen.name == "shop-web-1" and ids["db"] not in at.host.containers
        )
    else:
        assert {key: value for key, value in wanted.items() if key not in ("owned", "networks")} == {
            key: value for key, value in before.items() if key not in ("owned", "networks")
        }
        assert wanted["owned"] == []
    for point in range(1, points + 1):
        again, _ = started(names)
        if not again.converge(release(again.host, WEB, OTHER, EDGE), passes=passes, die_at=point):
            assert ids["web"] in again.host.containers
            assert again.converge(release(again.host, WEB, OTHER, EDGE), passes=passes)
        assert state(again) == wanted, f"killed at {point}"


@pytest.mark.parametrize("names", ["_", "-"])
def test_a_failed_release_beside_a_known_good_one(names: str) -> None:
    """With a known good release that does not adopt, a failed one that does must give everything back, and
    leave known good as it is; later the same release may pass.
    """
    at, ids = started(names)
    own = replace(service("own", "idle", adopt=False, networks={}), needs=())
    assert at.converge(release(at.host, own, network=False))
    before = state(at)
    assert at.converge(release(at.host, own, WEB, OTHER), passes=False)
    assert state(at) == before
    assert at.converge(release(at.host, own, WEB, OTHER))
    assert at.host.containers[ids["web"]].seen.state == "running" and ids["db"] not in at.host.containers
    assert at.converge(release(at.host, own, network=False))
    assert [c.seen.name for c in at.host.containers.values()] == ["shop-own-1"]
    assert at.host.networks == {}


@pytest.mark.parametrize("names", ["_", "-"])
def test_a_superseded_release_gives_back(names: str) -> None:
    """A release that adopts and is superseded, before it was proved, by one that does not, must give back
    what it replaced.
    """
    for point in (5, 9, 13, 17):
        at, _ = started(names)
        before = state(at)
        assert not at.converge(release(at.host, WEB, OTHER, EDGE), die_at=point)
        own = replace(service("own", "idle", adopt=False, networks={}), needs=())
        assert at.converge(release(at.host, own, network=False))
        after = {
            name: value
            for name, value in state(at).items()
            if name in before and name not in ("owned", "networks")
        }
        assert after == {name: value for name, value in before.items() if name not in ("owned", "networks")}
        assert all(Key.parse(key) not in (WEB.key, DB.key) for key in state(at)["owned"])
