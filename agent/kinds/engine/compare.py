"""Whether a container, network or volume that somebody else made is what we would make. Pure.

Rules:
1. Both sides are brought to one form, in Compose's words: our create request with what the Engine and the
   image add to it, and the Engine's inspection of what is there. What differs is named, never its value.
2. What we do not ask for must be the Engine's default there; where the default is the daemon's own (logging,
   runtime, cgroup namespace), any is.
3. Left out: labels of Compose and ours, names and ids, and what Docker Compose v1 adds without effect:
   `Attach*`, volumes listed in `Config`, `Attachable` of a local network.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from typing import Any

from agent.kinds.base import differing_fields as named
from agent.kinds.engine import request as ours
from agent.kinds.engine import resources
from agent.kinds.engine.mounts import UNNAMED, volumes
from agent.model import Resource, Spec

Form = dict[str, Any]
NEWEST = (1, 45)  # every key is written as this API version wants it
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
    """Dotted names, in Compose's words, of what differs, sorted.

    `found`: `container`, the Engine's inspection with the bind sources as the host's paths, and `image`, the
    configuration of its image. `names`: container id -> the name that the container has, or will have once it
    is ours.
    """
    image: Spec = found["image"]
    request = ours.create_request(
        resource, "", instance="", api=(1, 41), stop_signal=image.get("StopSignal") or ""
    )
    if resource.spec["config"].get("healthcheck"):
        request["Healthcheck"] = ours.healthcheck(resource.spec["config"]["healthcheck"], NEWEST)
    there: Spec = found["container"]
    host: Spec = there["HostConfig"]
    mine = (
        _config(request, image) | _mounts_wanted(resource, image) | {"networks": _networks_wanted(resource)}
    )
    theirs = (
        _config(there["Config"], {}) | _mounts_there(there) | {"networks": _networks_there(resource, there)}
    )
    for field in sorted({*WORDS, *request["HostConfig"]} - ELSEWHERE):
        word = WORDS.get(field, field)
        mine[word], theirs[word] = _pair(field, request["HostConfig"], host, names)
    mine |= _modes(request["HostConfig"], names) | _hostname(request.get("Hostname"), "")
    theirs |= _modes(host, names) | _hostname(there["Config"].get("Hostname"), there["Id"], request, host)
    if request["HostConfig"].get("LogConfig"):
        mine["logging"], theirs["logging"] = _logging(
            request["HostConfig"]["LogConfig"], host.get("LogConfig") or {}
        )
    if resource.spec["config"].get("volumes_from"):
        theirs["volumes"] = {
            target: how for target, how in theirs["volumes"].items() if target in mine["volumes"]
        }
    return _named(mine, theirs)


def _named(mine: Form, theirs: Form) -> list[str]:
    """Names of what differs; of what is a mapping on one side and nothing on the other, what is in it."""
    one, other = _clean(mine), _clean(theirs)
    empty: Form = {key: {} for key, value in (one | other).items() if isinstance(value, Mapping)}
    return named(empty | one, empty | other)


# --- configuration ------------------------------------------------------------------------------------------


def _config(body: Spec, image: Spec) -> Form:
    """What is `Config` in an inspection, with what the Engine takes from the image when nothing else is
    said.
    """
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
    """Name -> its value in a list (so that an empty one is one); None, which takes the image's away, when it
    has none.
    """
    pairs = (entry.partition("=") for entry in entries or ())
    return {name: [value] if equals else None for name, equals, value in pairs}


def _hostname(name: Any, id: str, request: Spec | None = None, host: Spec | None = None) -> Form:
    """The host name that was asked for. The Engine gives the container's id, or that of the namespace it
    shares.
    """
    shared = host is not None and (
        str(host.get("NetworkMode")).startswith(("host", "container:")) or host.get("UTSMode") == "host"
    )
    if request is not None and not request.get("Hostname") and (shared or name == id[:12]):
        return {"hostname": ""}
    return {"hostname": name or ""}


# --- what the host gives ------------------------------------------------------------------------------------


def _pair(field: str, wanted: Spec, there: Spec, names: Mapping[str, str]) -> tuple[Any, Any]:
    """One field of HostConfig on both sides; where it is not asked for, the Engine's default counts as
    nothing.
    """
    mine, theirs = (_normal(field, side.get(field), names) for side in (wanted, there))
    if not mine and field == "MemorySwap" and theirs in (-1, 2 * (there.get("Memory") or 0)):
        theirs = None
    if not mine and theirs in DEFAULTS.get(field, ()):
        theirs = None
    return mine, theirs


def _normal(field: str, value: Any, names: Mapping[str, str]) -> Any:
    if field in ("CapAdd", "CapDrop"):
        value = [str(name).upper().removeprefix("CAP_") for name in value or ()]
    elif field == "SecurityOpt":
        value = [
            option for option in value or () if option != "label=disable"
        ]  # the Engine's, of privileged containers
    elif field == "ExtraHosts":
        value = [re.sub("[=:]", "=", entry, count=1) for entry in value or ()]
    elif field == "PortBindings":
        value = {
            port: sorted([b.get("HostIp") or "", _port(b)] for b in places or ())
            for port, places in (value or {}).items()
        }
    elif field == "VolumesFrom":
        value = [_named_volumes_from(entry, names) for entry in value or ()]
    elif field in ("IpcMode", "PidMode", "UTSMode"):
        value = _namespace(value, names)
    return sorted(value, key=str) if field in UNORDERED and value else value


def _port(binding: Spec) -> str:
    number = str(binding.get("HostPort") or "")
    return "" if number == "0" else number


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
    kept = {name: value for name, value in (there.get("Config") or {}).items() if name in options}
    mine = {"driver": wanted.get("Type") or there.get("Type"), "options": options}
    return mine, {"driver": there.get("Type"), "options": kept}


# --- mounts -------------------------------------------------------------------------------------------------


def _mounts_wanted(resource: Resource, image: Spec) -> Form:
    config = resource.spec["config"]
    found: Form = {
        posixpath.normpath(target): _mount("volume", "", True) for target in image.get("Volumes") or ()
    }
    for volume in config.get("volumes") or ():
        target, kind = posixpath.normpath(volume["target"]), volume["type"]
        bind = volume.get("bind") or {}
        found[target] = _mount(
            kind, volume.get("source") or "", not volume.get("read_only"), bind.get("propagation")
        )
        found[target] |= {
            "selinux": bind.get("selinux"),
            "subpath": (volume.get("volume") or {}).get("subpath"),
        }
    _, mounts = volumes(config)
    found = _with_options(found, mounts)
    return {
        "volumes": found | _tmpfs(dict(ours._pair(str(entry), ":") for entry in config.get("tmpfs") or ()))
    }


def _mounts_there(there: Spec) -> Form:
    found: Form = {}
    for mount in there.get("Mounts") or ():
        name = mount.get("Name") or ""
        source = "" if UNNAMED.fullmatch(name) else name or mount.get("Source") or ""
        how = _mount(mount["Type"], source, mount.get("RW"), mount.get("Propagation"))
        if mount["Type"] == "bind":  # the Engine writes `z` beside volumes of its own accord
            how["selinux"] = next(
                (option for option in str(mount.get("Mode")).split(",") if option in ("z", "Z")), None
            )
        found[posixpath.normpath(mount["Destination"])] = how
    found = _with_options(found, there["HostConfig"].get("Mounts") or ())
    return {"volumes": found | _tmpfs(there["HostConfig"].get("Tmpfs") or {})}


def _mount(kind: str, source: str, writable: Any, propagation: Any = None) -> Form:
    """Propagation `rprivate` is the Engine's default."""
    found = {"type": kind, "source": "" if kind == "tmpfs" else source, "read_only": not writable}
    return found | (
        {"propagation": propagation} if kind == "bind" and propagation not in (None, "", "rprivate") else {}
    )


