"""Claims: what only one resource can hold. Pure.

A claim is text: `port/tcp/0.0.0.0/8080`, `name/shop-web-1`, `address/shop_default/10.0.0.5`, `path/etc/motd`. Two ports clash
when protocol and number are equal and the addresses are equal or one of them is a wildcard; all other claims clash when equal.
"""

from __future__ import annotations

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


def clash(one: str, other: str) -> bool:
    """Whether two claims exclude each other."""
    if one == other:
        return True
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
    """The claims of a container: its name, published ports (ranges are already expanded) and static addresses."""
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
