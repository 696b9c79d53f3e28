"""A health result from before a change says nothing about the change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agent.kinds import files
from agent.model import Action, Need, Resource
from agent.settings.values import GateSettings
from tests.fakes.host import Behaviour
from tests.fakes.passes import Passes, service
from tests.passes.moves import proved, with_images

DB, WEB = "shop-db-1", "shop-web-1"


def db(**more: Any) -> Resource:
    return service("shop/db:1", DB, config={"restart": "always"}, **more)


def web(mark: str, resource: Resource, condition: Any = "healthy") -> Resource:
    needs = (Need(resource.key, condition),)
    return service("shop/web:1", WEB, environment={"E": mark}, config={"restart": "always"}, needs=needs)


@pytest.fixture
def passes(tmp_path: Any) -> Passes:
    """A database with a health check, and what waits for it, proved."""
    found = with_images(
        tmp_path, ("shop/db:1", "web"), ("shop/web:1", "idle"), gate=GateSettings(settle=1.0, deadline=20.0)
    )
    proved(found, db(), web("1", db()))
    return found


def ails(passes: Passes, *health: str, name: str = DB) -> None:
    """From now on the health check says this, look by look."""
    at = passes.host._find(name)
    at.behaviour, at.ticks = Behaviour(health=health), 0
    at.seen = replace(at.seen, health=health[0])


def test_a_dependency_that_is_unhealthy_for_a_while_is_waited_for(passes: Passes) -> None:
    """A commit must wait for a dependency that is unhealthy now and well again soon."""
    ails(passes, *["unhealthy"] * 8, "healthy")
    passes.branch.push(db(), web("2", db()))
    result = passes.run()
    assert (result.outcome, result.exit_code) == ("Converged", 0), result


def test_a_dependency_that_stays_unhealthy_condemns_nothing(passes: Passes) -> None:
    """A commit to something else must end inconclusive when its dependency was unhealthy before and stays so:
    the old container runs on, nothing failed to go back, and the commit is brought in when all is well.
    """
    old = passes.host._find(WEB).seen.id
    ails(passes, "unhealthy")
    passes.branch.push(db(), web("2", db()))
    for _ in range(2):
        result = passes.run()
        assert (result.outcome, result.exit_code) == ("Inconclusive", 75), result
        assert "says nothing about the release" in result.reason
        assert passes.host._find(WEB).seen.id == old and passes.host._find(WEB).seen.state == "running"
        assert not passes.state.rejected
    ails(passes, "healthy")
    assert passes.run().exit_code == 0
    assert passes.host._find(WEB).seen.id != old


@pytest.mark.parametrize("condition", ["started", "healthy"])
def test_what_is_unhealthy_elsewhere_is_no_obstacle(passes: Passes, condition: str) -> None:
    """A release must be proved although something that it does not change, and that nothing waits for, is
    unhealthy.
    """
    ails(passes, "unhealthy")
    other = service("shop/web:1", "shop-other-1", config={"restart": "always"})
    passes.branch.push(db(), web("1", db()), other)
    assert passes.run().exit_code == 0


def test_a_signal_that_heals_gets_its_time(tmp_path: Any) -> None:
    """A commit whose changed file heals an unhealthy container must not be undone before a probe saw it."""
    passes = with_images(tmp_path, ("shop/web:1", "web"), gate=GateSettings(settle=1.0, deadline=20.0))
    path = "/etc/app.conf"

    def release(text: str) -> list[Resource]:
        file = files.file(path, content=passes.host.content.put(text.encode()), size=len(text))
        return [
            file,
            service("shop/web:1", WEB, on_change={path: "signal:HUP"}, needs=(Need(file.key, "present"),)),
        ]

    proved(passes, *release("bad"))
    ails(passes, *["unhealthy"] * 6, "healthy", name=WEB)
    passes.branch.push(*release("good"))
    result = passes.run()
    assert result.exit_code == 0, result
    assert passes.host._find(WEB).signals == ["HUP"]


def test_a_signal_that_does_not_heal_is_undone_at_the_deadline(tmp_path: Any) -> None:
    """What stays unhealthy must not be proved for ever waiting."""
    passes = with_images(tmp_path, ("shop/web:1", "web"), gate=GateSettings(settle=1.0, deadline=20.0))
    path = "/etc/app.conf"
    proved(passes, service("shop/web:1", WEB, on_change={path: "signal:HUP"}))
    ails(passes, "unhealthy", name=WEB)
    file = files.file(path, content=passes.host.content.put(b"x"), size=1)
    passes.branch.push(file, service("shop/web:1", WEB, on_change={path: "signal:HUP"}))
    assert passes.run().exit_code in (4, 75)
    assert not passes.state.attempt


def test_what_the_release_itself_makes_unhealthy_is_condemned(passes: Passes) -> None:
    """A container that is unhealthy after it was changed must still be rejected at once."""
    passes.host.add_image("shop/db:2", "sick")
    sick = service("shop/db:2", DB, config={"restart": "always"})
    passes.branch.push(sick, web("2", sick))
    assert passes.run().exit_code == 4
    assert len(passes.state.rejected) == 1


def test_what_was_unhealthy_with_a_bad_release_is_well_again_after_it(tmp_path: Any) -> None:
    """A container that was unhealthy only while a bad release was there must get the time to be well again:
    the release is rejected, and not tried anew at each pass.
    """
    images = (("shop/db:1", "web"), ("shop/db:2", "sick"), ("shop/web:1", "web"))
    passes = with_images(tmp_path, *images, gate=GateSettings(settle=1.0, deadline=20.0))
    beside = service("shop/web:1", WEB, config={"restart": "always"}, needs=(Need(db().key, "started"),))
    proved(passes, db(), beside)
    good, execute = passes.host._find(DB).seen.id, passes.host.execute

    def following(action: Action, resource: Resource | None) -> None:
        execute(action, resource)
        if action.verb == "stop" and action.key == db().key:
            ails(passes, "unhealthy", name=WEB)
        if action.verb == "start" and passes.host._find(DB).seen.id == good:
            ails(passes, *["unhealthy"] * 6, "healthy", name=WEB)

    passes.host.execute = following  # type: ignore[method-assign]
    passes.branch.push(service("shop/db:2", DB, config={"restart": "always"}), beside)
    result = passes.run()
    assert (result.outcome, result.exit_code) == ("RolledBack", 4), result
    assert len(passes.state.rejected) == 1 and passes.host._find(DB).seen.id == good
