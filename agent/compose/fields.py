"""The type of every key of the canonical form.

The tables mirror the reference model: the values that a key accepts, the canonical type, and whether a zero
value means "not set" (it is left out) or is a value of its own (KEPT).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .scalars import show
from .tree import Map
from .values import (
    Decode,
    Field,
    Unfit,
    ValueContext,
    as_bytes,
    as_command,
    as_count,
    as_device_count,
    as_duration,
    as_flag,
    as_float,
    as_hosts,
    as_int,
    as_is,
    as_mode,
    as_options,
    as_shown,
    as_test,
    as_text,
    as_texts,
    as_time,
    distinct,
    list_of,
    map_of,
    pairs_of,
    struct_of,
)

TEXT, FLAG, INT, COUNT, FLOAT = (
    Field(as_text),
    Field(as_flag),
    Field(as_int),
    Field(as_count),
    Field(as_float),
)
BYTES, TIME, TEXTS, SHOWN = Field(as_bytes), Field(as_time), Field(as_texts), Field(as_shown)
LABELS, OPTIONS, ENVIRONMENT = Field(pairs_of("")), Field(as_options), Field(pairs_of(None))
KEPT_FLAG, KEPT_INT, KEPT_COUNT, KEPT_TIME = (
    Field(as_flag, True),
    Field(as_int, True),
    Field(as_count, True),
    Field(as_duration, True),
)
COMMAND, _PLAIN_OPTIONS = Field(as_command, True), Field(map_of(as_text))


def struct(fields: dict[str, Field], keep: bool = True) -> Field:
    return Field(struct_of(fields), keep)


def structs(fields: dict[str, Field]) -> Field:
    return Field(list_of(struct_of(fields)))


_ULIMIT = {"soft": INT, "hard": INT}


def _ulimit(value: Any, at: ValueContext) -> Any:
    if isinstance(value, Map):
        return struct_of(_ULIMIT)(value, at)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Unfit(f"must be a whole number or soft and hard, not {show(value)}")
    return value


_REFERENCE = {"source": TEXT, "target": TEXT, "uid": TEXT, "gid": TEXT, "mode": Field(as_mode)}
_HOOK = {
    "command": Field(as_command, True, True),
    "user": TEXT,
    "privileged": FLAG,
    "working_dir": TEXT,
    "environment": ENVIRONMENT,
}
# A key that such a hook leaves out is taken from its service, so an explicit zero value must be kept.
_PRE_START = {
    key: replace(field, keep=True) for key, field in (_HOOK | {"image": TEXT, "per_replica": FLAG}).items()
}
_RATE = {"path": TEXT, "rate": Field(as_bytes, True)}
_WEIGHT = {"path": TEXT, "weight": Field(as_count, True)}
_DEVICES = {
    "capabilities": TEXTS,
    "driver": TEXT,
    "count": Field(as_device_count, True),
    "device_ids": TEXTS,
    "options": LABELS,
}
_RESOURCE = {
    "cpus": FLOAT,
    "memory": BYTES,
    "pids": INT,
    "devices": structs(_DEVICES),
    "generic_resources": structs(
        {"discrete_resource_spec": struct({"kind": TEXT, "value": Field(as_int, True)})}
    ),
}
_UPDATE = {
    "parallelism": KEPT_COUNT,
    "delay": TIME,
    "failure_action": TEXT,
    "monitor": TIME,
    "max_failure_ratio": FLOAT,
    "order": TEXT,
}
_DEPLOY = {
    "mode": TEXT,
    "replicas": KEPT_INT,
    "labels": LABELS,
    "update_config": struct(_UPDATE),
    "rollback_config": struct(_UPDATE),
    "resources": struct({"limits": struct(_RESOURCE), "reservations": struct(_RESOURCE)}, keep=False),
    "restart_policy": struct(
        {"condition": TEXT, "delay": KEPT_TIME, "max_attempts": KEPT_COUNT, "window": KEPT_TIME}
    ),
    "placement": struct(
        {"constraints": TEXTS, "preferences": structs({"spread": TEXT}), "max_replicas_per_node": COUNT},
        keep=False,
    ),
    "endpoint_mode": TEXT,
}
_BUILD = {
    "context": Field(as_text, True),
    "dockerfile": Field(as_text, True),
    "dockerfile_inline": Field(as_text, True),
    "entitlements": TEXTS,
    "args": ENVIRONMENT,
    "provenance": TEXT,
    "sbom": TEXT,
    "ssh": Field(as_is),
    "labels": LABELS,
    "cache_from": TEXTS,
    "cache_to": TEXTS,
    "no_cache": FLAG,
    "no_cache_filter": TEXTS,
    "additional_contexts": LABELS,
    "pull": FLAG,
    "extra_hosts": Field(as_hosts),
    "isolation": TEXT,
    "network": TEXT,
    "target": TEXT,
    "secrets": structs(_REFERENCE),
    "shm_size": BYTES,
    "tags": TEXTS,
    "ulimits": Field(map_of(_ulimit)),
    "platforms": TEXTS,
    "privileged": FLAG,
}
_VOLUME = {
    "type": TEXT,
    "source": TEXT,
    "target": TEXT,
    "read_only": FLAG,
    "consistency": TEXT,
    "bind": struct({"selinux": TEXT, "propagation": TEXT, "create_host_path": KEPT_FLAG, "recursive": TEXT}),
    "volume": struct({"labels": LABELS, "nocopy": FLAG, "subpath": TEXT}),
    "tmpfs": struct({"size": BYTES, "mode": COUNT}),
    "image": struct({"subpath": TEXT}),
}
_ATTACHMENT = {
    "aliases": TEXTS,
    "driver_opts": OPTIONS,
    "gw_priority": INT,
    "interface_name": TEXT,
    "ipv4_address": TEXT,
    "ipv6_address": TEXT,
    "link_local_ips": TEXTS,
    "mac_address": TEXT,
    "priority": INT,
}
_WATCH = {
    "path": Field(as_text, True),
    "action": Field(as_text, True),
    "target": TEXT,
    "exec": struct(_HOOK),
    "include": TEXTS,
    "ignore": TEXTS,
    "initial_sync": FLAG,
}
_PORT = {
    "name": TEXT,
    "mode": TEXT,
    "host_ip": TEXT,
    "target": COUNT,
    "published": TEXT,
    "protocol": TEXT,
    "app_protocol": TEXT,
}
_BLKIO = {
    "weight": COUNT,
    "weight_device": structs(_WEIGHT),
    "device_read_bps": structs(_RATE),
    "device_read_iops": structs(_RATE),
    "device_write_bps": structs(_RATE),
    "device_write_iops": structs(_RATE),
}
_HEALTH = {
    "test": Field(as_test),
    "timeout": KEPT_TIME,
    "interval": KEPT_TIME,
    "retries": KEPT_COUNT,
    "start_period": KEPT_TIME,
    "start_interval": KEPT_TIME,
    "disable": FLAG,
}


def _repeated(value: Any, at: ValueContext) -> Map:
    """Options that may be repeated. An option without a value is left out."""
    result = map_of(as_shown)(value, at)
    for key in [key for key, items in result.items() if not items]:
        del result[key]
    return result  # type: ignore[no-any-return]


_PROVIDER = {"type": Field(as_text, True), "options": Field(_repeated)}

SERVICE = struct_of(
    dict.fromkeys(
        (
            "cgroup_parent",
            "cgroup",
            "cpuset",
            "domainname",
            "hostname",
            "image",
            "ipc",
            "isolation",
            "mac_address",
            "pid",
            "platform",
            "pull_policy",
            "pull_refresh_after",
            "runtime",
            "stop_signal",
            "user",
            "userns_mode",
            "uts",
            "working_dir",
            "restart",
            "container_name",
        ),
        TEXT,
    )
    | dict.fromkeys(
        ("oom_kill_disable", "privileged", "read_only", "use_api_socket", "stdin_open", "tty"), FLAG
    )
    | dict.fromkeys(
        (
            "cpu_count",
            "cpu_period",
            "cpu_quota",
            "cpu_rt_period",
            "cpu_rt_runtime",
            "cpu_shares",
            "oom_score_adj",
            "pids_limit",
        ),
        INT,
    )
    | dict.fromkeys(("mem_limit", "mem_reservation", "memswap_limit", "mem_swappiness", "shm_size"), BYTES)
    | dict.fromkeys(
        (
            "cap_add",
            "cap_drop",
            "device_cgroup_rules",
            "dns",
            "dns_opt",
            "dns_search",
            "label_file",
            "security_opt",
            "tmpfs",
            "volumes_from",
            "profiles",
            "external_links",
            "links",
        ),
        TEXTS,
    )
    | {
        "annotations": LABELS,
        "attach": KEPT_FLAG,
        "blkio_config": struct(_BLKIO),
        "build": struct(_BUILD),
        "command": COMMAND,
        "configs": structs(_REFERENCE),
        "cpu_percent": FLOAT,
        "cpus": FLOAT,
        "credential_spec": struct({"config": TEXT, "file": TEXT, "registry": TEXT}),
        "deploy": struct(_DEPLOY),
        "depends_on": Field(map_of(struct_of({"condition": TEXT, "restart": FLAG, "required": KEPT_FLAG}))),
        "develop": struct({"watch": structs(_WATCH)}),
        "devices": structs(
            {"source": Field(as_text, True), "target": Field(as_text, True), "permissions": TEXT}
        ),
        "entrypoint": COMMAND,
        "env_file": structs({"path": TEXT, "required": KEPT_FLAG, "format": TEXT}),
        "environment": ENVIRONMENT,
        "expose": SHOWN,
        "extra_hosts": Field(as_hosts),
        "gpus": structs(_DEVICES),
        "group_add": Field(distinct(as_texts)),
        "healthcheck": struct(_HEALTH),
        "init": KEPT_FLAG,
        "labels": LABELS,
        "logging": struct({"driver": TEXT, "options": OPTIONS}),
        "models": Field(map_of(struct_of({"endpoint_var": TEXT, "model_var": TEXT}))),
        "network_mode": Field(as_text, True),
        "networks": Field(map_of(struct_of(_ATTACHMENT))),
        "ports": Field(distinct(list_of(struct_of(_PORT)))),
        "post_start": structs(_HOOK),
        "pre_stop": structs(_HOOK),
        "pre_start": structs(_PRE_START),
        "provider": struct(_PROVIDER),
        "scale": KEPT_INT,
        "secrets": structs(_REFERENCE),
        "stop_grace_period": KEPT_TIME,
        "storage_opt": _PLAIN_OPTIONS,
        "sysctls": LABELS,
        "ulimits": Field(map_of(_ulimit)),
        "volumes": structs(_VOLUME),
    }
)

_NAME = Field(as_text, True)  # an empty name is not the same as no name
_POOL = {"subnet": TEXT, "gateway": TEXT, "ip_range": TEXT, "aux_addresses": LABELS}
_FILE = {
    "name": _NAME,
    "file": TEXT,
    "environment": TEXT,
    "content": TEXT,
    "external": FLAG,
    "labels": LABELS,
    "driver": TEXT,
    "driver_opts": _PLAIN_OPTIONS,
    "template_driver": TEXT,
}
RESOURCES: dict[str, Decode] = {
    "networks": struct_of(
        {
            "name": _NAME,
            "driver": TEXT,
            "driver_opts": OPTIONS,
            "external": FLAG,
            "internal": FLAG,
            "attachable": FLAG,
            "labels": LABELS,
            "enable_ipv4": KEPT_FLAG,
            "enable_ipv6": KEPT_FLAG,
            "ipam": struct({"driver": TEXT, "config": structs(_POOL), "options": OPTIONS}, keep=False),
        }
    ),
    "volumes": struct_of(
        {"name": _NAME, "driver": TEXT, "driver_opts": OPTIONS, "external": FLAG, "labels": LABELS}
    ),
    "configs": struct_of(_FILE),
    "secrets": struct_of(_FILE),
    "models": struct_of(
        {"name": _NAME, "model": Field(as_text, True), "context_size": INT, "runtime_flags": TEXTS}
    ),
}
