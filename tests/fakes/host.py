"""A host in memory: the same Protocol as the real one, held to it by tests/contract.

Rules:
1. It refuses what the daemon refuses, with the same class and code of error: a network in use, a port, an
   address or a name that is taken, an image or a network that is missing.
2. Time does not pass by itself: each `observe` is a tick, `wait` ticks until it knows. What a container does
   in its ticks is its image's `Behaviour`.
3. It can die (`die_at`), lose its Engine (`down`, `restarted`) or its registry (`registry_down`), and fail a
   verb (`errors`).
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from agent.disk import IMAGES, Disk
from agent.drivers.observe import Look
from agent.drivers.registry import PullProgress
from agent.errors import Failed, LimpetError, Stalled, Transient
from agent.kinds import adoption, claims, lenders
from agent.kinds.engine import endpoints, request
from agent.kinds.engine.health import start_patience
from agent.kinds.engine.resources import ulimits_and_limits
from agent.kinds.in_place import LIMITS, restart_text
from agent.model import Action, Resource, Spec, sha256
from agent.observed import Observed, ObservedContainer, ObservedNetwork, ObservedVolume
from agent.references import familiar
from tests.fakes import compose
from tests.fakes.files import HINT, FakeFiles, MemoryContent

RUNNING = ("running", "paused", "restarting")


class Died(BaseException):
    """The process was killed here."""


@dataclass(frozen=True)
class Behaviour:
    """What a container of an image does: `health` tick by tick (the last one stays), `exits` after that many
    ticks with `code`.
    """

    health: tuple[str, ...] = ()
    exits: int | None = None
    code: int = 0
    start_error: str = ""


KINDS = {
    "idle": Behaviour(),
    "plain-web": Behaviour(),
    "web": Behaviour(health=("starting", "healthy")),
    "sick": Behaviour(health=("starting", "unhealthy")),
    "late": Behaviour(health=("starting", "healthy"), exits=4, code=1),
    "crash": Behaviour(exits=0, code=3),
    "once": Behaviour(exits=0, code=0),
    "fail-once": Behaviour(exits=0, code=7),
    "stubborn": Behaviour(),
    "slow": Behaviour(health=(*["starting"] * 6, "healthy")),
    "stuck": Behaviour(health=("starting",)),
    "wont-start": Behaviour(start_error="exec: no such file"),
}


@dataclass
class FakeContainer:
    """`seen`: the observed value; the rest is what the Engine knows besides. `ticks` since the start."""

    seen: ObservedContainer
    behaviour: Behaviour
    published: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    policy: str = "no"
    limits: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    ticks: int = 0
    restarts: int = 0
    started_at: str = ""
    by_hand: bool = False  # it was stopped by a request
    signals: list[str] = field(default_factory=list)
    alone: tuple[str, ...] = ()  # files of the host that it mounts by themselves
    read: dict[str, str] = field(
        default_factory=dict
    )  # path -> content as it was when it started, or when it was signalled
    reads: tuple[str, ...] = ()  # files that a signal makes it read again
    patience: float = 0.0
    hooks: list[str] = field(default_factory=list)  # events whose commands ended well since the start
    created_at: str = ""
    linked: tuple[str, ...] = ()  # ids of the containers to which it is linked
    joined: dict[str, tuple[str, str]] = field(
        default_factory=dict
    )  # key of the service -> id and start of the container whose namespace it is in
    devices: frozenset[str] = frozenset()
    ailment: tuple[str, ...] = ()  # what its health check says in this run, whatever the image would


class FakeHost:
    """See the module. `images`: reference -> image id on the host; `registry`: the same, to be pulled."""

    def __init__(self, content: MemoryContent | None = None, store: Any = None) -> None:
        self.content = content or MemoryContent()
        self.files = FakeFiles(self.content, store)
        self.containers: dict[str, FakeContainer] = {}
        self.networks: dict[str, ObservedNetwork] = {}
        self.volumes: dict[str, ObservedVolume] = {}
        self.images: dict[str, str] = {}
        self.users: dict[str, str] = {}  # image id -> its USER
        self.unnamed: set[str] = set()  # images that lost their last reference
        self.behaviours: dict[str, Behaviour] = {}
        self.registry: dict[str, str] = {}
        self.engine_version, self.engine_api = "26.1.5", (1, 45)
        self.ports_of_others: set[str] = set()  # claims held by processes of the host
        self.missing_devices: set[str] = set()
        self.data: set[str] = set()  # paths at which a container has left something
        self.down = False
        self.registry_down = False
        self.restarted = False  # the Engine, since the pass began
        self.space: dict[str, Disk] = {}  # place -> its disk; a place that is not named is not known
        self.sizes: dict[str, int] = {}  # reference -> bytes that an image takes where images are
        self.die_at: int | None = None  # 1: before the first action, 2: after it, 3: before the second, …
        self.errors: dict[str, LimpetError] = {}  # "verb kind/name" -> raised instead of doing it
        self.check: Callable[[Resource, bytes], str] = lambda resource, content: ""
        self.done: list[Action] = []
        self.pulls: list[str] = []
        self._points = 0
        self._events, self._moments = 0, itertools.count(1)
        self._lock = threading.RLock()

    # --- arranging ---

    def add_image(
        self,
        reference: str,
        kind: str = "idle",
        *,
        version: str = "v1",
        local: bool = True,
        user: str = "",
    ) -> str:
        """An image on the host, or only in the registry."""
        image_id = f"sha256:{sha256(f'{reference} {kind} {version}')}"
        self.users[image_id] = user
        self.behaviours[image_id] = KINDS[kind]
        self.registry[familiar(reference)] = image_id
        if local:
            self.images[familiar(reference)] = image_id
        return image_id

    def add_foreign_container(
        self, name: str, *, ports: tuple[str, ...] = (), networks: tuple[str, ...] = ()
    ) -> str:
        """A running container that is not ours."""
        id = self._id()
        ids = {network: self.networks[network].id for network in networks}
        seen = ObservedContainer(id, name, False, "running", "sha256:foreign", networks=ids, ports=ports)
        self.containers[id] = FakeContainer(
            seen, Behaviour(), published=ports, policy="always", started_at=f"2026-01-01T00:00:00.{0:09}Z"
        )
        return id

    def add_foreign_network(self, name: str) -> None:
        self.networks[name] = ObservedNetwork(self._id(), name, False)

    def add_compose_container(self, resource: Resource, name: str, *, running: bool = True) -> str:
        """A container that Docker Compose made of the service, with its networks and volumes."""
        id, config = self._id(), resource.spec["config"]
        for network in config.get("networks") or ():
            self.networks.setdefault(network, ObservedNetwork(self._id(), network, False))
        ids = {network: self.networks[network].id for network in config.get("networks") or ()}
        image = self.images[familiar(resource.spec["image"])]
        published = tuple(claim for claim in claims.of_service(name, config) if claim.startswith("port/"))
        seen = ObservedContainer(
            id,
            name,
            False,
            "running" if running else "exited",
            image,
            networks=ids,
            ports=published if running else (),
            found=compose.found(resource, id, name),
            exit_code=None if running else 0,
        )
        self.containers[id] = FakeContainer(
            seen, self.behaviours[image], published=published, policy=restart_text(config)
        )
        return id

    def add_compose_network(self, resource: Resource) -> None:
        name = resource.spec["name"]
        self.networks[name] = ObservedNetwork(self._id(), name, False, found=compose.network(resource))

    def add_compose_volume(self, resource: Resource) -> None:
        name = resource.spec["name"]
        self.volumes[name] = ObservedVolume(name, False, found=compose.volume(resource))

    def vanish(self, name: str) -> None:
        """Somebody removed a container by hand."""
        del self.containers[self._find(name).seen.id]

    def stop_by_hand(self, name: str) -> None:
        self._stop(self._find(name), 143)
        self._find(name).by_hand = True

    def crash(self, name: str) -> None:
        """Its process ends, and the Engine starts it again if its restart policy says so."""
        at = self._find(name)
        self._stop(at, 1)
        if at.policy.partition(":")[0] in ("always", "unless-stopped", "on-failure"):
            self._container_start(None, at.seen.id)

    def ail(self, name: str, *health: str) -> None:
        """From now on the health check of this run says this, look by look; the last one stays."""
        at = self._find(name)
        at.ailment, at.ticks = health, 0
        at.seen = replace(at.seen, health=health[0])

    def in_dead_namespaces(self) -> list[str]:
        """Running containers that are in a namespace of a container, or of a run of it, that has ended."""
        alive = {(id, at.started_at) for id, at in self.containers.items() if at.seen.state in RUNNING}
        return sorted(
            at.seen.name
            for at in self.containers.values()
            if at.seen.state in RUNNING and not alive.issuperset(at.joined.values())
        )

    def reboot(self) -> None:
        """The machine starts again: what ran has ended, and what its restart policy says is started, if it
        can be.
        """
        for at in self.containers.values():
            if at.seen.state in RUNNING:
                self._stop(at, 255)
        for at in sorted(self.containers.values(), key=lambda at: at.started_at):
            name = at.policy.partition(":")[0]
            wanted = name == "always" or (name == "unless-stopped" and not at.by_hand)
            if at.started_at and (wanted or (name == "on-failure" and at.seen.exit_code)):
                with suppress(LimpetError):
                    self._container_start(None, at.seen.id)

    def restart_engine(self) -> None:
        """dockerd goes down and comes back; it stops all containers meanwhile."""
        self.reboot()
        self.restarted = True

    def tick(self) -> None:
        """Time passes: health checks run, processes end, policies restart them."""
        for container in self.containers.values():
            if container.seen.state in ("running", "restarting"):
                container.ticks += 1
                self._live(container)

    # --- Host ---

    def observe(self, request: Look) -> Observed:
        with self._lock:
            files = self.files.observe(request.paths)
            if not request.runtime:
                return Observed(files=files)
            self._engine()
            self.tick()
            seen = [self._seen(container, request) for container in self.containers.values()]
            return Observed(
                files=files,
                containers=tuple(sorted(seen, key=lambda c: (c.name, c.id))),
                networks={n.name: _object("network", n.id, n, request) for n in self.networks.values()},
                volumes={v.name: _object("volume", v.name, v, request) for v in self.volumes.values()},
                images={
                    ref: self.images[familiar(ref)] for ref in request.images if familiar(ref) in self.images
                },
                users={
                    id: self.users.get(id, "")
                    for id in (self.images.get(familiar(wanted), wanted) for wanted in request.users)
                    if id in self.image_ids()
                },
                held_ports=frozenset(c for c in self.ports_of_others if claims.clashing([c], request.ports)),
                missing_devices=frozenset(self.missing_devices & request.devices),
                bare=request.data - self.data,
                image_ids=frozenset(self.image_ids()),
                tagged=frozenset(self.images.values()),
                engine_version=self.engine_version,
                engine_api=self.engine_api,
            )

    def steady(self) -> None:
        self._engine()
        if self.restarted:
            self.restarted = False  # the next pass sees nothing of it
            raise Transient(
                "Docker was restarted during the pass", "systemctl status docker", code="RuntimeUnavailable"
            )

    def execute(self, action: Action, resource: Resource | None) -> None:
        with self._lock:
            self._point()
            error = self.errors.get(f"{action.verb} {action.key}")
            if error is not None:
                raise error
            if action.key.kind in ("file", "directory", "symlink"):
                self.files.execute(action, resource)
            else:
                self._engine()
                hidden = [action.secret] if action.secret else []
                getattr(self, f"_{action.key.kind}_{action.verb}")(resource, *hidden, **action.args)
            self.done.append(action)
            self._point()

    def pull(self, reference: str, progress: PullProgress | None = None) -> str:
        with self._lock:
            self._engine()
            self._point()
            self.pulls.append(reference)
            if self.registry_down:
                raise Transient(
                    f"cannot pull {reference}: connection refused",
                    "is the registry up?",
                    code="RegistryUnavailable",
                )
            if familiar(reference) not in self.registry:
                raise Stalled(
                    f"cannot pull {reference}: manifest unknown",
                    "correct `image`, or push it",
                    code="ImageMissing",
                )
            self._download(reference, self.sizes.get(familiar(reference), 10), progress)
            self._tag(reference, self.registry[familiar(reference)])
            self._point()
            return self.images[familiar(reference)]

    def _download(self, reference: str, size: int, progress: PullProgress | None) -> None:
        """The bytes of an image come in ten parts; when the pull is ended, they are gone again."""
        there = self.space.get(IMAGES)
        try:
            for done in range(1, 11):
                if there:
                    self.space[IMAGES] = replace(there, free=there.free - size * done // 10)
                if progress:
                    progress(reference, size * done // 10, size, 0)
        except LimpetError:
            if there:
                self.space[IMAGES] = there
            raise

    def disks(self, places: Iterable[str]) -> Mapping[str, Disk]:
        return {place: self.space[place] for place in places if place in self.space}

    def image_ids(self) -> set[str]:
        """All images, named or not."""
        return {*self.images.values(), *self.unnamed}

    def image_id(self, reference: str) -> str | None:
        self._engine()
        return self.images.get(familiar(reference))

    def check_candidate(self, resource: Resource) -> None:
        said = self.check(resource, self.files.store.get(resource.spec["content"]))
        if said:
            raise Failed(
                f"{resource.spec['path']}: its check failed: {said}", "correct the file", code="CheckFailed"
            )

    def save_original(self, path: str) -> Spec:
        return self.files.save_original(path)

    def close(self) -> None:
        """Nothing to close."""

    # --- networks and volumes ---

    def _network_create(self, resource: Resource) -> None:
        name = resource.spec["name"]
        there = self.networks.get(name)
        if there is not None:
            if not there.owned or there.digest != resource.digest:
                raise Failed(f"network {name} exists and is not ours", "remove it", code="NameTaken")
            return
        if claims.clashing(
            resource.claims, [claim for network in self.networks.values() for claim in network.claims]
        ):
            raise Failed(f"network {name}: pool overlaps", HINT, code="SubnetTaken")
        self.networks[name] = ObservedNetwork(self._id(), name, True, resource.digest, resource.claims)

    def _network_remove(self, resource: Resource | None, id: str) -> None:
        there = next((n for n in self.networks.values() if id in (n.id, n.name)), None)
        if there is None:
            return
        users = [
            c.seen.name
            for c in self.containers.values()
            if c.seen.state in RUNNING and there.name in c.seen.networks
        ]
        if users:
            raise Transient(
                f"network {there.name} is still used by {', '.join(users)}", "disconnect it", code="InUse"
            )
        del self.networks[there.name]

    def _volume_create(self, resource: Resource) -> None:
        name = resource.spec["name"]
        self.volumes.setdefault(name, ObservedVolume(name, True, resource.digest))

    # --- images ---

    def _tag(self, reference: str, image_id: str) -> None:
        before = self.images.get(familiar(reference))
        self.images[familiar(reference)] = image_id
        self.unnamed.discard(image_id)
        if before is not None and before not in self.images.values():
            self.unnamed.add(before)

    def _image_remove(self, resource: Resource | None, image: str) -> None:
        """By name or id. What has several names loses one, and cannot be removed by its id; what is in use
        keeps its last.
        """
        id = self.images.get(familiar(image), image)
        names = [name for name, other in self.images.items() if other == id]
        used = any(container.seen.image_id == id for container in self.containers.values())
        if len(names) > 1 and image != id:
            del self.images[familiar(image)]
        elif len(names) <= 1 and not used:
            self.images = {name: other for name, other in self.images.items() if other != id}
            self.unnamed.discard(id)

    # --- containers ---

    def _container_create(self, resource: Resource, name: str, image: str, heir_of: str = "") -> None:
        there = next((c for c in self.containers.values() if c.seen.name == name), None)
        if there is not None:
            if not there.seen.owned or there.seen.digest != resource.digest or there.seen.image_id != image:
                raise Failed(
                    f"the name {name} is taken by {there.seen.id[:12]}",
                    "rename or remove it",
                    code="NameTaken",
                )
            return
        if image not in self.image_ids():
            raise Transient(f"cannot create container {name}: no such image", "pull it", code="ImageMissing")
        config = resource.spec["config"]
        self._mount(name, config)
        primary = endpoints.primary_network(resource.spec)
        ids = {c.seen.name: c.seen.id for c in self.containers.values()}
        lent = self._lent(name, resource)
        seen = ObservedContainer(
            self._id(),
            name,
            True,
            "created",
            image,
            resource.key.name,
            resource.spec["app"],
            resource.digest,
            networks={primary: ""} if primary else {},
            volumes=tuple(
                sorted(
                    lent.union(
                        v["source"]
                        for v in config.get("volumes") or ()
                        if v["type"] == "volume" and v.get("source")
                    )
                )
            ),
            shares={k: ids.get(of, of) for k, of in lenders.lenders(resource) if k in lenders.NAMESPACES},
        )
        all_claims = claims.of_service(resource.key.name, config)
        self.containers[seen.id] = FakeContainer(
            seen,
            self.behaviours[image],
            alone=tuple(v["source"] for v in config.get("volumes") or () if v["type"] == "bind"),
            reads=tuple(resource.spec["on_change"]),
            published=tuple(c for c in all_claims if c.startswith("port/")),
            addresses=tuple(c for c in all_claims if c.startswith("address/")),
            policy=restart_text(config),
            limits=_limits(config),
            patience=start_patience(request.healthcheck(config.get("healthcheck") or {})),
            created_at=self._now(),
            devices=frozenset(claims.device_paths(config)),
            linked=tuple(self._find(of).seen.id for key, of in lenders.lenders(resource) if key == "links"),
        )

    def _lent(self, name: str, resource: Resource) -> set[str]:
        """The volumes that a container gets of others. The lender of a network may still be missing."""
        found: set[str] = set()
        for key, of in lenders.lenders(resource):
            lender = self.find(of)
            if lender is None and key not in ("network_mode", "depends_on"):
                raise Failed(
                    f"cannot create container {name}: No such container: {of}", HINT, code="Namespace"
                )
            found |= {*lender.seen.volumes} if lender and key == "volumes_from" else set()
        return found

    def _mount(self, name: str, config: Spec) -> None:
        for volume in config.get("volumes") or ():
            if volume["type"] != "bind":
                continue
            if volume["source"] not in self.files.there:
                if (volume.get("bind") or {}).get("create_host_path") is False:
                    raise Failed(
                        f"cannot create container {name}: bind source path does not exist",
                        "create it",
                        code="BindMissing",
                    )
                self.files.make_directory(volume["source"])

    def _container_start(self, resource: Resource | None, container: str) -> None:
        at = self._find(container)
        if at.seen.state in RUNNING:
            return
        networks = {}
        for name, id in at.seen.networks.items():
            there = self.networks.get(name)
            if there is None or id not in ("", there.id):
                at.error = f"network {id or name} not found"
                raise Transient(
                    f"cannot start container {at.seen.name}: {at.error}", HINT, code="NetworkMissing"
                )
            networks[name] = there.id
        others = [c for c in self.containers.values() if c is not at and c.seen.state in RUNNING]
        if claims.clashing(at.addresses, [claim for c in others for claim in c.addresses]):
            raise Failed(f"cannot start container {at.seen.name}: address in use", HINT, code="AddressTaken")
        held = [*self.ports_of_others, *(claim for c in others for claim in c.published)]
        if claims.clashing(at.published, held):
            at.error = "port is already allocated"
            raise Failed(f"cannot start container {at.seen.name}: {at.error}", HINT, code="PortTaken")
        if gone := sorted(at.devices & self.missing_devices):
            at.error = f"error gathering device information while adding custom device {gone[0]}"
            raise Failed(f"cannot start container {at.seen.name}: {at.error}", HINT, code="NoDevice")
        if at.behaviour.start_error:
            at.error = at.behaviour.start_error
            raise Failed(f"cannot start container {at.seen.name}: {at.error}", HINT, code="CannotStart")
        at.joined = {key: self._join(at, of) for key, of in at.seen.shares.items()}
        for of in at.linked:
            self._join(at, of)
        self._events += 1
        at.by_hand = False
        at.ticks, at.error, at.started_at, at.restarts, at.hooks = 0, "", self._now(), 0, []
        at.ailment = ()
        at.seen = replace(
            at.seen,
            state="running",
            exit_code=None,
            networks=networks,
            ports=tuple(sorted(set(at.published))),
        )
        self._read(at, (*at.alone, *at.reads))
        self._live(at)

    def _join(self, at: FakeContainer, of: str) -> tuple[str, str]:
        lender = self.find(of)
        if lender is None or lender.seen.state not in ("running", "paused"):
            at.error = f"cannot join a non running container: {of}"
            if lender is None:
                at.error = f"No such container: {of}"
            raise Failed(f"cannot start container {at.seen.name}: {at.error}", HINT, code="Namespace")
        return lender.seen.id, lender.started_at

    def _live(self, at: FakeContainer) -> None:
        """The state of a running container after its ticks."""
        behaviour = at.behaviour
        if behaviour.exits is not None and at.ticks >= behaviour.exits:
            name, _, most = at.policy.partition(":")
            again = name in ("always", "unless-stopped") or (name == "on-failure" and behaviour.code != 0)
            if again and (not most or at.restarts < int(most)):
                at.restarts += 1
                at.ticks, at.started_at, at.ailment = 0, self._now(), ()
                at.seen = replace(at.seen, state="restarting", health="", exit_code=behaviour.code)
            else:
                self._stop(at, behaviour.code)
        elif health := at.ailment or behaviour.health:
            word = health[min(at.ticks, len(health) - 1)]
            at.seen = replace(at.seen, state="running", health=word, exit_code=None)

    def _stop(self, at: FakeContainer, code: int) -> None:
        at.seen = replace(at.seen, state="exited", health="", exit_code=code, ports=())
        run = (at.seen.id, at.started_at)
        for other in self.containers.values():
            if other.seen.state in RUNNING and other.joined.get("pid") == run:
                self._stop(other, 137)  # all processes end with the first one of their namespace

    def _container_stop(self, resource: Resource | None, container: str) -> None:
        at = self.find(container)
        if at is not None and at.seen.state in RUNNING:
            self._stop(at, 143)
            at.by_hand = True

    def _container_rename(self, resource: Resource | None, container: str, to: str) -> None:
        at, holder = self.find(container), self.find(to)
        if at is None and holder is not None and holder.seen.owned:
            return
        at = self._find(container)
        if holder is not None and holder is not at:
            raise Failed(
                f"the name {to} is taken by {holder.seen.id[:12]}", "rename or remove it", code="NameTaken"
            )
        at.seen = replace(at.seen, name=to)

    def _container_limits(self, resource: Resource | None, container: str, limits: dict[str, Any]) -> None:
        self._find(container).limits |= limits

    def _container_policy(self, resource: Resource | None, container: str, policy: str = "") -> None:
        self._find(container).policy = policy or (restart_text(resource.spec["config"]) if resource else "no")

    def _container_connect(self, resource: Resource, container: str, network: str) -> None:
        at, there = self._find(container), self.networks.get(network)
        if at.seen.state not in RUNNING:
            id = ""  # resolved at the start
        elif there is None:
            raise Transient(
                f"cannot connect {container}: network {network} not found", HINT, code="NetworkMissing"
            )
        else:
            id = there.id
        at.seen = replace(at.seen, networks={**at.seen.networks, network: id})

    def _container_disconnect(self, resource: Resource | None, container: str, network: str) -> None:
        at = self.find(container)
        if at is not None:
            at.seen = replace(at.seen, networks={n: id for n, id in at.seen.networks.items() if n != network})

    def _container_unpause(self, resource: Resource | None, container: str) -> None:
        at = self._find(container)
        if at.seen.state == "paused":
            at.seen = replace(at.seen, state="running")

    def _container_signal(self, resource: Resource | None, container: str, signal: str) -> None:
        at = self._find(container)
        if at.seen.state in RUNNING:
            at.signals.append(signal)
            self._read(
                at, tuple(path for path in at.reads if path not in at.alone)
            )  # a mounted file is the one of the start

    def _container_restart(self, resource: Resource | None, container: str) -> None:
        at = self._find(container)
        if at.seen.state in RUNNING:
            self._stop(at, 143)
        self._container_start(resource, container)

    def _read(self, at: FakeContainer, paths: tuple[str, ...]) -> None:
        there = self.files.there
        at.read |= {
            path: there[path].content for path in paths if path in there and there[path].type == "file"
        }

    def _container_post_start(
        self, resource: Resource, hook: Spec, container: str, number: int, timeout: float
    ) -> None:
        at = self._find(container)
        if at.seen.state not in RUNNING and resource.spec["oneshot"]:
            return
        try:
            self._hook(at, "post_start", hook, timeout)
        except Failed:
            self._container_stop(resource, container)
            raise

    def _container_pre_stop(
        self, resource: Resource | None, hook: Spec, container: str, number: int, timeout: float
    ) -> None:
        at = self.find(container)
        if at is not None and at.seen.state == "running":
            self._hook(at, "pre_stop", hook, timeout)

    def _hook(self, at: FakeContainer, event: str, hook: Spec, timeout: float) -> None:
        """`false` fails, `sleep` never ends, `nowhere` is in no image; any other command ends well."""
        for _ in range(int(timeout)):  # a tick is a second
            if at.seen.state == "restarting":
                self.tick()
        if at.seen.state != "running":
            ended = "is restarting" if at.seen.state == "restarting" else "ended"
            raise Failed(f"container {at.seen.name} {ended} before its {event} ran", HINT, code="Exited")
        command = hook["command"][0]
        if command == "nowhere":
            raise Failed(
                f"cannot run {event} in {at.seen.name}: executable file not found", HINT, code="CannotStart"
            )
        if command == "sleep":
            raise Failed(
                f"{event} of {at.seen.name} has not ended within {timeout:g} s", HINT, code="HookTimeout"
            )
        if command == "false":
            raise Failed(f"{event} of {at.seen.name} ended with exit code 1", HINT, code="HookFailed")
        at.hooks.append(event)

    def _container_remove(self, resource: Resource | None, container: str) -> None:
        at = self.find(container)
        if at is not None:
            del self.containers[at.seen.id]

    def _container_watch(
        self, resource: Resource | None, containers: list[str], seconds: float, most: int, timeout: float
    ) -> None:
        failed: dict[str, Failed] = {}
        good = 0
        restarts = {name: self._find(name).restarts for name in containers}
        for _ in range(50):
            waiting = False
            for name in [name for name in containers if name not in failed]:
                at = self._find(name)
                if at.seen.state == "restarting" or at.restarts > restarts[name]:
                    failed[name] = Failed(f"container {at.seen.name} restarts", HINT, code="Restarts")
                elif at.seen.state in ("exited", "dead", "created"):
                    failed[name] = Failed(f"container {at.seen.name} ended", HINT, code="Exited")
                elif at.seen.health == "unhealthy":
                    failed[name] = Failed(f"container {at.seen.name} is unhealthy", HINT, code="Unhealthy")
                waiting |= at.seen.health == "starting"
            if len(failed) > most:
                raise next(iter(failed.values()))
            good = 0 if waiting else good + 1
            if good > seconds:  # a second is a tick
                return
            self.tick()
        raise Failed(
            f"containers {', '.join(containers)} are not healthy after {timeout:g} s", HINT, code="NotReady"
        )

    def _container_delay(self, resource: Resource | None, seconds: float) -> None:
        """Time does not pass by itself."""

    def _container_await(
        self,
        resource: Resource | None,
        container: str,
        condition: str,
        timeout: float,
        recovers: bool = False,
    ) -> None:
        for _ in range(50 + int(self._find(container).patience)):
            at = self._find(container)
            seen, name = at.seen, at.seen.name
            if condition == "completed":
                if seen.state == "exited" and seen.exit_code == 0:
                    return
                if seen.state == "exited":
                    raise Failed(
                        f"container {name} ended with exit code {seen.exit_code}",
                        HINT,
                        code="ExitedWithError",
                    )
            elif seen.state == "exited":
                raise Failed(f"container {name} ended before it was healthy", HINT, code="Exited")
            elif seen.health == "unhealthy" and not recovers:
                raise Failed(f"container {name} is unhealthy", HINT, code="Unhealthy")
            elif seen.state == "running" and not at.behaviour.health:
                raise Failed(f"container {name} has no health check", HINT, code="NoHealthCheck")
            elif seen.health == "healthy":
                return
            self.tick()
        raise Failed(f"container {container} is not {condition} after {timeout:g} s", HINT, code="NotReady")

    # --- how ---

    def _seen(self, at: FakeContainer, request: Look) -> ObservedContainer:
        seen = at.seen
        name, entry = request.adopted.get(("container", seen.id), ("", None))
        labels = seen.found["container"]["Config"]["Labels"] if seen.found else {}
        wanted = (
            adoption.unproved(entry)
            if entry
            else adoption.adoption_handle("container", seen.name, labels) in request.adopting
        )
        compared = seen.found is not None and wanted
        seen = adoption.as_adopted(seen, name, entry) if entry else seen
        seen = seen if compared else replace(seen, found=None)
        closely = {seen.name, seen.key_name} & request.closely
        inspected = compared or closely or (seen.owned and (request.deep or seen.name != seen.key_name))
        if not inspected:
            return replace(seen, shares={k: of for k, of in seen.shares.items() if k == "network_mode"})
        return replace(
            seen,
            restart_policy=at.policy,
            restart_count=at.restarts,
            started_at=at.started_at,
            error=at.error,
            patience=at.patience,
            created_at=at.created_at,
            limits=at.limits,
        )

    def find(self, name: str) -> FakeContainer | None:
        """The container of this id or name, if there is one."""
        return next((c for c in self.containers.values() if name in (c.seen.id, c.seen.name)), None)

    def _find(self, name: str) -> FakeContainer:
        found = self.find(name)
        if found is None:
            raise Transient(f"no such container: {name}", "the next pass looks again", code="Missing")
        return found

    def _now(self) -> str:
        """Later at each call."""
        return f"2026-01-01T00:00:00.{next(self._moments):09}Z"

    def _id(self) -> str:
        self._events += 1
        return sha256(f"fake {self._events}")

    def _engine(self) -> None:
        if self.down:
            raise Transient("Docker does not answer", "systemctl status docker", code="RuntimeUnavailable")

    def _point(self) -> None:
        self._points += 1
        if self.die_at is not None and self._points == self.die_at:
            raise Died


def _object(kind: str, id: str, there: Any, request: Look) -> Any:
    """A network or volume as it is seen: ours by the inventory, or with what it is compared by when it may be
    taken over.
    """
    if (kind, id) in request.adopted:
        digest = request.adopted[kind, id][1].adopted["digest"]
        return replace(there, owned=True, adopted=True, digest=digest, found=None)
    labels = (there.found or {}).get("Labels")
    return (
        there
        if adoption.adoption_handle(kind, there.name, labels) in request.adopting
        else replace(there, found=None)
    )


def _limits(config: Spec) -> dict[str, Any]:
    """As the Engine has them: swap is twice the memory unless it is said."""
    given = ulimits_and_limits(config)
    memory = given.get("Memory", 0)
    return {name: given.get(name, 0) for name in LIMITS} | {
        "MemorySwap": given.get("MemorySwap") or 2 * memory
    }
