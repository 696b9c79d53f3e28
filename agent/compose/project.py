"""The value of a loaded project."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .errors import Blamed, Warning
from .paths import is_host_path, join_path
from .tree import Map, place_of


@dataclass(frozen=True, slots=True)
class Project:
    """One Compose project in canonical form; the README describes it."""

    name: str
    working_dir: str
    services: Mapping[str, Map]
    disabled: Mapping[str, Map]
    networks: Mapping[str, Map]
    volumes: Mapping[str, Map]
    configs: Mapping[str, Map]
    secrets: Mapping[str, Map]
    models: Mapping[str, Map]
    extensions: Mapping[str, Any]
    environment: Mapping[str, str]
    profiles: tuple[str, ...]
    config_files: tuple[str, ...]
    files_read: tuple[str, ...]
    warnings: tuple[Warning, ...]
    _root: Map = field(repr=False, compare=False)
    _blamed: Blamed = field(default_factory=Blamed, repr=False, compare=False)

    def position(self, *path: str | int) -> tuple[str, int]:
        """The file and line of the deepest part of the path that is written in a file."""
        place = place_of(self._root, path)
        return place.file, place.line

    def with_blame(self, message: str, hint: str, *path: str | int) -> tuple[str, str]:
        """A message and hint about a part of the project, with the variables that left nothing in it."""
        return self._blamed.told(place_of(self._root, path), message, hint)

    def repository_path(self, path: str) -> str | None:
        """The path below the virtual root of a path in canonical form; None for a path of the host."""
        return None if is_host_path(path) else join_path(self.working_dir, path)

    def used_by_services(self) -> Project:
        """The project without the resources that no active service uses. Compose does not create them
        either.
        """
        used: dict[str, set[str]] = {
            key: set() for key in ("networks", "volumes", "configs", "secrets", "models")
        }
        for service in self.services.values():
            for section, name in _resources_of(service):
                used[section].add(name)
        kept: dict[str, Any] = {
            section: {key: item for key, item in getattr(self, section).items() if key in names}
            for section, names in used.items()
        }
        return replace(self, **kept)


def _resources_of(service: Map) -> Iterator[tuple[str, str]]:
    """The section and name of every resource that a service uses."""
    for section in ("networks", "models"):
        yield from ((section, name) for name in service.get(section) or ())
    for volume in service.get("volumes", ()):
        if volume.get("type") == "volume" and "source" in volume:
            yield "volumes", volume["source"]
    for section in ("configs", "secrets"):
        yield from ((section, item["source"]) for item in service.get(section, ()) if "source" in item)
    for item in (service.get("build") or {}).get("secrets", ()):
        yield "secrets", item["source"]
