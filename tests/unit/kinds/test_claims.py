"""What clashes, and what a service claims."""

from __future__ import annotations

from typing import Any

import pytest

from agent.kinds import claims


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        ("port/tcp/0.0.0.0/80", "port/tcp/127.0.0.1/80", True),
        ("port/tcp/127.0.0.1/80", "port/tcp/127.0.0.1/80", True),
        ("port/tcp/127.0.0.1/80", "port/tcp/10.0.0.1/80", False),
        ("port/tcp/0.0.0.0/80", "port/udp/0.0.0.0/80", False),
        ("port/tcp/0.0.0.0/80", "port/tcp/0.0.0.0/8080", False),
        ("port/tcp/::1/80", "port/tcp/0.0.0.0/80", True),
        ("name/web", "name/web", True),
        ("name/web", "path/web", False),
        ("subnet/10.0.0.0/16", "subnet/10.0.3.0/24", True),
        ("subnet/10.0.0.0/24", "subnet/10.0.1.0/24", False),
        ("subnet/10.0.0.0/24", "subnet/fd00::/64", False),
        ("subnet/10.0.0.0/24", "port/tcp/10.0.0.0/24", False),
        ("bind/srv/data", "bind/srv/data/pg", True),
        ("bind/srv/data", "bind/srv/data2", False),
        ("bind/srv/data", "path/srv/data/pg", False),
        ("volume/data", "volume/data", True),
        ("volume/data", "volume/data/x", False),
    ],
)
def test_claims_clash(one: str, other: str, clash: bool) -> None:
    """Ports must clash when protocol and number are equal and an address is shared; all else when it is
    equal.
    """
    assert claims.clash(one, other) is clash
    assert claims.clash(other, one) is clash


def test_claims_of_a_service() -> None:
    """A container must claim its name, its published ports and its static addresses; random ports claim
    nothing.
    """
    config = {
        "ports": [
            {"target": 80, "published": "8080"},
            {"target": 53, "published": "53", "protocol": "udp", "host_ip": "::"},
            {"target": 81},
            {"target": 82, "published": "0"},
        ],
        "networks": {"net": {"ipv4_address": "10.0.0.5", "ipv6_address": "fd00::5"}, "other": None},
    }
    assert claims.of_service("web", config) == (
        "address/net/10.0.0.5",
        "address/net/fd00::5",
        "name/web",
        "port/tcp/0.0.0.0/8080",
        "port/udp/0.0.0.0/53",
    )


@pytest.mark.parametrize(
    ("config", "claimed"),
    [
        ({}, ()),
        ({"driver": "bridge", "ipam": {"driver": "default"}}, ()),
        (
            {"ipam": {"config": [{"subnet": "10.1.0.5/24"}, {"subnet": "fd00::/64"}, {}]}},
            ("subnet/10.1.0.0/24", "subnet/fd00::/64"),
        ),
        ({"ipam": {"config": [{"subnet": "not an address"}]}}, ()),
        ({"driver_opts": {"com.docker.network.bridge.name": "br-shop"}}, ("bridge/br-shop",)),
        ({"driver": "macvlan", "ipam": {"config": [{"subnet": "10.1.0.0/24"}]}}, ()),
        ({"ipam": {"driver": "dhcp", "config": [{"subnet": "10.1.0.0/24"}]}}, ()),
    ],
)
def test_claims_of_a_network(config: dict[str, Any], claimed: tuple[str, ...]) -> None:
    """A bridge network must claim its subnets and its interface; what other drivers share is not known."""
    assert claims.of_network(config) == claimed


def test_what_clashes_is_listed_once() -> None:
    """Of all claims those that clash with any other must be found, once each and in order."""
    mine = ["port/tcp/0.0.0.0/81", "port/tcp/0.0.0.0/80", "name/web"]
    theirs = iter(["port/tcp/127.0.0.1/80", "port/tcp/10.0.0.1/80", "port/tcp/0.0.0.0/81", "name/db"])
    assert claims.clashing(mine, theirs) == ["port/tcp/0.0.0.0/80", "port/tcp/0.0.0.0/81"]