def _with_options(found: Form, mounts: Any) -> Form:
    """What only the request says of a mount: size and mode of a tmpfs, the part of a volume."""
    for mount in mounts:
        target = posixpath.normpath(mount["Target"])
        if target in found:
            options = mount.get("TmpfsOptions") or {}
            found[target] |= {
                "size": options.get("SizeBytes"),
                "mode": options.get("Mode"),
                "subpath": (mount.get("VolumeOptions") or {}).get("Subpath"),
            }
    return found


def _tmpfs(entries: Mapping[str, str]) -> Form:
    return {
        posixpath.normpath(target): {"type": "tmpfs", "options": sorted(filter(None, options.split(",")))}
        for target, options in entries.items()
    }


def moved(resource: Resource, found: Spec) -> list[tuple[str, str, str]]:
    """Binds of the same target whose source would be another: (target, source there, source wanted), of those
    that we want below the app's directory. What is there may be data that nobody would find again.
    """
    directory = (resource.spec.get("compose") or {}).get("working_dir") or ""
    there = {posixpath.normpath(m["Destination"]): m for m in found["container"].get("Mounts") or ()}
    moves = []
    for volume in resource.spec["config"].get("volumes") or ():
        target, source = posixpath.normpath(volume["target"]), posixpath.normpath(volume.get("source") or ".")
        mount = there.get(target)
        own = source.startswith(
            f"{directory}/.limpet/"
        )  # made by us from `content`, or for an owner and a mode
        if mount is None or mount["Type"] != "bind" or volume["type"] != "bind" or not directory or own:
            continue
        inside = source == directory or source.startswith(f"{directory}/")
        if inside and posixpath.normpath(mount["Source"]) != source:
            moves.append((target, posixpath.normpath(mount["Source"]), source))
    return moves


