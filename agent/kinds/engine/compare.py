"""Whether a container, network or volume that somebody else made is what we would make. Pure.

Rules:
1. Both sides are brought to one form, in Compose's words: our create request with the additions of the
   Engine and of the image, and the Engine's inspection of the object that is there. Fields that differ are
   named; their values are not.
2. A field that we do not ask for must have the Engine's default there. Where the default is the daemon's own
   (logging, runtime, cgroup namespace), any value is right.
3. Left out: labels of Compose and ours, names and ids, and the additions of Docker Compose v1 that have no
   effect: `Attach*`, volumes listed in `Config`, `Attachable` of a local network.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from agent.kinds.engine import attachments, objects, resources
from agent.kinds.engine import request as ours
from agent.kinds.engine.attachments import NEWEST
from agent.kinds.engine.differences import Form, differing_statements
from agent.model import Resource, Spec

THEIRS = ("com.docker.compose.", "io.limpet.")
WORDS = (
    {  # field -> service key
        field: key
        for table in (
            ours.PLAIN_HOST,
            resources.BYTES,
            resources.NUMBERS,
            resources.MICROSECONDS,
            resources.AS_IT_IS,
        )
        for key, field in table.items()
    }
    | {
        "NanoCpus": "cpus",
        "CpuPercent": "cpu_percent",
        "Ulimits": "ulimits",
        "Devices": "devices",
        "DeviceRequests": "gpus",
        "PortBindings": "ports",
        "SecurityOpt": "security_opt",
        "ExtraHosts": "extra_hosts",
        "GroupAdd": "group_add",
        "Sysctls": "sysctls",
        "VolumesFrom": "volumes_from",
        "Links": "links",
        "ShmSize": "shm_size",
        "BlkioWeight": "blkio_config.weight",
        "BlkioWeightDevice": "blkio_config.weight_device",
        "AutoRemove": "--rm",
        "PublishAllPorts": "--publish-all",
        "CpusetMems": "--cpuset-mems",
        "VolumeDriver": "--volume-driver",
    }
    | {field: f"blkio_config.{key}" for key, field in resources.BLKIO.items()}
)
ELSEWHERE = {
    "Binds",
    "Mounts",
    "Tmpfs",
    "NetworkMode",
    "LogConfig",
    "RestartPolicy",
    "MaskedPaths",
    "ReadonlyPaths",
}
# what the Engine has when it is not asked; else nothing, zero or false
DEFAULTS: dict[str, tuple[Any, ...]] = {
    "IpcMode": ("private", "shareable"),
    "CgroupnsMode": ("private", "host"),
    "ShmSize": (64 * 2**20,),
    "PidsLimit": (-1,),
    "Runtime": ("runc", "io.containerd.runc.v2"),
    "MemorySwappiness": (-1, 60),
    "Isolation": ("default",),
}
UNORDERED = {
    "CapAdd",
    "CapDrop",
    "ExtraHosts",
    "GroupAdd",
    "SecurityOpt",
    "Ulimits",
    "Devices",
    "VolumesFrom",
}
CONFIG = {
    field: key for key, field in ours.PLAIN_CONFIG.items() if key not in ("hostname", "command", "entrypoint")
}


def container_differences(resource: Resource, found: Spec, names: Mapping[str, str]) -> list[str]:
    """The dotted names of the fields that differ, in Compose's words, sorted.

    `found`: `container`, the Engine's inspection with bind sources as paths of the host, and `image`, the
    configuration of its image. `names`: container id -> the name that the container has, or will have once it
    is ours.
    """
    image: Spec = found["image"]
    request = ours.create_request(resource, "", instance="", stop_signal=image.get("StopSignal") or "")
    if resource.spec["config"].get("healthcheck"):
        request["Healthcheck"] = ours.healthcheck(resource.spec["config"]["healthcheck"], NEWEST)
    there: Spec = found["container"]
    host: Spec = there["HostConfig"]
    mine = _config(request, image) | {
        "volumes": attachments.mounts_wanted(resource, image),
        "networks": attachments.networks_wanted(resource),
    }
    theirs = _config(there["Config"], {}) | {
        "volumes": attachments.mounts_there(there),
        "networks": attachments.networks_there(resource, there),
    }
    for field in sorted({*WORDS, *request["HostConfig"]} - ELSEWHERE):
        word = WORDS.get(field, field)
        mine[word], theirs[word] = _pair(field, request["HostConfig"], host, names)
    mine |= _modes(request["HostConfig"], names) | {"hostname": request.get("Hostname")}
    theirs |= _modes(host, names) | {"hostname": _hostname(there, request)}
    if request["HostConfig"].get("LogConfig"):
        mine["logging"], theirs["logging"] = _logging(
            request["HostConfig"]["LogConfig"], host.get("LogConfig") or {}
        )
    if resource.spec["config"].get("volumes_from"):
        theirs["volumes"] = {
            target: how for target, how in theirs["volumes"].items() if target in mine["volumes"]
        }
    return differing_statements(mine, theirs)


# --- configuration ------------------------------------------------------------------------------------------


def _config(body: Spec, image: Spec) -> Form:
    """The section `Config` of an inspection, completed from the image as the Engine does it."""
    found: Form = {word: body.get(field) or image.get(field) for field, word in CONFIG.items()}
    found["working_dir"] = "" if found["working_dir"] == "/" else found["working_dir"]
    found["entrypoint"], found["command"] = body.get("Entrypoint"), body.get("Cmd")
    if not found["entrypoint"]:
        found["command"] = found["command"] or image.get("Cmd")
        found["entrypoint"] = image.get("Entrypoint") if found["entrypoint"] is None else None
    found["environment"] = _environment(image.get("Env")) | _environment(body.get("Env"))
    labels = (image.get("Labels") or {}) | (body.get("Labels") or {})
    found["labels"] = {key: [value] for key, value in labels.items() if not key.startswith(THEIRS)}
    found["expose"] = sorted({*(body.get("ExposedPorts") or ()), *(image.get("ExposedPorts") or ())})
    check, inherited = dict(body.get("Healthcheck") or {}), image.get("Healthcheck") or {}
    found["healthcheck"] = inherited | {key: value for key, value in check.items() if value}
    found["stop_grace_period"] = [] if body.get("StopTimeout") is None else [body["StopTimeout"]]
    found["network_disabled"] = body.get("NetworkDisabled")
    return found


def _environment(entries: Any) -> dict[str, list[str] | None]:
    """Name -> its value in a list, so that an empty value counts as stated; None where an entry has no value,
    which removes the image's variable.
    """
    pairs = (entry.partition("=") for entry in entries or ())
    return {name: [value] if equals else None for name, equals, value in pairs}


def _hostname(there: Spec, request: Spec) -> Any:
    """The host name of a container that is there. When none is asked for, the one that the Engine gives does
    not count: the container's id, or the host name of the namespace that it shares.
    """
    name, host = there["Config"].get("Hostname"), there["HostConfig"]
    mode = str(host.get("NetworkMode"))
    shared = mode == "host" or mode.startswith("container:") or host.get("UTSMode") == "host"
    return "" if not request.get("Hostname") and (shared or name == there["Id"][:12]) else name


# --- what the host gives ------------------------------------------------------------------------------------


def _pair(field: str, wanted: Spec, there: Spec, names: Mapping[str, str]) -> tuple[Any, Any]:
    """One field of HostConfig on both sides; the Engine's default counts as nothing where we do not ask."""
    mine, theirs = (_normal(field, side.get(field), names) for side in (wanted, there))
    defaults = DEFAULTS.get(field, ())
    if field == "MemorySwap":
        defaults = (-1, 2 * (there.get("Memory") or 0))
    return mine, None if not mine and theirs in defaults else theirs


