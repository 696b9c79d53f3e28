"""Changes containers, networks and volumes through the docker SDK. Decides nothing; every verb may be
repeated.

The verbs build on this behaviour of the Engine, which was found on 20.10 and 26.1 and is held by
tests/contract:

- A stopped container keeps the *id* of each network it was in. When a network was removed and made again
  under the same name, `start` fails with "network <old id> not found". `disconnect` by name drops the stale
  entry, even while no such network exists; `connect` replaces it, with the given aliases and static address
  (not the MAC address: `kinds/attaching.py`), and resolves it by name at the next start (until then the list
  shows an empty network id). The container keeps its id; `HostConfig.NetworkMode` never changes.
- A network whose containers are all stopped can be removed. A stopped container holds neither address nor
  port: the container that starts first gets them, and the start of the other fails.
- `rename` works in any state; the new name resolves on its networks at once. The old name is free at once.
- The restart policy can be changed in any state. A container that was stopped by `stop` stays down when
  dockerd restarts, unless its policy is `always`: that is why a kept container gets policy `no`.
- `stop` works on a paused container. It answers when the process is gone; the Engine frees ports and
  addresses after that, with the container locked, and its list shows the old state until then. An inspection
  waits for that lock.
- A start that fails leaves state `created` (exit code 127 or 128), its networks and no endpoint.
- `kill` with any signal ends the restart policy of a container that has no StopSignal in its configuration:
  its next exit is final. With a StopSignal only that signal does. So a container that is to be signalled is
  created with its StopSignal spelled out.
- `connect` on a stopped container may be repeated; on a running one the repeat is 403 "already exists".
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agent.clock import at_most_patience
from agent.drivers import engine_errors, hooks, registry, waiting
from agent.drivers.engine import Engine
from agent.drivers.registry_access import Registries
from agent.errors import Failed, Transient
from agent.kinds.engine import endpoints, mounts, objects, request
from agent.kinds.engine.resources import restart_policy
from agent.kinds.hooks import POST_START, PRE_STOP
from agent.model import DIGEST_LABEL, INSTANCE_LABEL, NAME_LABEL, Resource, Spec

if TYPE_CHECKING:
    from docker.api.client import APIClient

TIMEOUT = at_most_patience(120.0)  # seconds that one answer may take
STOP_DEFAULT = 10  # seconds that the Engine gives a container to stop
ID_LENGTH = 64


class Docker:
    """The verbs for containers, networks, volumes and images."""

    def __init__(
        self,
        engine: Engine,
        instance: str,
        *,
        mapped: Callable[[str], str],
        registries: Registries,
        stop: threading.Event,
    ) -> None:
        """engine: the light reader of the same socket
        instance: the value of the instance label
        mapped: host path -> path for the Engine
        registries: how they are reached
        stop: ends waits when it is set
        """
        self._engine = engine
        self._instance = instance
        self._mapped = mapped
        self._registries = registries
        self._stop = stop
        self._local = threading.local()

    # --- networks, volumes, images ---

    def create_network(self, resource: Resource) -> None:
        body = objects.network_request(resource, self._instance)
        name = body["Name"]
        with self._translated(f"network {name}", "create"):
            try:
                self._post("/networks/create", body)
            except self._api_error() as error:
                there = self._engine.network(name) if error.status_code == 409 else None
                if there is None:
                    raise
                if not self._is_mine(there.get("Labels"), resource):
                    raise Failed(
                        f"network {name} exists and is not ours",
                        f"remove it (docker network rm {name}) or mark it external",
                        code="NameTaken",
                    ) from error

    def remove_network(self, id: str) -> None:
        with self._translated(f"network {id}", "remove", missing_is_done=True):
            try:
                self._client().remove_network(id)
            except self._api_error() as error:
                if error.status_code != 403 or (there := self._engine.network(id)) is None:
                    raise
                names = sorted(c.get("Name", "") for c in (there.get("Containers") or {}).values())
                raise Transient(
                    f"network {there['Name']} is still used by {', '.join(names) or 'a container'}",
                    f"docker network disconnect -f {there['Name']} NAME",
                    code="InUse",
                ) from error

    def create_volume(self, resource: Resource) -> None:
        body = objects.volume_request(resource, self._instance)
        with self._translated(f"volume {body['Name']}", "create"):
            self._post("/volumes/create", body)

    def pull(self, reference: str, progress: registry.PullProgress | None = None) -> str:
        """Pulls an image and gives its id. Errors: Transient; Stalled when the registry refuses or does not
        have it.
        """
        return registry.Pull(self._engine, self._registries, progress, self._stop).image(reference)

    def remove_image(self, reference: str) -> None:
        """Takes one name away, or removes an image by its id when nothing names it. An image in use stays;
        that is not an error.
        """
        with self._translated(f"image {reference}", "remove", missing_is_done=True):
            try:
                self._client().remove_image(reference, force=False, noprune=True)
            except self._api_error() as error:
                if error.status_code != 409:
                    raise

    # --- containers ---

    def create(self, resource: Resource, *, name: str, image: str, heir_of: str = "") -> None:
        """Creates a container under `name` from the image with id `image`. `docker ps` shows the reference as
        long as it still names that image. `heir_of`: the container without our labels that it replaces.
        """
        reference = resource.spec["image"]
        local = self._engine.image(reference)
        same = local is not None and local["Id"] == image
        there = local if same else self._engine.image(image)
        settings = (there or {}).get("Config") or {}
        body = request.create_request(
            self._inheriting(resource, settings.get("Volumes") or {}, heir_of),
            reference if same else image,
            instance=self._instance,
            image_id=image,
            mapped=self._mapped,
            api=self._engine.api,
            stop_signal=settings.get("StopSignal") or "",
        )
        with self._translated(f"container {name}", "create"):
            try:
                platform = resource.spec["config"].get("platform")
                self._client().create_container_from_config(body, name, platform)  # type: ignore[no-untyped-call]
            except self._api_error() as error:
                if error.status_code != 409:
                    raise
                self._accept(resource, name, image, error)

    def _accept(self, resource: Resource, name: str, image: str, error: Exception) -> None:
        """Accepts a container that has the name already as the one to be made. Errors: the given one when
        there is none; Failed when it is another.
        """
        there = self._engine.container(name)
        if there is None:
            raise error
        if not self._is_mine(there["Config"]["Labels"], resource) or there["Image"] != image:
            raise _name_taken(name, there) from error

    def start(self, *, container: str) -> None:
        with self._translated(f"container {container}", "start"):
            self._client().start(container)  # 304 when it runs

    def stop(self, *, container: str) -> None:
        """Stops it within its own grace period (StopTimeout), then kills it."""
        there = self._engine.container(container)
        if there is None or there["State"]["Status"] in ("created", "exited", "dead"):
            return
        with self._translated(f"container {container}", "stop", missing_is_done=True):
            self._client().stop(container, timeout=_grace(there))
        # This is answered only when the Engine has freed the container's ports and addresses.
        self._engine.container(container)

    def restart(self, *, container: str) -> None:
        """Stops it within its own grace period and starts it again: it keeps its id, and its mounts show the
        files as they are now.
        """
        there = self._engine.container(container)
        with self._translated(f"container {container}", "restart"):
            self._client().restart(container, timeout=_grace(there or {"Config": {}}))

    def rename(self, *, container: str, to: str) -> None:
        there, holder = self._engine.container(container), self._engine.container(to)
        if (
            there is None
            and holder is not None
            and (holder["Config"]["Labels"] or {}).get(INSTANCE_LABEL) == self._instance
        ):
            return  # done before, under its earlier name
        if there is not None and holder is not None and holder["Name"] == f"/{to}":
            if holder["Id"] == there["Id"]:
                return
            raise _name_taken(to, holder)
        with self._translated(f"container {container}", f"rename to {to}"):
            self._client().rename(container, to)

    def policy(self, resource: Resource | None, *, container: str, policy: str = "") -> None:
        """Sets the restart policy: as given (`no`, `on-failure:3`), or the resource's own."""
        config = {"restart": policy} if policy or resource is None else resource.spec["config"]
        wanted = restart_policy(config)
        self.limits(container=container, limits={"RestartPolicy": {**wanted, "Name": wanted["Name"] or "no"}})

    def limits(self, *, container: str, limits: Mapping[str, Any]) -> None:
        """Sets fields of the Engine's HostConfig: those that can be changed in place."""
        with self._translated(f"container {container}", "change the restart policy or limits"):
            self._post(f"/containers/{container}/update", dict(limits))

    def connect(self, resource: Resource, *, container: str, network: str) -> None:
        """Joins a network with the aliases and addresses of the resource, unless it did so when it was
        created.
        """
        if self._engine.api >= endpoints.ALL_AT_CREATE and self._is_connected(container, network):
            return
        endpoint = endpoints.endpoint(resource.spec, network, self._engine.api)
        with self._translated(f"container {container}", f"connect to {network}"):
            try:
                self._post(
                    f"/networks/{network}/connect", {"Container": container, "EndpointConfig": endpoint}
                )
            except self._api_error() as error:
                if "already exists in network" not in str(error.explanation):
                    raise

    def disconnect(self, *, container: str, network: str) -> None:
        with self._translated(f"container {container}", f"disconnect from {network}", missing_is_done=True):
            try:
                self._post(f"/networks/{network}/disconnect", {"Container": container, "Force": True})
            except self._api_error() as error:
                if "is not connected to" not in str(error.explanation):
                    raise

    def unpause(self, *, container: str) -> None:
        with self._translated(f"container {container}", "unpause"):
            try:
                self._client().unpause(container)
            except self._api_error() as error:
                if "is not paused" not in str(error.explanation):
                    raise

    def signal(self, *, container: str, signal: str) -> None:
        """Sends a signal. A container that does not run needs none: it reads its files when it starts."""
        with self._translated(f"container {container}", f"signal {signal}"):
            try:
                self._client().kill(container, signal)
            except self._api_error() as error:
                if "is not running" not in str(error.explanation):
                    raise

    def post_start(
        self, resource: Resource, hook: Spec, *, container: str, number: int, timeout: float
    ) -> None:
        """Runs one command after the start; when it fails, the container is stopped, as in Compose.

        resource: the container's
        hook: the command, as in Compose
        container: its id or name
        number: of the command, for messages
        timeout: seconds
        """
        try:
            self._hook(hook, POST_START, container, number, timeout, oneshot=resource.spec["oneshot"])
        except Failed:
            self.stop(container=container)
            raise

    def pre_stop(self, hook: Spec, *, container: str, number: int, timeout: float) -> None:
        """Runs one command before the stop, if the container still runs."""
        if self._engine.container(container) is not None:
            self._hook(hook, PRE_STOP, container, number, timeout)

    def _hook(
        self, hook: Spec, event: str, container: str, number: int, timeout: float, *, oneshot: bool = False
    ) -> None:
        with self._translated(f"container {container}", f"run {event} command {number} in"):
            hooks.run_hook(
                self._client(), self._engine, container, event, number, timeout, hook, oneshot=oneshot
            )

    def remove(self, *, container: str) -> None:
        """Removes it, running or not. Its volumes stay, anonymous ones too: they are data."""
        with self._translated(f"container {container}", "remove", missing_is_done=True):
            try:
                self._client().remove_container(container, force=True)
            except self._api_error() as error:
                if "is already in progress" not in str(error.explanation):
                    raise

    def wait(self, *, container: str, condition: str, timeout: float, recovers: bool = False) -> None:
        """Waits until it is `healthy` or `completed`. Errors: Failed when that cannot happen, or not in
        time.
        """
        waiting.wait(self._engine, self._stop, container, condition, timeout, recovers)

    def watch(self, *, containers: list[str], seconds: float, most: int, timeout: float) -> None:
        """Waits until all are good and stay so. Errors: Failed when more than `most` are not."""
        waiting.watch_containers(self._engine, self._stop, containers, seconds, most, timeout)

    def delay(self, *, seconds: float) -> None:
        waiting.delay(self._stop, seconds)

    # --- how ---

    def _is_connected(self, container: str, network: str) -> bool:
        """Whether it is in this very network, or will be when it starts. An earlier network of the same name
        does not count.
        """
        there, now = self._engine.container(container), self._engine.network(network)
        joined = ((there or {}).get("NetworkSettings") or {}).get("Networks") or {}
        return (
            network in joined and now is not None and joined[network].get("NetworkID", "") in ("", now["Id"])
        )

    def _inheriting(self, resource: Resource, declared: dict[str, Any], heir_of: str) -> Resource:
        """The resource with the unnamed volumes of the container that it replaces: of the current one, or of
        the one that was kept last.
        """
        name = resource.key.name
        if heir_of and (there := self._engine.container(heir_of)):
            config = mounts.inherit(resource.spec["config"], declared, there.get("Mounts") or ())
            return replace(resource, spec={**resource.spec, "config": config})
        listed = self._engine.containers(f"{INSTANCE_LABEL}={self._instance}", f"{NAME_LABEL}={name}")
        before = [c for c in listed if f"/{name}" in c["Names"]] or sorted(
            (c for c in listed if c["Names"][0].startswith(f"/{name}.kept-")), key=lambda c: -c["Created"]
        )
        if not before:
            return resource
        config = mounts.inherit(resource.spec["config"], declared, before[0].get("Mounts") or ())
        return replace(resource, spec={**resource.spec, "config": config})

    def _client(self) -> APIClient:
        """One client for each thread. The SDK is imported only when there is something to do."""
        if not hasattr(self._local, "client"):
            with engine_errors.sdk_errors("Docker", "connect to"):
                self._local.client = registry.client(self._engine.socket_path, self._engine.ping(), TIMEOUT)
        client: APIClient = self._local.client
        return client

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        """A request whose body the SDK would not pass on whole."""
        client = self._client()
        return client._result(client._post_json(client._url("{0}", path), data=body))  # type: ignore[attr-defined]

    @contextmanager
    def _translated(self, subject: str, doing: str, *, missing_is_done: bool = False) -> Iterator[None]:
        """Runs SDK calls. In messages a container's id is replaced by its name."""
        self._client()
        try:
            with engine_errors.sdk_errors(subject, doing, missing_is_done=missing_is_done):
                yield
        except (Transient, Failed) as error:
            id = subject.removeprefix("container ")
            if (
                len(id) == ID_LENGTH
                and error.code != "RuntimeUnavailable"
                and (there := self._engine.container(id))
            ):
                error.message = error.message.replace(id, there["Name"].removeprefix("/"))
                error.args = (error.message,)
            raise

    def _api_error(self) -> type[Any]:
        from docker.errors import APIError

        return APIError

    def _is_mine(self, labels: dict[str, str] | None, resource: Resource) -> bool:
        found = labels or {}
        return found.get(INSTANCE_LABEL) == self._instance and found.get(DIGEST_LABEL) == resource.digest


def _grace(there: dict[str, Any]) -> int:
    """The seconds that a container is given to stop."""
    said: int | None = there["Config"].get("StopTimeout")
    return STOP_DEFAULT if said is None else said


def _name_taken(name: str, there: dict[str, Any]) -> Failed:
    labels = there["Config"]["Labels"] or {}
    whose = (
        f"our container for {labels[NAME_LABEL]}"
        if NAME_LABEL in labels
        else f"container {there['Id'][:12]} of image {there['Config']['Image']}"
    )
    return Failed(
        f"the name {name} is taken by {whose}",
        f"look at it (docker inspect {name}), then rename or remove it",
        code="NameTaken",
    )
