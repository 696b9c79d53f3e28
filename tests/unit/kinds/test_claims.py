"""What clashes, and what a service claims."""

from __future__ import annotations

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
