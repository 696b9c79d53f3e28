"""The requests that create networks and volumes. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.kinds.engine.labels import object_labels, texts
from agent.kinds.engine.resources import Body
from agent.model import Resource


def network_request(resource: Resource, instance: str) -> Body:
    """The body of `POST /networks/create`."""
    spec, config = resource.spec, resource.spec["config"]
    body: Body = {
        "Name": spec["name"],
        "CheckDuplicate": True,
        "Labels": object_labels(resource, instance, "network"),
    }
    if config.get("driver"):
        body["Driver"] = config["driver"]
    if config.get("driver_opts"):
        body["Options"] = texts(config["driver_opts"])
    for key, field in {
        "internal": "Internal",
        "attachable": "Attachable",
        "enable_ipv6": "EnableIPv6",
        "enable_ipv4": "EnableIPv4",
    }.items():
        if config.get(key) is not None:
            body[field] = config[key]
    ipam = config.get("ipam") or {}
    pools = [_pool(pool) for pool in ipam.get("config") or ()]
    if ipam.get("driver") or pools or ipam.get("options"):
        body["IPAM"] = {
            "Driver": ipam.get("driver") or "default",
            "Config": pools,
            "Options": texts(ipam.get("options")),
        }
    return body


def _pool(pool: Mapping[str, Any]) -> Body:
    named = {
        "Subnet": "subnet",
        "IPRange": "ip_range",
        "Gateway": "gateway",
        "AuxiliaryAddresses": "aux_addresses",
    }
    return {field: pool[key] for field, key in named.items() if pool.get(key)}


def volume_request(resource: Resource, instance: str) -> Body:
    """The body of `POST /volumes/create`."""
    spec, config = resource.spec, resource.spec["config"]
    body: Body = {"Name": spec["name"], "Labels": object_labels(resource, instance, "volume")}
    if config.get("driver"):
        body["Driver"] = config["driver"]
    if config.get("driver_opts"):
        body["DriverOpts"] = texts(config["driver_opts"])
    return body
