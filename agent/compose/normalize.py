"""Fills in the same values as the reference loader: defaults of long forms, the default network, implied
dependencies and names.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .errors import LoadProblems, Place
from .paths import clean_path
from .shortforms import host_ip
from .tree import List, Map

_NAMESPACES = ("network_mode", "ipc", "pid", "uts", "cgroup")


def named_mappings(root: Map, section: str) -> list[tuple[str, Map, Place]]:
    """The entries of a section that are mappings: name, mapping and place."""
    below = root.get(section)
    if not isinstance(below, Map):
        return []
    return [(name, item, below.place(name)) for name, item in below.items() if isinstance(item, Map)]


def maps_in(value: Any) -> list[Map]:
    """The mappings in a list; empty if the value is not a list."""
    return [item for item in value if isinstance(item, Map)] if isinstance(value, List) else []


def set_defaults(root: Map) -> None:
    """Fills in the defaults of long forms."""
    for _, service, _ in named_mappings(root, "services"):
        _set_service_defaults(service)


def _set_service_defaults(service: Map) -> None:
    build = service.get("build")
    if isinstance(build, Map):
        build.setdefault("context", ".")
    for secret in maps_in(service.get("secrets")):
        secret.setdefault("target", f"/run/secrets/{secret.get('source')}")
    for port in maps_in(service.get("ports")):
        port.setdefault("protocol", "tcp")
        port.setdefault("mode", "ingress")
    for request in _device_requests(service):
        if "count" not in request and "device_ids" not in request:
            request["count"] = "all"
    for volume in maps_in(service.get("volumes")):
        if isinstance(volume.get("bind"), Map):
            volume["bind"].setdefault("create_host_path", True)


def watches_of(service: Map) -> list[Map]:
    """The entries of `develop.watch`."""
    develop = service.get("develop")
    return maps_in(develop.get("watch")) if isinstance(develop, Map) else []


def _device_requests(service: Map) -> list[Map]:
    """The device requests of a service, in `gpus` and in `deploy.resources.reservations`."""
    node: Any = service
    for key in ("deploy", "resources", "reservations"):
        node = node.get(key) if isinstance(node, Map) else None
    reserved = maps_in(node.get("devices")) if isinstance(node, Map) else []
    return [*maps_in(service.get("gpus")), *reserved]


def normalize(root: Map, name: str, environment: dict[str, str]) -> None:
    """Fills in implied values. `root` is merged and valid."""
    for _, service, place in named_mappings(root, "services"):
        _normalize_service(service, place, environment)
    _add_default_network(root)
    for section in ("networks", "volumes", "configs", "secrets"):
        _add_names(root.get(section), name)


def _normalize_service(service: Map, place: Place, environment: dict[str, str]) -> None:
    if service.get("pull_policy") == "if_not_present":
        service["pull_policy"] = "missing"
    if isinstance(service.get("build"), Map):
        _normalize_build(service["build"], environment)
    if "environment" in service:
        service["environment"] = _known_values(service["environment"], environment, keep=True)
    _add_dependencies(service, place)
    for volume in maps_in(service.get("volumes")):
        if isinstance(volume.get("target"), str):
            volume["target"] = clean_path(volume["target"])
    for hook in maps_in(service.get("pre_start")):
        if "image" not in hook and "image" in service:
            hook.put("image", service["image"], service.place("image"))


def _normalize_build(build: Map, environment: dict[str, str]) -> None:
    if "dockerfile" not in build and "dockerfile_inline" not in build:
        build["dockerfile"] = "Dockerfile"
    if "args" in build:
        build["args"] = _known_values(build["args"], environment, keep=False)


def _add_dependencies(service: Map, place: Place) -> None:
    """Adds implied dependencies: a service starts after the services whose namespaces, links or volumes it
    uses.
    """
    found = service.get("depends_on")
    depends = found if isinstance(found, Map) else Map(at=place)
    for other, restart, where in _implied_dependencies(service):
        if other not in depends:
            how = {"condition": "service_started", "restart": restart, "required": True}
            depends.put(other, Map(how.items(), where), where)
    if depends:
        service["depends_on"] = depends


def _implied_dependencies(service: Map) -> Iterator[tuple[str, bool, Place]]:
    """The implied dependencies of a service: the other service, whether it is restarted together with it, and
    the place that implies it.
    """
    for link, where in _placed_texts(service.get("links")):
        yield link.split(":")[0] if link.count(":") == 1 else link, True, where
    for key in _NAMESPACES:
        value = service.get(key)
        if isinstance(value, str) and value.startswith("service:"):
            yield value[len("service:") :], True, service.place(key)
    for source, where in _placed_texts(service.get("volumes_from")):
        if not source.startswith("container:"):
            yield source.split(":")[0], False, where


def _placed_texts(value: Any) -> list[tuple[str, Place]]:
    """The items of a list as text, with their places; empty if the value is not a list."""
    return [(str(item), where) for item, where in value.placed()] if isinstance(value, List) else []


def _known_values(value: Any, environment: dict[str, str], keep: bool) -> Any:
    """Completes names without a value from `environment`. Names that are not there stay only if `keep` is
    set.
    """
    if isinstance(value, Map):
        result = Map(at=value.at)
        for key, item in value.items():
            known = environment.get(key) if item is None else item
            if known is not None or keep:
                result.put(key, known, value.place(key))
        return result
    return _known_items(value, environment, keep) if isinstance(value, List) else value


def _known_items(value: List, environment: dict[str, str], keep: bool) -> List:
    """The same for a list of KEY=VALUE and KEY."""
    entries = List(at=value.at)
    for item, where in value.placed():
        bare = isinstance(item, str) and "=" not in item
        if bare and item in environment:
            entries.add(f"{item}={environment[item]}", where)
        elif not bare or keep:
            entries.add(item, where)
    return entries


def _add_default_network(root: Map) -> None:
    used = False
    for _, service, place in named_mappings(root, "services"):
        if "provider" in service or "network_mode" in service:
            continue
        if not service.get("networks"):
            networks = Map(at=place)
            networks.put("default", None, place)
            service.put("networks", networks, place)
        used = used or "default" in service["networks"]
    found = root.get("networks")
    defined = found if isinstance(found, Map) else Map(at=root.at)
    if used and "default" not in defined:
        defined["default"] = None
    if defined:
        root["networks"] = defined


def _add_names(resources: Any, project: str) -> None:
    """Gives every resource of a section its name in the Engine."""
    for key, item in resources.items() if isinstance(resources, Map) else ():
        if item is None:
            resources[key] = item = Map(at=resources.place(key))
        if isinstance(item, Map) and item.get("name") is None:
            item["name"] = key if item.get("external") is True else f"{project}_{key}"


def project_name(text: str) -> str:
    """A text normalised as Compose does it: lower-case letters, digits, `-` and `_`, starting with a letter
    or digit.
    """
    kept = "".join(char for char in text.lower() if char in "abcdefghijklmnopqrstuvwxyz0123456789_-")
    return kept.lstrip("_-")


def check_model(root: Map, problems: LoadProblems) -> None:
    """Checks rules of the merged model that the schema cannot express. It must run before defaults are filled
    in.
    """
    _check_content(root, "configs", ("file", "environment", "content"), problems)
    _check_content(root, "secrets", ("file", "environment"), problems)
    for name, item, _ in named_mappings(root, "volumes"):
        beside = (key for key in item if key not in ("name", "external") and not key.startswith("x-"))
        for key in beside if item.get("external") is True else ():
            problems.error(
                item.place(key),
                f"volumes.{name}: `external` and {key!r} cannot be used together",
                f"remove {key!r}",
            )
    for name, service, _ in named_mappings(root, "services"):
        _check_service(name, service, problems)


def _check_content(root: Map, section: str, keys: tuple[str, ...], problems: LoadProblems) -> None:
    """Checks that a config or secret has exactly one content, or is external."""
    for name, item, place in named_mappings(root, section):
        given = [key for key in keys if key in item]
        if len(given) > 1:
            problems.error(
                place, f"{section}.{name}: {' and '.join(given)} cannot be used together", "keep one of them"
            )
        elif not given and "driver" not in item and "external" not in item:
            hint = f"give it one of {', '.join(keys)}, or `external: true`"
            problems.error(place, f"{section}.{name} has no content", hint)


def _check_service(name: str, service: Map, problems: LoadProblems) -> None:
    for port in maps_in(service.get("ports")):
        _check_address(name, port, problems)
    for request in _device_requests(service):
        if "count" in request and "device_ids" in request:
            where = request.place("count")
            problems.error(
                where, f"services.{name}: count and device_ids cannot be used together", "keep one of them"
            )
    for watch in watches_of(service):
        if watch.get("path") == "":
            message = f"services.{name}.develop.watch: the path is empty"
            problems.error(watch.place("path"), message, "name the directory to watch")
    for volume in maps_in(service.get("volumes")):
        if volume.get("type") == "bind" and not isinstance(volume.get("source"), str):
            problems.error(
                volume.at,
                f"services.{name}.volumes: the bind mount has no source",
                "name the path with `source`",
            )


def _check_address(name: str, port: Map, problems: LoadProblems) -> None:
    address = port.get("host_ip")
    if isinstance(address, str) and (address.startswith("[") or not host_ip(f"[{address}]")):
        problems.error(
            port.place("host_ip"),
            f"services.{name}.ports: {address!r} is not an IP address",
            "give an IPv4 or IPv6 address",
        )
