"""What every host does with a container that lives by another one, its lender."""

from __future__ import annotations

from typing import Any

import pytest

from agent.drivers.observe import Look
from agent.errors import Failed
from agent.model import Resource
from agent.observed import ObservedContainer
from tests.contract.bench import Bench, a_volume, act, create, eventually, run, seen, service

NAMESPACES = ("network_mode", "pid", "ipc")
by_namespace = pytest.mark.parametrize("key", NAMESPACES)


def lender(bench: Bench) -> Resource:
    return service(bench, "gw", network_mode="none", ipc="shareable", init=True)


def behind(bench: Bench, key: str, name: str = "app") -> Resource:
    config: dict[str, Any] = {
        "init": True,
        "network_mode": "none",
        key: f"container:{lender(bench).key.name}",
    }
    return service(bench, name, **config)


def refused(bench: Bench, resource: Resource, verb: str = "start") -> None:
    """The verb fails because of the lender, and names the container and a remedy."""
    with pytest.raises(Failed, match=resource.key.name) as error:
        act(bench, resource, verb, container=resource.key.name)
    assert error.value.code == "Namespace" and error.value.hint, error.value


def there(bench: Bench, resource: Resource) -> ObservedContainer:
    return seen(bench, resource.key.name)


@by_namespace
def test_a_lender_is_remembered_by_its_id(bench: Bench, key: str) -> None:
    """A container must live by the lender that had the name when it was created, whoever has the name now."""
    gateway, app = lender(bench), behind(bench, key)
    first = create(bench, gateway)
    create(bench, app)
    assert there(bench, app).shares == {key: first}
    act(bench, gateway, "rename", container=first, to=f"{gateway.key.name}.kept-1")
    second = run(bench, gateway)
    refused(bench, app)
    act(bench, gateway, "start", container=first)
    act(bench, app, "start", container=app.key.name)
    assert there(bench, app).shares == {key: first} != {key: second}


@by_namespace
def test_what_lives_by_one_that_is_gone(bench: Bench, key: str) -> None:
    """Without its lender a container can neither be started nor restarted, and with another one of that name
    only when it is created anew.
    """
    gateway, app = lender(bench), behind(bench, key)
    run(bench, gateway)
    run(bench, app)
    act(bench, app, "stop", container=app.key.name)
    act(bench, gateway, "stop", container=gateway.key.name)
    refused(bench, app)
    refused(bench, app, "restart")
    act(bench, gateway, "remove", container=gateway.key.name)
    refused(bench, app)
    run(bench, gateway)
    refused(bench, app)
    act(bench, app, "remove", container=app.key.name)
    run(bench, app)


@by_namespace
def test_a_lender_that_was_never_there(bench: Bench, key: str) -> None:
    """A network is looked up again at the start, while processes and shared memory must be there when the
    container is created.
    """
    gateway, app = lender(bench), behind(bench, key)
    if key != "network_mode":
        with pytest.raises(Failed) as error:
            create(bench, app)
        assert error.value.code == "Namespace" and error.value.hint
        return
    create(bench, app)
    refused(bench, app)
    run(bench, gateway)
    act(bench, app, "start", container=app.key.name)
    assert there(bench, app).shares == {key: gateway.key.name}


@by_namespace
def test_a_lender_that_is_restarted(bench: Bench, key: str) -> None:
    """What shares the processes of a lender must end with it; what shares its network or its memory runs on,
    and is seen to have been started before it.
    """
    gateway, app = lender(bench), behind(bench, key)
    run(bench, gateway)
    run(bench, app)
    assert there(bench, gateway).started_at < there(bench, app).started_at
    act(bench, gateway, "restart", container=gateway.key.name)
    if key == "pid":
        assert eventually(bench, app.key.name, lambda c: c.state == "exited").exit_code == 137
        return
    assert there(bench, app).state == "running"
    assert there(bench, app).started_at < there(bench, gateway).started_at
    act(bench, app, "restart", container=app.key.name)
    assert there(bench, gateway).started_at < there(bench, app).started_at


@by_namespace
def test_a_lender_in_a_restart_loop(bench: Bench, key: str) -> None:
    """Nothing can live by a container that is restarting."""
    gateway = service(bench, "gw", "crash", network_mode="none", ipc="shareable", restart="always")
    app = behind(bench, key)
    run(bench, gateway)
    create(bench, app)
    eventually(bench, gateway.key.name, lambda c: c.state == "restarting" and bool(c.restart_count))
    refused(bench, app)


def test_what_has_the_volumes_of_another(bench: Bench) -> None:
    """The volumes of a lender must be seen at who uses them, and a lender that is not there must fail the
    creation.
    """
    data = a_volume(bench, "data")
    act(bench, data, "create")
    mount = {"type": "volume", "source": data.key.name, "target": "/data"}
    gateway = service(bench, "gw", network_mode="none", volumes=[mount])
    app = service(bench, "app", network_mode="none", volumes_from=[f"{gateway.key.name}:ro"])
    with pytest.raises(Failed) as error:
        create(bench, app)
    assert error.value.code == "Namespace" and error.value.hint
    create(bench, gateway)
    run(bench, app)
    assert there(bench, app).volumes == (data.key.name,)
    shallow = {c.name: c for c in bench.host.observe(Look()).containers}
    assert shallow[app.key.name].volumes == (data.key.name,)


def test_what_is_linked_to_another(bench: Bench) -> None:
    """What is linked to a container on the default network can be started only while that one runs, and must
    be created anew when that one was.
    """
    gateway = service(bench, "gw", network_mode="bridge", init=True)
    app = service(bench, "app", network_mode="bridge", init=True, links=[f"{gateway.key.name}:gw"])
    with pytest.raises(Failed) as error:
        create(bench, app)
    assert error.value.code == "Namespace" and error.value.hint
    create(bench, gateway)
    create(bench, app)
    refused(bench, app)
    act(bench, gateway, "start", container=gateway.key.name)
    act(bench, app, "start", container=app.key.name)
    act(bench, app, "stop", container=app.key.name)
    act(bench, gateway, "remove", container=gateway.key.name)
    run(bench, gateway)
    refused(bench, app)
    act(bench, app, "remove", container=app.key.name)
    run(bench, app)
