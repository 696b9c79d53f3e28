"""Limits, devices and the restart policy of a service, as the Engine wants them. Pure; a part of
`request`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agent.kinds.engine.amounts import byte_count, microseconds, nano, whole
from agent.model import Spec

Body = dict[str, Any]

BYTES = {"mem_limit": "Memory", "mem_reservation": "MemoryReservation", "memswap_limit": "MemorySwap"}
NUMBERS = {
    "mem_swappiness": "MemorySwappiness",
    "cpu_count": "CpuCount",
    "cpu_shares": "CpuShares",
    "pids_limit": "PidsLimit",
}
MICROSECONDS = {
    "cpu_period": "CpuPeriod",
    "cpu_quota": "CpuQuota",
    "cpu_rt_period": "CpuRealtimePeriod",
    "cpu_rt_runtime": "CpuRealtimeRuntime",
}
AS_IT_IS = {
    "cgroup_parent": "CgroupParent",
    "cpuset": "CpusetCpus",
    "device_cgroup_rules": "DeviceCgroupRules",
    "oom_kill_disable": "OomKillDisable",
}
RESOURCE_KEYS = frozenset(
    {
        *BYTES,
        *NUMBERS,
        *MICROSECONDS,
        *AS_IT_IS,
        "cpus",
        "cpu_percent",
        "blkio_config",
        "devices",
        "gpus",
        "ulimits",
        "deploy",
        "restart",
    }
)

BLKIO = {
    "device_read_bps": "BlkioDeviceReadBps",
    "device_read_iops": "BlkioDeviceReadIOps",
    "device_write_bps": "BlkioDeviceWriteBps",
    "device_write_iops": "BlkioDeviceWriteIOps",
}
_POLICIES = {"none": "no", "any": "always"}


def ulimits_and_limits(config: Spec) -> Body:
    """The resource part of HostConfig."""
    host: Body = {}
    for table, convert in CONVERTED:
        host |= {field: convert(config[key]) for key, field in table.items() if config.get(key) is not None}
    host |= _blkio(config.get("blkio_config") or {})
    host |= _deploy((config.get("deploy") or {}).get("resources") or {})
    devices, requests = _devices(config)
    optional: Body = {
        "Ulimits": [_ulimit(name, limit) for name, limit in sorted((config.get("ulimits") or {}).items())],
        "Devices": devices,
        "DeviceRequests": requests,
    }
    return host | {field: value for field, value in optional.items() if value}


def _as_it_is(value: Any) -> Any:
    return value


def _hundredths(percent: Any) -> int:
    return nano(percent) // 10**7


CONVERTED: tuple[tuple[Mapping[str, str], Callable[[Any], Any]], ...] = (
    (AS_IT_IS, _as_it_is),
    (BYTES, byte_count),
    (NUMBERS, whole),
    (MICROSECONDS, microseconds),
    ({"cpus": "NanoCpus"}, nano),
    ({"cpu_percent": "CpuPercent"}, _hundredths),
)


def _deploy(resources: Mapping[str, Any]) -> Body:
    limits, reservations = resources.get("limits") or {}, resources.get("reservations") or {}
    host: Body = {}
    if limits.get("memory"):
        host["Memory"] = byte_count(limits["memory"])
    if limits.get("cpus"):
        host["NanoCpus"] = nano(limits["cpus"])
    if limits.get("pids"):
        host["PidsLimit"] = whole(limits["pids"])
    if reservations.get("memory"):
        host["MemoryReservation"] = byte_count(reservations["memory"])
    return host


def restart_policy(config: Spec) -> Body:
    """Name and MaximumRetryCount; the name is empty when the service has no policy. `deploy.restart_policy`
    wins over `restart`.
    """
    name, _, attempts = str(config.get("restart") or "").partition(":")
    deployed = (config.get("deploy") or {}).get("restart_policy")
    if deployed:
        name, attempts = str(deployed.get("condition") or "any"), str(deployed.get("max_attempts") or "")
    return {"Name": _POLICIES.get(name, name), "MaximumRetryCount": int(attempts or 0)}


def _ulimit(name: str, limit: Any) -> Body:
    if not isinstance(limit, Mapping):
        return {"Name": name, "Soft": whole(limit), "Hard": whole(limit)}
    return {"Name": name, "Soft": whole(limit.get("soft", 0)), "Hard": whole(limit.get("hard", 0))}


def _blkio(config: Mapping[str, Any]) -> Body:
    host: Body = {}
    if config.get("weight") is not None:
        host["BlkioWeight"] = whole(config["weight"])
    if config.get("weight_device"):
        host["BlkioWeightDevice"] = [
            {"Path": device.get("path", ""), "Weight": whole(device.get("weight", 0))}
            for device in config["weight_device"]
        ]
    for key, field in BLKIO.items():
        if config.get(key):
            host[field] = [
                {"Path": device.get("path", ""), "Rate": byte_count(device.get("rate", 0))}
                for device in config[key]
            ]
    return host


def _devices(config: Spec) -> tuple[list[Body], list[Body]]:
    """Device mappings, and device requests (GPUs, CDI names, reservations)."""
    given = [_device(device) for device in config.get("devices") or ()]
    cdi = [source for source, target, _ in given if source == target and "=" in source]
    devices = [
        {"PathOnHost": source, "PathInContainer": target, "CgroupPermissions": permissions}
        for source, target, permissions in given
        if source != target or "=" not in source
    ]
    requests: list[Body] = [{"Driver": "cdi", "DeviceIDs": cdi}] if cdi else []
    requests += [_device_request(gpu, [*_capabilities(gpu), "gpu"]) for gpu in _gpus(config)]
    requests += [_device_request(device, _capabilities(device)) for device in _reserved(config)]
    return devices, requests


def _gpus(config: Spec) -> list[Any]:
    return [{"count": -1}] if config.get("gpus") == "all" else list(config.get("gpus") or ())


def _reserved(config: Spec) -> list[Any]:
    reservations = ((config.get("deploy") or {}).get("resources") or {}).get("reservations") or {}
    return list(reservations.get("devices") or ())


def _capabilities(request: Mapping[str, Any]) -> list[str]:
    return list(request.get("capabilities") or ())


def _device(device: Any) -> tuple[str, str, str]:
    if isinstance(device, Mapping):
        return device["source"], device.get("target") or device["source"], device.get("permissions") or "rwm"
    source, *more = device.split(":")
    return source, more[0] if more else source, more[1] if len(more) > 1 else "rwm"


def _device_request(request: Mapping[str, Any], capabilities: list[str]) -> Body:
    ids = list(request.get("device_ids") or ())
    count = request.get("count", 0 if ids else -1)
    return {
        "Driver": request.get("driver") or "",
        "Count": -1 if count == "all" else whole(count),
        "DeviceIDs": ids,
        "Capabilities": [capabilities],
        "Options": dict(request.get("options") or {}),
    }
