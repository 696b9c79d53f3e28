"""Containers that live by another one are carried along with it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agent.model import Need, Resource
from tests.fakes.host import KINDS, Died
from tests.fakes.passes import Passes, service
from tests.passes.moves import proved, roll_back_by_hand, with_images

GATEWAY, APP = "shop-gw-1", "shop-app-1"
NAMESPACES = ("network_mode", "pid", "ipc")


def gateway(mark: str = "1", image: str = "shop/gw:1", **more: Any) -> Resource:
    return service(image, GATEWAY, environment={"MARK": mark}, config={"restart": "always"}, **more)


def behind(lender: Resource, key: str = "network_mode", image: str = "shop/app:1") -> Resource:
    """A service that lives by another one, as `render` makes it."""
    value = [f"{lender.key.name}:ro"] if key == "volumes_from" else f"container:{lender.key.name}"
    config = {"restart": "always"} if key == "depends_on" else {"restart": "always", key: value}
    folded, needs = {str(lender.key): lender.digest}, (Need(lender.key, "started"),)
    return service(image, APP, config=config, folded=folded, needs=needs)


def pair(key: str = "network_mode", mark: str = "1", image: str = "shop/app:1") -> tuple[Resource, Resource]:
    lender = gateway(mark)
    return lender, behind(lender, key, image)


@pytest.fixture
def passes(tmp_path: Any) -> Passes:
    """A host that has the images."""
    images = [("shop/gw:1", "idle"), ("shop/gw:2", "idle"), ("shop/app:1", "idle"), ("shop/app:2", "idle")]
    return with_images(tmp_path, *images, ("shop/app:sick", "sick"))


def settled(passes: Passes) -> None:
    """Both run, the one by the other, and a further pass does nothing."""
    assert passes.running(GATEWAY) and passes.host._find(APP).seen.state == "running"
    assert passes.host.in_dead_namespaces() == []
    done = len(passes.host.done)
    assert passes.run().exit_code == 0
    assert [f"{action}" for action in passes.host.done[done:]] == []


@pytest.mark.parametrize("key", [*NAMESPACES, "volumes_from", "depends_on"])
def test_a_commit_changes_the_lender(passes: Passes, key: str) -> None:
    """A change of the container by which another one lives must be brought in, with the other one."""
    proved(passes, *pair(key))
    proved(passes, *pair(key, "2"))
    settled(passes)


@pytest.mark.parametrize("key", NAMESPACES)
def test_a_lender_that_came_first(passes: Passes, key: str) -> None:
    """It must make no difference that a container was created when its lender was there already."""
    proved(passes, gateway())
    proved(passes, *pair(key))
    proved(passes, *pair(key, "2"))
    settled(passes)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("key", NAMESPACES)
def test_a_lender_that_vanished(passes: Passes, key: str, first: bool) -> None:
    """When a lender was removed by hand, the one that lives by it must follow the new one, and the plan must
    say why.
    """
    if first:
        proved(passes, gateway())
    proved(passes, *pair(key))
    passes.host.vanish(GATEWAY)
    assert passes.run().exit_code == 0
    assert f"{GATEWAY}, whose" in str(passes.plan)
    settled(passes)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("key", NAMESPACES)
@pytest.mark.parametrize("trouble", ["crash", "stop_by_hand"])
def test_a_lender_that_was_started_again(passes: Passes, key: str, first: bool, trouble: str) -> None:
    """A container in the namespace of a run that has ended must be restarted, once."""
    if first:
        proved(passes, gateway())
    proved(passes, *pair(key))
    app = passes.host._find(APP).seen.id
    getattr(passes.host, trouble)(GATEWAY)
    assert passes.run().exit_code == 0
    assert passes.host._find(APP).seen.id == app, "it need not be another container"
    settled(passes)


@pytest.mark.parametrize("key", NAMESPACES)
def test_one_that_the_engine_restarts_just_now(passes: Passes, key: str) -> None:
    """A container that died with its lender and waits for its next start must be restarted after it: the
    Engine tries it too early, and gives up.
    """
    proved(passes, *pair(key))
    passes.host.stop_by_hand(GATEWAY)
    at = passes.host._find(APP)
    at.seen = replace(at.seen, state="restarting", exit_code=137)
    assert passes.run().exit_code == 0
    assert at.joined[key] == (passes.host._find(GATEWAY).seen.id, passes.host._find(GATEWAY).started_at)
    settled(passes)


def test_a_crash_is_nothing_to_those_that_depend(passes: Passes) -> None:
    """`depends_on: {restart: true}` must not follow what the Engine itself starts again."""
    proved(passes, *pair("depends_on"))
    before = passes.host._find(APP).started_at
    passes.host.crash(GATEWAY)
    assert passes.run().exit_code == 0
    assert passes.host._find(APP).started_at == before


@pytest.mark.parametrize("key", [*NAMESPACES, "depends_on"])
def test_a_clock_that_was_set_back(passes: Passes, key: str) -> None:
    """When a container seems older than its lender for ever, it must be restarted once and not at each
    pass.
    """
    proved(passes, *pair(key))
    at = passes.host._find(GATEWAY)
    at.started_at = at.created_at = "2030-01-01T00:00:00Z"
    passes.host._find(APP).joined = {}
    before = passes.host._find(APP).started_at
    assert passes.run().exit_code == 0
    restarted = passes.host._find(APP).started_at
    assert restarted != before
    for _ in range(3):
        assert passes.run().exit_code == 0
    assert passes.host._find(APP).started_at == restarted


@pytest.mark.parametrize("key", NAMESPACES)
def test_both_are_rolled_back(passes: Passes, key: str) -> None:
    """A release with another lender that fails must go back to the old pair of containers."""
    proved(passes, *pair(key))
    before = {passes.host._find(name).seen.id for name in (GATEWAY, APP)}
    passes.branch.push(*pair(key, "2", "shop/app:sick"))
    assert passes.run().exit_code == 4
    assert {passes.host._find(name).seen.id for name in (GATEWAY, APP)} == before
    assert passes.host.in_dead_namespaces() == []


@pytest.mark.parametrize("key", NAMESPACES)
def test_rolled_back_by_hand(passes: Passes, key: str) -> None:
    """A rollback by hand must carry both along."""
    first = proved(passes, *pair(key))
    proved(passes, *pair(key, "2"))
    roll_back_by_hand(passes, first)
    assert passes.run().exit_code == 4
    assert passes.host.in_dead_namespaces() == []


@pytest.mark.parametrize("key", NAMESPACES)
def test_the_image_of_the_lender_moves(passes: Passes, key: str) -> None:
    """When only the image id of a lender is another one, those behind it must follow."""

    def moving() -> tuple[Resource, Resource]:
        lender = gateway(pull_policy="always")
        return lender, behind(lender, key)

    proved(passes, *moving())
    old = passes.running(GATEWAY)
    passes.host.add_image("shop/gw:1", "idle", version="v2", local=False)
    passes.branch.push(*moving(), service("shop/gw:2", "shop-other-1"))
    assert passes.run().exit_code == 0
    assert passes.running(GATEWAY) != old
    settled(passes)


@pytest.mark.parametrize("key", NAMESPACES)
def test_what_to_do_for_a_foreign_lender_is_told(passes: Passes, key: str) -> None:
    """A lender of somebody else that has stopped must be named with the command that starts it, and one that
    is not there without a command that could only fail.
    """
    passes.branch.push(service("shop/app:1", APP, config={key: "container:vpn-gw-1"}))
    assert passes.run().exit_code == 6
    assert passes.plan.refused[0].hint == "create and start it; Limpet goes on by itself when it runs"
    passes.host.add_foreign_container("vpn-gw-1")
    passes.host.stop_by_hand("vpn-gw-1")
    assert passes.run().exit_code == 6
    [refusal] = passes.plan.refused
    assert refusal.hint == "start it: docker start vpn-gw-1; Limpet goes on by itself when it runs"


@pytest.mark.parametrize("key", NAMESPACES)
def test_a_foreign_lender_is_waited_for(passes: Passes, key: str) -> None:
    """A service that lives by a container of somebody else must be refused with a remedy while that is away,
    condemn nothing, and follow it by itself.
    """
    lender = service("shop/gw:1", "vpn-gw-1")
    app = service("shop/app:1", APP, config={key: "container:vpn-gw-1", "restart": "always"})
    passes.branch.push(app)
    result = passes.run()
    assert result.exit_code == 6, result
    [refusal] = passes.plan.refused
    assert refusal.cause == f"container {lender.key.name}, {PHRASE[key]}, is not there"
    id = passes.host.add_foreign_container("vpn-gw-1")
    assert passes.run().exit_code == 0
    assert passes.host.in_dead_namespaces() == []
    passes.host.crash("vpn-gw-1")
    assert passes.run().exit_code == 0
    assert passes.host.in_dead_namespaces() == []
    del passes.host.containers[id]
    assert passes.run().exit_code == 6
    passes.host.add_foreign_container("vpn-gw-1")
    assert passes.run().exit_code == 0
    assert passes.host.in_dead_namespaces() == []


@pytest.mark.parametrize("key", NAMESPACES)
def test_a_foreign_lender_in_a_restart_loop(passes: Passes, key: str) -> None:
    """A container of somebody else that is restarting must be waited for, and condemn nothing."""
    id = passes.host.add_foreign_container("vpn-gw-1")
    theirs = passes.host.containers[id]
    theirs.seen = replace(theirs.seen, state="restarting")
    passes.branch.push(service("shop/app:1", APP, config={key: "container:vpn-gw-1", "restart": "always"}))
    assert passes.run().exit_code == 6
    [refusal] = passes.plan.refused
    assert refusal.cause == f"container vpn-gw-1, {PHRASE[key]}, is restarting"
    theirs.seen = replace(theirs.seen, state="running")
    assert passes.run().exit_code == 0 and not passes.state.rejected


PHRASE = {
    "network_mode": "whose network it shares",
    "pid": "whose processes it shares",
    "ipc": "whose shared memory it uses",
}


@pytest.mark.parametrize("key", NAMESPACES)
def test_others_go_on(passes: Passes, key: str) -> None:
    """A pair whose lender vanished must not stand in the way of a commit to another service."""
    proved(passes, gateway())
    proved(passes, *pair(key))
    passes.host.vanish(GATEWAY)
    passes.host.stop_by_hand(APP)
    passes.host.behaviours[passes.host.images["shop/app:2"]] = KINDS["web"]
    proved(passes, *pair(key), service("shop/app:2", "shop-other-1"))
    settled(passes)


@pytest.mark.parametrize("key", NAMESPACES)
@pytest.mark.parametrize("foreign", [True, False])
def test_a_candidate_of_a_lender_that_is_gone(passes: Passes, key: str, foreign: bool) -> None:
    """When a pass was killed after it made a candidate, and the lender is another container by now, the
    candidate must be made anew, and the release be brought in.
    """
    lender = service("shop/gw:1", "vpn-gw-1") if foreign else gateway()
    ours = () if foreign else (lender,)
    if foreign:
        passes.host.add_foreign_container("vpn-gw-1")

    def app(image: str) -> Resource:
        needs = () if foreign else (Need(lender.key, "started"),)
        config = {"restart": "always", key: f"container:{lender.key.name}"}
        return service(image, APP, config=config, needs=needs)

    proved(passes, *ours, app("shop/app:1"))
    passes.branch.push(*ours, app("shop/app:2"))
    passes.host.die_at = passes.host._points + 2  # after the candidate was made
    with pytest.raises(Died):
        passes.run()
    passes.host.die_at = None
    assert [at for at in passes.host.containers.values() if at.seen.name.startswith(f"{APP}.new-")]
    passes.host.vanish(lender.key.name)
    if foreign:
        passes.host.add_foreign_container("vpn-gw-1")
    result = passes.run()
    assert result.exit_code == 0, result
    settled_app = passes.host._find(APP)
    assert settled_app.seen.state == "running" and passes.host.in_dead_namespaces() == []
