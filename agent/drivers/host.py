"""The host as the steps of a pass see it: to look at, to change, to pull to, to check on. The real host and
the fake of the tests implement one Protocol.

`RealHost` decides nothing: it hands each verb to the driver that the table names.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from agent.disk import IMAGES, STATE, Disk
from agent.drivers.engine import Engine
from agent.drivers.files import Blobs, HostFiles
from agent.drivers.observe import Look, observe
from agent.installation import Paths
from agent.model import Action, Resource, Spec
from agent.observed import Observed

if TYPE_CHECKING:
    from agent.drivers.docker import Docker
    from agent.drivers.registry import PullProgress

__all__ = ["Host", "Look", "RealHost"]

# Bind sources that belong to the machine, whatever the root.
UNMAPPED = ("/dev", "/proc", "/sys", "/run", "/var/run")


class EngineAddress(Protocol):
    """The section `engine` of the settings."""

    @property
    def socket(self) -> str: ...
    @property
    def docker_config(self) -> str: ...
    @property
    def registries(self) -> Mapping[str, Any]: ...


class Host(Protocol):
    """A host. Every verb is safe to repeat. Errors: Transient, Stalled, Failed, Interrupted.

    `steady` raises Transient when Docker is going down or was restarted since the first look: containers may
    have ended because of that.
    """

    def observe(self, request: Look) -> Observed: ...
    def steady(self) -> None: ...
    def execute(self, action: Action, resource: Resource | None) -> None: ...
    def pull(self, reference: str, progress: PullProgress | None = None) -> str: ...
    def image_id(self, reference: str) -> str | None: ...
    def check_candidate(self, resource: Resource) -> None: ...
    def save_original(self, path: str) -> Spec: ...
    def disks(self, places: Iterable[str]) -> Mapping[str, Disk]: ...


class RealHost:
    """This machine."""

    def __init__(
        self,
        paths: Paths,
        engine: EngineAddress,
        content: Blobs,
        instance: str,
        stop: threading.Event | None = None,
    ) -> None:
        """paths: of the installation
        engine: how the Engine is reached
        content: the store of file contents
        instance: the value of the instance label
        stop: ends waits when it is set
        """
        self.root = paths.root
        self.instance = instance
        self.content = content
        self.engine = Engine(engine.socket)
        self.files = HostFiles(str(self.root), content)
        self._paths, self._settings = paths, engine
        self._stop = stop or threading.Event()
        self._docker: Docker | None = None
        self._images_at: str | None = None

    @property
    def docker(self) -> Docker:
        """The driver that changes containers; it is loaded when there is something to change."""
        if self._docker is None:
            from agent.drivers.docker import Docker
            from agent.drivers.registry_access import Registries

            config = self._paths.host(self._settings.docker_config)
            registries = Registries(config, self._settings.registries, self._paths.host)
            self._docker = Docker(
                self.engine, self.instance, mapped=self.mapped, registries=registries, stop=self._stop
            )
        return self._docker

    def mapped(self, source: str) -> str:
        """The path of a bind source for the Engine: below the root, except for the machine's own devices and
        sockets.
        """
        if self.root == Path("/") or any(
            source == place or source.startswith(f"{place}/") for place in UNMAPPED
        ):
            return source
        return f"{self.root}{source}"

    def unmapped(self, source: str) -> str:
        """The inverse of `mapped`. A path outside the root is not a host path, and gets a mark."""
        if self.root == Path("/") or any(
            source == place or source.startswith(f"{place}/") for place in UNMAPPED
        ):
            return source
        inside = source.startswith(f"{self.root}/")
        return source.removeprefix(str(self.root)) if inside else f"(outside of {self.root}) {source}"

    def observe(self, request: Look) -> Observed:
        at = time.monotonic()
        return replace(observe(request, str(self.root), self.engine, self.instance, self.unmapped), at=at)

    def steady(self) -> None:
        self.engine.steady()

    def execute(self, action: Action, resource: Resource | None) -> None:
        VERBS[action.key.kind, action.verb](self, action, resource)

    def pull(self, reference: str, progress: PullProgress | None = None) -> str:
        return self.docker.pull(reference, progress)

    def image_id(self, reference: str) -> str | None:
        image = self.engine.image(reference)
        return image["Id"] if image else None

    def check_candidate(self, resource: Resource) -> None:
        from agent.drivers.candidate import check_candidate

        check_candidate(resource, self.content.get(resource.spec["content"]), self.root)

    def save_original(self, path: str) -> Spec:
        return self.files.save_original(path)

    def disks(self, places: Iterable[str]) -> Mapping[str, Disk]:
        """The file systems of host paths, of STATE and of IMAGES; without those that cannot be seen from
        here.
        """
        from agent.drivers.disks import disk_at

        found = {
            place: disk_at(self._place(place))
            for place in places
            if place != IMAGES or self._place(place).is_dir()
        }
        return {place: there for place, there in found.items() if there is not None}

    def _place(self, place: str) -> Path:
        if place == IMAGES:
            self._images_at = self.engine.root() if self._images_at is None else self._images_at
            return Path(self._images_at or "/nowhere")
        return self._paths.state if place == STATE else self._paths.host(place)

    def close(self) -> None:
        self.engine.close()


def _desired(resource: Resource | None) -> Resource:
    if resource is None:
        raise ValueError("this verb needs the resource")
    return resource


Verb = Callable[[RealHost, Action, Resource | None], None]

VERBS: dict[tuple[str, str], Verb] = {
    ("file", "write"): lambda host, action, resource: host.files.write(_desired(resource)),
    ("file", "remove"): lambda host, action, resource: host.files.remove(action.key.name),
    ("file", "rmdir"): lambda host, action, resource: host.files.rmdir(action.key.name),
    ("file", "restore"): lambda host, action, resource: host.files.restore(
        action.key.name, action.args["original"]
    ),
    ("file", "attributes"): lambda host, action, resource: host.files.attributes(_desired(resource)),
    ("directory", "mkdir"): lambda host, action, resource: host.files.mkdir(_desired(resource)),
    ("directory", "attributes"): lambda host, action, resource: host.files.attributes(_desired(resource)),
    ("directory", "remove"): lambda host, action, resource: host.files.remove(action.key.name),
    ("directory", "rmdir"): lambda host, action, resource: host.files.rmdir(action.key.name),
    ("directory", "restore"): lambda host, action, resource: host.files.restore(
        action.key.name, action.args["original"]
    ),
    ("symlink", "link"): lambda host, action, resource: host.files.link(_desired(resource)),
    ("symlink", "remove"): lambda host, action, resource: host.files.remove(action.key.name),
    ("symlink", "rmdir"): lambda host, action, resource: host.files.rmdir(action.key.name),
    ("symlink", "restore"): lambda host, action, resource: host.files.restore(
        action.key.name, action.args["original"]
    ),
    ("network", "create"): lambda host, action, resource: host.docker.create_network(_desired(resource)),
    ("network", "remove"): lambda host, action, resource: host.docker.remove_network(action.args["id"]),
    ("volume", "create"): lambda host, action, resource: host.docker.create_volume(_desired(resource)),
    ("image", "remove"): lambda host, action, resource: host.docker.remove_image(action.args["image"]),
    ("container", "create"): lambda host, action, resource: host.docker.create(
        _desired(resource), **action.args
    ),
    ("container", "stop"): lambda host, action, resource: host.docker.stop(**action.args),
    ("container", "rename"): lambda host, action, resource: host.docker.rename(**action.args),
    ("container", "policy"): lambda host, action, resource: host.docker.policy(resource, **action.args),
    ("container", "limits"): lambda host, action, resource: host.docker.limits(**action.args),
    ("container", "connect"): lambda host, action, resource: host.docker.connect(
        _desired(resource), **action.args
    ),
    ("container", "disconnect"): lambda host, action, resource: host.docker.disconnect(**action.args),
    ("container", "start"): lambda host, action, resource: host.docker.start(**action.args),
    ("container", "unpause"): lambda host, action, resource: host.docker.unpause(**action.args),
    ("container", "remove"): lambda host, action, resource: host.docker.remove(**action.args),
    ("container", "signal"): lambda host, action, resource: host.docker.signal(**action.args),
    ("container", "restart"): lambda host, action, resource: host.docker.restart(**action.args),
    ("container", "post_start"): lambda host, action, resource: host.docker.post_start(
        _desired(resource), action.secret, **action.args
    ),
    ("container", "pre_stop"): lambda host, action, resource: host.docker.pre_stop(
        action.secret, **action.args
    ),
    ("container", "await"): lambda host, action, resource: host.docker.wait(**action.args),
    ("container", "watch"): lambda host, action, resource: host.docker.watch(**action.args),
    ("container", "delay"): lambda host, action, resource: host.docker.delay(**action.args),
}
