"""A project as Compose YAML that any Compose loads to the same meaning.

Rules: text is quoted wherever a YAML reader could take it for something else; a dollar sign is doubled;
resources that no active service uses are left out; a service that no profile enables is written only when an
active one may depend on it or build from it. Short forms are written where they mean the same.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from .project import Project
from .shortforms import is_path

_PLAIN = re.compile(r"(?:\.{1,2}/)?[A-Za-z/_](?:[A-Za-z0-9./_@+=-]|:(?=[A-Za-z0-9./_@+=-]))*\Z")
_WORDS = {"true", "false", "yes", "no", "on", "off", "y", "n", "null"}
_BREAKS = {code: f"\\u{code:04x}" for code in (*range(0x7F, 0xA0), 0x2028, 0x2029, 0xFEFF, 0xFFFE, 0xFFFF)}


def canonical(project: Project) -> str:
    """The YAML of a project; paths are relative to its directory."""
    project = project.used_by_services()
    services = dict(project.services)
    for service in project.services.values():
        contexts = (service.get("build") or {}).get("additional_contexts") or {}
        for other in (
            *(service.get("depends_on") or ()),
            *(text.removeprefix("service:") for text in contexts.values()),
        ):
            if other in project.disabled:
                services[other] = project.disabled[other]
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


def _stated(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """A config that says nothing of its content must say that it is not external."""
    known = {"file", "environment", "content", "external", "driver"} & config.keys()
    return config if known else {**config, "external": False}


def _short_forms(service: Mapping[str, Any]) -> dict[str, Any]:
    """The service with short forms where they mean the same: older versions of Compose know only those."""
    result = dict(service)
    for key, shorten in (("volumes", _volume), ("devices", _device), ("env_file", _env_file)):
        if key in result:
            result[key] = [shorten(item) for item in result[key]]
    if "ports" in result:  # what is blank was written so: left out, it would be the default
        result["ports"] = [
            {**{key: "" for key in ("mode", "protocol") if key not in port}, **port}
            for port in result["ports"]
        ]
    if "depends_on" in result:
        result["depends_on"] = {
            name: {key: item for key, item in how.items() if (key, item) != ("required", True)}
            for name, how in result["depends_on"].items()
        }
    return result


def _volume(volume: Mapping[str, Any]) -> Any:
    source, target, kind = volume.get("source", ""), volume.get("target", ""), str(volume.get("type"))
    settings = volume.get(kind)
    if not isinstance(settings, Mapping) or volume.keys() - {"type", "source", "target", "read_only", kind}:
        return volume
    options = ["ro"] if volume.get("read_only") else []
    if kind == "bind" and is_path(source) and settings.get("create_host_path") is True:
        options += [settings[key] for key in ("selinux", "propagation") if key in settings]
        plain = settings.keys() <= {"create_host_path", "selinux", "propagation"}
    else:
        options += ["nocopy"] if settings.get("nocopy") else []
        plain = kind == "volume" and not is_path(source) and settings.keys() <= {"nocopy"}
    if not plain or len(source) < 2 or len(target) < 2 or ":" in source + target:
        return volume
    return ":".join([source, target, *([",".join(options)] if options else [])])


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


def _mapping(value: Mapping[str, Any], depth: int, path: tuple[str, ...]) -> Iterator[str]:
    for key, item in value.items():
        lead = f"{'  ' * depth}{_text(key)}:"
        if isinstance(item, Mapping) and "" in item:
            # the schema has no nameless key; in a list it may stand
            item = [name if text is None else f"{name}={text}" for name, text in item.items()]
        if isinstance(item, Mapping) and item:
            yield lead
            yield from _mapping(item, depth + 1, (*path, key))
        elif isinstance(item, list) and item:
            yield lead
            yield from _sequence(item, depth + 1, (*path, key))
        else:
            yield f"{lead} {_scalar(item, (*path, key))}"


def _sequence(value: list[Any], depth: int, path: tuple[str, ...]) -> Iterator[str]:
    for item in value:
        if isinstance(item, Mapping | list) and item:
            below = (
                _mapping(item, depth + 1, path)
                if isinstance(item, Mapping)
                else _sequence(item, depth + 1, path)
            )
            first, *rest = below
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
        # the schema wants the memory of `deploy` as text
        return f'"{value}"' if path[-1] == "memory" and "deploy" in path else str(value)
    if isinstance(value, float):
        if math.isfinite(value):
            return (
                repr(value)
                if "e" not in repr(value) or "." in repr(value)
                else repr(value).replace("e", ".0e")
            )
        return ".nan" if value != value else ".inf" if value > 0 else "-.inf"
    if isinstance(value, str):
        return _text(value.replace("$", "$$"))
    return "{}" if isinstance(value, Mapping) else "[]"


def _text(value: str) -> str:
    if _PLAIN.match(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False).translate(_BREAKS)
