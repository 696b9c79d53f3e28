"""The docker driver on a real Engine: what cannot be said of the fake too."""

from __future__ import annotations

import os
import signal
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.drivers.host import RealHost
from agent.drivers.observe import Look
from agent.errors import Failed, Interrupted, Transient
from agent.installation import Paths
from agent.kinds import container
from agent.model import Action, Resource
from agent.settings.values import EngineSettings
from agent.store.content import Content
from tests.contract.bench import RealBench, a_network, a_volume, act, create, eventually, run, seen, service
from tests.harness import images, wait
from tests.harness.engine import Engine, private_engine
from tests.harness.net import free_port
from tests.harness.proxy import Request, proxy


@pytest.fixture
def bench(prefix: str, engine: Engine, tmp_path: Path) -> Iterator[RealBench]:
    real = RealBench(prefix, engine, tmp_path)
    yield real
    real.close()


def through(bench: RealBench, socket: Path, stop: threading.Event | None = None) -> RealHost:
    """A host on the same root that speaks to another socket."""
    settings = EngineSettings(socket=str(socket))
    return RealHost(Paths(bench.root), settings, Content(Paths(bench.root).content), bench.prefix, stop)


def test_every_verb_survives_an_answer_that_was_lost(bench: RealBench, tmp_path: Path) -> None:
    """A verb whose answer never arrived must be Transient, and its repetition must end where one call would
    have.
    """
    socket = tmp_path / "docker.sock"
    front, data = a_network(bench, "front"), a_volume(bench, "data")
    web = service(
        bench,
        "web",
        "plain-web",
        networks={front.key.name: None, f"{bench.prefix}_back": None},
        restart="always",
    )
    back = a_network(bench, "back")
    act(bench, back, "create")
    image, new, name = bench.host.image_id(web.spec["image"]), f"{web.key.name}.new-1", web.key.name
    verbs: list[tuple[Resource, str, dict[str, Any]]] = [
        (front, "create", {}),
        (data, "create", {}),
        (web, "create", {"name": new, "image": image}),
        (web, "connect", {"container": new, "network": front.key.name}),
        (web, "rename", {"container": new, "to": name}),
        (web, "start", {"container": name}),
        (web, "signal", {"container": name, "signal": "CONT"}),
        (web, "policy", {"container": name, "policy": "no"}),
        (web, "disconnect", {"container": name, "network": front.key.name}),
        (web, "stop", {"container": name}),
        (web, "remove", {"container": name}),
        (front, "remove", {"id": front.key.name}),
    ]
    with proxy(bench.engine.socket, socket) as line:

        def lose(count: int, request: Request) -> None:
            if request.method != "GET":
                line.cut_after(0)

        line.on_request("before", lose)
        for resource, verb, args in verbs:
            host = through(bench, socket)
            with pytest.raises(Transient) as error:
                host.execute(Action(1, verb, resource.key, "test", args), resource)
            assert error.value.code == "RuntimeUnavailable", verb
            line.resume()
            act(bench, resource, verb, **args)
            host.close()
    observed = bench.host.observe(Look())
    assert front.key.name not in observed.networks and data.key.name in observed.volumes
    assert not [c for c in observed.containers if c.name.startswith(bench.prefix)]


def test_an_engine_that_is_away_is_unavailable(bench: RealBench, tmp_path: Path) -> None:
    """With the socket refusing, every verb must be Transient, and work again when it is back, by the same
    host.
    """
    web = service(bench, "web")
    id = create(bench, web)
    with proxy(bench.engine.socket, tmp_path / "docker.sock") as line:
        host = through(bench, tmp_path / "docker.sock")
        host.execute(Action(1, "policy", web.key, "test", {"container": id, "policy": "no"}), web)
        line.refuse()
        for verb, args in (
            ("start", {}),
            ("stop", {}),
            ("remove", {}),
            ("policy", {}),
            ("rename", {"to": "x"}),
        ):
            with pytest.raises(Transient) as error:
                host.execute(Action(1, verb, web.key, "test", {"container": id, **args}), web)
            assert error.value.code == "RuntimeUnavailable", verb
        line.resume()
        host.execute(Action(1, "start", web.key, "test", {"container": id}), web)
        host.close()
    assert seen(bench, id).state == "running"


