"""What the Engine says of containers, networks and volumes, in a form in which two makers can be compared.

Rules:
1. A flat mapping of dotted fields to values. What differs by chance (ids, times, addresses from a pool) is
   left out or named for what it is; nothing else is.
2. Names and ids of the project's containers are written as (SERVICE.NUMBER), its directory as DIR.
3. Binds and Mounts are two ways to ask for the same: what was asked for is HostConfig.Mounted, by target.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tests.harness.engine import PROJECT_LABEL, Engine

Flat = dict[str, Any]
IGNORED = re.compile(
    r"Id|Created|Name|State\..*|LogPath|ResolvConfPath|HostnamePath|HostsPath|GraphDriver\..*|ExecIDs"
    r"|NetworkSettings\.(SandboxID|SandboxKey|EndpointID|IPAddress|MacAddress|Gateway)"
    r"|NetworkSettings\.Networks\.[\w.-]+\.(NetworkID|EndpointID)"
)
CHANCE = re.compile(r"(NetworkSettings\.Networks\.[\w.-]+)\.(IPAddress|Gateway|MacAddress)")
NAMED = re.compile(
    r"(^|\.)(Labels|Options|Tmpfs|LogConfig\.Config)\."
)  # names that a person chose: an empty value is one
PORT = re.compile(r"\.Ports\.\d+/\w+$")  # one that is not published is one
UNORDERED = (
    "Env",
    "ExtraHosts",
    "Aliases",
    "CapAdd",
    "CapDrop",
    "Ulimits",
    "Links",
    "DnsOptions",
    "SecurityOpt",
)
LABEL, PROJECT = "com.docker.compose.", "lt-project"


def inspected(engine: Engine, project: str, *places: str) -> dict[str, Flat]:
    """`SERVICE.NUMBER`, `network NAME` and `volume NAME` of a project. `places`: its directory, the root."""
    api = engine.client.api
    listed = engine.containers(project)
    found = [api.inspect_container(str(c.id)) for c in listed if PROJECT_LABEL in c.labels]
    names: dict[str, str] = {}
    for other in (c for c in listed if PROJECT_LABEL not in c.labels):
        shown = f"({str(other.name).replace(project, PROJECT)})"
        names |= {str(other.id): shown, str(other.id)[:12]: shown, str(other.name): shown}
    for container in found:
        labels = container["Config"]["Labels"]
        key = f"{labels[LABEL + 'service']}.{labels[LABEL + 'container-number']}"
        names |= {container["Id"]: f"({key})", container["Name"].removeprefix("/"): f"({key})"}
        names[container["Id"][:12]] = f"({key} short id)"
    networks = {n["Name"]: n for n in api.networks(filters={"label": f"{PROJECT_LABEL}={project}"})}
    words = {**dict(zip(places, ("DIR", ""), strict=False)), **names, project: PROJECT}
    given = {name: _has_addresses(n) for name, n in networks.items()}
    all_of_it: dict[str, Flat] = {}
    for container in found:
        all_of_it[names[container["Id"]].strip("()")] = dict(_container(container, words, given))
    for name in networks:
        all_of_it[f"network {name.replace(project, PROJECT)}"] = dict(
            _network(_renamed(api.inspect_network(name), words))
        )
    for volume in api.volumes(filters={"label": f"{PROJECT_LABEL}={project}"})["Volumes"] or ():
        kept = {key: value for key, value in volume.items() if key not in ("CreatedAt", "Mountpoint")}
        all_of_it[f"volume {volume['Name'].replace(project, PROJECT)}"] = dict(
            flattened(_renamed(kept, words), "")
        )
    return all_of_it


def of_containers(engine: Engine, project: str, *places: str) -> dict[str, Flat]:
    """Service -> field -> value of its first container, whole, as the Engine has it; any dotted field may be
    asked for.
    """
    found: dict[str, Flat] = {}
    for container in engine.containers(project):
        labels = container.labels
        if labels.get(LABEL + "container-number") == "1":
            words = dict(zip(places, ("DIR", ""), strict=False))
            found[labels[LABEL + "service"]] = Fields(
                _renamed(engine.client.api.inspect_container(str(container.id)), words)
            )
    return found


class Fields(dict[str, Any]):
    """An inspection whose fields are found by dotted names, though names in it have dots too."""

    def __missing__(self, field: str) -> Any:
        node: Any = dict(self)
        rest = field
        while rest:
            name = next(
                (n for n in sorted(node, key=len, reverse=True) if rest == n or rest.startswith(f"{n}.")),
                None,
            )
            if name is None:
                return None
            node, rest = node[name], rest.removeprefix(name).removeprefix(".")
        return node


def _has_addresses(network: Mapping[str, Any]) -> bool:
    """Whether its addresses were asked for: those of the apps are of 10.100 to 10.231."""
    pools = (network.get("IPAM") or {}).get("Config") or ()
    return any(re.match(r"10\.(1\d\d|231)\.", str(pool.get("Subnet"))) for pool in pools)


def _container(
    found: dict[str, Any], words: dict[str, str], given: dict[str, bool]
) -> Iterator[tuple[str, Any]]:
    found = _renamed(found, words)
    given = {_renamed(name, words): value for name, value in given.items()}
    for part, key in (("Config", "Volumes"), ("Config", "ExposedPorts")):
        found[part][key] = sorted(found[part].get(key) or ())  # a set, in the form of a mapping to nothing
    host = found["HostConfig"]
    found["Asked"] = dict(_asked(host.pop("Binds", None) or [], host.pop("Mounts", None) or []))
    found["Mounts"] = {m["Destination"]: _mounted(m) for m in found.pop("Mounts")}
    for field, value in flattened(found, ""):
        network = CHANCE.fullmatch(field)
        if not IGNORED.fullmatch(field) and not (network and _by_chance(found, network, given)):
            yield re.sub("^Asked", "HostConfig.Mounted", field), value


def _by_chance(found: dict[str, Any], match: re.Match[str], given: dict[str, bool]) -> bool:
    """An address that the Engine picked: of a pool of its own, or none was asked for."""
    name = match[1].removeprefix("NetworkSettings.Networks.")
    if match[2] == "Gateway":
        return not given.get(name, False)
    if match[2] == "MacAddress":
        return "MacAddress" not in found["Config"] or not found["Config"]["MacAddress"]
    return not ((found["NetworkSettings"]["Networks"][name].get("IPAMConfig") or {}).get("IPv4Address"))


def _asked(binds: list[str], mounts: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for bind in binds:
        source, target, *rest = bind.split(":")
        options = {option for option in (rest[0].split(",") if rest else ()) if option and option != "rw"}
        kind = "bind" if source.startswith(("/", "DIR")) else "volume"
        if kind == "volume":
            yield target, {"Type": kind, "Source": source, "Options": sorted(options)}
        else:
            yield target, {"Type": kind, "Source": source, "Options": sorted(options), "WhenMissing": "made"}
    for mount in mounts:
        options = {"ro"} if mount.get("ReadOnly") else set()
        if (mount.get("VolumeOptions") or {}).get("NoCopy"):
            options.add("nocopy")
        if propagation := (mount.get("BindOptions") or {}).get("Propagation"):
            options.add(propagation)
        asked = {"Type": mount["Type"], "Source": mount.get("Source", ""), "Options": sorted(options)}
        if mount["Type"] == "bind":
            asked["WhenMissing"] = "an error"
        yield mount["Target"], asked | ({"Tmpfs": mount["TmpfsOptions"]} if mount.get("TmpfsOptions") else {})


def _mounted(mount: dict[str, Any]) -> dict[str, Any]:
    shown = {key: value for key, value in mount.items() if key != "Destination"}
    if mount["Type"] == "volume":
        del shown["Source"]
        if re.fullmatch("[0-9a-f]{64}", mount["Name"]):
            shown["Name"] = "(unnamed)"
    return shown


def _network(found: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    if not _has_addresses(found):
        found["IPAM"]["Config"] = "(a pool of the Engine)"
    for key in ("Id", "Created", "Containers", "ConfigFrom", "ConfigOnly", "Name"):
        found.pop(key, None)
    yield from flattened(found, "")


def _renamed(value: Any, words: Mapping[str, str]) -> Any:
    """A copy in which words are replaced, the longest first."""
    found = re.compile("|".join(re.escape(word) for word in sorted(words, key=len, reverse=True)))
    return json.loads(found.sub(lambda match: words[match[0]], json.dumps(value)))


def flattened(value: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """Dotted fields to leaves. Lists are leaves, sorted where their order says nothing; empty is absent, but
    for values of names that a person chose.
    """
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from flattened(inner, f"{prefix}.{key}" if prefix else key)
    elif value not in (None, [], "") or (value == "" and NAMED.search(prefix)) or PORT.search(prefix):
        unordered = isinstance(value, list) and prefix.endswith(UNORDERED)
        value = json.loads(json.dumps(value, sort_keys=True))
        yield prefix, sorted(value, key=str) if unordered else value


def differences(theirs: Flat, ours: Flat) -> list[str]:
    """`FIELD: theirs -> ours`, sorted."""
    found = []
    for key in sorted({*theirs, *ours}):
        before, after = (repr(flat[key]) if key in flat else "(absent)" for flat in (theirs, ours))
        if before != after:
            found.append(f"{key}: {before} -> {after}")
    return found