def _normal(field: str, value: Any, names: Mapping[str, str]) -> Any:
    if field in NORMAL:
        value = NORMAL[field](value)
    elif field == "VolumesFrom":
        value = [_named_volumes_from(entry, names) for entry in value or ()]
    elif field in ("IpcMode", "PidMode"):
        value = _namespace(value, names)
    return sorted(value, key=str) if field in UNORDERED and value else value


def _capabilities(value: Any) -> list[str]:
    return [str(name).upper().removeprefix("CAP_") for name in value or ()]


def _security_options(value: Any) -> list[str]:
    """The Engine adds `label=disable` to privileged containers."""
    return [option for option in value or () if option != "label=disable"]


def _extra_hosts(value: Any) -> list[str]:
    return [re.sub("[=:]", "=", entry, count=1) for entry in value or ()]


def _port_bindings(value: Any) -> Form:
    return {
        port: sorted([binding.get("HostIp") or "", _port(binding)] for binding in places or ())
        for port, places in (value or {}).items()
    }


def _port(binding: Spec) -> str:
    number = str(binding.get("HostPort") or "")
    return "" if number == "0" else number


NORMAL: dict[str, Callable[[Any], Any]] = {  # field -> its value in one form
    "CapAdd": _capabilities,
    "CapDrop": _capabilities,
    "SecurityOpt": _security_options,
    "ExtraHosts": _extra_hosts,
    "PortBindings": _port_bindings,
}


