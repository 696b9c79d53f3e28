"""What every host says of containers, networks and volumes that Docker Compose made, and that may be
adopted.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from agent.drivers.observe import Look
from agent.kinds import adoption
from agent.kinds.base import Target, View
from agent.kinds.engine import attachments, compare
from agent.model import Key, Manifest, Need, Owned, Resource
from agent.observed import ObservedContainer
from tests.contract.bench import Bench, a_network, a_volume, act, seen, service
from tests.harness.net import free_port

MAC = "02:42:ac:11:65:43"
HEALTH = {"test": ["CMD", "true"], "interval": "1m30s", "retries": 3}


def adopting(bench: Bench, name: str, kind: str = "idle", **config: Any) -> Resource:
    made = service(bench, name, kind, **config)
    needs = tuple(Need(Key("network", network)) for network in config.get("networks") or ())
    return replace(made, spec={**made.spec, "adopt": True}, needs=needs)


def look(*resources: Resource, adopted: dict[tuple[str, str], tuple[str, Owned]] | None = None) -> Look:
    wanted = adoption.handles(Manifest({resource.key: resource for resource in resources}))
    return Look(adopting=frozenset(wanted), adopted=adopted or {})


def one(bench: Bench, id: str, request: Look) -> ObservedContainer:
    return next(c for c in bench.host.observe(request).containers if c.id == id)


def rich(bench: Bench) -> Resource:
    """A service with what people use; the fake knows as much of it as it must."""
    front, data = a_network(bench, "front"), a_volume(bench, "data")
    act(bench, front, "create")
    act(bench, data, "create")
    ports = [{"mode": "ingress", "target": 8080, "published": str(free_port()), "protocol": "tcp"}]
    bench.put_file("/srv/shop/conf", b"x")
    return adopting(
        bench,
        "web",
        "web",
        environment={"A": "1", "EMPTY": ""},
        ports=ports,
        mem_limit="64m",
        cpus="0.5",
        restart="unless-stopped",
        labels={"com.example.a": "1"},
        cap_add=["NET_ADMIN"],
        cap_drop=["ALL"],
        healthcheck=HEALTH,
        init=True,
        tmpfs=["/t:size=1m"],
        extra_hosts={"a": ["1.2.3.4"]},
        dns=["8.8.8.8"],
        shm_size="32m",
        security_opt=["no-new-privileges:true"],
        user="0:0",
        sysctls={"net.core.somaxconn": "1024"},
        ulimits={"nofile": {"soft": 100, "hard": 200}},
        stop_grace_period="3s",
        logging={"driver": "json-file", "options": {"max-size": "1m"}},
        networks={front.key.name: {"aliases": ["www"]}},
        volumes=[
            {"type": "bind", "source": "/srv/shop/conf", "target": "/conf", "read_only": True},
            {"type": "volume", "source": data.key.name, "target": "/data"},
            {"type": "volume", "target": "/anonymous"},
            {"type": "tmpfs", "target": "/scratch", "tmpfs": {"size": 1048576}},
        ],
    )


def test_what_compose_made_is_compared_only_when_it_may_be_adopted(bench: Bench) -> None:
    """A foreign container must be inspected for adoption when its service adopts, and never else."""
    resource = rich(bench)
    id = bench.compose_container(resource, f"{bench.prefix}_web_1")
    assert one(bench, id, Look()).found is None
    plain = replace(resource, spec={k: v for k, v in resource.spec.items() if k != "adopt"})
    assert one(bench, id, look(plain)).found is None
    there = one(bench, id, look(resource))
    assert not there.owned and there.restart_policy == "unless-stopped" and there.found is not None
    assert attachments.moved(resource, there.found) == []
    assert compare.container_differences(resource, there.found, {}) == []


def test_a_plain_container_of_compose_is_equal(bench: Bench) -> None:
    """A service that says next to nothing must be equal to what Compose makes of it, whatever defaults the
    Engine fills in.
    """
    for name, config in {"one": {}, "two": {"network_mode": "none"}}.items():
        resource = adopting(bench, name, **config)
        there = one(bench, bench.compose_container(resource, f"{bench.prefix}_{name}_1"), look(resource))
        assert there.found is not None
        assert compare.container_differences(resource, there.found, {}) == []
        more = adopting(bench, name, **config, mem_limit="64m", environment={"A": "1"})
        assert compare.container_differences(more, there.found, {}) == ["environment.A", "mem_limit"]


def test_a_mac_address_is_that_of_one_network(bench: Bench) -> None:
    """The MAC address of a service must be compared in its first network alone: in the others the Engine
    chooses.
    """
    networks: dict[str, Any] = {}
    for name in ("one", "two"):
        made = a_network(bench, name)
        act(bench, made, "create")
        networks[made.key.name] = {}
    resource = adopting(bench, "web", networks=networks, mac_address=MAC)
    there = one(bench, bench.compose_container(resource, f"{bench.prefix}_web_1"), look(resource))
    assert there.found is not None
    assert compare.container_differences(resource, there.found, {}) == []
    other = adopting(bench, "web", networks=networks, mac_address=MAC.replace("43", "44"))
    told = [f"networks.{min(networks)}.mac_address"]
    assert compare.container_differences(other, there.found, {}) == told
    plain = adopting(bench, "web", networks=networks)
    assert compare.container_differences(plain, there.found, {}) == told


def test_what_the_inventory_knows_is_ours(bench: Bench) -> None:
    """An adopted container must be seen as ours by its id, under any name, with the digest it was adopted
    with; it is compared again as long as it is not proved.
    """
    resource = adopting(bench, "web")
    id = bench.compose_container(resource, f"{bench.prefix}_web_1")
    lock = {resource.spec["image"]: bench.host.image_id(resource.spec["image"]) or ""}
    view = View(Target(Manifest({resource.key: resource}), lock), bench.host.observe(look(resource)), {})
    taken = adoption.take_over(view)
    record = adoption.record(resource.key, taken, proved=False)
    assert record["digest"] == resource.digest and record["original"]["name"] == f"{bench.prefix}_web_1"
    owned = Owned(resource.digest, app=bench.prefix, adopted=record)
    known = {("container", id): (resource.key.name, owned)}
    act(bench, resource, "rename", container=id, to=f"{resource.key.name}.kept-{id[:12]}")
    there = one(bench, id, look(resource, adopted=known))
    assert (there.owned, there.key_name, there.digest, there.app) == (
        True,
        resource.key.name,
        resource.digest,
        bench.prefix,
    )
    assert there.original is not None and there.found is not None and there.restart_policy == "no"
    proved = replace(owned, adopted=adoption.record(resource.key, taken, proved=True))
    there = one(bench, id, look(adopted={("container", id): (resource.key.name, proved)}))
    assert there.owned and there.found is None and there.original is None


def test_a_replaced_container_of_compose_leaves_its_unnamed_volumes(bench: Bench) -> None:
    """What is created in place of an adopted container must get its unnamed volumes."""
    resource = adopting(bench, "db", volumes=[{"type": "volume", "target": "/anonymous"}])
    id = bench.compose_container(resource, f"{bench.prefix}_db_1")
    before = one(bench, id, Look()).volumes
    name = f"{resource.key.name}.new-1"
    act(bench, resource, "create", name=name, image=bench.host.image_id(resource.spec["image"]), heir_of=id)
    assert seen(bench, name).volumes == before


def test_networks_and_volumes_are_ours_by_the_inventory(bench: Bench) -> None:
    """A network and a volume must be compared when a service that uses them adopts, and be ours when the
    inventory says so.
    """
    front = a_network(bench, "front")
    bench.foreign_network(front.key.name)
    resource = adopting(bench, "web", networks={front.key.name: {}})
    assert bench.host.observe(Look()).networks[front.key.name].found is None
    there = bench.host.observe(look(resource)).networks[front.key.name]
    assert not there.owned
    known = {("network", there.id): (front.key.name, Owned("d", adopted={"id": there.id, "digest": "d"}))}
    again = bench.host.observe(look(resource, adopted=known)).networks[front.key.name]
    assert (again.owned, again.adopted, again.digest) == (True, True, "d")
