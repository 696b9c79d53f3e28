"""Keys that an Engine before some version would ignore or refuse. Pure.

All other keys work with Engine 20.10 (API 1.41), the oldest that is supported. Source: the Engine's API
version history.
"""

from __future__ import annotations

from collections.abc import Iterator

from agent.model import Resource, Spec

Api = tuple[int, int]

ENGINES: dict[Api, str] = {  # the first Engine that speaks an API version
    (1, 43): "24.0",
    (1, 44): "25.0",
    (1, 45): "26.0",
    (1, 46): "27.0",
    (1, 48): "28.0",
    (1, 49): "28.1",
}


def newer_keys(resource: Resource) -> dict[str, Api]:
    """Key of the Compose file -> the API version that it needs, where that is newer than the oldest."""
    config: Spec = resource.spec["config"]
    if resource.key.kind == "network":
        return {"enable_ipv4: false": (1, 48)} if config.get("enable_ipv4") is False else {}
    return dict(_of_service(config)) if resource.key.kind == "container" else {}


def _of_service(config: Spec) -> Iterator[tuple[str, Api]]:
    if config.get("annotations"):
        yield "annotations", (1, 43)
    if (config.get("healthcheck") or {}).get("start_interval") is not None:
        yield "healthcheck.start_interval", (1, 44)
    endpoints = {name: endpoint or {} for name, endpoint in (config.get("networks") or {}).items()}
    if sum(bool(endpoint.get("mac_address")) for endpoint in endpoints.values()) > 1:
        yield "networks.*.mac_address", (1, 44)
    for name, endpoint in endpoints.items():
        yield from _of_endpoint(name, endpoint)
    for volume in config.get("volumes") or ():
        yield from _of_volume(volume)


def _of_endpoint(name: str, endpoint: Spec) -> Iterator[tuple[str, Api]]:
    if endpoint.get("gw_priority"):
        yield f"networks.{name}.gw_priority", (1, 48)
    if endpoint.get("interface_name"):
        yield f"networks.{name}.interface_name", (1, 49)


def _of_volume(volume: Spec) -> Iterator[tuple[str, Api]]:
    if volume["type"] == "image":
        yield f"volumes {volume['target']}: type image", (1, 48)
    if (volume.get("volume") or {}).get("subpath"):
        yield f"volumes {volume['target']}: subpath", (1, 45)
    if (volume.get("bind") or {}).get("recursive") in ("writable", "readonly"):
        yield f"volumes {volume['target']}: recursive", (1, 44)
