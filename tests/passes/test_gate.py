"""The gate in whole passes on a fake host: slow starters, restarts of the agent and of the host, clocks that
jump, loops.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.kinds.engine.health import start_patience
from agent.model import Key, Need, Resource
from agent.settings.values import GateSettings
from tests.fakes.host import Behaviour, Died
from tests.fakes.passes import Passes, service
from tests.passes.moves import proved, with_images

YEARS = 10 * 365 * 86400.0
SLOW = {"healthcheck": {"start_period": "60s", "interval": "2s", "timeout": "1s"}}


@pytest.fixture
def passes(tmp_path: Path) -> Passes:
    images = (("good:1", "web"), ("new:1", "web"), ("idle:1", "idle"))
    found = with_images(tmp_path, *images, gate=GateSettings(settle=1.0, deadline=40.0))
    proved(found, service("good:1"))
    return found


def behave(passes: Passes, reference: str = "new:1", **does: Any) -> None:
    passes.host.behaviours[passes.host.images[reference]] = Behaviour(**does)


def took(passes: Passes) -> tuple[str, float]:
    """The outcome of a pass, and how long it was."""
    begun = passes.clock.monotonic()
    return passes.run().outcome, passes.clock.monotonic() - begun


def test_a_restart_of_docker_condemns_nothing(passes: Passes) -> None:
    """What ended because dockerd was restarted while the gate waits must not condemn the release, and be
    started again.
    """
    behave(passes, health=("starting",) * 5 + ("healthy",))
    observed, gated = passes.host.observe, list[str]()

    def observe(request):  # type: ignore[no-untyped-def]
        if passes.state.attempt and passes.state.attempt.phase == "gating":
            gated.append("look")
            if len(gated) == 3:
                passes.host.restart_engine()
        return observed(request)

    passes.host.observe = observe  # type: ignore[method-assign]
    passes.branch.push(service("new:1"))
    cut = passes.run()
    assert (
        (cut.outcome, cut.exit_code) == ("Temporary", 75)
        and "restarted" in cut.reason
        and not passes.state.rejected
    )
    assert passes.run().outcome == "Converged" and not passes.state.rejected


@pytest.mark.parametrize(
    ("check", "seconds"),
    [
        ({"StartPeriod": 60e9, "Interval": 2e9, "Timeout": 1e9}, 63.0),
        ({"StartPeriod": 60e9}, 120.0),
        ({"Interval": 2e9}, 0.0),
        ({"Test": ["NONE"]}, 0.0),
        ({}, 0.0),
        (None, 0.0),
    ],
)
def test_patience(check: dict[str, Any] | None, seconds: float) -> None:
    """What says no start period has no more time than others; else one probe follows it, with the Engine's
    defaults.
    """
    assert start_patience(check) == seconds


def test_a_slow_starter_is_waited_for(passes: Passes) -> None:
    """A container within its own start period must be waited for beyond the gate's deadline, and what waits
    for it in the plan; meanwhile the heartbeat says what is waited for, and how long at most.
    """
    behave(passes, health=("starting",) * 110 + ("healthy",))
    said: list[str] = []
    observed = passes.host.observe

    def observe(request):  # type: ignore[no-untyped-def]
        if passes.state.attempt:
            heartbeat = passes.heartbeat()
            said.append(f"{heartbeat['phase']}: {heartbeat['waiting']}")
            assert heartbeat["state"] == "Progressing" or not heartbeat["waiting"]
        return observed(request)

    passes.host.observe = observe  # type: ignore[method-assign]
    passes.branch.push(service("new:1", config=SLOW))
    outcome, seen = took(passes)
    assert outcome == "Converged" and seen == pytest.approx(56, abs=2)
    waits = list(dict.fromkeys(text for text in said if text.startswith("gate: container/shop-web-1")))
    assert len(waits) >= 5 and waits[0].endswith("its health check has not passed yet; at most 64 s more"), (
        waits
    )
    assert passes.heartbeat()["waiting"] == ""


def test_who_depends_on_a_slow_starter_waits(passes: Passes) -> None:
    """`depends_on` with `service_healthy` must wait as long."""
    behave(passes, health=("starting",) * 100 + ("healthy",))
    waits = service("idle:1", "shop-app-1", needs=(Need(Key("container", "shop-web-1"), "healthy"),))
    passes.branch.push(service("new:1", config=SLOW), waits)
    assert passes.run().exit_code == 0


@pytest.mark.parametrize(("config", "seconds"), [({}, 40.0), (SLOW, 64.0)])
def test_what_never_starts_is_rejected_in_the_end(
    passes: Passes, config: dict[str, Any], seconds: float
) -> None:
    """What never becomes healthy must be rejected when the deadline, or its own time, is over."""
    behave(passes, health=("starting",))
    passes.branch.push(service("new:1", config=config))
    outcome, seen = took(passes)
    assert outcome == "RolledBack" and seconds <= seen < seconds + 5


@pytest.mark.parametrize("jump", [-YEARS, -10.0, 0.0, 10.0, YEARS])
@pytest.mark.parametrize("reboot", [False, True])
def test_a_clock_that_jumps(passes: Passes, jump: float, reboot: bool) -> None:
    """A gate that is resumed must go on with what is left: whatever the wall clock says, neither at once nor
    never is it over. In the same boot the wall clock counts not at all.
    """
    behave(passes, health=("starting",))
    passes.branch.push(service("new:1"))
    die_in_the_gate(passes, after=4.0)
    if reboot:
        passes.clock.reboot()
    passes.clock.jump(jump)
    outcome, seen = took(passes)
    assert outcome == "RolledBack"
    left = 36.0 if not reboot or abs(jump) == 0.0 else {-YEARS: 40.0, -10.0: 40.0}.get(jump, 31.0)
    assert left <= seen < left + 5
    assert "not passed yet after 40 s" in passes.heartbeat()["rolled_back"]["reason"]


@pytest.mark.parametrize("jump", [-YEARS, YEARS])
def test_a_good_release_survives_a_clock_that_jumps(passes: Passes, jump: float) -> None:
    """What becomes healthy after a reboot must be committed, whatever the wall clock says."""
    behave(passes, health=("starting",) * 30 + ("healthy",))
    passes.branch.push(service("new:1"))
    die_in_the_gate(passes, after=4.0)
    passes.clock.reboot()
    passes.clock.jump(jump)
    assert passes.run().exit_code == 0


def die_in_the_gate(passes: Passes, *, after: float) -> None:
    """Kills the pass so many seconds after its gate has begun."""
    observed = passes.host.observe

    def observe(request):  # type: ignore[no-untyped-def]
        attempt = passes.state.attempt
        if (
            attempt
            and attempt.phase == "gating"
            and passes.clock.monotonic() - attempt.started_monotonic >= after
        ):
            raise Died
        return observed(request)

    passes.host.observe = observe  # type: ignore[method-assign]
    with pytest.raises(Died):
        passes.run()
    passes.host.observe = observed  # type: ignore[method-assign]


LOOPS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "always": ({"restart": "always"}, {"exits": 0, "code": 3}, "is in a restart loop"),
    "always-but-runs-a-while": ({"restart": "always"}, {"exits": 5, "code": 3}, "is in a restart loop"),
    "always-with-a-check": (
        {"restart": "always"},
        {"health": ("starting", "healthy"), "exits": 4},
        "is in a restart loop",
    ),
    "on-failure": ({"restart": "on-failure:2"}, {"exits": 1, "code": 3}, "exited with code 3"),
    "no-policy": ({}, {"exits": 3, "code": 3}, "exited with code 3"),
    "success": ({"restart": "on-failure"}, {"exits": 3, "code": 0}, "exited with code 0"),
}


@pytest.mark.parametrize("name", LOOPS)
def test_what_does_not_stay_up_is_rejected(passes: Passes, name: str) -> None:
    """A restart loop, with and without a health check, and a service without one that ends while it settles
    must be rejected.
    """
    config, does, why = LOOPS[name]
    passes.gate = GateSettings(settle=10.0, deadline=40.0)
    behave(passes, **does)
    passes.branch.push(service("new:1", config=config))
    outcome, seen = took(passes)
    assert outcome == "RolledBack" and seen < 40.0 and why in passes.heartbeat()["rolled_back"]["reason"]


def test_one_shots_that_fail(passes: Passes) -> None:
    """A one-shot that fails must condemn its release, whether something waits for it or not."""
    behave(passes, "idle:1", exits=0, code=7)
    job = service("idle:1", "shop-job-1", oneshot=True)
    passes.branch.push(service("good:1"), job)
    assert passes.run().outcome == "RolledBack"
    assert "one-shot exited with code 7" in passes.heartbeat()["rolled_back"]["reason"]
    passes.branch.push(service("good:1", environment={"A": "1"}, needs=(Need(job.key, "completed"),)), job)
    result = passes.run()
    assert result.outcome == "RolledBack" and "shop-job-1" in result.reason
    assert passes.running() == passes.host.images["good:1"]


def overtake(passes: Passes, *resources: Resource) -> None:
    """Pushes once, as soon as a gate waits."""
    observed, pushed = passes.host.observe, list[bool]()

    def observe(request):  # type: ignore[no-untyped-def]
        attempt = passes.state.attempt
        if attempt and attempt.phase == "gating" and not pushed:
            pushed.append(True)
            passes.branch.push(*resources)
        return observed(request)

    passes.host.observe = observe  # type: ignore[method-assign]


def test_a_newer_revision_ends_the_wait(passes: Passes) -> None:
    """A revision that arrives while the gate waits must end the wait at once; the one that was waited for is
    not rejected.
    """
    behave(passes, health=("starting",))
    passes.branch.push(service("new:1"))
    overtake(passes, service("good:1", environment={"A": "2"}))
    outcome, seen = took(passes)
    assert outcome == "Superseded" and seen < 5 and passes.state.rejected == {}
    assert passes.run().exit_code == 0


def test_a_newer_revision_that_was_rejected_before(passes: Passes) -> None:
    """When what overtakes a gate was rejected before, known good must be back, and be said to be held, at its
    own revision.
    """
    passes.host.add_image("sick:1", "sick")
    passes.branch.push(service("sick:1"))
    good = passes.state.known_good
    assert passes.run().outcome == "RolledBack"
    behave(passes, health=("starting",))
    passes.branch.push(service("new:1"))
    overtake(passes, service("sick:1"))
    assert passes.run().outcome == "Superseded" and passes.running() == passes.host.images["new:1"]
    result = passes.run()
    assert (result.outcome, result.exit_code) == (
        "HoldingKnownGood",
        4,
    ) and passes.running() == passes.host.images["good:1"]
    assert passes.state.known_good == good and passes.state.attempt is None