def directory_for(resource: Resource, there: str, wanted: str) -> str:
    """The app's directory with which a source would stay where it is; empty when there is none."""
    directory = resource.spec["compose"]["working_dir"]
    below = wanted.removeprefix(directory)
    return there.removesuffix(below) if there.startswith("/") and there.endswith(below) else ""


# --- networks and volumes -----------------------------------------------------------------------------------


def _networks_wanted(resource: Resource) -> Form:
    config = resource.spec["config"]
    if config.get("network_mode"):
        return {}
    return {
        name: _endpoint(ours.endpoint(resource.spec, name, NEWEST), {resource.key.name})
        for name in config.get("networks") or ()
    }


def _networks_there(resource: Resource, there: Spec) -> Form:
    """The endpoints; the Engine's own bridge is where a container is that asks for no network."""
    mode = str(resource.spec["config"].get("network_mode") or "")
    if mode in ("host", "none") or mode.startswith("container:"):
        return {}
    found = {}
    own = {there["Id"][:12], there["Name"].removeprefix("/"), resource.key.name}
    for name, endpoint in ((there.get("NetworkSettings") or {}).get("Networks") or {}).items():
        joined = resource.spec["config"].get("networks") or {}
        wanted = joined.get(name) or {}
        if name == "bridge" and not joined:
            continue
        asked = wanted.get("mac_address") or resource.spec["config"].get("mac_address")
        fixed = there["Config"].get("MacAddress")
        mac = (
            (endpoint or {}).get("MacAddress") or fixed if asked else fixed
        )  # that of an endpoint may be the Engine's choice
        found[name] = _endpoint(dict(endpoint or {}) | {"MacAddress": mac}, own)
    return found


def _endpoint(endpoint: Spec, own: set[str]) -> Form:
    """Links: Docker Compose adds some of its own to each, to the same container: by its name, with and
    without the app's.
    """
    links = [link.split(":") for link in endpoint.get("Links") or ()]
    extra = [
        [target, alias] for target, alias in links if alias == target or re.fullmatch(r".*[_-]\d+", alias)
    ]
    return {
        "joined": True,
        "aliases": sorted({*(endpoint.get("Aliases") or ())} - own),
        "address": {key: value for key, value in (endpoint.get("IPAMConfig") or {}).items() if value},
        "driver_opts": endpoint.get("DriverOpts"),
        "links": sorted(link for link in links if link not in extra),
        "mac_address": endpoint.get("MacAddress"),
        "gw_priority": endpoint.get("GwPriority"),
    }


def network_differences(resource: Resource, there: Spec) -> list[str]:
    """What differs between a network that we would create and one that is there. Addresses count only when
    they are asked for.
    """
    request = ours.network_request(resource, "")
    ipam, found = request.get("IPAM") or {}, there.get("IPAM") or {}
    pools = found.get("Config") or []
    if len(ipam.get("Config") or ()) == len(pools):
        pools = [
            {key: there.get(key) for key in wanted}
            for wanted, there in zip(ipam["Config"], pools, strict=True)
        ]
    local = there.get("Scope") == "local"
    mine = {
        "driver": request.get("Driver") or "bridge",
        "driver_opts": request.get("Options"),
        "internal": request.get("Internal"),
        "attachable": request.get("Attachable") if not local else None,
        "enable_ipv6": request.get("EnableIPv6"),
        "labels": _labels(request),
        "ipam": {
            "driver": ipam.get("Driver") or "default",
            "config": ipam.get("Config"),
            "options": ipam.get("Options"),
        },
    }
    theirs = {
        "driver": there.get("Driver"),
        "driver_opts": there.get("Options"),
        "internal": there.get("Internal"),
        "attachable": there.get("Attachable") if not local else None,
        "enable_ipv6": there.get("EnableIPv6"),
        "labels": _labels(there),
        "ipam": {
            "driver": found.get("Driver") or "default",
            "config": pools if ipam.get("Config") else None,
            "options": found.get("Options"),
        },
    }
    return _named(mine, theirs)


def volume_differences(resource: Resource, there: Spec) -> list[str]:
    """What differs between a volume that we would create and one that is there; its labels do not count."""
    request = ours.volume_request(resource, "")
    mine = {"driver": request.get("Driver") or "local", "driver_opts": request.get("DriverOpts")}
    return _named(mine, {"driver": there.get("Driver"), "driver_opts": there.get("Options")})


def _labels(body: Spec) -> dict[str, list[str]]:
    return {key: [value] for key, value in (body.get("Labels") or {}).items() if not key.startswith(THEIRS)}


def _clean(value: Any) -> Any:
    """Nothing, zero, false and empty count as not said, in mappings and in mappings in lists."""
    if isinstance(value, Mapping):
        cleaned = {key: _clean(item) for key, item in value.items()}
        return {key: item for key, item in cleaned.items() if item not in (None, "", [], (), {}, False, 0)}
    return [_clean(item) for item in value] if isinstance(value, list | tuple) else value
