"""How a container joins its networks. Pure; a part of `request`.

The Engine before API 1.44 joins one network at create: `primary_network`. The others are joined by `connect`
before the start. From 1.44 on all are joined at create, since only there a MAC address of theirs counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.kinds.engine.amounts import whole
from agent.kinds.engine.labels import texts
from agent.kinds.engine.resources import Body
from agent.model import Spec

ALL_AT_CREATE = (1, 44)  # the API version from which a container joins several networks at once


def primary_network(spec: Spec) -> str | None:
    """The network that is joined at create: the highest priority, then the name. None with `network_mode`."""
    config = spec["config"]
    if config.get("network_mode") or not config.get("networks"):
        return None
    joined: Mapping[str, Any] = config["networks"]
    return min(joined, key=lambda name: (-int((joined[name] or {}).get("priority") or 0), name))


def endpoint(spec: Spec, network: str, api: tuple[int, int] = (1, 41)) -> Body:
    """The endpoint of a container in one of its networks: its final name, its service's name and its aliases
    resolve to it. A container that only prepares its service does not have the service's name.
    """
    wanted = spec["config"]["networks"].get(network) or {}
    names = [spec["name"]] if spec.get("oneoff") else [spec["name"], spec["service"]]
    settings: Body = {"Aliases": list(dict.fromkeys([*names, *wanted.get("aliases", ())]))}
    addresses = {
        "IPv4Address": wanted.get("ipv4_address"),
        "IPv6Address": wanted.get("ipv6_address"),
        "LinkLocalIPs": wanted.get("link_local_ips"),
    }
    options = texts(wanted.get("driver_opts"))
    if wanted.get("interface_name"):
        options["com.docker.network.endpoint.ifname"] = wanted["interface_name"]
    optional = {
        "IPAMConfig": {key: value for key, value in addresses.items() if value},
        "DriverOpts": options,
        "Links": links(spec),
        "MacAddress": mac_address_in(spec, network) if api >= ALL_AT_CREATE else "",
    }
    settings |= {key: value for key, value in optional.items() if value}
    if wanted.get("gw_priority") is not None:
        settings["GwPriority"] = whole(wanted["gw_priority"])
    return settings


def mac_address_in(spec: Spec, network: str) -> Any:
    """The MAC address in one network; that of the service is the one in its primary network."""
    wanted = spec["config"]["networks"].get(network) or {}
    return wanted.get("mac_address") or (
        spec["config"].get("mac_address") if network == primary_network(spec) else None
    )


def links(spec: Spec) -> list[str]:
    """`CONTAINER:ALIAS` pairs; the renderer has put names of containers there. As with Compose, a container
    of the app is also found by its own name, with and without the app's.
    """
    config, found = spec["config"], []
    for entry in config.get("links") or ():
        name, _, alias = str(entry).partition(":")
        found += [f"{name}:{word}" for word in (alias, name.removeprefix(f"{spec['app']}-"), name)]
    found += [entry if ":" in entry else f"{entry}:{entry}" for entry in config.get("external_links") or ()]
    return list(dict.fromkeys(found))


def mac_address(config: Spec, primary: str | None) -> str:
    """The MAC address of a service, of its primary network first; empty when there is none."""
    wanted = (config.get("networks") or {}).get(primary) if primary else None
    return (wanted or {}).get("mac_address") or config.get("mac_address") or ""
