"""What every host does with containers, networks and volumes."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from agent.drivers.observe import Look
from agent.errors import Failed, Transient
from agent.kinds import claims
from tests.contract.bench import (
    Bench,
    FakeBench,
    a_network,
    a_volume,
    act,
    all_seen,
    create,
    eventually,
    run,
    seen,
    service,
    twice,
)
from tests.harness.net import free_port

THIRD = secrets.randbelow(100)
SUBNET = {"ipam": {"config": [{"subnet": f"10.231.{THIRD}.0/24"}]}}
ADDRESS = f"10.231.{THIRD}.9"


def published(port: int) -> list[dict[str, object]]:
    return [{"mode": "ingress", "target": 8080, "published": str(port), "protocol": "tcp"}]


def code(error: pytest.ExceptionInfo[Failed] | pytest.ExceptionInfo[Transient]) -> str:
    return error.value.code


def test_a_created_container_is_seen_with_what_it_was_made_from(bench: Bench) -> None:
    """A created container must be seen as ours, with name, digest, image id and state."""
    web = service(bench, "web", "idle")
    twice(bench, web, "create", name=f"{web.key.name}.new-1", image=bench.host.image_id(web.spec["image"]))
    there = seen(bench, f"{web.key.name}.new-1")
    assert (there.owned, there.key_name, there.digest, there.app) == (
        True,
        web.key.name,
        web.digest,
        bench.prefix,
    )
    assert (there.state, there.image_id) == ("created", bench.host.image_id(web.spec["image"]))
    assert len(all_seen(bench)) == 1


def test_start_stop_and_remove_may_be_repeated(bench: Bench) -> None:
    """Start, stop and remove must do nothing when they are done already."""
    web = service(bench, "web")
    id = create(bench, web)
    twice(bench, web, "start", container=id)
    assert seen(bench, id).state == "running"
    twice(bench, web, "stop", container=id)
    assert seen(bench, id).state == "exited"
    twice(bench, web, "remove", container=id)
    assert all_seen(bench) == []


def test_rename_keeps_the_id(bench: Bench) -> None:
    """A renamed container must keep its id, and renaming again by its earlier name must be done already."""
    web = service(bench, "web")
    id = create(bench, web, f"{web.key.name}.new-1")
    twice(bench, web, "rename", container=f"{web.key.name}.new-1", to=web.key.name)
    assert seen(bench, web.key.name).id == id


def test_a_taken_name_is_a_failure_that_names_the_holder(bench: Bench) -> None:
    """Creating or renaming onto a name that a foreign container holds must fail and say whose it is."""
    web = service(bench, "web")
    bench.foreign_container(web.key.name)
    holder = seen(bench, web.key.name).id[:12]
    with pytest.raises(Failed, match=holder) as error:
        create(bench, web)
    assert code(error) == "NameTaken"
    id = create(bench, web, f"{web.key.name}.new-1")
    with pytest.raises(Failed, match=holder) as error:
        act(bench, web, "rename", container=id, to=web.key.name)
    assert code(error) == "NameTaken" and error.value.hint


def test_a_missing_image_is_transient(bench: Bench) -> None:
    """An image that vanished after it was resolved must condemn nothing."""
    web = service(bench, "web")
    with pytest.raises(Transient) as error:
        act(bench, web, "create", name=web.key.name, image=f"sha256:{'0' * 64}")
    assert code(error) == "ImageMissing"


def test_a_taken_port_fails_the_start(bench: Bench) -> None:
    """A start whose port a process of the host or another container holds must fail; once free, it must
    work.
    """
    port = free_port()
    web, other = service(bench, "web", ports=published(port)), service(bench, "other", ports=published(port))
    id = create(bench, web)
    with bench.holding(port), pytest.raises(Failed) as error:
        act(bench, web, "start", container=id)
    assert code(error) == "PortTaken" and error.value.hint
    act(bench, web, "start", container=id)
    assert claims.port("tcp", "", port) in seen(bench, id).ports
    with pytest.raises(Failed) as error:
        run(bench, other)
    assert code(error) == "PortTaken"
    act(bench, web, "stop", container=id)
    there = seen(bench, id)
    assert (there.state, there.ports) == ("exited", ())
    act(bench, other, "start", container=other.key.name)


def test_a_missing_device_fails_the_start(bench: Bench) -> None:
    """A device that is not on the host must be seen to be missing, and the start with it must fail."""
    bench.without_device("/dev/limpet-none")
    modem = service(bench, "modem", devices=["/dev/limpet-none:/dev/modem:rwm"])
    id = create(bench, modem)
    with pytest.raises(Failed) as error:
        act(bench, modem, "start", container=id)
    assert code(error) == "NoDevice" and error.value.hint
    look = Look(devices=frozenset(["/dev/limpet-none"]))
    assert bench.host.observe(look).missing_devices == {"/dev/limpet-none"}


def test_networks_may_be_made_and_removed_repeatedly(bench: Bench) -> None:
    """Creating a network that is there and removing one that is gone must do nothing."""
    front = a_network(bench, "front")
    twice(bench, front, "create")
    there = bench.host.observe(Look()).networks[front.key.name]
    assert (there.owned, there.digest) == (True, front.digest)
    twice(bench, front, "remove", id=there.id)
    assert front.key.name not in bench.host.observe(Look()).networks


def test_a_foreign_network_of_the_same_name_is_a_failure(bench: Bench) -> None:
    """A network's name that somebody else holds must not be taken for ours."""
    front = a_network(bench, "front")
    bench.foreign_network(front.key.name)
    with pytest.raises(Failed) as error:
        act(bench, front, "create")
    assert code(error) == "NameTaken"
    assert not bench.host.observe(Look()).networks[front.key.name].owned


