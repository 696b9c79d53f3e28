"""The type of every key of the canonical form, and how a value becomes one.

The tables mirror the reference model: what a key accepts, what it becomes, and whether its zero means "not set" (then
it is left out) or is a value of its own (`keep`). Keys that start with x- stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .errors import Place, Problems
from .interpolate import _boolean, _integer, _number
from .scalars import Timestamp, duration_ns, parse_bytes, show, show_duration, split_words
from .tree import List, Map


class Unfit(ValueError):
    """A value that a key cannot take; the text says why."""


@dataclass(frozen=True, slots=True)
class Context:
    """Where a value stands, for errors."""

    problems: Problems
    place: Place
    path: tuple[str, ...]

    def below(self, key: str, place: Place) -> Context:
        return Context(self.problems, place, (*self.path, key))


Decode = Callable[[Any, Context], Any]


@dataclass(frozen=True, slots=True)
class Field:
    """How a key is decoded; `keep` its zero, `null` its explicit null."""

    decode: Decode
    keep: bool = False
    null: bool = False


def _text(value: Any, at: Context) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int) or isinstance(value, Timestamp):
        raise Unfit(f"must be text, not {show(value)}")
    return str(value)


def _flag(value: Any, at: Context) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _boolean(value)
    raise Unfit(f"must be true or false, not {show(value)}")


def _int(value: Any, at: Context) -> int:
    if isinstance(value, str):
        return _integer(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unfit(f"must be a whole number, not {show(value)}")
    return int(value)


def _count(value: Any, at: Context) -> int:
    if isinstance(value, str):
        raise Unfit(f"must be a number, not {value!r}")
    number = _int(value, at)
    if number < 0:
        raise Unfit(f"must not be negative, not {number}")
    return number


def _float(value: Any, at: Context) -> float:
    if isinstance(value, str):
        return _number(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unfit(f"must be a number, not {show(value)}")
    return float(value)


def _bytes(value: Any, at: Context) -> int:
    if isinstance(value, str):
        return parse_bytes(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _duration(value: Any, at: Context) -> str:
    return show_duration(duration_ns(show(value)))


def _time(value: Any, at: Context) -> str:
    """A duration whose zero means "not set"."""
    text = _duration(value, at)
    return "" if text == "0s" else text


def _texts(value: Any, at: Context) -> List:
    items = value if isinstance(value, List) else List([value], at=at.place)
    return List((_text(item, at) for item in items), items.at, list(items.places))


def _shown(value: Any, at: Context) -> List:
    items = value if isinstance(value, List) else List([value], at=at.place)
    return List((show(item) for item in items), items.at, list(items.places))


def _command(value: Any, at: Context) -> Any:
    if isinstance(value, str):
        return List(split_words(value), at=at.place)
    return _texts(value, at)


def _test(value: Any, at: Context) -> List:
    if isinstance(value, str):
        return List(["CMD-SHELL", value], at=at.place)
    return _texts(value, at)


def _pairs(blank: str | None) -> Decode:
    """A mapping of text; a key without a value becomes `blank`."""

    def decode(value: Any, at: Context) -> Map:
        result = Map(at=at.place)
        if isinstance(value, Map):
            for key, item in value.items():
                result.put(key, blank if item is None else show(item), value.place(key))
        elif isinstance(value, List):
            for item, where in value.placed():
                key, equals, text = show(item).partition("=")
                if blank is None and key and key[-1].isspace():
                    raise Unfit(f"the name {key!r} ends with a space")
                result.put(key, text if equals else blank, where)
        else:
            raise Unfit("must be a mapping or a list of KEY=VALUE")
        return result

    return decode


def _options(value: Any, at: Context) -> Map:
    if not isinstance(value, Map):
        raise Unfit("must be a mapping")
    return _pairs("")(value, at)  # type: ignore[no-any-return]


def _hosts(value: Any, at: Context) -> List:
    """`host=address`, sorted; one entry for each address."""
    pairs: list[tuple[str, str]] = []
    if isinstance(value, Map):
        for host, item in value.items():
            for address in item if isinstance(item, List) else [item]:
                pairs.append((host, "" if address is None else show(address)))
    else:
        for item in _shown(value, at):
            separator = "=" if "=" in item else ":"
            host, found, addresses = item.partition(separator)
            if not found:
                raise Unfit(f"{item!r} has no address")
            pairs.extend((host, address) for address in addresses.split(","))
    for host, _ in pairs:
        if not host or ":" in host or "=" in host:
            raise Unfit(f"{host!r} is not a host name")
    bare = ((h, a[1:-1] if len(a) > 2 and a.startswith("[") and a.endswith("]") else a) for h, a in pairs)
    return List(sorted(f"{host}={address}" for host, address in bare), at=at.place)


def _ulimit(value: Any, at: Context) -> Any:
    if isinstance(value, Map):
        result = _struct(_ULIMIT)(value, at)
        return result
    if isinstance(value, bool) or not isinstance(value, int):
        raise Unfit(f"must be a whole number or soft and hard, not {show(value)}")
    return value


def _mode(value: Any, at: Context) -> str:
    if isinstance(value, str):
        try:
            return f"0{int(value, 8):o}"
        except ValueError:
            raise Unfit(f"{value!r} is not an octal mode") from None
    if isinstance(value, bool) or not isinstance(value, int):
        raise Unfit(f"must be an octal mode, not {show(value)}")
    return f"0{value:o}"


def _device_count(value: Any, at: Context) -> int:
    if isinstance(value, str) and value.lower() == "all":
        return -1
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise Unfit(f"must be `all` or a number, not {show(value)}")
    return _integer(value) if isinstance(value, str) else value


def _as_is(value: Any, at: Context) -> Any:
    return value


def _list(of: Decode) -> Decode:
    def decode(value: Any, at: Context) -> List:
        if not isinstance(value, List):
            raise Unfit("must be a list")
        result = List(at=value.at)
        for index, (item, where) in enumerate(value.placed()):
            below = _guard(of, item, at.below(f"[{index}]", where))
            if below is not _NOTHING:
                result.add(below, where)
        return result

    return decode


def _map(of: Decode) -> Decode:
    def decode(value: Any, at: Context) -> Map:
        if not isinstance(value, Map):
            raise Unfit("must be a mapping")
        result = Map(at=value.at)
        for key, item in value.items():
            where = value.place(key)
            below = None if item is None else _guard(of, item, at.below(key, where))
            if below is not _NOTHING:
                result.put(key, below, where)
        return result

    return decode


def _struct(fields: dict[str, Field]) -> Decode:
    def decode(value: Any, at: Context) -> Map:
        if not isinstance(value, Map):
            raise Unfit("must be a mapping")
        result = Map(at=value.at)
        for key in sorted(value):
            item, where = value[key], value.place(key)
            if key.startswith("x-"):
                result.put(key, item, where)
                continue
            field = fields.get(key)
            if field is None or (item is None and not field.null):
                continue
            if item is None:
                result.put(key, None, where)
                continue
            below = _guard(field.decode, item, at.below(key, where))
            if below is not _NOTHING and (field.keep or below or below is None):
                result.put(key, below, where)
        return result

    return decode


_NOTHING = object()


def _guard(decode: Decode, value: Any, at: Context) -> Any:
    """The decoded value, or nothing and an error at its place."""
    try:
        return decode(value, at)
    except ValueError as error:
        at.problems.error(at.place, f"{'.'.join(at.path)}: {error}", "correct the value")
        at.problems.broken.add(".".join(at.path[:2]))
        return _NOTHING


TEXT, FLAG, INT, COUNT, FLOAT = Field(_text), Field(_flag), Field(_int), Field(_count), Field(_float)
BYTES, TIME, TEXTS, SHOWN = Field(_bytes), Field(_time), Field(_texts), Field(_shown)
LABELS, OPTIONS, ENVIRONMENT = Field(_pairs("")), Field(_options), Field(_pairs(None))
KEPT_FLAG, KEPT_INT, KEPT_COUNT, KEPT_TIME = (
    Field(_flag, True), Field(_int, True), Field(_count, True), Field(_duration, True),
)  # fmt: skip
COMMAND, _PLAIN_OPTIONS = Field(_command, True), Field(_map(_text))


def struct(fields: dict[str, Field], keep: bool = True) -> Field:
    return Field(_struct(fields), keep)


def list_of(fields: dict[str, Field]) -> Field:
    return Field(_list(_struct(fields)))


_ULIMIT = {"soft": INT, "hard": INT}
_REFERENCE = {"source": TEXT, "target": TEXT, "uid": TEXT, "gid": TEXT, "mode": Field(_mode)}
_HOOK = {
    "command": Field(_command, True, True),
    "user": TEXT,
    "privileged": FLAG,
    "working_dir": TEXT,
    "environment": ENVIRONMENT,
}
_RATE = {"path": TEXT, "rate": Field(_bytes, True)}
_WEIGHT = {"path": TEXT, "weight": Field(_count, True)}
_DEVICES = {
    "capabilities": TEXTS, "driver": TEXT, "count": Field(_device_count), "device_ids": TEXTS, "options": LABELS,
}  # fmt: skip
_RESOURCE = {
    "cpus": FLOAT, "memory": BYTES, "pids": INT, "devices": list_of(_DEVICES),
    "generic_resources": list_of({"discrete_resource_spec": struct({"kind": TEXT, "value": Field(_int, True)})}),
}  # fmt: skip
_UPDATE = {
    "parallelism": KEPT_COUNT, "delay": TIME, "failure_action": TEXT, "monitor": TIME, "max_failure_ratio": FLOAT,
    "order": TEXT,
}  # fmt: skip
_DEPLOY = {
    "mode": TEXT, "replicas": KEPT_INT, "labels": LABELS, "update_config": struct(_UPDATE),
    "rollback_config": struct(_UPDATE),
    "resources": struct({"limits": struct(_RESOURCE), "reservations": struct(_RESOURCE)}, keep=False),
    "restart_policy": struct({"condition": TEXT, "delay": KEPT_TIME, "max_attempts": KEPT_COUNT, "window": KEPT_TIME}),
    "placement": struct(
        {"constraints": TEXTS, "preferences": list_of({"spread": TEXT}), "max_replicas_per_node": COUNT}, keep=False
    ),
    "endpoint_mode": TEXT,
}  # fmt: skip
_BUILD = {
    "context": TEXT, "dockerfile": TEXT, "dockerfile_inline": TEXT, "entitlements": TEXTS, "args": ENVIRONMENT,
    "provenance": TEXT, "sbom": TEXT, "ssh": Field(_as_is), "labels": LABELS, "cache_from": TEXTS, "cache_to": TEXTS,
    "no_cache": FLAG, "no_cache_filter": TEXTS, "additional_contexts": LABELS, "pull": FLAG, "extra_hosts": Field(_hosts),
    "isolation": TEXT, "network": TEXT, "target": TEXT, "secrets": list_of(_REFERENCE), "shm_size": BYTES,
    "tags": TEXTS, "ulimits": Field(_map(_ulimit)), "platforms": TEXTS, "privileged": FLAG,
}  # fmt: skip
_VOLUME = {
    "type": TEXT, "source": TEXT, "target": TEXT, "read_only": FLAG, "consistency": TEXT,
    "bind": struct({"selinux": TEXT, "propagation": TEXT, "create_host_path": KEPT_FLAG, "recursive": TEXT}),
    "volume": struct({"labels": LABELS, "nocopy": FLAG, "subpath": TEXT}),
    "tmpfs": struct({"size": BYTES, "mode": COUNT}), "image": struct({"subpath": TEXT}),
}  # fmt: skip
_ATTACHMENT = {
    "aliases": TEXTS, "driver_opts": OPTIONS, "gw_priority": INT, "interface_name": TEXT, "ipv4_address": TEXT,
    "ipv6_address": TEXT, "link_local_ips": TEXTS, "mac_address": TEXT, "priority": INT,
}  # fmt: skip
_WATCH = {
    "path": Field(_text, True), "action": Field(_text, True), "target": TEXT, "exec": struct(_HOOK), "include": TEXTS,
    "ignore": TEXTS, "initial_sync": FLAG,
}  # fmt: skip
_PORT = {
    "name": TEXT, "mode": TEXT, "host_ip": TEXT, "target": COUNT, "published": TEXT, "protocol": TEXT, "app_protocol": TEXT,
}  # fmt: skip
_BLKIO = {
    "weight": COUNT, "weight_device": list_of(_WEIGHT), "device_read_bps": list_of(_RATE),
    "device_read_iops": list_of(_RATE), "device_write_bps": list_of(_RATE), "device_write_iops": list_of(_RATE),
}  # fmt: skip
_HEALTH = {
    "test": Field(_test), "timeout": KEPT_TIME, "interval": KEPT_TIME, "retries": KEPT_COUNT, "start_period": KEPT_TIME,
    "start_interval": KEPT_TIME, "disable": FLAG,
}  # fmt: skip
_PROVIDER = {"type": TEXT, "options": Field(_map(_shown))}

SERVICE = _struct(
    dict.fromkeys(
        (
            "cgroup_parent", "cgroup", "cpuset", "domainname", "hostname", "image", "ipc", "isolation", "mac_address",
            "network_mode", "pid", "platform", "pull_policy", "pull_refresh_after", "runtime", "stop_signal", "user",
            "userns_mode", "uts", "working_dir", "restart", "container_name",
        ),
        TEXT,
    )
    | dict.fromkeys(("oom_kill_disable", "privileged", "read_only", "use_api_socket", "stdin_open", "tty"), FLAG)
    | dict.fromkeys(
        (
            "cpu_count", "cpu_period", "cpu_quota", "cpu_rt_period", "cpu_rt_runtime", "cpu_shares", "oom_score_adj",
            "pids_limit",
        ),
        INT,
    )
    | dict.fromkeys(("mem_limit", "mem_reservation", "memswap_limit", "mem_swappiness", "shm_size"), BYTES)
    | dict.fromkeys(
        (
            "cap_add", "cap_drop", "device_cgroup_rules", "dns", "dns_opt", "dns_search", "label_file", "security_opt",
            "tmpfs", "volumes_from", "profiles", "external_links", "links",
        ),
        TEXTS,
    )
    | {
        "annotations": LABELS, "attach": KEPT_FLAG, "blkio_config": struct(_BLKIO), "build": struct(_BUILD),
        "command": COMMAND, "configs": list_of(_REFERENCE), "cpu_percent": FLOAT, "cpus": FLOAT,
        "credential_spec": struct({"config": TEXT, "file": TEXT, "registry": TEXT}), "deploy": struct(_DEPLOY),
        "depends_on": Field(_map(_struct({"condition": TEXT, "restart": FLAG, "required": KEPT_FLAG}))),
        "develop": struct({"watch": list_of(_WATCH)}),
        "devices": list_of({"source": TEXT, "target": TEXT, "permissions": TEXT}), "entrypoint": COMMAND,
        "env_file": list_of({"path": TEXT, "required": KEPT_FLAG, "format": TEXT}), "environment": ENVIRONMENT,
        "expose": SHOWN, "extra_hosts": Field(_hosts), "gpus": list_of(_DEVICES), "group_add": TEXTS,
        "healthcheck": struct(_HEALTH), "init": KEPT_FLAG, "labels": LABELS,
        "logging": struct({"driver": TEXT, "options": OPTIONS}),
        "models": Field(_map(_struct({"endpoint_var": TEXT, "model_var": TEXT}))),
        "networks": Field(_map(_struct(_ATTACHMENT))), "ports": list_of(_PORT),
        "post_start": list_of(_HOOK), "pre_stop": list_of(_HOOK),
        "pre_start": list_of(_HOOK | {"image": TEXT, "per_replica": FLAG}), "provider": struct(_PROVIDER),
        "scale": KEPT_INT, "secrets": list_of(_REFERENCE), "stop_grace_period": KEPT_TIME, "storage_opt": _PLAIN_OPTIONS,
        "sysctls": LABELS, "ulimits": Field(_map(_ulimit)), "volumes": list_of(_VOLUME),
    }
)  # fmt: skip

_POOL = {"subnet": TEXT, "gateway": TEXT, "ip_range": TEXT, "aux_addresses": LABELS}
_FILE = {
    "name": TEXT, "file": TEXT, "environment": TEXT, "content": TEXT, "external": FLAG, "labels": LABELS, "driver": TEXT,
    "driver_opts": _PLAIN_OPTIONS, "template_driver": TEXT,
}  # fmt: skip
RESOURCES: dict[str, Decode] = {
    "networks": _struct({
        "name": TEXT, "driver": TEXT, "driver_opts": OPTIONS, "external": FLAG, "internal": FLAG, "attachable": FLAG,
        "labels": LABELS, "enable_ipv4": KEPT_FLAG, "enable_ipv6": KEPT_FLAG,
        "ipam": struct({"driver": TEXT, "config": list_of(_POOL), "options": OPTIONS}, keep=False),
    }),
    "volumes": _struct({"name": TEXT, "driver": TEXT, "driver_opts": OPTIONS, "external": FLAG, "labels": LABELS}),
    "configs": _struct(_FILE),
    "secrets": _struct(_FILE),
    "models": _struct({"name": TEXT, "model": TEXT, "context_size": INT, "runtime_flags": TEXTS}),
}  # fmt: skip


def decode(kind: Decode, value: Any, place: Place, path: tuple[str, ...], problems: Problems) -> Map | None:
    """A service or resource in canonical types; None when it is no mapping at all. Errors go to `problems`."""
    result = _guard(kind, value, Context(problems, place, path))
    return result if isinstance(result, Map) else None
