"""Expands short forms into long forms: `"8080:80"`, `./conf:/etc/conf:ro`, `depends_on: [db]` and others.

`EXPAND` has the paths that are expanded; everything else stays as it is. Expanding an expanded tree changes
nothing.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from functools import partial
from typing import Any

from .errors import ComposeError, LoadProblems, Place
from .limits import Budget
from .paths import clean_path
from .tree import List, Map, Rules

Expand = Callable[[Any, Place], Any]

_Range = tuple[int, int]

MAX_PORTS = 65_536
_PORT_FORM = (
    "write it as [[IP:]HOST:]CONTAINER[/PROTOCOL], ports from 1 to 65535, an IPv6 address in brackets"
)
PROPAGATIONS = ("rprivate", "private", "rshared", "shared", "rslave", "slave")


def _map(place: Place, **entries: Any) -> Map:
    return Map(entries.items(), place)


def _unfit(place: Place, what: str, hint: str) -> ComposeError:
    return ComposeError(what, place.file, place.line, place.column, hint)


def _split_volume(spec: str, place: Place) -> tuple[str, str, list[str]]:
    """The source, target and options of a volume's short form."""
    form = "write it as SOURCE:TARGET[:OPTIONS], or use the long form"
    if not spec:
        raise _unfit(place, "the volume is empty", form)
    if len(spec) <= 2:
        return "", spec, []
    parts: list[str] = []
    start = 0
    for index, char in enumerate(spec):
        drive = index - start == 1 and spec[start].isalpha()
        if char == ":" and not drive:
            parts.append(spec[start:index])
            start = index + 1
    parts.append(spec[start:])
    if "" in parts:
        raise _unfit(place, f"the volume {spec!r} has an empty section between colons", form)
    if len(parts) == 1:
        return "", parts[0], []
    if len(parts) > 3:
        raise _unfit(place, f"the volume {spec!r} has too many colons", form)
    return parts[0], parts[1], parts[2].split(",") if len(parts) == 3 else []


def is_path(source: str) -> bool:
    """Whether a volume's source is a path of the host rather than a name."""
    return (
        source[:1] in (".", "/", "~")
        or source.startswith("\\\\")
        or (source[:1].isalpha() and source[1:2] == ":")
    )


def volume_target(item: Any, place: Place) -> str:
    return _split_volume(str(item), place)[1]


def _volume(value: Any, place: Place) -> Any:
    if not isinstance(value, str):
        return value
    source, target, options = _split_volume(value, place)
    result = _map(place, type="bind" if is_path(source) else "volume")
    if source:
        result["source"] = source
    result["target"] = clean_path(target)
    access = [option for option in options if option in ("ro", "rw")]
    if access[-1:] == ["ro"]:
        result["read_only"] = True
    bind, named = _bind_options(options, place), Map(at=place)
    if "nocopy" in options:
        named["nocopy"] = True
    if result["type"] == "bind":
        bind["create_host_path"] = True
    if bind:
        result["bind"] = bind
    if named or (result["type"] == "volume" and len(value.encode()) > 2):
        result["volume"] = named
    return result


def _bind_options(options: list[str], place: Place) -> Map:
    """The `bind` settings in the options of a short form."""
    bind = Map(at=place)
    for option in options:
        if option in PROPAGATIONS:
            bind["propagation"] = option
        elif option in ("z", "Z"):
            bind["selinux"] = option
    return bind


def _port_range(text: str) -> _Range | None:
    first, dash, last = text.partition("-")
    if not re.fullmatch(r"[0-9]{1,20}", first) or (dash and not re.fullmatch(r"[0-9]{1,20}", last)):
        return None
    low, high = int(first), int(last) if dash else int(first)
    return (low, high) if low <= high <= 65535 else None


def host_ip(text: str) -> str | None:
    """The address without its brackets; None if it is not an address."""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if not text:
        return ""
    if ":" in bare and bare == text:
        return None
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        return None
    return None if "%" in bare else bare