def test_a_subnet_belongs_to_one_network(bench: Bench) -> None:
    """A network whose subnet overlaps that of another must not be made, and must be once the other is
    gone.
    """
    one = a_network(bench, "one", ipam={"config": [{"subnet": f"10.231.{THIRD}.0/24"}]})
    other = a_network(bench, "other", ipam={"config": [{"subnet": f"10.231.{THIRD}.128/25"}]})
    act(bench, one, "create")
    there = bench.host.observe(Look()).networks[one.key.name]
    assert there.claims == one.claims == (f"subnet/10.231.{THIRD}.0/24",)
    with pytest.raises(Failed) as error:
        act(bench, other, "create")
    assert code(error) == "SubnetTaken" and error.value.hint
    act(bench, one, "remove", id=there.id)
    act(bench, other, "create")


def test_an_interface_belongs_to_one_network(bench: Bench) -> None:
    """A network with the name of another's interface must not be made, and must be once the other is gone."""
    options = {"com.docker.network.bridge.name": f"br-lt{THIRD}"}
    one, other = a_network(bench, "one", driver_opts=options), a_network(bench, "other", driver_opts=options)
    act(bench, one, "create")
    there = bench.host.observe(Look()).networks[one.key.name]
    assert set(one.claims) == {f"bridge/br-lt{THIRD}"} <= set(there.claims)
    with pytest.raises(Failed) as error:
        act(bench, other, "create")
    assert code(error) == "SubnetTaken"
    act(bench, one, "remove", id=there.id)
    act(bench, other, "create")


def test_a_network_in_use_is_not_removed(bench: Bench) -> None:
    """A network with a running container on it must stay, and the message must name the container."""
    front = a_network(bench, "front")
    act(bench, front, "create")
    web = service(bench, "web", networks={front.key.name: None})
    id = run(bench, web)
    network_id = bench.host.observe(Look()).networks[front.key.name].id
    assert seen(bench, id).networks == {front.key.name: network_id}
    with pytest.raises(Transient, match=web.key.name) as error:
        act(bench, front, "remove", id=network_id)
    assert code(error) == "InUse"
    act(bench, web, "stop", container=id)
    act(bench, front, "remove", id=network_id)


def test_a_kept_container_comes_back_after_its_network_was_made_anew(bench: Bench) -> None:
    """A stopped container must start again, same id, on a network that was removed and made again, with its
    static address.
    """
    front = a_network(bench, "front", **SUBNET)
    act(bench, front, "create")
    web = service(bench, "web", networks={front.key.name: {"ipv4_address": ADDRESS, "aliases": ["w"]}})
    id = run(bench, web)
    kept = f"{web.key.name}.kept-1"
    act(bench, web, "stop", container=id)
    act(bench, web, "rename", container=id, to=kept)
    twice(bench, web, "policy", container=id, policy="no")
    old = bench.host.observe(Look()).networks[front.key.name].id
    act(bench, front, "remove", id=old)
    act(bench, front, "create")
    with pytest.raises(Transient) as error:
        act(bench, web, "start", container=id)
    assert code(error) == "NetworkMissing"
    twice(bench, web, "disconnect", container=id, network=front.key.name)
    assert seen(bench, id).networks == {}
    twice(bench, web, "connect", container=id, network=front.key.name)
    assert seen(bench, id).networks == {front.key.name: ""}
    act(bench, web, "policy", container=id)
    act(bench, web, "rename", container=id, to=web.key.name)
    act(bench, web, "start", container=id)
    new = bench.host.observe(Look()).networks[front.key.name].id
    there = seen(bench, web.key.name)
    assert (there.id, there.state, there.networks) == (id, "running", {front.key.name: new})
    assert old != new


