"""What every host does with the commands of lifecycle hooks; and on the real Engine, how they run."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.errors import Failed, Transient
from agent.model import Action, Resource
from tests.contract.bench import Bench, RealBench, act, eventually, run, seen, service
from tests.harness.engine import Engine


@pytest.fixture
def real(prefix: str, engine: Engine, tmp_path: Path) -> Iterator[RealBench]:
    made = RealBench(prefix, engine, tmp_path)
    yield made
    made.close()


def hook(
    bench: Bench, resource: Resource, event: str, id: str, *command: str, timeout: float = 30, **more: Any
) -> None:
    args = {"container": id, "number": 1, "timeout": timeout}
    bench.host.execute(
        Action(1, event, resource.key, "contract", args, secret={"command": list(command), **more}), resource
    )


@pytest.mark.parametrize("event", ["post_start", "pre_stop"])
def test_a_hook_that_ends_well_changes_nothing(bench: Bench, event: str) -> None:
    """A command that ends with 0 must leave the container running, and may run again."""
    web = service(bench, "web")
    id = run(bench, web)
    for _ in range(2):
        hook(bench, web, event, id, "true")
    assert seen(bench, id).state == "running"


@pytest.mark.parametrize(
    ("command", "reason"),
    [(("false",), "HookFailed"), (("nowhere",), "CannotStart"), (("sleep", "1000"), "HookTimeout")],
)
def test_a_failing_post_start_stops_the_container(
    bench: Bench, command: tuple[str, ...], reason: str
) -> None:
    """A post_start that fails, cannot run or hangs must be a failure with a remedy, and the container must be
    stopped.
    """
    web = service(bench, "web", restart="always")
    id = run(bench, web)
    with pytest.raises(Failed, match=web.key.name) as error:
        hook(bench, web, "post_start", id, *command, timeout=1 if reason == "HookTimeout" else 60)
    assert error.value.code == reason and error.value.hint
    assert seen(bench, id).state == "exited"


@pytest.mark.parametrize(
    ("command", "reason"),
    [(("false",), "HookFailed"), (("nowhere",), "CannotStart"), (("sleep", "1000"), "HookTimeout")],
)
def test_a_failing_pre_stop_leaves_the_container_running(
    bench: Bench, command: tuple[str, ...], reason: str
) -> None:
    """A pre_stop that fails, cannot run or hangs must be a failure, and the container must run on."""
    web = service(bench, "web")
    id = run(bench, web)
    with pytest.raises(Failed, match=web.key.name) as error:
        hook(bench, web, "pre_stop", id, *command, timeout=1 if reason == "HookTimeout" else 60)
    assert error.value.code == reason and error.value.hint
    assert seen(bench, id).state == "running"


def test_what_does_not_run_needs_no_pre_stop(bench: Bench) -> None:
    """A pre_stop in a container that was stopped, or is gone, must do nothing."""
    web = service(bench, "web")
    id = run(bench, web)
    act(bench, web, "stop", container=id)
    hook(bench, web, "pre_stop", id, "false")
    act(bench, web, "remove", container=id)
    hook(bench, web, "pre_stop", id, "false")


def test_a_container_that_has_ended_cannot_run_its_post_start(bench: Bench) -> None:
    """A post_start in a service that ended by itself must fail, in a one-shot that is done do nothing, and
    elsewhere wait.
    """
    job = service(bench, "job", "once")
    id = run(bench, job)
    eventually(bench, id, lambda c: c.state == "exited")
    with pytest.raises(Failed, match=job.key.name) as error:
        hook(bench, job, "post_start", id, "true")
    assert error.value.code == "Exited"
    hook(bench, Resource(job.key, {**job.spec, "oneshot": True}, job.digest), "post_start", id, "false")
    with pytest.raises(Transient):
        hook(bench, job, "post_start", f"{bench.prefix}-gone", "true")


# --- the real Engine ----------------------------------------------------------------------------------------


def inside(bench: RealBench, id: str, *command: str) -> str:
    return bench.engine.said(id, *command)


def test_a_hook_has_its_user_directory_and_environment(real: RealBench) -> None:
    """A command must run as the user, in the directory and with the variables of the hook, over those of the
    service.
    """
    web = service(real, "web", environment={"A": "service", "B": "service"}, user="app")
    id = run(real, web)
    script = "{ id -un; pwd; echo $A $B $C; } > /tmp/said"
    hook(
        real,
        web,
        "post_start",
        id,
        "sh",
        "-c",
        script,
        user="root",
        working_dir="/www",
        environment={"B": "hook", "C": "1"},
    )
    assert inside(real, id, "cat", "/tmp/said").split("\n")[:3] == ["root", "/www", "service hook 1"]


def test_a_privileged_hook_asks_for_all_capabilities(real: RealBench) -> None:
    """`privileged: true` must give the command more than its container has; a machine that cannot give it
    says so.
    """
    web = service(real, "web")
    id = run(real, web)
    script = ("sh", "-c", "grep CapEff /proc/self/status > /tmp/said")

    def capabilities() -> int:
        return int(inside(real, id, "cat", "/tmp/said").split()[1], 16)

    hook(real, web, "pre_stop", id, *script)
    usual = capabilities()
    try:
        hook(real, web, "pre_stop", id, *script, privileged=True)
    except Failed as error:
        assert "unable to apply caps" in error.message
    else:
        assert capabilities() & ~usual


def test_what_a_hook_says_and_holds_is_in_no_error(real: RealBench) -> None:
    """Neither the command, nor its variables, nor its output may be in the message: they may be secret."""
    web = service(real, "web")
    id = run(real, web)
    for command in (("sh", "-c", "echo $TOKEN geheim; exit 3"), ("sh", "-c", "kill -9 1; sleep 5 geheim")):
        with pytest.raises(Failed) as error:
            hook(real, web, "pre_stop", id, *command, environment={"TOKEN": "hunter2"}, timeout=1)
        text = json.dumps([error.value.message, error.value.hint])
        assert "hunter2" not in text and "geheim" not in text


@pytest.mark.parametrize("restart", ["no", "always"])
def test_a_pre_stop_that_ends_the_container_is_enough(real: RealBench, restart: str) -> None:
    """A command that makes the container end by itself, and ends with it, must count as done, whatever starts
    it again.
    """
    web = service(real, "web", restart=restart)
    id = run(real, web)
    hook(real, web, "pre_stop", id, "sh", "-c", "kill 1; sleep 30")
    assert restart == "always" or seen(real, id).state == "exited"


def test_a_hook_waits_for_a_container_that_restarts(real: RealBench) -> None:
    """A post_start must wait, within its time, for a container that its policy starts again, and fail after
    that.
    """
    web = service(real, "web", "crash", restart="always")
    id = run(real, web)
    eventually(real, id, lambda c: bool(c.restart_count and c.restart_count > 4))
    begun = time.monotonic()
    with pytest.raises(Failed):
        hook(real, web, "post_start", id, "sleep", "30", timeout=2)
    assert time.monotonic() - begun < 20
    assert seen(real, id).state == "exited"