def test_a_signal_does_not_end_the_restart_policy(bench: RealBench) -> None:
    """A container that was signalled of a changed file must still be restarted when it crashes later."""
    plain = service(bench, "web", "plain-web", restart="always")
    web = container.container_resource(
        plain.key.name,
        app=bench.prefix,
        service="web",
        number=1,
        config=dict(plain.spec["config"]),
        inputs={},
        folded={},
        on_change={"/etc/a": "signal:CONT"},
    )
    id = run(bench, web)
    act(bench, web, "signal", container=id, signal="CONT")
    pid = bench.engine.client.api.inspect_container(id)["State"]["Pid"]
    os.kill(pid, signal.SIGKILL)
    eventually(bench, id, lambda c: c.state == "running" and c.restart_count == 1)


def test_a_returned_container_is_found_by_its_names(bench: RealBench) -> None:
    """After its networks were made anew, a returned container must answer to its name, its service and its
    aliases.
    """
    front = a_network(bench, "front")
    act(bench, front, "create")
    web = service(bench, "web", "plain-web", networks={front.key.name: {"aliases": ["w"]}})
    id = run(bench, web)
    act(bench, web, "stop", container=id)
    act(bench, web, "rename", container=id, to=f"{web.key.name}.kept-1")
    act(bench, front, "remove", id=front.key.name)
    act(bench, front, "create")
    act(bench, web, "connect", container=id, network=front.key.name)
    act(bench, web, "rename", container=id, to=web.key.name)
    act(bench, web, "start", container=id)
    probe = run(bench, service(bench, "probe", "idle", networks={front.key.name: None}))
    for name in ("w", "web", web.key.name):
        code, output = bench.engine.client.containers.get(probe).exec_run(["nslookup", name])
        assert code == 0, output


def test_unnamed_volumes_go_on(bench: RealBench, prefix: str) -> None:
    """What is in a volume that only the image declares must be there after a replacement, as with Compose."""
    api = bench.engine.client
    for version in ("v1", "v2"):
        images.load(
            api,
            images.make(f"{prefix}/db:{version}", {"Cmd": ["/bin/idle"], "Volumes": {"/data": {}}}, version),
        )

    def db(version: str) -> Resource:
        config = {"image": f"{prefix}/db:{version}", "volumes": [{"type": "volume", "target": "/more"}]}
        return container.container_resource(
            f"{prefix}-db-1", app=prefix, service="db", number=1, config=config, inputs={}, folded={}
        )

    old = run(bench, db("v1"))
    for place in ("/data/a", "/more/b"):
        assert api.containers.get(old).exec_run(["touch", place]).exit_code == 0
    new = create(bench, db("v2"), f"{prefix}-db-1.new-1")
    act(bench, db("v1"), "stop", container=old)
    act(bench, db("v1"), "rename", container=old, to=f"{prefix}-db-1.kept-1")
    late = create(bench, db("v2"), f"{prefix}-db-1.new-2")
    act(bench, db("v1"), "remove", container=old)
    for id in (new, late):
        act(bench, db("v2"), "start", container=id)
        for place in ("/data/a", "/more/b"):
            assert api.containers.get(id).exec_run(["test", "-e", place]).exit_code == 0
    api.containers.get(late).remove(force=True)
    names = [mount["Name"] for mount in api.api.inspect_container(new)["Mounts"]]
    api.containers.get(new).remove(force=True)
    for name in names:
        api.volumes.get(name).remove()


def test_a_deleted_network_is_mended_under_a_running_container(bench: RealBench) -> None:
    """After its network was torn away and made anew, a running container must be found and its port must
    answer, same id.
    """
    port = free_port()
    front = a_network(bench, "front")
    act(bench, front, "create")
    ports = [{"target": 8080, "published": str(port), "protocol": "tcp"}]
    web = service(bench, "web", "plain-web", ports=ports, networks={front.key.name: {"aliases": ["w"]}})
    id = run(bench, web)
    started = seen(bench, id).started_at
    bench.engine.client.networks.get(front.key.name).disconnect(id, force=True)
    act(bench, front, "remove", id=front.key.name)
    assert seen(bench, id).networks == {}
    act(bench, front, "create")
    act(bench, web, "connect", container=id, network=front.key.name)
    probe = run(bench, service(bench, "probe", "idle", networks={front.key.name: None}))
    assert bench.engine.client.containers.get(probe).exec_run(["nslookup", "w"]).exit_code == 0
    answer = wait.eventually(
        lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2).read(), 60
    )
    assert answer == b"v1\n" and seen(bench, id).started_at == started