def test_connect_alone_replaces_a_stale_network(bench: Bench) -> None:
    """Connecting a stopped container by name must replace the entry of a network that is gone."""
    front = a_network(bench, "front")
    act(bench, front, "create")
    web = service(bench, "web", networks={front.key.name: None})
    id = run(bench, web)
    act(bench, web, "stop", container=id)
    act(bench, front, "remove", id=bench.host.observe(Look()).networks[front.key.name].id)
    act(bench, front, "create")
    act(bench, web, "connect", container=id, network=front.key.name)
    act(bench, web, "start", container=id)
    assert seen(bench, id).state == "running"


def test_a_running_container_changes_networks(bench: Bench) -> None:
    """Connect and disconnect must work on a running container and may be repeated."""
    front, back = a_network(bench, "front"), a_network(bench, "back")
    act(bench, front, "create")
    act(bench, back, "create")
    web = service(bench, "web", networks={front.key.name: None, back.key.name: None})
    id = run(bench, web)
    twice(bench, web, "connect", container=id, network=front.key.name)
    twice(bench, web, "connect", container=id, network=back.key.name)
    networks = bench.host.observe(Look()).networks
    assert seen(bench, id).networks == {name: networks[name].id for name in (front.key.name, back.key.name)}
    twice(bench, web, "disconnect", container=id, network=back.key.name)
    assert set(seen(bench, id).networks) == {front.key.name}


def test_a_missing_network_is_transient(bench: Bench) -> None:
    """A start or connect on a network that is gone must condemn nothing: the next pass makes it."""
    web = service(bench, "web", networks={f"{bench.prefix}_gone": None})
    id = create(bench, web)
    with pytest.raises(Transient) as error:
        act(bench, web, "start", container=id)
    assert code(error) == "NetworkMissing"
    act(
        bench, web, "connect", container=id, network=f"{bench.prefix}_other"
    )  # stopped: resolved at the start
    other = service(bench, "other", networks={f"{bench.prefix}_other": None}, network_mode="none")
    running = run(bench, service(bench, "runs"))
    with pytest.raises(Transient) as error:
        act(bench, other, "connect", container=running, network=f"{bench.prefix}_other")
    assert code(error) == "NetworkMissing"


def test_a_static_address_belongs_to_who_runs(bench: Bench) -> None:
    """A stopped container must not hold its static address; a start onto a held one must fail."""
    front = a_network(bench, "front", **SUBNET)
    act(bench, front, "create")
    config: dict[str, Any] = {"networks": {front.key.name: {"ipv4_address": ADDRESS}}}
    one, other = service(bench, "one", **config), service(bench, "other", **config)
    first, second = run(bench, one), create(bench, other)
    with pytest.raises(Failed) as error:
        act(bench, other, "start", container=second)
    assert code(error) == "AddressTaken"
    act(bench, one, "stop", container=first)
    act(bench, other, "start", container=second)


def test_the_restart_policy_can_be_changed_and_set_back(bench: Bench) -> None:
    """A kept container's policy must be `no`, and its own again when it returns."""
    web = service(bench, "web", restart="on-failure:3")
    id = run(bench, web)
    assert seen(bench, id).restart_policy == "on-failure:3"
    act(bench, web, "stop", container=id)
    act(bench, web, "policy", container=id, policy="no")
    assert seen(bench, id).restart_policy == "no"
    act(bench, web, "policy", container=id)
    assert seen(bench, id).restart_policy == "on-failure:3"


def test_a_crashing_container_restarts_and_is_counted(bench: Bench) -> None:
    """A container in a restart loop must be seen as such, and end when its policy is taken away."""
    web = service(bench, "web", "crash", restart="always")
    id = run(bench, web)
    there = eventually(bench, id, lambda c: bool(c.restart_count and c.state == "restarting"))
    assert there.exit_code == 3
    act(bench, web, "stop", container=id)
    act(bench, web, "policy", container=id, policy="no")
    assert seen(bench, id).state == "exited"


