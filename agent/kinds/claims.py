"""Claims: what only one resource can hold. Pure.

A claim is text: `port/tcp/0.0.0.0/8080`, `name/shop-web-1`, `address/shop_default/10.0.0.5`, `path/etc/motd`,
`subnet/10.0.0.0/24`, `bridge/br-shop`. Two ports clash when protocol and number are equal and the addresses
are equal or one of them is a wildcard; two subnets when they overlap; all other claims when they are equal.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

WILDCARDS = {"", "0.0.0.0", "::"}


def port(protocol: str, address: str, number: int | str) -> str:
    """The claim of a published host port; an empty address is every address."""
    return f"port/{protocol or 'tcp'}/{address if address not in WILDCARDS else '0.0.0.0'}/{number}"


def path(host_path: str) -> str:
    return f"path{host_path}"


def name(container_name: str) -> str:
    return f"name/{container_name}"


def address(network: str, ip: str) -> str:
    return f"address/{network}/{ip}"


def subnet(text: str) -> str:
    """The claim of a network's addresses; empty when the text is no subnet, which the Engine will refuse."""
    try:
        return f"subnet/{ipaddress.ip_network(text, strict=False)}"
    except ValueError:
        return ""


def clash(one: str, other: str) -> bool:
    """Whether two claims exclude each other."""
    if one == other:
        return True
    if one.startswith("subnet/") and other.startswith("subnet/"):
        first, second = (ipaddress.ip_network(claim.removeprefix("subnet/")) for claim in (one, other))
        return first.version == second.version and first.overlaps(second)
    if not (one.startswith("port/") and other.startswith("port/")):
        return False
    _, protocol, ip, number = one.split("/")
    _, other_protocol, other_ip, other_number = other.split("/")
    same = (protocol, number) == (other_protocol, other_number)
    return same and (ip in WILDCARDS or other_ip in WILDCARDS)


def clashing(claims: Iterable[str], others: Iterable[str]) -> list[str]:
    """Those of `claims` that clash with any of `others`, sorted."""
    held = list(others)
    return sorted({claim for claim in claims if any(clash(claim, other) for other in held)})


def of_service(container_name: str, config: Mapping[str, Any]) -> tuple[str, ...]:
    """The claims of a container: its name, published ports (ranges are already expanded) and static
    addresses.
    """
    found = [name(container_name)]
    for published in config.get("ports") or ():
        number = str(published.get("published") or "")
        if number and number != "0" and "-" not in number:
            found.append(port(published.get("protocol", "tcp"), published.get("host_ip", ""), number))
    for network, endpoint in sorted((config.get("networks") or {}).items()):
        for field in ("ipv4_address", "ipv6_address"):
            if endpoint and endpoint.get(field):
                found.append(address(network, endpoint[field]))
    return tuple(sorted(set(found)))


def of_network(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The claims of a bridge network: its subnets and its interface. What other drivers share is their own
    business.
    """
    ipam = config.get("ipam") or {}
    if config.get("driver") not in (None, "", "bridge", "default") or ipam.get("driver") not in (
        None,
        "",
        "default",
    ):
        return ()
    found = {subnet(str(pool.get("subnet") or "")) for pool in ipam.get("config") or ()}
    interface = (config.get("driver_opts") or {}).get("com.docker.network.bridge.name")
    return tuple(sorted((found | {f"bridge/{interface}" if interface else ""}) - {""}))
