"""Claims: things that only one resource can hold. Pure.

A claim is text: `port/tcp/0.0.0.0/8080`, `name/shop-web-1`, `address/shop_default/10.0.0.5`, `path/etc/motd`,
`subnet/10.0.0.0/24`, `bridge/br-shop`. Two ports clash when protocol and number are equal and the addresses
are equal or one of them is a wildcard; two subnets when they overlap; two host paths with data
(`bind/srv/data`) when they are equal or the one lies below the other; all other claims when they are equal.
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
    """The claim of a network's addresses; empty when the text is not a subnet: the Engine will refuse it."""
    try:
        return f"subnet/{ipaddress.ip_network(text, strict=False)}"
    except ValueError:
        return ""


def clash(one: str, other: str) -> bool:
    """Whether two claims exclude each other."""
    kind = one.partition("/")[0]
    if one == other or kind != other.partition("/")[0]:
        return one == other
    if kind == "bind":
        return one.startswith(f"{other}/") or other.startswith(f"{one}/")
    if kind == "subnet":
        first, second = (ipaddress.ip_network(claim.removeprefix("subnet/")) for claim in (one, other))
        return first.version == second.version and first.overlaps(second)
    return kind == "port" and _ports_clash(one, other)


def _ports_clash(one: str, other: str) -> bool:
    _, protocol, ip, number = one.split("/")
    _, other_protocol, other_ip, other_number = other.split("/")
    same = (protocol, number) == (other_protocol, other_number)
    return same and (ip in WILDCARDS or other_ip in WILDCARDS)


def clashing(claims: Iterable[str], others: Iterable[str]) -> list[str]:
    """The claims that clash with any of `others`, sorted."""
    held = list(others)
    return sorted({claim for claim in claims if any(clash(claim, other) for other in held)})


def of_service(container_name: str, config: Mapping[str, Any]) -> tuple[str, ...]:
    """The claims of a container: its name, published ports (ranges are already expanded) and static
    addresses.
    """
    found = [name(container_name), *filter(None, map(_published, config.get("ports") or ()))]
    for network, endpoint in sorted((config.get("networks") or {}).items()):
        for field in ("ipv4_address", "ipv6_address"):
            if endpoint and endpoint.get(field):
                found.append(address(network, endpoint[field]))
    return tuple(sorted(set(found)))


def _published(entry: Mapping[str, Any]) -> str:
    """The claim of a published port; empty when the Engine chooses the port."""
    number = str(entry.get("published") or "")
    if not number or number == "0" or "-" in number:
        return ""
    return port(entry.get("protocol", "tcp"), entry.get("host_ip", ""), number)


def device_paths(config: Mapping[str, Any]) -> set[str]:
    """The host paths of a container's devices, in their short or their long form."""
    devices = config.get("devices") or ()
    sources = (each.get("source") if isinstance(each, Mapping) else each for each in devices)
    paths = {str(source or "").partition(":")[0] for source in sources}
    return {path for path in paths if path.startswith("/")}


def of_network(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The claims of a bridge network: its subnets and its interface. Limpet does not know what other drivers
    share.
    """
    ipam = config.get("ipam") or {}
    plain = (None, "", "default")
    if config.get("driver") not in (*plain, "bridge") or ipam.get("driver") not in plain:
        return ()
    found = {subnet(str(pool.get("subnet") or "")) for pool in ipam.get("config") or ()}
    interface = (config.get("driver_opts") or {}).get("com.docker.network.bridge.name")
    return tuple(sorted((found | {f"bridge/{interface}" if interface else ""}) - {""}))