@pytest.mark.parametrize(("kind", "exit_code"), [("once", 0), ("fail-once", 7)])
def test_an_exit_code_is_seen(bench: Bench, kind: str, exit_code: int) -> None:
    """A container that ended must show its exit code."""
    job = service(bench, "job", kind)
    id = run(bench, job)
    assert eventually(bench, id, lambda c: c.state == "exited").exit_code == exit_code


def test_waiting_for_health(bench: Bench) -> None:
    """Waiting must end when the container is healthy, at once when it cannot become so, and say why."""
    web = service(bench, "web", "web")
    id = run(bench, web)
    act(bench, web, "await", container=id, condition="healthy", timeout=60.0)
    assert seen(bench, id).health == "healthy"
    for kind, reason in (("sick", "Unhealthy"), ("once", "Exited"), ("idle", "NoHealthCheck")):
        other = service(bench, f"other-{kind}", kind)
        id = run(bench, other)
        if kind == "once":
            eventually(bench, id, lambda c: c.state == "exited")
        with pytest.raises(Failed, match=other.key.name) as error:
            act(bench, other, "await", container=id, condition="healthy", timeout=60.0)
        assert code(error) == reason and error.value.hint


def test_waiting_for_completion(bench: Bench) -> None:
    """Waiting for a one-shot must end at exit code 0, and fail at once at any other."""
    good, bad = service(bench, "good", "once"), service(bench, "bad", "fail-once")
    act(bench, good, "await", container=run(bench, good), condition="completed", timeout=60.0)
    with pytest.raises(Failed, match="7") as error:
        act(bench, bad, "await", container=run(bench, bad), condition="completed", timeout=60.0)
    assert code(error) == "ExitedWithError"


def test_waiting_has_an_end(bench: Bench) -> None:
    """Waiting for a completion that never comes must fail after its time."""
    web = service(bench, "web", "idle")
    with pytest.raises(Failed) as error:
        act(bench, web, "await", container=run(bench, web), condition="completed", timeout=0.3)
    assert code(error) == "NotReady"


def test_what_is_gone_is_transient_where_it_is_needed(bench: Bench) -> None:
    """A verb on a container that vanished must condemn nothing; stop, remove and disconnect are done."""
    web = service(bench, "web")
    for verb, args in (
        ("start", {}),
        ("policy", {}),
        ("signal", {"signal": "HUP"}),
        ("unpause", {}),
        ("rename", {"to": "x"}),
    ):
        with pytest.raises(Transient) as error:
            act(bench, web, verb, container=f"{bench.prefix}-gone", **args)
        assert code(error) == "Missing", verb
    for verb in ("stop", "remove"):
        act(bench, web, verb, container=f"{bench.prefix}-gone")


def test_a_volume_is_made_once(bench: Bench) -> None:
    """A named volume must be created when missing and left alone after that; containers show it."""
    data = a_volume(bench, "data")
    twice(bench, data, "create")
    there = bench.host.observe(Look()).volumes[data.key.name]
    assert (there.owned, there.digest) == (True, data.digest)
    db = service(bench, "db", volumes=[{"type": "volume", "source": data.key.name, "target": "/data"}])
    id = run(bench, db)
    assert seen(bench, id).volumes == (data.key.name,)
    act(bench, db, "remove", container=id)
    assert data.key.name in bench.host.observe(Look()).volumes


def test_a_bind_source_is_made_unless_that_is_forbidden(bench: Bench) -> None:
    """A missing bind source must become a directory, as in Compose, or fail the creation with
    create_host_path: false.
    """
    web = service(bench, "web", volumes=[{"type": "bind", "source": "/srv/data", "target": "/data"}])
    run(bench, web)
    assert bench.host.observe(Look(frozenset(["/srv/data"]))).files["/srv/data"].type == "directory"
    bind = {"type": "bind", "source": "/srv/other", "target": "/d", "bind": {"create_host_path": False}}
    with pytest.raises(Failed) as error:
        create(bench, service(bench, "other", volumes=[bind]))
    assert code(error) == "BindMissing"


def test_foreign_things_are_seen_as_such(bench: Bench) -> None:
    """Containers and networks of others must be seen and never taken for ours."""
    bench.foreign_network(f"{bench.prefix}-theirs")
    bench.foreign_container(f"{bench.prefix}-alien", network=f"{bench.prefix}-theirs")
    there = seen(bench, f"{bench.prefix}-alien")
    assert (there.owned, there.key_name, there.digest, there.restart_policy) == (False, "", "", None)
    assert set(there.networks) == {f"{bench.prefix}-theirs"}
    assert not bench.host.observe(Look()).networks[f"{bench.prefix}-theirs"].owned


