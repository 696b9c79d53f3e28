"""Writes a project as Compose YAML that any version of Compose loads with the same meaning.

Rules: text is quoted wherever a YAML parser could read it as another type; dollar signs are doubled;
resources that no active service uses are left out; a service that no profile enables is written only when an
active service may depend on it or build from it. Short forms are used where they are equivalent.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .project import Project
from .shortforms import is_path
from .tree import Map

_PLAIN = re.compile(r"(?:\.{1,2}/)?[A-Za-z/_](?:[A-Za-z0-9./_@+=-]|:(?=[A-Za-z0-9./_@+=-]))*\Z")
_WORDS = {"true", "false", "yes", "no", "on", "off", "y", "n", "null"}
_BREAKS = {code: f"\\u{code:04x}" for code in (*range(0x7F, 0xA0), 0x2028, 0x2029, 0xFEFF, 0xFFFE, 0xFFFF)}


def canonical(project: Project) -> str:
    """The project as YAML. Paths are relative to its directory."""
    project = project.used_by_services()
    services = {**project.services, **_wanted_by_active(project)}
    document: dict[str, Any] = {
        "name": project.name,
        "services": {name: _short_forms(services[name]) for name in sorted(services)},
    }
    for section in ("networks", "volumes", "configs", "secrets", "models"):
        if below := getattr(project, section):
            document[section] = {
                key: _stated(item) if section == "configs" else item for key, item in below.items()
            }
    document.update(project.extensions)
    return "".join(f"{line}\n" for line in _mapping(document, 0, ()))


def _wanted_by_active(project: Project) -> dict[str, Map]:
    """The services that no profile enables, but that an active service may depend on or build from."""
    found = {}
    for service in project.services.values():
        contexts = (service.get("build") or {}).get("additional_contexts") or {}
        built_from = (text.removeprefix("service:") for text in contexts.values())
        for other in (*(service.get("depends_on") or ()), *built_from):
            if other in project.disabled:
                found[other] = project.disabled[other]
    return found


def _stated(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """A config without any content must state explicitly that it is not external."""
    known = {"file", "environment", "content", "external", "driver"} & config.keys()
    return config if known else {**config, "external": False}


def _short_forms(service: Mapping[str, Any]) -> dict[str, Any]:
    """The service with short forms where they are equivalent: older versions of Compose know only those."""
    result = dict(service)
    for key, shorten in _SHORTEN.items():
        if key in result:
            result[key] = [shorten(item) for item in result[key]]
    if "depends_on" in result:
        result["depends_on"] = {name: _dependency(how) for name, how in result["depends_on"].items()}
    return result


def _port(port: Mapping[str, Any]) -> Mapping[str, Any]:
    """The port with blank values written out. Compose would replace missing ones by the default."""
    return {**{key: "" for key in ("mode", "protocol") if key not in port}, **port}


def _dependency(how: Mapping[str, Any]) -> Mapping[str, Any]:
    return {key: item for key, item in how.items() if (key, item) != ("required", True)}


def _volume(volume: Mapping[str, Any]) -> Any:
    source, target, kind = volume.get("source", ""), volume.get("target", ""), str(volume.get("type"))
    settings = volume.get(kind)
    if not isinstance(settings, Mapping) or volume.keys() - {"type", "source", "target", "read_only", kind}:
        return volume
    words = _bind_options(source, settings) if kind == "bind" else _volume_options(kind, source, settings)
    if words is None or len(source) < 2 or len(target) < 2 or ":" in source + target:
        return volume
    options = ["ro", *words] if volume.get("read_only") else words
    return ":".join([source, target, *([",".join(options)] if options else [])])


def _bind_options(source: str, settings: Mapping[str, Any]) -> list[str] | None:
    """The options of a bind mount's short form; None when it has none."""
    if not is_path(source) or settings.get("create_host_path") is not True:
        return None
    if not settings.keys() <= {"create_host_path", "selinux", "propagation"}:
        return None
    return [settings[key] for key in ("selinux", "propagation") if key in settings]


def _volume_options(kind: str, source: str, settings: Mapping[str, Any]) -> list[str] | None:
    """The options of a named volume's short form; None when it has none."""
    if kind != "volume" or is_path(source) or not settings.keys() <= {"nocopy"}:
        return None
    return ["nocopy"] if settings.get("nocopy") else []


def _device(device: Mapping[str, Any]) -> Any:
    parts = [device.get(key, "") for key in ("source", "target", "permissions")]
    plain = (
        device.keys() == {"source", "target", "permissions"}
        and all(parts)
        and not any(":" in part for part in parts)
    )
    return ":".join(parts) if plain else device


def _env_file(entry: Mapping[str, Any]) -> Any:
    return entry["path"] if entry.keys() == {"path", "required"} and entry["required"] is True else entry


_SHORTEN: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "volumes": _volume,
    "devices": _device,
    "env_file": _env_file,
    "ports": _port,
}


def _mapping(value: Mapping[str, Any], depth: int, path: tuple[str, ...]) -> Iterator[str]:
    for key, item in value.items():
        lead = f"{'  ' * depth}{_text(key)}:"
        below = _listed(item) if isinstance(item, Mapping) and "" in item else item
        if isinstance(below, Mapping | list) and below:
            yield lead
            yield from _lines(below, depth + 1, (*path, key))
        else:
            yield f"{lead} {_scalar(below, (*path, key))}"


def _listed(value: Mapping[str, Any]) -> list[str]:
    """The mapping as a list. The schema forbids an empty key in a mapping, but not in a list."""
    return [name if text is None else f"{name}={text}" for name, text in value.items()]


def _lines(value: Mapping[str, Any] | list[Any], depth: int, path: tuple[str, ...]) -> Iterator[str]:
    return _mapping(value, depth, path) if isinstance(value, Mapping) else _sequence(value, depth, path)


def _sequence(value: list[Any], depth: int, path: tuple[str, ...]) -> Iterator[str]:
    for item in value:
        if isinstance(item, Mapping | list) and item:
            first, *rest = _lines(item, depth + 1, path)
            yield f"{'  ' * depth}- {first.lstrip()}"
            yield from rest
        else:
            yield f"{'  ' * depth}- {_scalar(item, path)}"


def _scalar(value: Any, path: tuple[str, ...]) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        # the schema requires text for the memory limits of `deploy`
        return f'"{value}"' if path[-1] == "memory" and "deploy" in path else str(value)
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, str):
        return _text(value.replace("$", "$$"))
    return "{}" if isinstance(value, Mapping) else "[]"


def _float(value: float) -> str:
    if math.isnan(value):
        return ".nan"
    if math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    text = repr(value)
    return text.replace("e", ".0e") if "e" in text and "." not in text else text


def _text(value: str) -> str:
    if _PLAIN.match(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False).translate(_BREAKS)
