"""Resolves `extends`: a service that is based on another one, in the same or another file.

Rules: the base is resolved first, so chains work; a chain that returns to itself is an error; the extending
service is merged over its base; keys that it marks with `!reset` or `!override` are first removed from the
base.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .document import Path
from .errors import ComposeError, LoadProblems, Place
from .limits import MAX_EXTENDS, Budget, node_count
from .merge import SERVICE_RULES, merge_maps
from .tree import Map, copy

Chain = tuple[tuple[str, str], ...]
Load = Callable[[str, Place], tuple[str, Map, list[Path]]]


def apply_extends(
    root: Map, file: str, removed: list[Path], load: Load, problems: LoadProblems, budget: Budget
) -> None:
    """Resolves the `extends` of every service of a file in place.

    root: the tree of the file
    file: the path of the file
    removed: the paths that the file marks with `!reset` or `!override`
    load: reads another file; returns its path, its services and the paths that it removes
    problems: collects errors
    budget: pays for the copies of services
    """
    services = root.get("services")
    if not isinstance(services, Map):
        return
    resolver = _Resolver(load, budget)
    circles: set[str] = set()
    for name in list(services):
        try:
            resolver.service(name, services, file, removed, ())
        except ComposeError as error:
            if name not in circles:
                problems.add(error)
            if isinstance(error, Circle):
                circles.update(error.services)
            problems.broken.add(f"services.{name}")
            services[name].pop("extends", None)


class Circle(ComposeError):
    """Services that extend one another. One error covers all of them."""

    def __init__(self, services: list[str], place: Place) -> None:
        self.services = services
        way = " -> ".join(services)
        super().__init__(
            f"the services extend one another in a circle: {way}", *place, hint="break the circle"
        )


class _Resolver:
    def __init__(self, load: Load, budget: Budget) -> None:
        self.load, self.budget = load, budget

    def service(self, name: str, services: Map, file: str, removed: list[Path], chain: Chain) -> Map | None:
        """A service with its `extends` resolved in place; None if it is not a mapping.

        name: the service
        services: all services of its file
        file: the path of the file
        removed: the paths that the file marks with `!reset` or `!override`
        chain: the services that extend this one, each with its file
        """
        service = services[name]
        if not isinstance(service, Map) or "extends" not in service:
            return service if isinstance(service, Map) else None
        place = service.place("extends")
        wanted, other = _target(service["extends"], place, name)
        base_services, base_file, base_removed = services, file, removed
        if other is not None:
            base_file, base_services, base_removed = self.load(other, place)
        if wanted not in base_services:
            raise ComposeError(
                f"services.{name} extends {wanted!r}, which {base_file} does not have",
                *place,
                hint=f"define it, or choose one of {', '.join(list(base_services)[:8]) or 'its services'}",
            )
        if (base_file, name) in chain:
            raise Circle([*(step for _, step in chain), name], place)
        if len(chain) > MAX_EXTENDS:
            raise ComposeError(
                f"services.{name}: more than {MAX_EXTENDS} extend one another", *place, hint="extend fewer"
            )
        base = self.service(wanted, base_services, base_file, base_removed, (*chain, (base_file, name)))
        if base is None:
            return service
        self.budget.spend_nodes(node_count(base), place)
        source = copy(base)
        remove(source, removed, ("services", name))
        merged = merge_maps(source, service, SERVICE_RULES)
        del merged["extends"]
        merged.at = service.at
        services[name] = merged
        return merged


def _target(extends: Any, place: Place, name: str) -> tuple[str, str | None]:
    if isinstance(extends, str):
        return extends, None
    if isinstance(extends, Map) and isinstance(extends.get("service"), str):
        file = extends.get("file")
        if file is None or isinstance(file, str):
            return extends["service"], file
    raise ComposeError(
        f"services.{name}.extends does not name a service",
        *place,
        hint="write `extends: {service: NAME}`, with `file:` for another file",
    )


def remove(tree: Any, removed: Iterable[Path], prefix: Path = ()) -> None:
    """Removes the recorded paths from a tree whose root is at `prefix`."""
    for path in removed:
        if len(path) <= len(prefix) or path[: len(prefix)] != prefix:
            continue
        node = tree
        for part in path[len(prefix) : -1]:
            node = node.get(part) if isinstance(node, Map) else None
        if isinstance(node, Map):
            node.pop(path[-1], None)