def test_only_a_deep_look_inspects(bench: Bench) -> None:
    """Restart counts and policies must be known after a deep look, and of candidates and kept ones always."""
    web = service(bench, "web", restart="always")
    run(bench, web)
    create(bench, web, f"{web.key.name}.new-1")
    shallow = {c.name: c for c in bench.host.observe(Look()).containers if c.owned}
    assert shallow[web.key.name].restart_policy is None and shallow[web.key.name].restart_count is None
    assert shallow[f"{web.key.name}.new-1"].restart_policy == "always"
    deep = seen(bench, web.key.name)
    assert (deep.restart_policy, deep.restart_count) == ("always", 0) and deep.started_at


def test_images_are_seen_by_reference(bench: Bench) -> None:
    """A local reference must resolve to its id, and one that is not there to nothing."""
    reference = bench.image("idle")
    observed = bench.host.observe(Look(images=(reference, "limpet-test/none:v9")))
    assert observed.images == {reference: bench.host.image_id(reference)}
    assert bench.host.image_id(reference) in observed.image_ids
    assert bench.host.image_id("limpet-test/none:v9") is None


def test_a_signal_reaches_a_running_container_only(bench: Bench) -> None:
    """A signal must be safe to send to a container that is stopped: it reads its files when it starts."""
    web = service(bench, "web", "web")
    id = run(bench, web)
    act(bench, web, "signal", container=id, signal="CONT")
    assert seen(bench, id).state == "running"
    act(bench, web, "stop", container=id)
    act(bench, web, "signal", container=id, signal="CONT")


def test_a_restart_keeps_the_container(bench: Bench) -> None:
    """A restart must keep the id and may be repeated; of a container that vanished it is transient."""
    web = service(bench, "web", "web", restart="unless-stopped")
    id = run(bench, web)
    started = seen(bench, id).started_at
    twice(bench, web, "restart", container=id)
    there = seen(bench, id)
    assert (there.id, there.state, there.restart_policy) == (id, "running", "unless-stopped")
    assert there.started_at != started
    with pytest.raises(Transient) as error:
        act(bench, web, "restart", container=f"{bench.prefix}-gone")
    assert code(error) == "Missing"


def watching(
    bench: Bench, *names: str, seconds: float = 0.0, most: int = 0, timeout: float = 60.0
) -> dict[str, Any]:
    return {"containers": list(names), "seconds": seconds, "most": most, "timeout": timeout}


def test_watching_ends_when_all_are_good(bench: Bench) -> None:
    """A watch must wait until all are healthy, take what has no health check for good while it runs, and may
    be repeated.
    """
    web, idle = service(bench, "web", "web"), service(bench, "idle", "idle")
    ids = [run(bench, web), run(bench, idle)]
    twice(bench, web, "watch", **watching(bench, *ids, seconds=0.3))
    assert seen(bench, ids[0]).health == "healthy"
    act(bench, web, "delay", seconds=0.05)


@pytest.mark.parametrize(
    ("kind", "restart", "reason"),
    [
        ("sick", "no", "Unhealthy"),
        ("fail-once", "no", "Exited"),
        ("crash", "always", "Restarts"),
        ("late", "no", "Exited"),
    ],
)
def test_watching_fails_when_more_than_so_many_fail(
    bench: Bench, kind: str, restart: str, reason: str
) -> None:
    """A watch must fail, and say of which, when a container ends, restarts or is unhealthy; and go on when so
    many may.
    """
    web, other = service(bench, "web", "web"), service(bench, "other", kind, restart=restart)
    ids = [run(bench, web), run(bench, other)]
    with pytest.raises(Failed, match=other.key.name) as error:
        act(bench, web, "watch", **watching(bench, *ids, seconds=10.0))
    assert code(error) == reason and error.value.hint
    act(bench, web, "watch", **watching(bench, *ids, seconds=0.1, most=1))


def test_watching_has_an_end(bench: Bench) -> None:
    """A container that never becomes healthy must fail the watch after its time, and one that is gone be
    transient.
    """
    check = {"test": ["CMD", "false"], "interval": "1h"}
    web = service(bench, "web", "web", healthcheck=check)
    id = run(bench, web)
    if not isinstance(bench, FakeBench):
        with pytest.raises(Failed) as failure:
            act(bench, web, "watch", **watching(bench, id, timeout=0.3))
        assert code(failure) == "NotReady"
    with pytest.raises(Transient) as error:
        act(bench, web, "watch", **watching(bench, f"{bench.prefix}-gone"))
    assert code(error) == "Missing"
