"""What a refused change leaves: the old container runs on, with all that it uses."""

from __future__ import annotations

from typing import Any

import pytest

from agent.kinds import files, network
from agent.model import Action, Need, Resource
from tests.fakes.host import Died
from tests.fakes.passes import Passes, service
from tests.passes.moves import proved, with_images

WEB = "shop-web-1"


@pytest.fixture
def passes(tmp_path: Any) -> Passes:
    return with_images(tmp_path, ("shop/web:1", "idle"))


def file(passes: Passes, path: str) -> Resource:
    return files.file(path, content=passes.host.content.put(b"x"), size=1)


def user(path: Resource, *networks: Resource) -> Resource:
    """A container that mounts a file and is on networks."""
    config = {"restart": "always", "networks": {each.key.name: {} for each in networks}}
    mount = {"type": "bind", "source": path.key.name, "target": "/c", "bind": {"create_host_path": False}}
    needs = tuple(Need(each.key, "present") for each in (path, *networks))
    return service("shop/web:1", WEB, config=config, volumes=[mount], needs=needs)


@pytest.fixture
def refused(passes: Passes) -> Passes:
    """A proved service whose change is refused: it wants a network that somebody has yet to make."""
    old, front = file(passes, "/apps/old.conf"), network.network_resource("front", app="shop", config={})
    proved(passes, old, front, user(old, front))
    new, proxy = (
        file(passes, "/apps/new.conf"),
        network.network_resource("proxy", app="shop", config={}, external=True),
    )
    passes.branch.push(new, proxy, user(new, proxy))
    return passes


def test_what_the_old_form_uses_stays(refused: Passes) -> None:
    """A refused container must run on with its files and networks, and the pass must say what is refused and
    nothing else.
    """
    for _ in range(3):
        result = refused.run()
        assert result.exit_code == 6, result
        assert refused.host._find(WEB).seen.state == "running"
        assert "/apps/old.conf" in refused.host.files.there and "front" in refused.host.networks


def test_the_old_form_is_kept_running(refused: Passes) -> None:
    """When the old container has stopped, it must be started again."""
    refused.run()
    refused.host.stop_by_hand(WEB)
    assert refused.run().exit_code == 6
    assert refused.host._find(WEB).seen.state == "running"
    done = len(refused.host.done)
    assert refused.run().exit_code == 6 and len(refused.host.done) == done


def test_when_the_obstacle_goes_so_does_the_rest(refused: Passes) -> None:
    """When the change can be made, it must be made, and what the old form used must go."""
    refused.run()
    refused.host.add_foreign_network("proxy")
    assert refused.run().exit_code == 0
    assert refused.run().exit_code == 0
    assert "/apps/old.conf" not in refused.host.files.there and "front" not in refused.host.networks


def test_what_the_old_form_waits_for_runs_on(passes: Passes) -> None:
    """A container that the old form depends on must not be removed either."""
    db = service("shop/web:1", "shop-db-1", config={"restart": "always"})
    old = file(passes, "/apps/old.conf")
    first = user(old)
    first = service(
        "shop/web:1", WEB, config=first.spec["config"], needs=(*first.needs, Need(db.key, "started"))
    )
    proved(passes, old, db, first)
    proxy = network.network_resource("proxy", app="shop", config={}, external=True)
    passes.branch.push(old, proxy, user(old, proxy))
    assert passes.run().exit_code == 6
    assert passes.host._find("shop-db-1").seen.state == "running"


@pytest.mark.parametrize("shared", [False, True])
def test_a_container_that_goes_keeps_its_file_while_it_runs(passes: Passes, shared: bool) -> None:
    """A file that goes with its container must be there as long as that runs, whatever else of the app is
    replaced: a start in between would fail.
    """
    path = "/apps/shop/job.conf"
    made = file(passes, path)
    conf = files.file(path, content=made.spec["content"], size=1, app="shop")
    other = {"config": {"restart": "always"}, "environment": {"E": "1"}}
    job = service("shop/web:1", "shop-job-1", **_mounting(conf))
    web = service("shop/web:1", WEB, **(other | (_mounting(conf) if shared else {})))
    proved(passes, conf, job, web)
    execute, lost = passes.host.execute, list[str]()

    def watched(action: Action, resource: Resource | None) -> None:
        execute(action, resource)
        running = (at for at in passes.host.containers.values() if at.seen.state == "running")
        lost.extend(at.seen.name for at in running if not passes.host.files.there.keys() >= {*at.alone})

    passes.host.execute = watched  # type: ignore[method-assign]
    proved(passes, service("shop/web:1", WEB, **(other | {"environment": {"E": "2"}})))
    assert not lost
    assert path not in passes.host.files.there and passes.host.find("shop-job-1") is None


def _mounting(conf: Resource) -> dict[str, Any]:
    mount = {"type": "bind", "source": conf.key.name, "target": "/c", "bind": {"create_host_path": False}}
    inputs = {conf.key.name: conf.spec["content"]}
    return {"volumes": [mount], "needs": (Need(conf.key, "present"),), "inputs": inputs}


