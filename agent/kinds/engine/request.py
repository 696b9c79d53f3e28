"""What the Engine is asked for: the body of a create request from a resource's spec. Pure.

Rules:
1. The input is a canonical, host-ready Compose service (long forms, only what the user set); the output is
   what Docker Compose would send for it, plus our labels. Labels that the user set are kept; only
   `io.limpet.*` is ours alone.
2. Nothing is decided here: a key that is not in `SUPPORTED` was refused long before.
3. The Engine before API 1.44 joins one network at create: `primary_network`. The others are joined by
   `connect` before the start. From 1.44 on all are joined at create, since only there a MAC address of theirs
   counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent import __version__
from agent.kinds.engine.amounts import byte_count, nanoseconds, whole
from agent.kinds.engine.mounts import Mapped, volumes
from agent.kinds.engine.resources import (
    RESOURCE_KEYS,
    Body,
    restart_policy,
    ulimits_and_limits,
)
from agent.model import APP_LABEL, DIGEST_LABEL, INSTANCE_LABEL, NAME_LABEL, Resource, Spec

ALL_AT_CREATE = (1, 44)  # the API version from which a container joins several networks at once

PLAIN_CONFIG = {  # service key -> Config field, as it is
    "hostname": "Hostname",
    "domainname": "Domainname",
    "user": "User",
    "tty": "Tty",
    "stdin_open": "OpenStdin",
    "working_dir": "WorkingDir",
    "stop_signal": "StopSignal",
    "command": "Cmd",
    "entrypoint": "Entrypoint",
}
PLAIN_HOST = {  # service key -> HostConfig field, as it is
    "cap_add": "CapAdd",
    "cap_drop": "CapDrop",
    "init": "Init",
    "ipc": "IpcMode",
    "cgroup": "CgroupnsMode",
    "read_only": "ReadonlyRootfs",
    "dns": "Dns",
    "dns_search": "DnsSearch",
    "dns_opt": "DnsOptions",
    "privileged": "Privileged",
    "userns_mode": "UsernsMode",
    "uts": "UTSMode",
    "pid": "PidMode",
    "runtime": "Runtime",
    "isolation": "Isolation",
    "oom_score_adj": "OomScoreAdj",
    "storage_opt": "StorageOpt",
    "annotations": "Annotations",
    "network_mode": "NetworkMode",
}
# Read by other functions of this module, or by other parts of the agent.

ELSEWHERE = {
    "image",
    "container_name",
    "environment",
    "labels",
    "ports",
    "expose",
    "volumes",
    "networks",
    "healthcheck",
    "restart",
    "stop_grace_period",
    "tmpfs",
    "extra_hosts",
    "logging",
    "deploy",
    "sysctls",
    "shm_size",
    "group_add",
    "security_opt",
    "mac_address",
    "volumes_from",
    "links",
    "external_links",
    "platform",
    "env_file",
    "label_file",
    "attach",
    "pull_policy",
    "post_start",
    "pre_stop",
}

SUPPORTED = frozenset({*PLAIN_CONFIG, *PLAIN_HOST, *ELSEWHERE, *RESOURCE_KEYS})


def create_request(
    resource: Resource,
    image: str,
    *,
    instance: str,
    image_id: str = "",
    mapped: Mapped = str,
    api: tuple[int, int] = (1, 41),
    stop_signal: str = "",
) -> Body:
    """The body of `POST /containers/create`.

    `image`: what the Engine is to run, a reference or an id; `image_id` for the label (default: `image`).
    `mapped` turns a host path into the path that the Engine sees (below `--root`). `api`: the API version
    spoken, it decides where a MAC address goes.
    """
    config: Spec = resource.spec["config"]
    body: Body = {
        "Image": image,
        "AttachStdout": True,
        "AttachStderr": True,
        "Labels": container_labels(resource, instance, image_id or image),
        "Env": environment(config),
        "HostConfig": host_config(config, mapped, api),
    }
    for key, field in PLAIN_CONFIG.items():
        if config.get(key) is not None:
            body[field] = config[key]
    reactions = (resource.spec.get("on_change") or {}).values()
    if any(reaction.startswith("signal:") for reaction in reactions) and not config.get("stop_signal"):
        body["StopSignal"] = (
            stop_signal or "SIGTERM"
        )  # else the Engine takes any signal for a wish to stop for good
    exposed = _exposed(config)
    if exposed:
        body["ExposedPorts"] = {port: {} for port in exposed}
    if config.get("healthcheck"):
        body["Healthcheck"] = healthcheck(config["healthcheck"], api)
    if config.get("stop_grace_period") is not None:
        body["StopTimeout"] = nanoseconds(config["stop_grace_period"]) // 10**9
    if config.get("network_mode") and (linked := links(resource.spec)):
        body["HostConfig"]["Links"] = linked
    primary = primary_network(resource.spec)
    if primary is not None:
        body["HostConfig"]["NetworkMode"] = primary
        joined = [primary] if api < ALL_AT_CREATE else list(config["networks"])
        body["NetworkingConfig"] = {
            "EndpointsConfig": {name: endpoint(resource.spec, name, api) for name in joined}
        }
    mac = _mac_address(config, primary)
    if mac and (api < ALL_AT_CREATE or primary is None):
        body["MacAddress"] = mac
    return body


def host_config(config: Spec, mapped: Mapped = str, api: tuple[int, int] = (1, 41)) -> Body:
    """The HostConfig of a service, without its network."""
    host: Body = ulimits_and_limits(config)
    for key, field in PLAIN_HOST.items():
        if config.get(key) is not None:
            host[field] = config[key]
    binds, mounts = volumes(config, mapped)
    bindings = port_bindings(config)
    security, unconfined = _security(config)
    optional: Body = {
        "Binds": binds,
        "Mounts": mounts,
        "PortBindings": bindings,
        "SecurityOpt": security,
        "Tmpfs": dict(_pair(str(entry), ":") for entry in config.get("tmpfs") or ()),
        "ExtraHosts": extra_hosts(config.get("extra_hosts")),
        "GroupAdd": [str(group) for group in config.get("group_add") or ()],
        "Sysctls": {key: str(value) for key, value in (config.get("sysctls") or {}).items()},
        "VolumesFrom": [entry.removeprefix("container:") for entry in config.get("volumes_from") or ()],
    }
    host |= {field: value for field, value in optional.items() if value}
    if unconfined:
        host |= {"MaskedPaths": [], "ReadonlyPaths": []}
    if config.get("shm_size") is not None:
        host["ShmSize"] = byte_count(config["shm_size"])
    logging = config.get("logging")
    if logging:
        options = {
            key: str(value) for key, value in (logging.get("options") or {}).items() if value is not None
        }
        host["LogConfig"] = {"Type": logging.get("driver") or "", "Config": options}
    policy = restart_policy(config)
    if policy["Name"]:
        host["RestartPolicy"] = policy
    return host


# --- labels -------------------------------------------------------------------------------------------------


def container_labels(resource: Resource, instance: str, image_id: str) -> dict[str, str]:
    """Compose's labels, the user's, ours; of the same name the user's wins over Compose's and ours over
    both.
    """
    spec, compose = resource.spec, resource.spec.get("compose") or {}
    depends = [
        f"{service}:{need.get('condition', 'service_started')}:{_string(need.get('restart', False))}"
        for service, need in sorted((compose.get("depends_on") or {}).items())
    ]
    theirs = {
        "com.docker.compose.project": compose.get("project") or spec["app"],
        "com.docker.compose.service": spec["service"],
        "com.docker.compose.container-number": str(spec["number"]),
        "com.docker.compose.oneoff": str(bool(spec.get("oneoff"))),
        "com.docker.compose.project.working_dir": compose.get("working_dir", ""),
        "com.docker.compose.project.config_files": compose.get("config_files", ""),
        "com.docker.compose.depends_on": ",".join(depends),
        "com.docker.compose.image": image_id,
        "com.docker.compose.version": f"limpet-{__version__}",
        "com.docker.compose.config-hash": resource.digest,
    }
    return (
        theirs
        | _text(spec["config"].get("labels"))
        | _ours(resource, instance)
        | {NAME_LABEL: resource.key.name}
    )


def _ours(resource: Resource, instance: str) -> dict[str, str]:
    return {INSTANCE_LABEL: instance, DIGEST_LABEL: resource.digest, APP_LABEL: resource.spec["app"]}


def _text(values: Mapping[str, Any] | None) -> dict[str, str]:
    return {key: _string(value) for key, value in (values or {}).items()}


def _string(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


# --- networks -----------------------------------------------------------------------------------------------


def primary_network(spec: Spec) -> str | None:
    """The network that is joined at create: the highest priority, then the name. None with `network_mode`."""
    config = spec["config"]
    if config.get("network_mode") or not config.get("networks"):
        return None
    joined: Mapping[str, Any] = config["networks"]
    return min(joined, key=lambda name: (-int((joined[name] or {}).get("priority") or 0), name))


def endpoint(spec: Spec, network: str, api: tuple[int, int] = (1, 41)) -> Body:
    """The endpoint of a container in one of its networks: its final name, its service's name and its aliases
    resolve to it. One that only prepares its service does not answer for it.
    """
    config = spec["config"]
    wanted = config["networks"].get(network) or {}
    names = [spec["name"]] if spec.get("oneoff") else [spec["name"], spec["service"]]
    settings: Body = {"Aliases": _unique([*names, *wanted.get("aliases", ())])}
    ipam = {
        "IPv4Address": wanted.get("ipv4_address"),
        "IPv6Address": wanted.get("ipv6_address"),
        "LinkLocalIPs": wanted.get("link_local_ips"),
    }
    if any(ipam.values()):
        settings["IPAMConfig"] = {key: value for key, value in ipam.items() if value}
    options = _text(wanted.get("driver_opts"))
    if wanted.get("interface_name"):
        options["com.docker.network.endpoint.ifname"] = wanted["interface_name"]
    if options:
        settings["DriverOpts"] = options
    if linked := links(spec):
        settings["Links"] = linked
    mac = wanted.get("mac_address") or (
        config.get("mac_address") if network == primary_network(spec) else None
    )
    if mac and api >= ALL_AT_CREATE:
        settings["MacAddress"] = mac
    if wanted.get("gw_priority") is not None:
        settings["GwPriority"] = whole(wanted["gw_priority"])
    return settings


def links(spec: Spec) -> list[str]:
    """`CONTAINER:ALIAS` pairs; the names are those of containers, put there by the renderer. As with Compose,
    a container of the app is also found by its own name, with and without the app's.
    """
    config, found = spec["config"], []
    for entry in config.get("links") or ():
        name, alias = _pair(entry, ":")
        found += [f"{name}:{word}" for word in (alias, name.removeprefix(f"{spec['app']}-"), name)]
    found += [entry if ":" in entry else f"{entry}:{entry}" for entry in config.get("external_links") or ()]
    return _unique(found)


def _mac_address(config: Spec, primary: str | None) -> str:
    wanted = (config.get("networks") or {}).get(primary) if primary else None
    return (wanted or {}).get("mac_address") or config.get("mac_address") or ""


def network_request(resource: Resource, instance: str) -> Body:
    """The body of `POST /networks/create`."""
    spec, config = resource.spec, resource.spec["config"]
    body: Body = {
        "Name": spec["name"],
        "CheckDuplicate": True,
        "Labels": _object_labels(resource, instance, "network"),
    }
    if config.get("driver"):
        body["Driver"] = config["driver"]
    if config.get("driver_opts"):
        body["Options"] = _text(config["driver_opts"])
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
            "Options": _text(ipam.get("options")),
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
    body: Body = {"Name": spec["name"], "Labels": _object_labels(resource, instance, "volume")}
    if config.get("driver"):
        body["Driver"] = config["driver"]
    if config.get("driver_opts"):
        body["DriverOpts"] = _text(config["driver_opts"])
    return body


def _object_labels(resource: Resource, instance: str, kind: str) -> dict[str, str]:
    compose = resource.spec.get("compose") or {}
    project = compose.get("project") or resource.spec["app"]
    theirs = {
        "com.docker.compose.project": project,
        f"com.docker.compose.{kind}": compose.get("key") or resource.spec["name"].removeprefix(f"{project}_"),
        "com.docker.compose.version": f"limpet-{__version__}",
        "com.docker.compose.config-hash": resource.digest,
    }
    return theirs | _text(resource.spec["config"].get("labels")) | _ours(resource, instance)


# --- ports, volumes and small things ------------------------------------------------------------------------


def _exposed(config: Spec) -> list[str]:
    found = [f"{port['target']}/{port.get('protocol') or 'tcp'}" for port in config.get("ports") or ()]
    for entry in config.get("expose") or ():
        ports, _, protocol = str(entry).partition("/")
        first, _, last = ports.partition("-")
        found += [f"{number}/{protocol or 'tcp'}" for number in range(int(first), int(last or first) + 1)]
    return _unique(found)


def port_bindings(config: Spec) -> dict[str, list[dict[str, str]]]:
    """`80/tcp` -> where it is published. Without a published port the Engine picks one."""
    bindings: dict[str, list[dict[str, str]]] = {}
    for port in config.get("ports") or ():
        place = bindings.setdefault(f"{port['target']}/{port.get('protocol') or 'tcp'}", [])
        place.append({"HostIp": port.get("host_ip") or "", "HostPort": str(port.get("published") or "")})
    return bindings


def healthcheck(check: Spec, api: tuple[int, int] = (1, 41)) -> Body:
    """Durations in nanoseconds; what is not set is inherited from the image."""
    if check.get("disable"):
        return {"Test": ["NONE"]}
    body: Body = {}
    if check.get("test"):
        test = check["test"]
        body["Test"] = ["CMD-SHELL", test] if isinstance(test, str) else list(test)
    times = {"interval": "Interval", "timeout": "Timeout", "start_period": "StartPeriod"}
    if api >= (1, 44):
        times["start_interval"] = "StartInterval"
    for key, field in times.items():
        if check.get(key) is not None:
            body[field] = nanoseconds(check[key])
    if check.get("retries") is not None:
        body["Retries"] = whole(check["retries"])
    return body


def environment(config: Spec) -> list[str]:
    """`NAME=value`, sorted. A name without a value removes the image's variable, as in Docker."""
    values: Mapping[str, Any] = config.get("environment") or {}
    return [name if value is None else f"{name}={_string(value)}" for name, value in sorted(values.items())]


def extra_hosts(hosts: Any) -> list[str]:
    """`HOST:ADDRESS`, from `HOST=ADDRESS` or `HOST:ADDRESS` texts or a mapping to one or several
    addresses.
    """
    if isinstance(hosts, Mapping):
        pairs = [
            (host, one) for host, many in hosts.items() for one in ([many] if isinstance(many, str) else many)
        ]
    else:
        pairs = [_pair(entry, "=" if "=" in entry else ":") for entry in hosts or ()]
    return [f"{host}:{address}" for host, address in pairs]


def _security(config: Spec) -> tuple[list[str], bool]:
    """`security_opt`, and whether the system paths are unconfined, which the Engine's API says in another
    way.
    """
    options = [str(option) for option in config.get("security_opt") or ()]
    return [o for o in options if o != "systempaths=unconfined"], "systempaths=unconfined" in options


def _pair(entry: str, separator: str) -> tuple[str, str]:
    first, _, second = str(entry).partition(separator)
    return first, second


def _unique(values: list[str]) -> list[str]:
    return list(dict.fromkeys(values))
