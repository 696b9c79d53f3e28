"""What drifts again and again is left alone until a person or a commit speaks; everything else converges."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.decide.flapping import MOST, WITHIN, Flapping
from agent.errors import Transient
from agent.kinds import files
from agent.model import Need, Resource
from agent.store.orders import Orders
from tests.fakes.host import KINDS, Died
from tests.fakes.passes import Passes, service

TEN_YEARS = 10 * 365 * 86400.0
WEB = "container/shop-web-1"


@pytest.fixture
def passes(tmp_path: Path) -> Passes:
    """A service and a file, known good."""
    found = Passes(tmp_path)
    found.host.add_image("shop/web:1", "web")
    push(found)
    assert found.run().exit_code == 0
    return found


def push(passes: Passes, *more: Resource, on_unhealthy: str = "") -> None:
    motd = files.file("/etc/motd", content=passes.host.content.put(b"ours"), size=4)
    passes.branch.push(service("shop/web:1", on_unhealthy=on_unhealthy), motd, *more)


def disturb(passes: Passes, times: int, every: float = 60.0) -> None:
    """Somebody stops the service again and again, and each time a pass corrects it."""
    for _ in range(times):
        passes.host.stop_by_hand("shop-web-1")
        assert passes.run().exit_code == 0
        assert passes.host._find("shop-web-1").seen.state == "running"
        passes.clock.advance(every)


def left_alone(passes: Passes) -> bool:
    """Whether the next pass leaves the stopped service alone, and says so."""
    passes.host.stop_by_hand("shop-web-1")
    code = passes.run().exit_code
    stopped = passes.host._find("shop-web-1").seen.state == "exited"
    assert (code == 6) == stopped == (passes.heartbeat()["drift"]["flapping"] == [WEB])
    return stopped


def test_what_drifts_too_often_is_left_alone_and_reported(passes: Passes) -> None:
    """After five corrections within an hour the sixth must be refused, with numbers and remedy, and all else
    be corrected.
    """
    disturb(passes, MOST)
    passes.host.files.put("/etc/motd", b"edited")
    assert left_alone(passes)
    assert passes.host.files.read("/etc/motd") == b"ours"
    told = passes.heartbeat()
    assert told["state"] == "Degraded" and told["drift"]["now"] == [WEB]
    assert told["refused"] == [
        {
            "resource": WEB,
            "cause": "flapping: corrected 5 times within an hour, and needs it again: is stopped "
            "(exit code 143)",
            "hint": f"find out what changes it; to have it corrected again: limpet retry {WEB}, or a "
            "new commit",
        }
    ]
    alone = passes.state.flapping.quarantined[WEB]
    assert (alone.times, alone.since, alone.commit) == (5, passes.clock.wall(), f"{1:040x}")


def test_it_stays_left_alone_however_late_it_is(passes: Passes) -> None:
    """Neither time nor a reboot nor a restart of the agent must begin the struggle anew, and a quiet pass
    must write nothing.
    """
    disturb(passes, MOST)
    assert left_alone(passes)
    passes.clock.advance(3 * WITHIN)
    passes.clock.reboot()
    before = (passes.paths.state / "state.json").read_bytes()
    assert passes.run().exit_code == 6 and passes.host._find("shop-web-1").seen.state == "exited"
    assert (passes.paths.state / "state.json").read_bytes() == before


def test_rare_drift_is_corrected_for_ever(passes: Passes) -> None:
    """Five corrections an hour and not more must all be made, and no trace of them be kept longer than it
    counts.
    """
    disturb(passes, 30, every=WITHIN / MOST)
    assert len(passes.state.flapping.corrected[WEB]) <= MOST
    assert passes.heartbeat()["drift"]["flapping"] == []


@pytest.mark.parametrize("jump", [TEN_YEARS, -TEN_YEARS])
def test_clock_that_jumps_counts_nothing(passes: Passes, jump: float) -> None:
    """A wall clock that jumps by ten years must neither hide what flaps nor make anything flap."""
    disturb(passes, 2)
    passes.clock.jump(jump)
    disturb(passes, 3)
    passes.clock.jump(-2 * jump)
    assert left_alone(passes)
    passes.clock.jump(jump)
    push(passes, service("shop/web:1", "shop-other-1"))
    assert passes.run().exit_code == 0


@pytest.mark.parametrize("word", ["all", WEB])
def test_a_person_speaks(passes: Passes, word: str) -> None:
    """`limpet retry`, for all or for the resource, must have it corrected again, five times."""
    disturb(passes, MOST)
    assert left_alone(passes)
    Orders(passes.paths.state).retry(word, passes.clock.wall())
    assert passes.run().exit_code == 0
    disturb(passes, MOST - 1)
    assert left_alone(passes)


def test_a_persons_word_for_one_resource_speaks_for_no_other(passes: Passes) -> None:
    """A retry of a resource must end neither a rollback by hand, nor a rejection, nor what another resource
    does.
    """
    disturb(passes, MOST)
    assert left_alone(passes)
    passes.host.add_image("shop/web:2", "sick")
    passes.branch.push(service("shop/web:2"))
    assert passes.run().exit_code == 4
    Orders(passes.paths.state).retry("container/another", passes.clock.wall())
    assert passes.run().exit_code == 4 and len(passes.state.rejected) == 1


def test_a_commit_speaks(passes: Passes) -> None:
    """A new commit must have it corrected again, whatever is in it."""
    disturb(passes, MOST)
    assert left_alone(passes)
    push(passes)
    assert passes.run().exit_code == 0 and passes.heartbeat()["drift"]["flapping"] == []


def test_a_source_that_is_silent_speaks_not(passes: Passes) -> None:
    """While the source does not answer, what flaps must stay left alone, and when it answers with the same
    commit too.
    """
    disturb(passes, MOST - 1)
    passes.branch.down = Transient("the source does not answer", "wait")
    passes.host.stop_by_hand("shop-web-1")
    passes.run()
    passes.host.stop_by_hand("shop-web-1")
    assert passes.run().exit_code == 75 and passes.host._find("shop-web-1").seen.state == "exited"
    passes.branch.down = None
    assert passes.run().exit_code == 6


def test_what_needs_it_waits(passes: Passes) -> None:
    """What needs the resource that is left alone must wait for it, as for any refusal, and say so."""
    other = service("shop/web:1", "shop-other-1")
    push(passes, replace(other, needs=(Need(service("shop/web:1").key, "healthy"),)))
    assert passes.run().exit_code == 0
    disturb(passes, MOST)
    passes.host.stop_by_hand("shop-other-1")
    assert left_alone(passes)
    assert [r["resource"] for r in passes.heartbeat()["refused"]] == ["container/shop-other-1", WEB]
    assert "waits for container/shop-web-1, which is refused" in passes.heartbeat()["refused"][0]["cause"]


def test_another_release_brings_it_back(passes: Passes) -> None:
    """A release that is brought in must correct what was left alone, and know nothing of it afterwards."""
    disturb(passes, MOST)
    assert left_alone(passes)
    passes.host.add_image("shop/web:2", "web", version="v2")
    passes.branch.push(service("shop/web:2"))
    assert passes.run().exit_code == 0
    assert passes.state.flapping == Flapping(passes.clock.boot_id())


def test_a_repair_that_fails_does_not_count(passes: Passes) -> None:
    """A correction that cannot be made must be tried for as long as it takes: nobody works against it."""
    passes.host.errors["start container/shop-web-1"] = Transient("Docker is busy", "wait")
    passes.host.stop_by_hand("shop-web-1")
    for _ in range(3 * MOST):
        assert passes.run().exit_code == 75
    passes.host.errors.clear()
    assert passes.run().exit_code == 0 and passes.heartbeat()["drift"]["flapping"] == []


def test_a_correction_counts_though_the_agent_is_killed(passes: Passes) -> None:
    """A pass that is killed right after it corrected something must have counted it."""
    for _ in range(MOST):
        passes.host.stop_by_hand("shop-web-1")
        passes.host.die_at = passes.host._points + 2
        with pytest.raises(Died):
            passes.run()
    assert left_alone(passes)


def test_rollbacks_and_releases_do_not_count(passes: Passes) -> None:
    """What a release or a rollback changes is no drift, however often it happens."""
    passes.host.add_image("shop/web:2", "sick")
    for number in range(2 * MOST):
        passes.branch.push(service("shop/web:2", environment={"N": str(number)}))
        assert passes.run().exit_code == 4
    assert passes.state.flapping.corrected == {}


# --- on_unhealthy -------------------------------------------------------------------------------------------


def sicken(passes: Passes) -> None:
    """The health check of the service fails from now on, and a moment later that is seen."""
    at = passes.host._find("shop-web-1")
    at.behaviour = KINDS["sick"]
    for _ in range(2):
        passes.host.tick()


def test_unhealthy_is_restarted_where_the_service_says_so(passes: Passes) -> None:
    """With `on_unhealthy: restart` an unhealthy container of known good must be restarted, at most five times
    an hour, then reported; the word alone must re-create nothing.
    """
    before = passes.host._find("shop-web-1").seen.id
    push(passes, on_unhealthy="restart")
    assert passes.run().exit_code == 0 and passes.host._find("shop-web-1").seen.id == before
    for _ in range(MOST):
        sicken(passes)
        assert passes.run().exit_code == 0
        assert [(a.verb, a.cause) for a in passes.host.done[-1:]] == [("restart", "is unhealthy")]
        assert passes.heartbeat()["last_pass"]["corrective"] == 1
    sicken(passes)
    done = len(passes.host.done)
    assert passes.run().exit_code == 6 and len(passes.host.done) == done
    told = passes.heartbeat()
    assert (told["state"], told["drift"]["flapping"]) == ("Degraded", [WEB])
    assert told["resources"]["problems"][0]["health"] == "unhealthy"


def test_unhealthy_is_only_reported_by_default(passes: Passes) -> None:
    """Without it an unhealthy container must be left as it is, and the host be Degraded, with the resource
    and a remedy.
    """
    sicken(passes)
    done = len(passes.host.done)
    assert passes.run().exit_code == 0 and len(passes.host.done) == done
    told = passes.heartbeat()
    assert told["state"] == "Degraded"
    assert told["resources"]["problems"] == [
        {
            "resource": WEB,
            "health": "unhealthy",
            "message": "its health check fails",
            "hint": "docker inspect -f '{{json .State.Health}}' shop-web-1",
        }
    ]


def test_the_word_is_heard_and_taken_back_at_once(passes: Passes) -> None:
    """A commit that changes nothing but `on_unhealthy` must take effect with its own pass, in both
    directions.
    """
    sicken(passes)
    for word, restarts in (("", 0), ("restart", 1), ("", 1)):
        push(passes, on_unhealthy=word)
        assert passes.run().exit_code == 0
        assert [action.verb for action in passes.host.done].count("restart") == restarts
        sicken(passes)


def test_a_new_release_is_not_healed_but_judged(passes: Passes) -> None:
    """An unhealthy container of a release that is brought in must be judged by the gate, never restarted into
    good health.
    """
    passes.host.add_image("shop/web:2", "sick")
    passes.branch.push(service("shop/web:2", on_unhealthy="restart"))
    assert passes.run().exit_code == 4
    assert not [action for action in passes.host.done if action.verb == "restart"]


def test_what_ends_by_itself_falls_under_the_limit(passes: Passes) -> None:
    """A container without a restart policy that ends again and again must be started five times an hour, then
    left alone.
    """
    passes.host._find("shop-web-1").behaviour = KINDS["late"]
    for _ in range(20):
        for _ in range(6):
            passes.host.tick()
        passes.run()
    starts = [action for action in passes.host.done if action.verb == "start" and action.corrective]
    assert len(starts) == MOST and passes.heartbeat()["drift"]["flapping"] == [WEB]


# --- the memory itself --------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 1e5), max_size=30).map(sorted), st.floats(0, 1e5))
def test_only_the_last_hour_counts(times: list[float], later: float) -> None:
    """What must not be corrected is exactly what was corrected MOST times within the last hour of this
    boot.
    """
    it = Flapping()
    for time in times:
        it.note(["a/b"], time, "boot")
    now = (times[-1] if times else 0) + later
    recent = [time for time in times if now - time < WITHIN]
    assert it.wanting(now, "boot") == ({"a/b": len(recent)} if len(recent) >= MOST else {})
    assert it.wanting(now, "another") == {}
    assert Flapping.from_json(it.to_json()) == it
