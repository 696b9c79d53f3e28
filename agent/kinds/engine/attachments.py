"""The mounts and networks of a container, as the service wants them and as the Engine shows them, in one
form. Pure; a part of `compare`.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from typing import Any

from agent.kinds.engine import endpoints
from agent.kinds.engine.differences import Form
from agent.kinds.engine.mounts import UNNAMED, volumes
from agent.model import Resource, Spec

NEWEST = (1, 45)  # every key is written as this API version wants it


# --- mounts -------------------------------------------------------------------------------------------------


def mounts_wanted(resource: Resource, image: Spec) -> Form:
    """Target -> mount, with the volumes that the image declares."""
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
        found[target]["selinux"] = bind.get("selinux")
    _, mounts = volumes(config)
    found = _with_options(found, mounts)
    return found | _tmpfs(dict(str(entry).partition(":")[::2] for entry in config.get("tmpfs") or ()))


def mounts_there(there: Spec) -> Form:
    """Target -> mount."""
    found: Form = {}
    for mount in there.get("Mounts") or ():
        how = _mount(mount["Type"], _source(mount), mount.get("RW"), mount.get("Propagation"))
        if mount["Type"] == "bind":
            # Of other mounts the Engine writes `z` of its own accord.
            how["selinux"] = next(
                (option for option in str(mount.get("Mode")).split(",") if option in ("z", "Z")), None
            )
        found[posixpath.normpath(mount["Destination"])] = how
    found = _with_options(found, there["HostConfig"].get("Mounts") or ())
    return found | _tmpfs(there["HostConfig"].get("Tmpfs") or {})


def _source(mount: Spec) -> str:
    name = str(mount.get("Name") or "")
    return "" if UNNAMED.fullmatch(name) else name or mount.get("Source") or ""


def _mount(kind: str, source: str, writable: Any, propagation: Any = None) -> Form:
    """Propagation `rprivate` is the Engine's default."""
    found = {"type": kind, "source": "" if kind == "tmpfs" else source, "read_only": not writable}
    return found | ({"propagation": propagation} if kind == "bind" and propagation != "rprivate" else {})


def _with_options(found: Form, mounts: Any) -> Form:
    """Adds what only the request says of a mount: size and mode of a tmpfs, the subpath of a volume."""
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
    """The binds of the app's directory whose source would change: (target, present source, wanted source).

    The present source may hold data that nobody would find again.
    """
    directory = str((resource.spec.get("compose") or {}).get("working_dir") or "")
    there = {posixpath.normpath(m["Destination"]): m for m in found["container"].get("Mounts") or ()}
    moves = []
    for target, source in _binds_of_the_app(resource, directory):
        mount = there.get(target)
        if mount is None or mount["Type"] != "bind":
            continue
        if posixpath.normpath(mount["Source"]) != source:
            moves.append((target, posixpath.normpath(mount["Source"]), source))
    return moves


def _binds_of_the_app(resource: Resource, directory: str) -> list[tuple[str, str]]:
    """(target, source) of the binds from the app's directory, without those that Limpet itself fills."""
    found = []
    for volume in resource.spec["config"].get("volumes") or ():
        if volume["type"] != "bind" or not directory:
            continue
        source = posixpath.normpath(volume["source"])
        filled = source.startswith(f"{directory}/.limpet/")  # from `content`, or for an owner and a mode
        if (source == directory or source.startswith(f"{directory}/")) and not filled:
            found.append((posixpath.normpath(volume["target"]), source))
    return found


def directory_for(resource: Resource, there: str, wanted: str) -> str:
    """The app's directory with which a source would stay where it is; empty when there is none."""
    directory = resource.spec["compose"]["working_dir"]
    below = wanted.removeprefix(directory)
    return there.removesuffix(below) if there.startswith("/") and there.endswith(below) else ""


# --- networks -----------------------------------------------------------------------------------------------


def networks_wanted(resource: Resource) -> Form:
    """Network -> endpoint."""
    config = resource.spec["config"]
    if config.get("network_mode"):
        return {}
    return {
        name: _endpoint(endpoints.endpoint(resource.spec, name, NEWEST), {resource.key.name})
        for name in config.get("networks") or ()
    }


def networks_there(resource: Resource, there: Spec) -> Form:
    """Network -> endpoint. A container that asks for no network is on the Engine's own bridge. The MAC
    address that the Engine tells of the container is the one in the network that it was created in.
    """
    config = resource.spec["config"]
    mode = str(config.get("network_mode") or "")
    if mode in ("host", "none") or mode.startswith("container:"):
        return {}
    own = {there["Id"][:12], there["Name"].removeprefix("/"), resource.key.name}
    joined, first = config.get("networks") or {}, (there.get("HostConfig") or {}).get("NetworkMode")
    found = {}
    for name, endpoint in ((there.get("NetworkSettings") or {}).get("Networks") or {}).items():
        if name == "bridge" and not joined:
            continue
        fixed = there["Config"].get("MacAddress") if name == first else None
        mac = _mac_address(
            endpoint or {}, fixed, name in joined and endpoints.mac_address_in(resource.spec, name)
        )
        found[name] = _endpoint(dict(endpoint or {}) | {"MacAddress": mac}, own)
    return found


def _mac_address(endpoint: Spec, fixed: Any, asked: Any) -> Any:
    """The address that somebody chose; that of an endpoint may be the Engine's choice."""
    return (endpoint.get("MacAddress") or fixed) if asked else fixed


def _endpoint(endpoint: Spec, own: set[str]) -> Form:
    """`own`: aliases that do not count. Docker Compose adds links of its own to each link, to the same
    container by its name, with and without the app's; they do not count either.
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