def split_port(spec: str, place: Place) -> list[Map]:
    """The ports of a short form `[[IP:]HOST:]CONTAINER[/PROTOCOL]`: one for each port of a range, sorted as
    text.
    """
    ip, host, container, protocol = _parse_port(spec, place)
    width = container[1] - container[0]
    result = []
    for step in range(width + 1):
        port = _map(place, mode="ingress", target=container[0] + step, protocol=protocol)
        if ip:
            port["host_ip"] = ip
        if host is not None:
            any_of_range = not width and host[0] != host[1]
            port["published"] = f"{host[0]}-{host[1]}" if any_of_range else str(host[0] + step)
        result.append(port)
    return sorted(result, key=lambda port: f"{port['target']}/{protocol}")


def _parse_port(spec: str, place: Place) -> tuple[str, _Range | None, _Range, str]:
    """The address, host ports, container ports and protocol of a short form. The host ports are None if there
    are none.
    """
    head, _, container = spec.rpartition(":")
    address, _, host = head.rpartition(":")
    container, _, protocol = container.partition("/")
    protocol = (protocol.partition("/")[0] or "tcp").lower()
    ip, inside, outside = host_ip(address), _port_range(container), _port_range(host)
    if ip is None:
        raise _unfit(place, f"the port {spec!r} has a bad address {address!r}", _PORT_FORM)
    if inside is None:
        raise _unfit(place, f"the port {spec!r} has a bad container port {container!r}", _PORT_FORM)
    if outside is None and host:
        raise _unfit(place, f"the port {spec!r} has a bad host port {host!r}", _PORT_FORM)
    if inside[0] == 0:
        raise _unfit(place, f"the port {spec!r} has the container port 0", _PORT_FORM)
    if protocol not in ("tcp", "udp", "sctp"):
        raise _unfit(place, f"the port {spec!r} has an unknown protocol {protocol!r}", "use tcp, udp or sctp")
    width = inside[1] - inside[0]
    if outside is not None and width not in (0, outside[1] - outside[0]):
        raise _unfit(place, f"the ranges of {spec!r} differ in length", "give both ranges the same length")
    return ip, outside, inside, protocol


def _ports(value: Any, place: Place) -> Any:
    if not isinstance(value, List):
        return value
    result = List(at=value.at)
    for item, where in value.placed():
        for port in _port(item, where):
            result.add(port, where)
        if len(result) > MAX_PORTS:
            hint = "publish fewer ports, or use `network_mode: host`"
            raise _unfit(where, f"there are more than {MAX_PORTS} ports", hint)
    return result


def _port(item: Any, place: Place) -> list[Map]:
    if isinstance(item, Map):
        return [item]
    if isinstance(item, bool) or not isinstance(item, str | int):
        raise _unfit(place, f"{item!r} is not a port", "write it as text or as a mapping with `target`")
    return split_port(str(item), place)


def _device(value: Any, place: Place) -> Any:
    if not isinstance(value, str):
        return value
    parts = value.split(":")
    if len(parts) > 3:
        raise _unfit(
            place,
            f"the device {value!r} has too many colons",
            "use the long form: source, target, permissions",
        )
    target = parts[1] if len(parts) > 1 and parts[1] else parts[0]
    return _map(place, source=parts[0], target=target, permissions=parts[2] if len(parts) > 2 else "rwm")


def _env_files(value: Any, place: Place) -> Any:
    items = List([value], at=place) if isinstance(value, str) else value
    if not isinstance(items, List):
        return value
    for index, (item, where) in enumerate(items.placed()):
        if isinstance(item, str):
            items[index] = _map(where, path=item, required=True)
        elif isinstance(item, Map):
            item.setdefault("required", True)
    return items


def _depends_on(value: Any, place: Place) -> Any:
    if isinstance(value, List):
        result = Map(at=value.at)
        for name, where in value.placed():
            result.put(name, _map(where, condition="service_started", required=True), where)
        return result
    if isinstance(value, Map):
        for entry in value.values():
            if isinstance(entry, Map):
                entry.setdefault("condition", "service_started")
                entry.setdefault("required", True)
    return value


def _names(value: Any, place: Place) -> Any:
    if not isinstance(value, List):
        return value
    result = Map(at=value.at)
    for name, where in value.placed():
        result.put(name, None, where)
    return result


def _key_values(value: Any, place: Place) -> Any:
    if not isinstance(value, List):
        return value
    result = Map(at=value.at)
    for item, where in value.placed():
        key, equals, text = str(item).partition("=")
        if not equals:
            raise _unfit(where, f"{item!r} is not KEY=VALUE", "write it as KEY=VALUE")
        result.put(key, text, where)
    return result


