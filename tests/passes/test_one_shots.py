"""One-shots across releases: each runs once, no way back runs one again, and what cannot be undone is not
rolled back.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.errors import Failed, Transient
from agent.kinds import oneshots
from agent.kinds.base import Target
from agent.model import Key, Need, Resource
from agent.store.orders import Orders
from tests.fakes.host import Died
from tests.fakes.passes import Passes, service
from tests.passes.moves import proved, roll_back_by_hand, with_images

MIGRATE = "shop-migrate-1"
HINT = "push a commit that corrects it"
IMAGES = [(f"{kind}:1", kind) for kind in ("once", "web", "sick", "fail-once", "idle")]


@pytest.fixture
def passes(tmp_path: Path) -> Passes:
    return with_images(tmp_path, *IMAGES)


def migrate(step: int, image: str = "once:1", **more: Any) -> Resource:
    return service(image, MIGRATE, environment={"STEP": str(step)}, oneshot=True, **more)


def web(image: str = "web:1", mark: str = "") -> Resource:
    """A service that waits for the migration."""
    return service(image, environment={"MARK": mark}, needs=(Need(Key("container", MIGRATE), "completed"),))


def runs(passes: Passes) -> int:
    """How often a migration was started."""
    return sum(action.verb == "start" and action.key.name == MIGRATE for action in passes.host.done)


def by_hand(passes: Passes, release: str) -> None:
    roll_back_by_hand(passes, release)
    result = passes.run()
    assert (result.outcome, result.exit_code) == ("HoldingKnownGood", 4), result


@pytest.mark.parametrize("removed", [False, True])
def test_a_rollback_runs_no_one_shot(passes: Passes, removed: bool) -> None:
    """A failed release with a migration of its own must be undone without running known good's again, also
    when the container of that was removed meanwhile; who waits for it starts.
    """
    proved(passes, migrate(1), web())
    if removed:
        passes.host.vanish(MIGRATE)
    passes.branch.push(migrate(2), web("sick:1"))
    assert passes.run().outcome == "RolledBack"
    assert runs(passes) == 2 and passes.running() == passes.host.images["web:1"]
    before = len(passes.host.done)
    assert passes.run().outcome == "HoldingKnownGood" and len(passes.host.done) == before


def test_a_one_shot_that_ends_with_docker_is_run_again(passes: Passes) -> None:
    """A migration that failed because dockerd was restarted must condemn nothing, and be run again by the
    next pass.
    """
    proved(passes, migrate(1), web())
    executed, cut = passes.host.execute, list[str]()

    def execute(action, resource):  # type: ignore[no-untyped-def]
        if action.verb == "await" and action.key.name == MIGRATE and not cut:
            cut.append(action.verb)
            passes.host.restart_engine()
            passes.host._find(MIGRATE).seen = replace(passes.host._find(MIGRATE).seen, exit_code=143)
            raise Failed(f"container {MIGRATE} ended with exit code 143", f"docker logs {MIGRATE}")
        executed(action, resource)

    passes.host.execute = execute  # type: ignore[method-assign]
    passes.branch.push(migrate(2), web(mark="new"))
    ended = passes.run()
    assert (ended.outcome, ended.exit_code) == ("Temporary", 75) and "restarted" in ended.reason, ended
    assert passes.run().outcome == "Converged" and not passes.state.rejected
    assert runs(passes) == 3


@pytest.mark.parametrize("dropped", [False, True])
@pytest.mark.parametrize("killed", [False, True])
def test_by_hand_runs_no_one_shot(passes: Passes, dropped: bool, killed: bool) -> None:
    """A rollback by hand to a release whose migration was replaced, or is in the repository no more, must not
    run it again, nor the way forward to what was known good; also when the pass is killed after its first
    action.
    """
    first = proved(passes, migrate(1), web())
    second = proved(passes, *([] if dropped else [migrate(2)]), service("web:1", environment={"MARK": "2"}))
    ran = runs(passes)
    if killed:
        roll_back_by_hand(passes, first)
        passes.host.die_at = passes.host._points + 2
        with pytest.raises(Died):
            passes.run()
        assert passes.run().outcome == "HoldingKnownGood"
    else:
        by_hand(passes, first)
    assert runs(passes) == ran and passes.state.known_good[0].id == first
    Orders(passes.paths.state).retry("all", passes.clock.wall())
    assert passes.run().exit_code == 0
    assert runs(passes) == ran and passes.state.known_good[0].id == second


def test_a_revert_runs_no_one_shot_again(passes: Passes) -> None:
    """A commit that brings back what a known good release had must not run its migration again; other content
    must.
    """
    proved(passes, migrate(1), web())
    proved(passes, migrate(2), web())
    proved(passes, migrate(1), web(mark="more"))
    assert runs(passes) == 2
    proved(passes, migrate(3), web(mark="more"))
    assert runs(passes) == 3


def test_a_one_shot_that_ran_is_not_judged_again(passes: Passes) -> None:
    """What somebody started again by hand, and failed, must condemn no release that has it unchanged."""
    proved(passes, migrate(1), web())
    at = passes.host._find(MIGRATE)
    passes.host._stop(at, 9)
    proved(passes, migrate(1), web(mark="2"))
    assert runs(passes) == 1


def test_what_is_remembered_of_one_shots_is_bounded(passes: Passes) -> None:
    """Only runs of remembered releases must be remembered."""
    for step in range(6):
        proved(passes, migrate(step), web())
    assert [len(marks) for marks in passes.state.ran.values()] == [3]
    proved(passes, service("web:1"))
    proved(passes, service("web:1", environment={"A": "1"}))
    proved(passes, service("web:1", environment={"A": "2"}))
    assert passes.state.ran == {}


def test_an_ordinary_service_forgets_that_it_ran(passes: Passes) -> None:
    """What a release has as an ordinary service must count as run in none."""
    proved(passes, service("idle:1", MIGRATE, environment={"A": "1"}))
    held = Target(passes.branch.manifest, passes.state.known_good[0].lock)
    resource = passes.branch.manifest.resources[Key("container", MIGRATE)]
    mark = oneshots.completed_mark(resource, held.image(resource))
    assert oneshots.remembered_runs({str(resource.key): (mark,)}, [held]) == {}


# --- irreversible -------------------------------------------------------------------------------------------


def held_back(passes: Passes, image: str = "sick:1") -> None:
    """A release whose irreversible migration runs, and which then fails its gate."""
    proved(passes, migrate(1), web())
    passes.branch.push(migrate(2, irreversible=True), web(image))


def test_what_cannot_be_undone_is_not_rolled_back(passes: Passes) -> None:
    """Once an irreversible one-shot has run, a failed gate must hold the new release, exit 1, say what and
    why, reject nothing, and judge again at each pass; healthy at last, it is committed.
    """
    held_back(passes)
    for _ in range(2):
        result = passes.run()
        assert (result.outcome, result.exit_code) == ("Degraded", 1)
        assert "container/shop-migrate-1 was started and cannot be undone" in result.reason
        assert "container/shop-web-1: its health check fails" in result.reason
        heartbeat = passes.heartbeat()
        assert (
            heartbeat["state"] == "Degraded"
            and heartbeat["rejected"] == []
            and heartbeat["rolled_back"] is None
        )
        ready = next(c for c in heartbeat["conditions"] if c["type"] == "Ready")
        assert ready["reason"] == "Degraded" and "shop-migrate-1 was started" in ready["message"]
        assert (
            HINT in heartbeat["last_pass"]["error"]["hint"]
            and "limpet rollback" in heartbeat["last_pass"]["error"]["hint"]
        )
    assert passes.running() == passes.host.images["sick:1"] and runs(passes) == 2
    passes.host._find("shop-web-1").behaviour = passes.host.behaviours[passes.host.images["web:1"]]
    assert passes.run().exit_code == 0 and runs(passes) == 2
    assert passes.heartbeat()["state"] == "Synced" and passes.state.irrevocable == ()


def test_a_failing_action_after_it_holds_too(passes: Passes) -> None:
    """When not the gate but an action fails after the migration has run, that must hold too, and name what
    failed.
    """
    held_back(passes, "web:1")
    passes.branch.push(migrate(2, irreversible=True), web(mark="2"))
    passes.host.errors["start container/shop-web-1"] = Failed(
        "cannot start container shop-web-1: no", "correct it"
    )
    result = passes.run()
    assert result.outcome == "Degraded" and "cannot start container shop-web-1" in result.reason
    assert passes.heartbeat()["last_pass"]["error"]["message"] == result.reason


def test_an_irreversible_one_shot_that_fails_holds(passes: Passes) -> None:
    """A migration that failed may have done a part of its work: no rollback; a corrected one goes on from
    there.
    """
    proved(passes, migrate(1), web())
    passes.branch.push(migrate(2, "fail-once:1", irreversible=True), web(mark="2"))
    result = passes.run()
    assert result.outcome == "Degraded" and MIGRATE in result.reason
    assert proved(passes, migrate(3, irreversible=True), web(mark="2"))


@pytest.mark.parametrize("removed", [False, True])
def test_a_killed_pass_does_not_forget_it(passes: Passes, removed: bool) -> None:
    """A pass that is killed at any point after the start of the migration must be followed by one that holds,
    also when a person removes its container after the gate has begun.
    """
    held_back(passes)
    reached = passes.host.execute

    def execute(action, resource):  # type: ignore[no-untyped-def]
        reached(action, resource)
        if (action.verb, action.key.name) == ("start", "shop-web-1" if removed else MIGRATE):
            raise Died

    passes.host.execute = execute  # type: ignore[method-assign]
    with pytest.raises(Died):
        passes.run()
    passes.host.execute = reached  # type: ignore[method-assign]
    if removed:
        passes.run()
        passes.host.vanish(MIGRATE)
    result = passes.run()
    assert (result.outcome, passes.running()) == ("Degraded", passes.host.images["sick:1"])
    assert passes.state.rejected == {} and runs(passes) == 2


def test_killed_at_any_action(tmp_path: Path) -> None:
    """Wherever a pass is killed, the next ones must end as if it had not been: held when the migration was
    started, and rolled back never; and no migration runs twice.
    """
    point, reached = 0, True
    while reached:
        passes, point = with_images(tmp_path / str(point), *IMAGES), point + 1
        held_back(passes)
        passes.host.die_at = passes.host._points + point
        try:
            passes.run()
            reached = False
        except Died:
            pass
        result = passes.run()
        assert (result.outcome, passes.running()) == ("Degraded", passes.host.images["sick:1"]), point
        assert (runs(passes), passes.state.rejected) == (2, {}), point
    assert point > 20


def test_it_holds_for_the_releases_after_it(passes: Passes) -> None:
    """A newer commit must go on from there; when that fails too, it is held and not rolled back past the
    migration.
    """
    held_back(passes)
    assert passes.run().outcome == "Degraded"
    passes.branch.push(web("sick:1", "other"))
    result = passes.run()
    assert result.outcome == "Degraded" and MIGRATE in result.reason
    proved(passes, web(mark="good"))
    passes.branch.push(web("sick:1", "after"))
    assert passes.run().outcome == "RolledBack"


def test_a_superseded_release_does_not_forget_it(passes: Passes) -> None:
    """A newer commit that comes before the verdict must know what the one before has started."""
    held_back(passes)
    passes.host.errors["start container/shop-web-1"] = Transient(
        "Docker does not answer", "wait", code="RuntimeUnavailable"
    )
    assert passes.run().exit_code == 75
    passes.host.errors.clear()
    passes.branch.push(web("sick:1", "newer"))
    result = passes.run()
    assert result.outcome == "Degraded" and MIGRATE in result.reason


def test_by_hand_goes_back_past_it(passes: Passes) -> None:
    """`limpet rollback` must take the host back all the same, and run no migration."""
    held_back(passes)
    assert passes.run().outcome == "Degraded"
    by_hand(passes, passes.state.known_good[0].id)
    assert passes.running() == passes.host.images["web:1"] and runs(passes) == 2


def test_what_never_started_is_rolled_back(passes: Passes) -> None:
    """A failure before the migration was started must be rolled back as usual."""
    held_back(passes)
    passes.host.errors[f"start container/{MIGRATE}"] = Failed("cannot start", "correct it")
    assert passes.run().outcome == "RolledBack"
    assert passes.running() == passes.host.images["web:1"] and len(passes.state.rejected) == 1


@pytest.mark.parametrize("removed", [False, True])
def test_what_known_good_ran_is_rolled_back(passes: Passes, removed: bool) -> None:
    """An irreversible one-shot that known good has as it is stands in the way of no rollback."""
    proved(passes, migrate(1, irreversible=True), web())
    if removed:
        passes.host.vanish(MIGRATE)
    passes.branch.push(migrate(1, irreversible=True), web("sick:1"))
    assert passes.run().outcome == "RolledBack" and runs(passes) == 1


def test_irreversible_is_no_content(passes: Passes) -> None:
    """Saying that a one-shot is irreversible must change no digest, and run nothing."""
    proved(passes, migrate(1), web())
    assert migrate(1).digest == migrate(1, irreversible=True).digest
    before = len(passes.host.done)
    proved(passes, migrate(1, irreversible=True), web())
    assert len(passes.host.done) == before