def test_only_ours_are_reached_by_two_installations(bench: RealBench, tmp_path: Path) -> None:
    """Another installation on the same Engine must see our things as foreign, and fail on our names."""
    web = service(bench, "web")
    create(bench, web)
    other = RealHost(
        Paths(tmp_path / "other"), EngineSettings(socket=bench.engine.socket), bench.content, "another"
    )
    there = [c for c in other.observe(Look(deep=True)).containers if c.name == web.key.name]
    assert [(c.owned, c.digest, c.key_name) for c in there] == [(False, "", "")]
    with pytest.raises(Failed) as error:
        other.execute(
            Action(1, "create", web.key, "test", {"name": web.key.name, "image": there[0].image_id}), web
        )
    assert error.value.code == "NameTaken"
    other.close()


def test_a_wait_ends_when_the_pass_is_asked_to_stop(bench: RealBench, tmp_path: Path) -> None:
    """A wait for health must end at once, as Interrupted, when the process is to stop."""
    stop = threading.Event()
    host = through(bench, Path(bench.engine.socket), stop)
    job = service(bench, "job", "idle")
    id = run(bench, job)
    threading.Timer(0.3, stop.set).start()
    with pytest.raises(Interrupted):
        host.execute(
            Action(1, "await", job.key, "test", {"container": id, "condition": "completed", "timeout": 60.0}),
            job,
        )
    host.close()


def test_a_stubborn_container_is_killed_after_its_grace_period(bench: RealBench) -> None:
    """Stop must give a container its own stop_grace_period, and then kill it."""
    web = service(bench, "web", "stubborn", stop_grace_period="1s")
    id = run(bench, web)
    act(bench, web, "stop", container=id)
    assert seen(bench, id).exit_code == 137


def test_the_reference_is_shown_while_it_is_the_image(bench: RealBench, prefix: str) -> None:
    """`docker ps` must show the reference; when the tag moved meanwhile, the image of the lock must be run
    all the same.
    """
    tagged = f"{prefix}/app:1"
    first, second = bench.host.image_id(bench.image("idle")), bench.host.image_id(bench.image("web"))
    api = bench.engine.client.api
    web = service(bench, "web")
    web = container.container_resource(
        web.key.name, app=prefix, service="web", number=1, config={"image": tagged}, inputs={}, folded={}
    )
    for name, tag in (("a", first), ("b", second)):
        api.tag(tag, f"{prefix}/app", "1")
        act(bench, web, "create", name=f"{prefix}-{name}", image=first)
        there = api.inspect_container(f"{prefix}-{name}")
        assert there["Image"] == first and there["Config"]["Image"] == (tagged if tag == first else first)


def test_a_restart_of_dockerd(tmp_path: Path, prefix: str) -> None:
    """Across a restart of dockerd a kept container must stay down, a current one come back, and the same host
    go on.
    """
    with private_engine(tmp_path) as private:
        bench = RealBench(prefix, private.engine, tmp_path)
        front = a_network(bench, "front")
        act(bench, front, "create")
        web = service(bench, "web", "plain-web", restart="always", networks={front.key.name: None})
        kept = run(bench, web)
        act(bench, web, "stop", container=kept)
        act(bench, web, "rename", container=kept, to=f"{web.key.name}.kept-1")
        act(bench, web, "policy", container=kept, policy="no")
        current = run(bench, web)
        bench.host.steady()
        private.stop()
        with pytest.raises(Transient):
            bench.host.steady()
        with pytest.raises(Transient):
            bench.host.observe(Look())
        private.start()
        with pytest.raises(Transient, match="restarted"):
            bench.host.steady()
        eventually(bench, current, lambda c: c.state == "running")
        there = seen(bench, kept)
        assert (there.state, there.restart_policy) == ("exited", "no")
        act(bench, web, "stop", container=current)
        act(bench, web, "rename", container=current, to=f"{web.key.name}.kept-2")
        act(bench, web, "rename", container=kept, to=web.key.name)
        act(bench, web, "start", container=kept)
        assert (
            seen(bench, kept).networks[front.key.name]
            == bench.host.observe(Look()).networks[front.key.name].id
        )
        bench.close()