def _ssh(value: Any, place: Place) -> Any:
    if not isinstance(value, List):
        return value
    result = Map(at=value.at)
    for item, where in value.placed():
        name, equals, path = str(item).partition("=")
        if not equals and name != "default":
            raise _unfit(where, f"the ssh key {item!r} has no path", "write it as ID=PATH")
        result.put(name, path if equals else None, where)
    return result


def _external(value: Any, place: Place) -> Any:
    """Expands `external: {name: x}`, a form that old files use."""
    if isinstance(value, Map) and isinstance(old := value.get("external"), Map):
        where = value.place("external")
        value["external"] = True
        if "name" in old:
            if "name" in value and value["name"] != old["name"]:
                raise _unfit(
                    where, "`name` and `external.name` differ", "keep only `name` and `external: true`"
                )
            value.put("name", old["name"], where)
    return value


def _one(key: str, value: Any, place: Place) -> Any:
    return _map(place, **{key: value}) if isinstance(value, str) else value


def _listed(value: Any, place: Place) -> Any:
    return List([value], at=place) if isinstance(value, str) else value


def _servers(value: Any, place: Place) -> Any:
    listed = _listed(value, place)
    if not isinstance(listed, List):
        return listed
    result = List(at=listed.at)
    for item, where in listed.placed():
        if item not in ("", None):
            result.add(item, where)
    return result


def _gpus(value: Any, place: Place) -> Any:
    return List([_map(place, count="all")], at=place) if isinstance(value, str) else value


def _text(value: Any, place: Place) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value


_CONTAINER: dict[str, Expand] = {
    "env_file": _env_files,
    "label_file": _listed,
    "gpus": _gpus,
    "networks": _names,
    "models": _names,
    "volumes.*": _volume,
    "dns": _servers,
    "devices.*": _device,
    "secrets.*": partial(_one, "source"),
    "configs.*": partial(_one, "source"),
}
EXPAND: Rules[Expand] = Rules(
    {
        f"{owner}.{key}": expand
        for owner in ("services.*", "services.*.pre_start.*")
        for key, expand in _CONTAINER.items()
    }
    | {
        "services.*.build": partial(_one, "context"),
        "services.*.build.secrets.*": partial(_one, "source"),
        "services.*.build.provenance": _text,
        "services.*.build.sbom": _text,
        "services.*.build.additional_contexts": _key_values,
        "services.*.build.ssh": _ssh,
        "services.*.depends_on": _depends_on,
        "services.*.extends": partial(_one, "service"),
        "services.*.ports": _ports,
        "services.*.develop.watch.*.ignore": _listed,
        "services.*.develop.watch.*.include": _listed,
        "volumes.*": _external,
        "networks.*": _external,
        "secrets.*": _external,
        "configs.*": _external,
    }
)


def expand(
    value: Any, place: Place, problems: LoadProblems, budget: Budget, rules: Rules[Expand] | None = EXPAND
) -> Any:
    """The tree with every short form expanded. Invalid short forms are reported and left out.

    value: the tree, or a part of it
    place: the place of the value
    problems: collects errors
    budget: pays for ranges of ports
    rules: the expansions that apply to it
    """
    if rules is None:
        return value
    if rules.value is not None:
        value = rules.value(value, place)
        if rules.value is _ports and isinstance(value, List):
            budget.spend_nodes(4 * len(value), place)
    if isinstance(value, Map):
        _expand_entries(value, problems, budget, rules)
    elif isinstance(value, List):
        return _expand_items(value, problems, budget, rules)
    return value


def _expand_entries(value: Map, problems: LoadProblems, budget: Budget, rules: Rules[Expand]) -> None:
    for key in list(value):
        try:
            value[key] = expand(value[key], value.place(key), problems, budget, rules.step(key))
        except ComposeError as error:
            problems.add(error)
            del value[key]


def _expand_items(value: List, problems: LoadProblems, budget: Budget, rules: Rules[Expand]) -> List:
    kept = List(at=value.at)
    below = rules.step("[]")
    for item, where in value.placed():
        try:
            kept.add(expand(item, where, problems, budget, below), where)
        except ComposeError as error:
            problems.add(error)
    return kept
