"""What every host says of what it can change of a container in place."""

from __future__ import annotations

from typing import Any

import pytest

from agent.drivers.observe import Look
from agent.kinds import attaching, in_place
from agent.kinds.base import Step, Target, View
from agent.model import Manifest, Resource
from tests.contract.bench import Bench, a_network, act, create, run, service

SAID: dict[str, Any] = {
    "mem_limit": "64m",
    "memswap_limit": "96m",
    "mem_reservation": "32m",
    "cpu_shares": 512,
    "cpuset": "0",
    "pids_limit": 50,
    "restart": "on-failure:3",
}


def steps(bench: Bench, resource: Resource) -> list[Step]:
    """What is to be done of a container that runs."""
    observed = bench.host.observe(Look(deep=True))
    view = View(Target(Manifest({resource.key: resource})), observed, {})
    (there,) = (c for c in observed.containers if c.name == resource.key.name)
    assert not attaching.loses_address(resource, there, view)
    assert not in_place.cannot_be_put_back(resource, there, view)
    return [*attaching.attach(resource, there, view), *in_place.put_back(resource, there, view)]


def on_networks(bench: Bench) -> Resource:
    """A service that runs on two networks, with names and an address of its own."""
    front = a_network(bench, "front", ipam={"config": [{"subnet": "10.213.7.0/24"}]})
    back = a_network(bench, "back")
    for made in (front, back):
        act(bench, made, "create")
    joined = {front.key.name: {"aliases": ["www"], "ipv4_address": "10.213.7.9"}, back.key.name: {}}
    resource = service(bench, "web", networks=joined)
    create(bench, resource)
    for network in attaching.networks(resource)[1:]:
        act(bench, resource, "connect", container=resource.key.name, network=network)
    act(bench, resource, "start", container=resource.key.name)
    return resource


@pytest.mark.parametrize(
    "config",
    [
        {},
        SAID,
        {"cpus": "0.5", "deploy": {"resources": {"limits": {"memory": "64m", "pids": 20}}}},
        {"cpu_quota": 50000, "cpu_period": 80000, "mem_limit": "64m", "memswap_limit": "-1"},
        {"network_mode": "bridge"},
        {"network_mode": "none"},
        {"network_mode": "host"},
    ],
)
def test_what_was_made_is_as_it_should_be(bench: Bench, config: dict[str, Any]) -> None:
    """Nobody changed a container that was just made: nothing may be put back."""
    resource = service(bench, "web", **config)
    run(bench, resource)
    assert steps(bench, resource) == []


def test_what_was_joined_is_as_it_should_be(bench: Bench) -> None:
    """A container on several networks, with names and addresses, must be right as it was made."""
    assert steps(bench, on_networks(bench)) == []


def test_limits_are_put_back(bench: Bench) -> None:
    """Limits and a restart policy that differ must be what is put back, and then nothing."""
    resource = service(bench, "web", **SAID)
    run(bench, resource)
    at = {"container": resource.key.name}
    for changed in (
        {"Memory": 32 << 20, "MemorySwap": 64 << 20},
        {"CpuShares": 1024, "CpusetCpus": "0-1"},
        {"MemoryReservation": -1},
        {"PidsLimit": -1},
    ):
        act(bench, resource, "limits", **at, limits=changed)
        (back,) = steps(bench, resource)
        assert back.verb == "limits" and back.args["limits"].keys() == changed.keys()
        act(bench, resource, back.verb, **back.args)
        assert steps(bench, resource) == []
    act(bench, resource, "policy", **at, policy="no")
    (back,) = steps(bench, resource)
    act(bench, resource, back.verb, **back.args)
    assert steps(bench, resource) == []


def test_limits_that_were_set_are_taken_back(bench: Bench) -> None:
    """Limits of processor time and processes must be taken back where the service has none."""
    resource = service(bench, "web")
    run(bench, resource)
    limits = {"CpuQuota": 50000, "CpuPeriod": 50000, "PidsLimit": 50}
    act(bench, resource, "limits", container=resource.key.name, limits=limits)
    (back,) = steps(bench, resource)
    assert back.args["limits"].keys() == limits.keys()
    act(bench, resource, back.verb, **back.args)
    assert steps(bench, resource) == []


def test_names_in_a_network_come_back(bench: Bench) -> None:
    """Who left its network and joined it with no names must get names and address back."""
    resource = on_networks(bench)
    for network in resource.spec["config"]["networks"]:
        act(bench, resource, "disconnect", container=resource.key.name, network=network)
        bench.join(resource.key.name, network)
        back = steps(bench, resource)
        assert [step.verb for step in back] == ["disconnect", "connect"]
        for step in back:
            act(bench, resource, step.verb, **step.args)
        assert steps(bench, resource) == []


def test_the_bridge_is_joined_again(bench: Bench) -> None:
    """Who left the Engine's own bridge must be on it again."""
    resource = service(bench, "web", network_mode="bridge")
    run(bench, resource)
    act(bench, resource, "disconnect", container=resource.key.name, network="bridge")
    (back,) = steps(bench, resource)
    act(bench, resource, back.verb, **back.args)
    assert steps(bench, resource) == []
