"""One way to arrange a host and to act on it, for the fake and for the real one."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from agent.drivers.host import Host, RealHost
from agent.drivers.observe import Look
from agent.installation import Paths
from agent.kinds import attaching, claims, container, network, volume
from agent.kinds.engine import endpoints
from agent.model import Action, Resource
from agent.observed import ObservedContainer
from agent.settings.values import EngineSettings
from agent.store.content import Content
from tests.fakes import compose
from tests.fakes.files import MemoryContent
from tests.fakes.host import FakeHost
from tests.harness import images, net
from tests.harness.engine import Engine
from tests.harness.hosts import Host as TestHost


class Bench(Protocol):
    """`prefix` starts every name; `content` is the host's content store."""

    host: Host
    prefix: str
    content: Any

    def image(self, kind: str) -> str: ...
    def own_image(self, version: str, reference: str, user: str = "") -> str: ...
    def tag(self, image_id: str, reference: str) -> None: ...
    def foreign_container(self, name: str, *, network: str = "") -> None: ...
    def foreign_network(self, name: str) -> None: ...
    def compose_container(self, resource: Resource, name: str) -> str: ...
    def holding(self, port: int) -> contextlib.AbstractContextManager[None]: ...
    def put_file(self, path: str, data: bytes, mode: int = 0o644) -> None: ...
    def put_link(self, path: str, target: str) -> None: ...
    def read_file(self, path: str) -> bytes | None: ...
    def without_device(self, path: str) -> None: ...


class FakeBench:
    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.content = MemoryContent()
        self.fake = FakeHost(self.content)
        self.host: Host = self.fake

    def image(self, kind: str) -> str:
        reference = images.image(kind).ref
        if self.host.image_id(reference) is None:
            self.fake.add_image(reference, kind)
        return reference

    def own_image(self, version: str, reference: str, user: str = "") -> str:
        image_id = self.fake.add_image(reference, "idle", version=version, local=False, user=user)
        self.tag(image_id, reference)
        return image_id

    def tag(self, image_id: str, reference: str) -> None:
        self.fake._tag(reference, image_id)

    def foreign_container(self, name: str, *, network: str = "") -> None:
        self.fake.add_foreign_container(name, networks=(network,) if network else ())

    def foreign_network(self, name: str) -> None:
        self.fake.add_foreign_network(name)

    def compose_container(self, resource: Resource, name: str) -> str:
        return self.fake.add_compose_container(resource, name)

    @contextlib.contextmanager
    def holding(self, port: int) -> Iterator[None]:
        claim = claims.port("tcp", "", port)
        self.fake.ports_of_others.add(claim)
        yield
        self.fake.ports_of_others.discard(claim)

    def put_file(self, path: str, data: bytes, mode: int = 0o644) -> None:
        self.fake.files.put(path, data, mode)

    def put_link(self, path: str, target: str) -> None:
        self.fake.files.put_link(path, target)

    def read_file(self, path: str) -> bytes | None:
        return self.fake.files.read(path)

    def without_device(self, path: str) -> None:
        self.fake.missing_devices.add(path)


