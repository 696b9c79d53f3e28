"""What somebody changed of a container in place is put back in place; what cannot be, by a new container."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.converge.preview import preview
from agent.kinds import network
from agent.model import Need, Resource
from tests.fakes.host import FakeContainer
from tests.fakes.passes import Passes, service
from tests.passes.moves import proved, with_images

WEB = "shop-web-1"
FRONT = network.network_resource("front", app="shop", config={})


def web(**config: Any) -> Resource:
    config = {"restart": "always", "networks": {"front": {}}, **config}
    return service("shop/web:1", WEB, config=config, needs=(Need(FRONT.key, "present"),))


@pytest.fixture
def passes(tmp_path: Path) -> Passes:
    return with_images(tmp_path, ("shop/web:1", "idle"), ("shop/web:2", "idle"))


def settle(passes: Passes, expect: str, *, same: bool = True) -> None:
    """The plan says what was changed, the pass repairs it, and then there is nothing to do."""
    before = passes.host._find(WEB).seen.id
    assert expect in str(preview(passes.new_context()).plan)
    result = passes.run()
    assert (result.exit_code, result.corrected) == (0, 1), result
    assert expect in str(passes.plan)
    assert (passes.host._find(WEB).seen.id == before) == same
    done = len(passes.host.done)
    assert passes.run().exit_code == 0 and len(passes.host.done) == done


@pytest.mark.parametrize(
    ("wanted", "there"), [("always", "no"), ("on-failure:3", "always"), ("no", "always")]
)
def test_a_restart_policy(passes: Passes, wanted: str, there: str) -> None:
    """A restart policy that somebody changed would only show at the next boot, and must be put back."""
    proved(passes, FRONT, web(restart=wanted))
    passes.host._find(WEB).policy = there
    settle(passes, "its restart policy changed by hand")
    assert passes.host._find(WEB).policy == wanted


@pytest.mark.parametrize(
    ("config", "there", "key"),
    [
        ({"mem_limit": 64 << 20}, {"Memory": 32 << 20}, "mem_limit"),
        ({"mem_limit": "64m", "memswap_limit": "64m"}, {"MemorySwap": 96 << 20}, "memswap_limit"),
        ({"cpus": "0.5"}, {"NanoCpus": 10**8}, "cpus"),
        ({"cpu_shares": 512}, {"CpuShares": 100}, "cpu_shares"),
        ({}, {"CpuShares": 100}, "cpu_shares"),
        ({}, {"PidsLimit": 10}, "pids_limit"),
        ({"pids_limit": 10}, {"PidsLimit": 0}, "pids_limit"),
        ({"deploy": {"resources": {"limits": {"memory": "64m"}}}}, {"Memory": 32 << 20}, "mem_limit"),
    ],
)
def test_a_limit(passes: Passes, config: dict[str, Any], there: dict[str, Any], key: str) -> None:
    """A limit that somebody changed must be put back without a new container."""
    proved(passes, FRONT, web(**config))
    was = dict(passes.host._find(WEB).limits)
    passes.host._find(WEB).limits |= there
    settle(passes, key)
    now = passes.host._find(WEB).limits
    none = {"CpuShares": 1024, "PidsLimit": -1}
    assert all(now[field] in (was[field], none.get(field)) for field in was), (was, now)


@pytest.mark.parametrize(
    ("there", "key"),
    [({"Memory": 64 << 20}, "mem_limit"), ({"NanoCpus": 10**9}, "cpus"), ({"CpusetCpus": "0"}, "cpuset")],
)
def test_a_limit_that_cannot_be_taken_back(passes: Passes, there: dict[str, Any], key: str) -> None:
    """A limit that the Engine cannot take back must go with a new container, and the plan say why."""
    proved(passes, FRONT, web())
    passes.host._find(WEB).limits |= there
    settle(passes, f"{key} was set by hand, and can only be taken back by making it anew", same=False)


@pytest.mark.parametrize("there", [{"MemorySwap": 0}, {"MemorySwap": -1}, {"Memory": 0}, {"CpuShares": 0}])
def test_a_limit_that_the_host_cannot_keep(passes: Passes, there: dict[str, Any]) -> None:
    """A limit that the Engine dropped must not be set again at each pass."""
    proved(passes, FRONT, web(mem_limit=64 << 20, cpu_shares=512))
    passes.host._find(WEB).limits |= there
    done = len(passes.host.done)
    assert passes.run().exit_code == 0 and len(passes.host.done) == done


def test_a_network_that_somebody_joined(passes: Passes) -> None:
    """A container that somebody attached to another network must leave it, and run on."""
    proved(passes, FRONT, web())
    passes.host.add_foreign_network("extra")
    attach(passes.host._find(WEB), "extra", passes.host.networks["extra"].id)
    settle(passes, "attached to extra by hand")
    assert set(passes.host._find(WEB).seen.networks) == {"front"}


def test_a_network_that_somebody_left(passes: Passes) -> None:
    """A container that somebody detached from its network must be attached again, and run on."""
    proved(passes, FRONT, web())
    detach(passes.host._find(WEB), "front")
    settle(passes, "is not attached to front")
    assert set(passes.host._find(WEB).seen.networks) == {"front"}


def attach(at: FakeContainer, name: str, id: str) -> None:
    object.__setattr__(at.seen, "networks", {**at.seen.networks, name: id})


def detach(at: FakeContainer, name: str) -> None:
    object.__setattr__(at.seen, "networks", {k: v for k, v in at.seen.networks.items() if k != name})


CHANGES: dict[str, Callable[[FakeContainer], Any]] = {
    "policy": lambda at: setattr(at, "policy", "no"),
    "limit": lambda at: at.limits.update(PidsLimit=5),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_release_meets_it(passes: Passes, change: str) -> None:
    """A change by hand must not be in the way of a commit, nor come back with known good."""
    passes.host.add_image("shop/web:sick", "sick")
    proved(passes, FRONT, web())
    old = passes.host._find(WEB)
    CHANGES[change](old)
    sick = {"restart": "always", "networks": {"front": {}}}
    passes.branch.push(FRONT, service("shop/web:sick", WEB, config=sick, needs=(Need(FRONT.key, "present"),)))
    assert passes.run().exit_code == 4
    assert passes.run().exit_code == 4
    now = passes.host._find(WEB)
    assert now.seen.id == old.seen.id and now.policy == "always" and now.limits["PidsLimit"] in (0, -1)
