"""Merges one tree over another by Compose's rules.

Rules: mappings are merged key by key, lists are joined without duplicates, and any other value is replaced.
`SPECIAL` has the paths with other rules. `IDENTITY` has the lists whose items have an identity, so that a
later item replaces an earlier one. Entries keep their places.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from .errors import ComposeError, Place
from .scalars import show
from .shortforms import volume_target
from .tree import List, Map, Rules, copy

MAX_POOLS = 10_000
Merger = Callable[[Any, Any, Place, "Rules[Merger] | None"], Any]
Identify = Callable[[Any, Place], Hashable]


def _refuse(place: Place, message: str) -> ComposeError:
    return ComposeError(
        message,
        place.file,
        place.line,
        place.column,
        "use the same form in both files, or mark this one with `!override`",
    )


def merge(base: Any, over: Any, place: Place, rules: Rules[Merger] | None) -> Any:
    """Merges `over` over `base`, which is changed in place. `place` is the place of `over`. Raises
    ComposeError.
    """
    if rules is not None and rules.value is not None:
        return rules.value(base, over, place, rules)
    if over is None:
        return base
    if isinstance(base, Map):
        if not isinstance(over, Map):
            raise _refuse(place, "a mapping cannot be overridden by another type")
        return merge_maps(base, over, rules)
    if isinstance(base, List):
        if not isinstance(over, List):
            raise _refuse(place, "a list cannot be overridden by another type")
        return _join(base, over)
    return over


def merge_maps(base: Map, over: Map, rules: Rules[Merger] | None) -> Map:
    for key, value in over.items():
        where = over.place(key)
        if key in base:
            below = rules.step(key) if rules is not None else None
            value = merge(base[key], value, where, below)
        base.put(key, value, where)
    return base


def _join(base: List, over: List) -> List:
    seen = {_token(item) for item in base}
    for item, where in over.placed():
        if (token := _token(item)) not in seen:
            seen.add(token)
            base.add(item, where)
    return base


def _token(value: Any) -> Hashable:
    """A hashable that is equal for equal values. 1, 1.0 and true are different, because they print
    differently.
    """
    if isinstance(value, dict):
        return "map", frozenset((key, _token(item)) for key, item in value.items())
    if isinstance(value, list):
        return "list", tuple(map(_token, value))
    return type(value), value


def same(one: Any, other: Any) -> bool:
    return _token(one) == _token(other)


def sequence(value: Any, place: Place) -> List:
    """A mapping or a single value as the equivalent list: `{A: 1}` is `[A=1]`."""
    if isinstance(value, List):
        return value
    result = List(at=place)
    if isinstance(value, Map):
        for key in sorted(value, key=lambda key: _entry(key, value[key])):
            for text in _entries(key, value[key]):
                result.add(text, value.place(key))
    elif isinstance(value, str):
        result.add(value, place)
    return result


def _entries(key: str, value: Any) -> list[str]:
    if isinstance(value, List):
        return [f"{key}={show(item)}" for item in value]
    return [_entry(key, value)]


def _entry(key: str, value: Any) -> str:
    return key if value is None else f"{key}={show(value)}"


def _replace(base: Any, over: Any, place: Place, rules: Rules[Merger] | None) -> Any:
    return over


def _joined(base: Any, over: Any, place: Place, rules: Rules[Merger] | None) -> Any:
    return _join(sequence(base, place), sequence(over, place))


def _key_values(base: Any, over: Any, place: Place, rules: Rules[Merger] | None) -> Any:
    entries = copy(sequence(base, place))
    for item, where in sequence(over, place).placed():
        entries.add(item, where)
    return unique(entries, key_value)


def _mapping(value: Any, place: Place, default: dict[str, Any] | None) -> Map:
    """A list of names as the equivalent mapping."""
    if isinstance(value, Map):
        return value
    if value is not None and not isinstance(value, str | List):
        raise _refuse(place, "a list of names or a mapping is expected here")
    names = value if isinstance(value, List) else List([] if value is None else [value], at=place)
    result = Map(at=place)
    for name, where in names.placed():
        if not isinstance(name, str):
            raise _refuse(where, "a name is expected here")
        result.put(name, None if default is None else Map(default.items(), where), where)
    return result


def _depends_on(base: Any, over: Any, place: Place, rules: Rules[Merger] | None) -> Any:
    return merge_maps(_mapping(base, place, _STARTED), _mapping(over, place, _STARTED), rules)


def _names(base: Any, over: Any, place: Place, rules: Rules[Merger] | None) -> Any:
    return merge_maps(_mapping(base, place, None), _mapping(over, place, None), rules)


def _build(base: Any, over: Any, place: Place, rules: Rules[Merger] | None) -> Any:
    def long(value: Any) -> Map:
        if isinstance(value, Map):
            return value
        result = Map(at=place)
        if isinstance(value, str):
            result.put("context", value, place)
        return result

    return merge_maps(long(base), long(over), rules)


def _logging(base: Any, over: Any, place: Place, rules: Rules[Merger] | None) -> Any:
    """Merges `logging`. The options of one driver do not apply to another, so a new driver replaces
    everything.
    """
    if not isinstance(base, Map) or not isinstance(over, Map):
        raise _refuse(place, "`logging` must be a mapping")
    if "driver" in base and "driver" in over and base["driver"] != over["driver"]:
        return over
    return merge_maps(base, over, rules)


def _ulimit(base: Any, over: Any, place: Place, rules: Rules[Merger] | None) -> Any:
    return merge_maps(base, over, rules) if isinstance(base, Map) and isinstance(over, Map) else over


def _ipam_config(base: Any, over: Any, place: Place, rules: Rules[Merger] | None) -> Any:
    """Merges address pools with the same subnet."""
    if not isinstance(base, List) or not isinstance(over, List):
        raise _refuse(place, "`ipam.config` must be a list")
    if len(base) * len(over) > MAX_POOLS:
        raise _refuse(place, f"there are {len(base)} and {len(over)} address pools")
    result = List(at=base.at)
    below = rules.step("[]") if rules else None
    for old in base:
        right = _mapping(old, place, None)
        for new, where in over.placed():
            left = _mapping(new, where, None)
            known = left.get("subnet") == right.get("subnet") or _pool(result, left) >= 0
            _put_pool(result, merge_maps(right, left, below) if known else left, where)
    if not result:
        raise _refuse(place, "an empty list of address pools cannot be merged")
    return result


def _pool(pools: List, wanted: Map) -> int:
    """The index of the pool with the same subnet, or -1."""
    same_subnet = (i for i, pool in enumerate(pools) if pool.get("subnet") == wanted.get("subnet"))
    return next(same_subnet, -1)


def _put_pool(pools: List, pool: Map, place: Place) -> None:
    """Replaces the pool with the same subnet, or adds the pool at the end."""
    at = _pool(pools, pool)
    if at >= 0:
        pools[at] = pool
    else:
        pools.add(pool, place)


_STARTED = {"condition": "service_started", "required": True}
SPECIAL: Rules[Merger] = Rules(
    {f"{kind}.*.labels": _key_values for kind in ("networks", "volumes", "secrets", "configs")}
    | {"networks.*.ipam.config": _ipam_config}
    | {
        f"services.*.{key}": _key_values
        for key in (
            "annotations",
            "build.args",
            "build.additional_contexts",
            "build.labels",
            "environment",
            "labels",
            "volumes.*.volume.labels",
            "sysctls",
            "deploy.labels",
        )
    }
    | {
        f"services.*.{key}": _joined
        for key in (
            "build.extra_hosts",
            "dns",
            "dns_opt",
            "dns_search",
            "env_file",
            "label_file",
            "extra_hosts",
            "tmpfs",
        )
    }
    | {f"services.*.{key}": _replace for key in ("command", "entrypoint", "healthcheck.test")}
    | {
        "services.*.build": _build,
        "services.*.depends_on": _depends_on,
        "services.*.models": _names,
        "services.*.networks": _names,
        "services.*.logging": _logging,
        "services.*.ulimits.*": _ulimit,
    }
)
SERVICE_RULES = SPECIAL.at("services", "x")


def key_value(item: Any, place: Place) -> Hashable:
    if not isinstance(item, str):
        hint = "write KEY=VALUE, or leave the dash out" if isinstance(item, Map) else "put it in quotes"
        raise ComposeError(f"text is expected here, not {show(item)}", *place, hint=hint)
    return item.partition("=")[0]


def _device(item: Any, place: Place) -> Hashable:
    if isinstance(item, Map):
        return _target("device", item, place)
    parts = str(item).split(":")
    return parts[1] if len(parts) > 1 else parts[0]


def _volume(item: Any, place: Place) -> Hashable:
    return _target("volume", item, place) if isinstance(item, Map) else volume_target(item, place)


def _target(kind: str, item: Map, place: Place) -> str:
    if not isinstance(item.get("target"), str):
        raise ComposeError(f"the {kind} has no `target`", *place, hint="name the path in the container")
    return str(item["target"])


def _config(item: Any, place: Place) -> Hashable:
    return _mounted("", item)


def _secret(item: Any, place: Place) -> Hashable:
    return _mounted("/run/secrets", item)


def _mounted(directory: str, item: Any) -> str:
    if isinstance(item, Map):
        return str(item["target"]) if "target" in item else f"{directory}/{show(item.get('source'))}"
    return f"{directory}/{item}"


def _port(item: Any, place: Place) -> Hashable:
    if not isinstance(item, Map):
        return str(item)
    if "target" not in item:
        raise ComposeError(
            "the port has no `target`", *place, hint="`target` is the port inside the container"
        )
    published = item.get("published")  # 8080 and "8080" are not the same to the reference loader
    return (
        str(item.get("host_ip", "0.0.0.0")),
        type(published).__name__,
        show(published),
        show(item["target"]),
        str(item.get("protocol", "tcp")),
    )


def _env_file(item: Any, place: Place) -> Hashable:
    if isinstance(item, Map) and not isinstance(item.get("path"), str):
        raise ComposeError("the env_file has no `path`", *place, hint="name the file with `path`")
    return str(item["path"]) if isinstance(item, Map) else str(item)


def _itself(item: Any, place: Place) -> Hashable:
    if isinstance(item, bool) or not isinstance(item, str | int):
        raise ComposeError(
            f"a port is expected here, not {show(item)}", *place, hint="write the port as a number"
        )
    return str(item)


IDENTITY: Rules[Identify] = Rules(
    {"networks.*.labels": key_value, "networks.*.ipam.options": key_value}
    | {
        f"services.*.{key}": key_value
        for key in (
            "annotations",
            "build.args",
            "build.additional_contexts",
            "build.platform",
            "build.tags",
            "build.labels",
            "cap_add",
            "cap_drop",
            "deploy.labels",
            "dns",
            "dns_opt",
            "dns_search",
            "environment",
            "labels",
            "links",
            "networks.*.aliases",
            "networks.*.link_local_ips",
            "profiles",
            "sysctls",
            "tmpfs",
        )
    }
    | {
        "services.*.devices": _device,
        "services.*.volumes": _volume,
        "services.*.configs": _config,
        "services.*.secrets": _secret,
        "services.*.env_file": _env_file,
        "services.*.expose": _itself,
        "services.*.ports": _port,
    }
)


def unique(items: List, identify: Identify) -> List:
    """Keeps one item for each identity: the last one, at the position of the first."""
    result = List(at=items.at)
    index: dict[Hashable, int] = {}
    for item, place in items.placed():
        key = identify(item, place)
        if key in index:
            result[index[key]] = item
            result.places[index[key]] = place
        else:
            index[key] = len(result)
            result.add(item, place)
    return result


def enforce_unique(value: Any, rules: Rules[Identify] | None = IDENTITY) -> Any:
    """Removes the items of every list that a later item with the same identity replaces. Raises
    ComposeError.
    """
    if rules is None:
        return value
    if isinstance(value, Map):
        for key, item in value.items():
            value[key] = enforce_unique(item, rules.step(key))
    elif isinstance(value, List) and rules.value is not None:
        return unique(value, rules.value)
    return value
