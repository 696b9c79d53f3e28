"""What the reference loader fills in: defaults of long forms, the default network, implied dependencies,
names.
"""

from __future__ import annotations

from typing import Any

from .errors import LoadProblems, Place
from .paths import clean_path
from .shortforms import host_ip
from .tree import List, Map

_NAMESPACES = ("network_mode", "ipc", "pid", "uts", "cgroup")


def named_mappings(root: Map, section: str) -> list[tuple[str, Map, Place]]:
    """The named mappings of a section: services, networks and so on."""
    below = root.get(section)
    if not isinstance(below, Map):
        return []
    return [(name, item, below.place(name)) for name, item in below.items() if isinstance(item, Map)]


def _maps(value: Any) -> list[Map]:
    return [item for item in value if isinstance(item, Map)] if isinstance(value, List) else []


def set_defaults(root: Map) -> None:
    """Values that a long form has when it does not name them."""
    for _, service, _ in named_mappings(root, "services"):
        build = service.get("build")
        if isinstance(build, Map):
            build.setdefault("context", ".")
        for secret in _maps(service.get("secrets")):
            secret.setdefault("target", f"/run/secrets/{secret.get('source')}")
        for port in _maps(service.get("ports")):
            port.setdefault("protocol", "tcp")
            port.setdefault("mode", "ingress")
        for request in [*_maps(service.get("gpus")), *_reserved_devices(service)]:
            if "count" not in request and "device_ids" not in request:
                request["count"] = "all"
        for volume in _maps(service.get("volumes")):
            if isinstance(volume.get("bind"), Map):
                volume["bind"].setdefault("create_host_path", True)


def _reserved_devices(service: Map) -> list[Map]:
    node: Any = service
    for key in ("deploy", "resources", "reservations"):
        node = node.get(key) if isinstance(node, Map) else None
    return _maps(node.get("devices")) if isinstance(node, Map) else []


def normalize(root: Map, name: str, environment: dict[str, str]) -> None:
    """Fills in what follows from the rest; `root` is merged and valid."""
    for _, service, place in named_mappings(root, "services"):
        if service.get("pull_policy") == "if_not_present":
            service["pull_policy"] = "missing"
        build = service.get("build")
        if isinstance(build, Map):
            if "dockerfile" not in build and "dockerfile_inline" not in build:
                build["dockerfile"] = "Dockerfile"
            if "args" in build:
                build["args"] = _known_values(build["args"], environment, keep=False)
        if "environment" in service:
            service["environment"] = _known_values(service["environment"], environment, keep=True)
        _add_dependencies(service, place)
        for volume in _maps(service.get("volumes")):
            if isinstance(volume.get("target"), str):
                volume["target"] = clean_path(volume["target"])
        for hook in _maps(service.get("pre_start")):
            if "image" not in hook and "image" in service:
                hook.put("image", service["image"], service.place("image"))
    _add_default_network(root)
    _add_names(root, name)


def _add_dependencies(service: Map, place: Place) -> None:
    """Sharing a namespace, a link or volumes with another service means starting after it."""
    found = service.get("depends_on")
    depends = found if isinstance(found, Map) else Map(at=place)

    def add(other: str, restart: bool, where: Place) -> None:
        if other not in depends:
            depends.put(
                other,
                Map({"condition": "service_started", "restart": restart, "required": True}.items(), where),
                where,
            )

    links = service.get("links")
    for link, where in links.placed() if isinstance(links, List) else ():
        add(str(link).split(":")[0] if str(link).count(":") == 1 else str(link), True, where)
    for key in _NAMESPACES:
        value = service.get(key)
        if isinstance(value, str) and value.startswith("service:"):
            add(value[len("service:") :], True, service.place(key))
    sources = service.get("volumes_from")
    for source, where in sources.placed() if isinstance(sources, List) else ():
        if not str(source).startswith("container:"):
            add(str(source).split(":")[0], False, where)
    if depends:
        service["depends_on"] = depends


def _known_values(value: Any, environment: dict[str, str], keep: bool) -> Any:
    """Names without a value get the one that is known; others stay when `keep`, else go."""
    if isinstance(value, Map):
        result = Map(at=value.at)
        for key, item in value.items():
            known = environment.get(key) if item is None else item
            if known is not None or keep:
                result.put(key, known, value.place(key))
        return result
    if isinstance(value, List):
        entries = List(at=value.at)
        for item, where in value.placed():
            if isinstance(item, str) and "=" not in item:
                if item in environment:
                    entries.add(f"{item}={environment[item]}", where)
                elif keep:
                    entries.add(item, where)
            else:
                entries.add(item, where)
        return entries
    return value


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


def _add_names(root: Map, name: str) -> None:
    for section in ("networks", "volumes", "configs", "secrets"):
        resources = root.get(section)
        if not isinstance(resources, Map):
            continue
        for key, item in resources.items():
            if item is None:
                resources[key] = item = Map(at=resources.place(key))
            if isinstance(item, Map) and item.get("name") is None:
                item["name"] = key if item.get("external") in (True, "true") else f"{name}_{key}"


def project_name(text: str) -> str:
    """A name as Compose makes it fit: lower-case letters, digits, `-` and `_`, starting with a letter or
    digit.
    """
    kept = "".join(char for char in text.lower() if char in "abcdefghijklmnopqrstuvwxyz0123456789_-")
    return kept.lstrip("_-")


def check_model(root: Map, problems: LoadProblems) -> None:
    """What the schema cannot say about the merged model, before defaults hide it."""
    exclusive = {"configs": ("file", "environment", "content"), "secrets": ("file", "environment")}
    for section, keys in exclusive.items():
        for name, item, place in named_mappings(root, section):
            given = [key for key in keys if key in item]
            if len(given) > 1:
                problems.error(
                    place, f"{section}.{name}: {' and '.join(given)} exclude each other", "keep one of them"
                )
            elif not given and "driver" not in item and "external" not in item:
                hint = f"give it one of {', '.join(keys)}, or `external: true`"
                problems.error(place, f"{section}.{name}: it has no content", hint)
    for name, item, _ in named_mappings(root, "volumes"):
        if item.get("external") is True:
            for key in item:
                if key not in ("name", "external") and not key.startswith("x-"):
                    problems.error(
                        item.place(key),
                        f"volumes.{name}: `external` and {key!r} exclude each other",
                        f"remove {key!r}",
                    )
    for name, service, _ in named_mappings(root, "services"):
        _check_service(name, service, problems)


def _check_service(name: str, service: Map, problems: LoadProblems) -> None:
    for port in _maps(service.get("ports")):
        address = port.get("host_ip")
        if isinstance(address, str) and (address.startswith("[") or not host_ip(f"[{address}]")):
            problems.error(
                port.place("host_ip"),
                f"services.{name}.ports: {address!r} is no address",
                "give an IPv4 or IPv6 address",
            )
    for request in [*_maps(service.get("gpus")), *_reserved_devices(service)]:
        if "count" in request and "device_ids" in request:
            where = request.place("count")
            problems.error(
                where, f"services.{name}: count and device_ids exclude each other", "keep one of them"
            )
    develop = service.get("develop")
    for watch in _maps(develop.get("watch") if isinstance(develop, Map) else None):
        if watch.get("path") == "":
            message = f"services.{name}.develop.watch: the path is blank"
            problems.error(watch.place("path"), message, "name the directory to watch")
    for volume in _maps(service.get("volumes")):
        if volume.get("type") == "bind" and not isinstance(volume.get("source"), str):
            problems.error(
                volume.at, f"services.{name}.volumes: the bind has no source", "name the path with `source`"
            )