class RealBench:
    def __init__(self, prefix: str, engine: Engine, directory: Path) -> None:
        self.prefix = prefix
        self.engine = engine
        self.root = directory / "root"
        paths = Paths(self.root)
        paths.content.mkdir(parents=True)
        self.content = Content(paths.content)
        self.real = RealHost(paths, EngineSettings(socket=engine.socket), self.content, instance=prefix)
        self.host: Host = self.real

    def image(self, kind: str) -> str:
        return images.load(self.engine.client, images.image(kind)).ref

    def own_image(self, version: str, reference: str, user: str = "") -> str:
        config = {**images.KINDS["idle"], **({"User": user} if user else {})}
        made = images.make(reference, config, version, {"prefix": self.prefix})
        return images.load(self.engine.client, made).id

    def tag(self, image_id: str, reference: str) -> None:
        self.engine.client.images.get(image_id).tag(reference)

    def foreign_container(self, name: str, *, network: str = "") -> None:
        self.engine.client.containers.run(self.image("idle"), name=name, detach=True, network=network or None)

    def foreign_network(self, name: str) -> None:
        self.engine.client.networks.create(name)

    def compose_container(self, resource: Resource, name: str) -> str:
        """A container that runs, made by the request that Compose would send."""
        api: Any = self.engine.client.api  # the SDK has no types for what is asked here
        body = compose.body(resource, resource.spec["image"], self.real.mapped)
        id = str(api.create_container_from_config(body, name)["Id"])
        for other in attaching.networks(resource)[1:]:
            endpoint = endpoints.endpoint(resource.spec, other)
            api._post_json(
                api._url("/networks/{0}/connect", other), data={"Container": id, "EndpointConfig": endpoint}
            )
        api.start(id)
        return id

    def holding(self, port: int) -> contextlib.AbstractContextManager[None]:
        return net.holding(port)

    def put_file(self, path: str, data: bytes, mode: int = 0o644) -> None:
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        place.chmod(mode)

    def put_link(self, path: str, target: str) -> None:
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)

    def read_file(self, path: str) -> bytes | None:
        place = self.root / path.lstrip("/")
        return place.read_bytes() if place.is_file() and not place.is_symlink() else None

    def without_device(self, path: str) -> None:
        assert not Path(path).exists()

    def close(self) -> None:
        self.real.close()


class HostBench(RealBench):
    """The same with the Engine of a test host, which sees the directory at its path."""

    def __init__(self, prefix: str, machine: TestHost, directory: Path) -> None:
        super().__init__(prefix, machine.engine, directory)
        self.machine = machine

    def holding(self, port: int) -> contextlib.AbstractContextManager[None]:
        return net.holding(port, inside=self.machine.pid)


# --- resources and verbs, the same for both -----------------------------------------------------------------


def service(bench: Bench, name: str, kind: str = "idle", **config: Any) -> Resource:
    """A container resource of a service `name`."""
    full = f"{bench.prefix}-{name}-1"
    return container.container_resource(
        full,
        app=bench.prefix,
        service=name,
        number=1,
        config={"image": bench.image(kind), **config},
        inputs={},
        folded={},
        compose={"project": bench.prefix},
    )


def a_network(bench: Bench, name: str, **config: Any) -> Resource:
    return network.network_resource(f"{bench.prefix}_{name}", app=bench.prefix, config=config)


def a_volume(bench: Bench, name: str, **config: Any) -> Resource:
    return volume.volume_resource(f"{bench.prefix}_{name}", app=bench.prefix, config=config)


def act(bench: Bench, resource: Resource, verb: str, **args: Any) -> None:
    bench.host.execute(Action(1, verb, resource.key, "contract", args), resource)


def twice(bench: Bench, resource: Resource, verb: str, **args: Any) -> None:
    """Every verb is safe to repeat."""
    act(bench, resource, verb, **args)
    act(bench, resource, verb, **args)


def create(bench: Bench, resource: Resource, name: str = "") -> str:
    """Creates the container (under its final name unless told) and gives its id."""
    image_id = bench.host.image_id(resource.spec["image"])
    name = name or resource.key.name
    act(bench, resource, "create", name=name, image=image_id)
    return seen(bench, name).id


def run(bench: Bench, resource: Resource) -> str:
    """Creates and starts the container; gives its id."""
    id = create(bench, resource)
    act(bench, resource, "start", container=id)
    return id


def all_seen(bench: Bench) -> list[ObservedContainer]:
    """The containers of this test, inspected."""
    return [c for c in bench.host.observe(Look(deep=True)).containers if c.name.startswith(bench.prefix)]


def seen(bench: Bench, name: str) -> ObservedContainer:
    """One container by name or id."""
    found = [c for c in all_seen(bench) if name in (c.id, c.name)]
    assert found, f"there is no container {name}"
    return found[0]


def eventually(
    bench: Bench, name: str, condition: Callable[[ObservedContainer], bool], within: float = 60.0
) -> ObservedContainer:
    """Looks until the condition holds."""
    end = time.monotonic() + within
    while not condition(now := seen(bench, name)):
        assert time.monotonic() < end, f"{name} is still {now}"
        time.sleep(0.05)
    return now