def held_back(*more: Resource, **config: Any) -> tuple[Resource, ...]:
    """A release whose service is refused: it wants a network that somebody has yet to make."""
    proxy = network.network_resource("proxy", app="shop", config={}, external=True)
    networks = {"networks": {"proxy": {}}, "restart": "always"}
    return proxy, service("shop/web:1", WEB, config=networks, needs=(Need(proxy.key, "present"),)), *more


def test_a_job_that_ran_is_not_run_again(passes: Passes) -> None:
    """A one-shot that has run must not be run again because it becomes a service that is refused."""
    passes.host.add_image("shop/job:1", "once")
    proved(passes, service("shop/job:1", WEB, oneshot=True))
    begun = passes.host._find(WEB).started_at
    passes.branch.push(*held_back())
    for _ in range(2):
        assert passes.run().exit_code == 6
    assert passes.host._find(WEB).started_at == begun


@pytest.mark.parametrize("obstacle", ["port", "process", "device", "lender"])
def test_an_old_form_that_cannot_start_condemns_nothing(passes: Passes, obstacle: str) -> None:
    """When the old form cannot be started either, the rest of the release must be brought in all the same,
    and what is refused must be said with exit code 6.
    """
    vpn = passes.host.add_foreign_container("vpn")
    configs: dict[str, dict[str, Any]] = {
        "device": {"devices": ["/dev/ttyUSB0:/dev/ttyUSB0:rwm"]},
        "lender": {"network_mode": "container:vpn"},
    }
    ports = {"ports": [{"target": 80, "published": "80", "protocol": "tcp"}]}
    proved(passes, service("shop/web:1", WEB, config={"restart": "always", **configs.get(obstacle, ports)}))
    passes.host.stop_by_hand(WEB)
    match obstacle:
        case "port":
            passes.host.add_foreign_container("stranger", ports=("port/tcp/0.0.0.0/80",))
        case "process":
            passes.host.ports_of_others.add("port/tcp/0.0.0.0/80")
        case "device":
            passes.host.missing_devices.add("/dev/ttyUSB0")
        case "lender":
            del passes.host.containers[vpn]
    passes.branch.push(*held_back(service("shop/web:1", "shop-other-1", config={"restart": "always"})))
    for _ in range(3):
        result = passes.run()
        assert (result.outcome, result.exit_code) == ("Converged", 6), result
        assert passes.host._find("shop-other-1").seen.state == "running" and not passes.state.rejected


@pytest.mark.parametrize("has", ["port", "volume"])
def test_an_old_form_has_what_it_had(passes: Passes, has: str) -> None:
    """When an old form has stopped, and another container of the release wants its port or its data, only one
    of the two must run, and nothing must be condemned.
    """
    mount = {"type": "volume", "source": "data", "target": "/d"}
    ports = {"ports": [{"target": 80, "published": "80", "protocol": "tcp"}]}
    volumes = [mount] if has == "volume" else []
    config = {"restart": "always"} | (ports if has == "port" else {})
    proved(passes, service("shop/web:1", WEB, config=config, volumes=volumes))
    passes.host.stop_by_hand(WEB)
    passes.branch.push(*held_back(service("shop/web:1", "shop-other-1", config=config, volumes=volumes)))
    for _ in range(3):
        result = passes.run()
        assert (result.outcome, result.exit_code) == ("Converged", 6), result
        running = [at for at in passes.host.containers.values() if at.seen.state == "running"]
        assert len(running) == 1


def test_what_was_never_proved_does_not_run_beside_known_good(passes: Passes) -> None:
    """A container of a release that was given up must not be started again as the old form of one that is
    refused, beside the one of known good that has the same data.
    """
    volumes = [{"type": "volume", "source": "data", "target": "/d"}]
    proved(passes, service("shop/web:1", "shop-db-1", config={"restart": "always"}, volumes=volumes))
    renamed = service("shop/web:1", WEB, config={"restart": "always"}, volumes=volumes)
    passes.branch.push(renamed)
    execute, together = passes.host.execute, list[set[str]]()

    def killed(action: Action, resource: Resource | None) -> None:
        execute(action, resource)
        if (action.verb, action.key.name) == ("start", WEB):
            raise Died

    passes.host.execute = killed  # type: ignore[method-assign]
    with pytest.raises(Died):
        passes.run()
    passes.host.stop_by_hand(WEB)

    def watched(action: Action, resource: Resource | None) -> None:
        execute(action, resource)
        running = (at.seen for at in passes.host.containers.values() if at.seen.state == "running")
        together.append({seen.key_name for seen in running})

    passes.host.execute = watched  # type: ignore[method-assign]
    proxy, refused = held_back()
    config = {**refused.spec["config"], "volumes": volumes}
    again = {"config": config, "needs": refused.needs}
    passes.branch.push(proxy, service("shop/web:1", WEB, **again))
    for _ in range(2):
        assert passes.run().exit_code == 6
    assert passes.host._find("shop-db-1").seen.state == "running"
    assert not [names for names in together if len(names) > 1]
