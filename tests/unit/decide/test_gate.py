"""The gate: samples over time, verdicts out. Times are seconds; every sample here is literal."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agent.check import Check
from agent.decide import gate
from agent.decide.gate import GateMemory, Sample, Terms, Verdict
from agent.model import Key, Manifest
from agent.observed import ObservedContainer
from tests.plan.cases import instance, release

TERMS = Terms(settle=10, deadline=60)
RELEASE = release(
    {
        "desired": {
            "container": {
                "web": {"image": "a:1"},
                "job": {"image": "b:1", "oneshot": True},
            }
        }
    },
    "desired",
)
WEB, JOB = instance(RELEASE, "web"), instance(RELEASE, "job")
HTTP = Check("answers", http="http://127.0.0.1/healthz")
MEANT = "docker logs web; if it is meant to run once, mark the service with `x-limpet: {oneshot: true}`"


def at(moment: float, *containers: ObservedContainer, **more: Any) -> Sample:
    return Sample(moment, containers or (WEB, JOB), **more)


def web(**differs: Any) -> ObservedContainer:
    return replace(WEB, **differs)


def judged(
    *samples: Sample, terms: Terms = TERMS, manifest: Manifest = RELEASE.manifest, begun: float = 0.0
) -> Verdict:
    """The last verdict; all before it must be to wait. `begun`: when the gate began, which is resumed at
    0.
    """
    progress, verdict = GateMemory(started=begun, first=0.0), Verdict("wait")
    for sample in samples:
        assert verdict.decision == "wait", verdict
        verdict, progress = gate.judge(manifest, sample, progress, terms)
    return verdict


def test_healthy_means_good_for_settle_seconds() -> None:
    """A release must be good for `settle` seconds before it is healthy, and the verdict says how long is
    left.
    """
    assert judged(at(0)) == Verdict("wait", wait_s=10)
    assert judged(at(0), at(4)) == Verdict("wait", wait_s=6)
    assert judged(at(0), at(4), at(10)) == Verdict("healthy")


def test_a_break_begins_settling_anew() -> None:
    """What was not good at one moment must be good for `settle` seconds from then on."""
    assert judged(at(0), at(5, web(health="starting"), JOB), at(9), at(18)).decision == "wait"
    assert judged(at(0), at(5, web(health="starting"), JOB), at(9), at(19)).decision == "healthy"


def test_a_restart_is_a_break() -> None:
    """One restart must begin settling anew, although the container runs at every look."""
    samples = [
        at(0, web(restart_count=0), JOB),
        at(8, web(restart_count=1), JOB),
        at(12, web(restart_count=1), JOB),
    ]
    assert judged(*samples).decision == "wait"
    assert judged(*samples, at(22, web(restart_count=1), JOB)).decision == "healthy"


def test_starting_waits_until_the_deadline() -> None:
    """A health check that has not passed yet must be waited for, until the deadline, and no longer."""
    starting = web(health="starting")
    assert judged(at(0, starting, JOB), at(59, starting, JOB)).decision == "wait"
    verdict = judged(at(0, starting, JOB), at(60, starting, JOB))
    assert verdict.decision == "rejected"
    assert verdict.reason == "container/web: its health check has not passed yet after 60 s"
    healthy = web(health="healthy")
    assert judged(at(0, starting, JOB), at(40, healthy, JOB), at(50, healthy, JOB)).decision == "healthy"


def test_slow_starter_has_its_start_period() -> None:
    """A container that starts slowly by its own word must be waited for beyond the deadline, and settle after
    that; no longer.
    """
    slow = web(health="starting", patience=100.0)
    assert judged(at(0, slow, JOB), at(109, slow, JOB)).decision == "wait"
    verdict = judged(at(0, slow, JOB), at(110, slow, JOB))
    assert verdict.reason == "container/web: its health check has not passed yet after 110 s"
    healthy = web(health="healthy", patience=100.0)
    assert judged(at(0, slow, JOB), at(99, healthy, JOB), at(109, healthy, JOB)).decision == "healthy"
    assert judged(at(0, slow, JOB), at(50, slow, JOB)).left_s == 60


def test_what_waits_for_a_slow_starter_is_waited_for_too() -> None:
    """A check that asks a slow starter must not be late before that had its time."""
    manifest = replace(RELEASE.manifest, checks=(HTTP,))
    red, green = {"checks": {"answers": "connection refused"}}, {"checks": {"answers": ""}}
    slow, healthy = web(health="starting", patience=100.0), web(health="healthy", patience=100.0)
    looks = [
        at(0, slow, JOB, **red),
        at(70, slow, JOB, **red),
        at(80, healthy, JOB, **green),
        at(90, healthy, JOB, **green),
    ]
    assert judged(*looks, manifest=manifest).decision == "healthy"


def test_a_start_period_of_what_has_started_counts_not() -> None:
    """What is healthy from the first, is excused, or is not of this release must not make the gate wait for
    something else.
    """
    sick = replace(JOB, state="running", exit_code=None)
    assert (
        judged(at(0, web(health="healthy", patience=100.0), sick), at(60, WEB, sick)).decision == "rejected"
    )
    other = replace(WEB, id="x", name="old", key_name="old", health="starting", patience=100.0)
    assert judged(at(0, WEB, sick, other), at(60, WEB, sick, other)).decision == "rejected"
    excused = Terms(10, 60, allowed_to_fail=frozenset({"container/web"}))
    starting = web(health="starting", patience=100.0)
    assert judged(at(0, starting, sick), at(60, starting, sick), terms=excused).decision == "rejected"


def test_a_start_period_begins_anew_when_the_gate_is_resumed() -> None:
    """After a reboot containers start again: a slow starter must have its whole start period from there."""
    slow = web(health="starting", patience=100.0)
    assert judged(at(0, slow, JOB), at(109, slow, JOB), begun=-50.0).decision == "wait"
    assert judged(at(0, slow, JOB), at(110, slow, JOB), begun=-50.0).decision == "rejected"


def test_a_check_has_time_when_the_gate_is_resumed() -> None:
    """After a reboot a check with a time of its own must not be late at the first look; nor must it have more
    than it says.
    """
    manifest = replace(RELEASE.manifest, checks=(replace(HTTP, within=40.0),))
    long, red = Terms(10, 300), {"checks": {"answers": "refused"}}
    assert judged(at(0, **red), at(29, **red), manifest=manifest, begun=-50.0, terms=long).decision == "wait"
    assert (
        judged(at(0, **red), at(30, **red), manifest=manifest, begun=-50.0, terms=long).decision == "rejected"
    )
    short = replace(manifest, checks=(replace(HTTP, within=5.0),))
    assert judged(at(0, **red), at(5, **red), manifest=short, begun=-50.0, terms=long).decision == "rejected"


@pytest.mark.parametrize(
    ("differs", "reason", "hint"),
    [
        (
            {"health": "unhealthy"},
            "container/web: its health check fails",
            "docker inspect -f '{{json .State.Health}}' web",
        ),
        ({"state": "exited", "exit_code": 3}, "container/web: exited with code 3", MEANT),
        ({"state": "exited", "exit_code": 0}, "container/web: exited with code 0", MEANT),
        (
            {"state": "dead", "exit_code": 1, "error": "no space"},
            "container/web: exited with code 1; no space",
            MEANT,
        ),
    ],
)
def test_what_cannot_get_better_is_rejected_at_once(differs: dict[str, Any], reason: str, hint: str) -> None:
    """An unhealthy, exited or dead service must be rejected at the first look, with a hint."""
    verdict = judged(at(0, web(**differs), JOB))
    assert (verdict.decision, verdict.reason) == ("rejected", reason)
    assert verdict.findings[0].hint == hint


@pytest.mark.parametrize("policy", ["always", "unless-stopped"])
def test_what_docker_stopped_condemns_nothing(policy: str) -> None:
    """A container that Docker would restart had it exited by itself must be waited for: dockerd stops all
    before it goes.
    """
    kept_up = release(
        {"desired": {"container": {"web": {"image": "a:1", "config": {"restart": policy}}}}}, "desired"
    )
    seen = instance(kept_up, "web")
    looks = [
        at(0, replace(seen, state="exited", exit_code=0)),
        at(30, replace(seen, state="exited", exit_code=137)),
    ]
    waiting = judged(*looks, manifest=kept_up.manifest)
    assert waiting.decision == "wait"
    assert waiting.reason == "container/web: was stopped with exit code 137, by a person or with Docker"
    assert waiting.hint == "docker start web"
    broken = at(31, replace(seen, state="exited", exit_code=127, error="no such file"))
    assert judged(*looks, broken, manifest=kept_up.manifest).decision == "rejected"


def test_exited_says_how_to_mark_a_one_shot() -> None:
    """The message of an exited service must say how it is marked to run once."""
    assert (
        "x-limpet: {oneshot: true}" in judged(at(0, web(state="exited", exit_code=0), JOB)).findings[0].hint
    )


def test_restart_loop_is_rejected() -> None:
    """Three restarts since the first look must be a loop; those before it count not."""
    looks = [at(n, web(state="restarting", restart_count=7 + n, exit_code=3), JOB) for n in range(3)]
    assert judged(*looks).decision == "wait"
    verdict = judged(*looks, at(3, web(state="restarting", restart_count=10, exit_code=3), JOB))
    assert verdict.decision == "rejected"
    assert verdict.findings[0].message == "is in a restart loop: 3 restarts, last exit code 3"
    assert verdict.hint == "docker logs web"
    silent = judged(*looks, at(3, web(state="restarting", restart_count=10), JOB))
    assert silent.findings[0].message == "is in a restart loop: 3 restarts"


def test_restarts_of_another_container_count_not() -> None:
    """A container of the same name with another id starts counting anew."""
    assert (
        judged(at(0, web(restart_count=0), JOB), at(1, web(id="other", restart_count=5), JOB)).decision
        == "wait"
    )


@pytest.mark.parametrize("state", ["created", "restarting", "paused", "removing"])
def test_not_running_yet_waits(state: str) -> None:
    """A state that may pass must be waited for."""
    (finding,) = judged(at(0, web(state=state), JOB)).findings
    assert (finding.grade, finding.message, finding.hint) == ("wait", f"is {state}", "docker logs web")


def test_missing_waits_and_is_late_in_the_end() -> None:
    """A missing container must not be healthy, and be named when the deadline is over."""
    assert judged(at(0, JOB), at(60, JOB)).reason == "container/web: is missing after 60 s"


def test_foreign_container_of_the_same_name_counts_not() -> None:
    """Only our own containers may make a release healthy."""
    assert judged(at(0, web(owned=False), JOB)).findings[0].message == "is missing"


def test_one_shot_that_ran_is_good() -> None:
    """Exit code 0 must do, and so must a one-shot that was removed since."""
    assert judged(at(0, WEB, JOB), at(10, WEB, JOB)).decision == "healthy"
    assert judged(at(0, WEB), at(10, WEB)).decision == "healthy"


def test_one_shot_that_failed_is_rejected() -> None:
    """Any other exit code must reject at once."""
    verdict = judged(at(0, WEB, replace(JOB, exit_code=7)))
    assert (verdict.decision, verdict.reason) == ("rejected", "container/job: one-shot exited with code 7")
    assert verdict.hint == "docker logs job"


def test_one_shot_that_runs_is_waited_for() -> None:
    """A one-shot that runs must be waited for until the deadline."""
    running = replace(JOB, state="running", exit_code=None)
    assert judged(at(0, WEB, running), at(59, WEB, running)).decision == "wait"
    assert (
        judged(at(0, WEB, running), at(60, WEB, running)).reason
        == "container/job: one-shot is running after 60 s"
    )


def test_never_steady_is_rejected_at_the_deadline() -> None:
    """A release that is good now and then must be rejected when the deadline is over."""
    looks = [at(n, web(restart_count=n // 30), JOB) for n in range(55, 61)]
    verdict = judged(at(0, web(restart_count=0), JOB), at(5, web(health="starting"), JOB), *looks)
    assert verdict.reason == "gate: not steady for 10 s within 60 s"


def test_excused_subject_cannot_condemn() -> None:
    """What failed before and did not change must not count: neither its state, nor its restarts."""
    terms = Terms(10, 60, allowed_to_fail=frozenset({"container/web"}))
    looks = [at(n * 5, web(state="restarting", restart_count=n), JOB) for n in range(3)]
    assert judged(*looks, terms=terms).decision == "healthy"


def test_restarts_of_what_is_not_desired_count_not() -> None:
    """A container that this release removes may restart for ever: it must not keep the release from being
    steady.
    """
    looks = [
        at(n * 5, WEB, JOB, replace(WEB, id="x", name="old", key_name="old", restart_count=n))
        for n in range(3)
    ]
    assert judged(*looks).decision == "healthy"


def test_check_is_waited_for_until_the_deadline() -> None:
    """A red check must be waited for; late, it rejects with how to run it by hand."""
    manifest = replace(RELEASE.manifest, checks=(HTTP,))
    red, green = {"checks": {"answers": "connection refused"}}, {"checks": {"answers": ""}}
    assert judged(at(0, **green), at(10, **green), manifest=manifest).decision == "healthy"
    assert judged(at(0, **red), at(30, **green), at(40, **green), manifest=manifest).decision == "healthy"
    verdict = judged(at(0, **red), at(60, **red), manifest=manifest)
    assert verdict.reason == "check/answers: connection refused after 60 s"
    assert verdict.findings[0].hint == "curl -i http://127.0.0.1/healthz (wants status 200)"


def test_check_has_its_own_time() -> None:
    """`within` must reject earlier than the deadline does."""
    manifest = replace(RELEASE.manifest, checks=(replace(HTTP, within=20.0),))
    red = {"checks": {"answers": "status 500"}}
    assert judged(at(0, **red), at(19, **red), manifest=manifest).decision == "wait"
    assert (
        judged(at(0, **red), at(20, **red), manifest=manifest).reason
        == "check/answers: status 500 after 20 s"
    )


def test_unknown_check_is_not_green() -> None:
    """A check without a result must not pass."""
    assert judged(at(0), at(10), manifest=replace(RELEASE.manifest, checks=(HTTP,))).decision == "wait"


def test_source_must_answer() -> None:
    """When the source must answer, a silent one keeps the release from being healthy, and rejects it at the
    deadline.
    """
    terms = replace(TERMS, source_required=True)
    assert judged(at(0), at(10, source=""), terms=terms).decision == "healthy"
    assert judged(at(0), at(10, source="no route to host"), terms=terms).decision == "wait"
    verdict = judged(at(0), at(10, source="no route to host"), at(60, source="no route to host"), terms=terms)
    assert verdict.reason == "source: no longer answers: no route to host after 60 s"
    assert verdict.blames_source and "routes, DNS and firewall" in verdict.hint
    assert judged(at(0), at(10, source="no route to host")).decision == "healthy"


def test_bad_findings_come_first() -> None:
    """A verdict must name what condemns before what is only late."""
    verdict = judged(at(0, web(health="starting"), replace(JOB, exit_code=1)))
    assert [finding.subject for finding in verdict.findings] == ["container/job", "container/web"]


def test_excused_before_apply() -> None:
    """What fails now is excused, unless it is about to change; checks always."""
    manifest = replace(RELEASE.manifest, checks=(HTTP,))
    sample = at(0, web(state="exited", exit_code=1), JOB, checks={"answers": "connection refused"})
    assert gate.allowed_to_fail(manifest, sample, set()) == {"container/web", "check/answers"}
    assert gate.allowed_to_fail(manifest, sample, {Key("container", "web")}) == {"check/answers"}
    assert gate.allowed_to_fail(manifest, at(0, checks={"answers": ""}), set()) == frozenset()