def _named_volumes_from(entry: str, names: Mapping[str, str]) -> str:
    container, _, mode = entry.removeprefix("container:").partition(":")
    return f"{names.get(container, container)}:{mode or 'rw'}"


def _namespace(value: Any, names: Mapping[str, str]) -> str:
    kind, _, container = str(value or "").partition(":")
    return f"container:{names.get(container, container)}" if kind == "container" else kind


def _modes(host: Spec, names: Mapping[str, str]) -> Form:
    """Restart policy, network mode, and whether system paths are unconfined."""
    policy, mode = host.get("RestartPolicy") or {}, _namespace(host.get("NetworkMode"), names)
    confined = host.get("Privileged") or host.get("MaskedPaths") != []
    return {
        "restart": [policy.get("Name") or "no", policy.get("MaximumRetryCount") or 0],
        "network_mode": mode if mode in ("host", "none") or mode.startswith("container:") else "",
        "systempaths": "" if confined else "unconfined",
    }


def _logging(wanted: Spec, there: Spec) -> tuple[Form, Form]:
    """Options that we do not name may be the daemon's own."""
    options = wanted.get("Config") or {}
    named = {name: value for name, value in (there.get("Config") or {}).items() if name in options}
    mine = {"driver": wanted.get("Type") or there.get("Type"), "options": options}
    return mine, {"driver": there.get("Type"), "options": named}


# --- networks and volumes -----------------------------------------------------------------------------------


def network_differences(resource: Resource, there: Spec) -> list[str]:
    """The fields in which the network differs from the one that we would create. Addresses count only when
    they are asked for.
    """
    request = objects.network_request(resource, "")
    ipam, found = request.get("IPAM") or {}, there.get("IPAM") or {}
    wanted, pools = ipam.get("Config") or [], found.get("Config") or []
    if len(wanted) == len(pools):
        pools = [
            {key: present.get(key) for key in asked} for asked, present in zip(wanted, pools, strict=True)
        ]
    if not wanted:
        pools = []
    local = there.get("Scope") == "local"
    return differing_statements(_network(request, ipam, wanted, local), _network(there, found, pools, local))


def _network(body: Spec, ipam: Spec, pools: list[Spec], local: bool) -> Form:
    return {
        "driver": body.get("Driver") or "bridge",
        "driver_opts": body.get("Options"),
        "internal": body.get("Internal"),
        "attachable": None if local else body.get("Attachable"),
        "enable_ipv6": body.get("EnableIPv6"),
        "labels": _labels(body),
        "ipam": {
            "driver": ipam.get("Driver") or "default",
            "config": pools,
            "options": ipam.get("Options"),
        },
    }


def volume_differences(resource: Resource, there: Spec) -> list[str]:
    """The fields in which the volume differs from the one that we would create; its labels do not count."""
    request = objects.volume_request(resource, "")
    mine = {"driver": request.get("Driver") or "local", "driver_opts": request.get("DriverOpts")}
    return differing_statements(mine, {"driver": there.get("Driver"), "driver_opts": there.get("Options")})


def _labels(body: Spec) -> dict[str, list[str]]:
    return {key: [value] for key, value in (body.get("Labels") or {}).items() if not key.startswith(THEIRS)}
