"""The request that creates a container, made from the spec of its resource. Pure.

Rules:
1. The input is a canonical, host-ready Compose service (long forms, only the keys that the user set). The
   output is the request that Docker Compose would send for it, plus our labels. Labels that the user set are
   kept; only `io.limpet.*` is ours alone.
2. Nothing is decided here: a key that is not in `SUPPORTED` was refused long before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from agent.kinds.engine.amounts import byte_count, nanoseconds, whole
from agent.kinds.engine.endpoints import ALL_AT_CREATE, endpoint, links, mac_address, primary_network
from agent.kinds.engine.labels import container_labels, string
from agent.kinds.engine.mounts import Mapped, volumes
from agent.kinds.engine.resources import RESOURCE_KEYS, Body, restart_policy, ulimits_and_limits
from agent.model import Resource, Spec

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
# Read by other functions, here or in other parts of the agent.
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

    image: the image that the Engine is to run, a reference or an id
    instance: the name of this Limpet, for the label
    image_id: the id of the image, for the label; default: `image`
    mapped: turns a host path into the path that the Engine sees (below `--root`)
    api: the API version that is spoken; it decides where a MAC address goes
    stop_signal: the stop signal of the image
    """
    config: Spec = resource.spec["config"]
    body: Body = {
        "Image": image,
        "AttachStdout": True,
        "AttachStderr": True,
        "Labels": container_labels(resource, instance, image_id or image),
        "Env": environment(config),
        "HostConfig": host_config(config, mapped),
    }
    body |= {field: config[key] for key, field in PLAIN_CONFIG.items() if config.get(key) is not None}
    if _is_signalled(resource) and not config.get("stop_signal"):
        # Else the Engine takes any signal for a wish to stop for good.
        body["StopSignal"] = stop_signal or "SIGTERM"
    if exposed := _exposed(config):
        body["ExposedPorts"] = {port: {} for port in exposed}
    if config.get("healthcheck"):
        body["Healthcheck"] = healthcheck(config["healthcheck"], api)
    if config.get("stop_grace_period") is not None:
        body["StopTimeout"] = nanoseconds(config["stop_grace_period"]) // 10**9
    _join(body, resource.spec, api)
    return body


def _is_signalled(resource: Resource) -> bool:
    reactions = (resource.spec.get("on_change") or {}).values()
    return any(reaction.startswith("signal:") for reaction in reactions)


def _join(body: Body, spec: Spec, api: tuple[int, int]) -> None:
    """Adds the networks that are joined at create, links and the MAC address."""
    config = spec["config"]
    if config.get("network_mode") and (linked := links(spec)):
        body["HostConfig"]["Links"] = linked
    primary = primary_network(spec)
    if primary is not None:
        body["HostConfig"]["NetworkMode"] = primary
        joined = [primary] if api < ALL_AT_CREATE else list(config["networks"])
        body["NetworkingConfig"] = {"EndpointsConfig": {name: endpoint(spec, name, api) for name in joined}}
    mac = mac_address(config, primary)
    if mac and (api < ALL_AT_CREATE or primary is None):
        body["MacAddress"] = mac


def host_config(config: Spec, mapped: Mapped = str) -> Body:
    """The HostConfig of a service, without its network."""
    host: Body = ulimits_and_limits(config)
    host |= {field: config[key] for key, field in PLAIN_HOST.items() if config.get(key) is not None}
    binds, mounts = volumes(config, mapped)
    security, unconfined = _security(config)
    policy = restart_policy(config)
    optional: Body = {
        "Binds": binds,
        "Mounts": mounts,
        "PortBindings": port_bindings(config),
        "SecurityOpt": security,
        "Tmpfs": dict(str(entry).partition(":")[::2] for entry in _entries(config, "tmpfs")),
        "ExtraHosts": extra_hosts(config.get("extra_hosts")),
        "GroupAdd": [str(group) for group in _entries(config, "group_add")],
        "Sysctls": {key: str(value) for key, value in (config.get("sysctls") or {}).items()},
        "VolumesFrom": [entry.removeprefix("container:") for entry in _entries(config, "volumes_from")],
        "LogConfig": _log_config(config.get("logging") or {}),
        "RestartPolicy": policy if policy["Name"] else None,
    }
    host |= {field: value for field, value in optional.items() if value}
    if unconfined:
        host |= {"MaskedPaths": [], "ReadonlyPaths": []}
    if config.get("shm_size") is not None:
        host["ShmSize"] = byte_count(config["shm_size"])
    return host


def _entries(config: Spec, key: str) -> Iterable[Any]:
    return config.get(key) or ()


def _log_config(logging: Spec) -> Body:
    """The driver and its options; empty when the service says nothing."""
    if not logging:
        return {}
    options = {key: str(value) for key, value in (logging.get("options") or {}).items() if value is not None}
    return {"Type": logging.get("driver") or "", "Config": options}


# --- ports, health and small things -------------------------------------------------------------------------


def _exposed(config: Spec) -> list[str]:
    found = [f"{port['target']}/{port.get('protocol') or 'tcp'}" for port in config.get("ports") or ()]
    for entry in config.get("expose") or ():
        ports, _, protocol = str(entry).partition("/")
        first, _, last = ports.partition("-")
        found += [f"{number}/{protocol or 'tcp'}" for number in range(int(first), int(last or first) + 1)]
    return list(dict.fromkeys(found))


def port_bindings(config: Spec) -> dict[str, list[dict[str, str]]]:
    """`80/tcp` -> where it is published. Without a published port the Engine picks one."""
    bindings: dict[str, list[dict[str, str]]] = {}
    for port in config.get("ports") or ():
        place = bindings.setdefault(f"{port['target']}/{port.get('protocol') or 'tcp'}", [])
        place.append({"HostIp": port.get("host_ip") or "", "HostPort": str(port.get("published") or "")})
    return bindings


def healthcheck(check: Spec, api: tuple[int, int] = (1, 41)) -> Body:
    """The health check, with durations in nanoseconds. The image says what the service leaves out."""
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
    return [name if value is None else f"{name}={string(value)}" for name, value in sorted(values.items())]


def extra_hosts(hosts: Any) -> list[str]:
    """`HOST:ADDRESS`, from texts `HOST=ADDRESS` or `HOST:ADDRESS`, or from a mapping of a host to one address
    or several.
    """
    if isinstance(hosts, Mapping):
        return [f"{host}:{address}" for host, many in hosts.items() for address in _as_list(many)]
    return [_extra_host(str(entry)) for entry in hosts or ()]


def _as_list(value: Any) -> list[Any]:
    return [value] if isinstance(value, str) else list(value)


def _extra_host(entry: str) -> str:
    host, _, address = entry.partition("=" if "=" in entry else ":")
    return f"{host}:{address}"


def _security(config: Spec) -> tuple[list[str], bool]:
    """`security_opt`, and whether the system paths are unconfined, for which the Engine's API has other
    fields.
    """
    options = [str(option) for option in config.get("security_opt") or ()]
    return [o for o in options if o != "systempaths=unconfined"], "systempaths=unconfined" in options
