"""Runs one command of a lifecycle hook in a container, as `docker exec` does, within a deadline.

Rules:
1. The command runs detached, and is looked at until it has ended. Its output may hold secrets and is kept
   nowhere.
2. The Engine cannot end a command. A command that outlives its deadline ends with its container.
3. A container that has ended needs no `pre_stop`, and a one-shot that has ended no `post_start`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from agent.drivers.engine import Engine
from agent.errors import Failed, Transient
from agent.kinds.engine import request
from agent.kinds.hooks import PRE_STOP
from agent.model import Spec

if TYPE_CHECKING:
    from docker.api.client import APIClient

POLL = 0.02, 0.5  # seconds between two looks: first, longest
KILLED = 137  # exit code of a command whose container ended under it
ENDING = 5.0  # seconds that the Engine may take to say so
ENDED = ("exited", "dead", "removing", "created")


def run_hook(
    api: APIClient,
    engine: Engine,
    container: str,
    event: str,
    number: int,
    timeout: float,
    hook: Spec,
    *,
    oneshot: bool,
) -> None:
    """Runs one command to its end.

    api: the SDK's client
    engine: the light reader
    container: its id or name
    event: `post_start` or `pre_stop`
    number: of the command, for messages
    timeout: seconds, the wait for the container included
    hook: the command, as in Compose
    oneshot: whether the container may have ended before

    Errors: Failed when the command fails, cannot run or takes too long; those of the SDK.
    """
    end = time.monotonic() + timeout
    there = _await(engine, container, event, end, oneshot)
    if there is None:
        return
    name = there["Name"].removeprefix("/")
    what = f"{event} command {number} of container {name}"
    code = _await_exit(api, _start(api, container, hook), end)
    if code is None:
        raise Failed(
            f"{what} has not ended within {timeout:g} s",
            f"see what it does: docker top {name}; x-limpet.hook_timeout gives it longer",
            code="HookTimeout",
        )
    if code == 0 or (
        event == PRE_STOP and _has_ended(engine, container, there, ENDING if code == KILLED else 0)
    ):
        return
    raise Failed(
        f"{what} ended with exit code {code}",
        f"run it by hand to see what it says: docker exec {name} COMMAND",
        code="HookFailed",
    )


def _await(engine: Engine, container: str, event: str, end: float, oneshot: bool) -> dict[str, Any] | None:
    """Waits until the container runs. Its inspection; None when nothing is left to do.

    engine: the light reader
    container: its id or name
    event: `post_start` or `pre_stop`
    end: monotonic seconds at which the wait ends
    oneshot: whether the container may have ended before

    Errors: Transient, Failed.
    """
    while True:
        there = engine.container(container)
        if there is None:
            raise Transient(f"container {container} is gone", "the next pass looks again", code="Missing")
        state = there["State"]["Status"]
        if state == "running":
            return there
        if event == PRE_STOP or (oneshot and state == "exited"):
            return None
        if state in ENDED or time.monotonic() >= end:
            raise _never_ran(there, event)
        time.sleep(POLL[1])


def _never_ran(there: dict[str, Any], event: str) -> Failed:
    name, state = there["Name"].removeprefix("/"), there["State"]
    ended = (
        f"ended with exit code {state['ExitCode']}" if state["Status"] in ENDED else f"is {state['Status']}"
    )
    return Failed(
        f"container {name} {ended} before its {event} ran", f"see why: docker logs {name}", code="Exited"
    )


def _start(api: APIClient, container: str, hook: Spec) -> str:
    """Starts a command; its id."""
    made = api.exec_create(
        container,
        list(hook.get("command") or ()),
        stdout=False,
        stderr=False,
        user=hook.get("user") or "",
        privileged=bool(hook.get("privileged")),
        workdir=hook.get("working_dir") or None,
        environment=request.environment(hook),
    )
    api.exec_start(made["Id"], detach=True)
    return str(made["Id"])


def _await_exit(api: APIClient, command: str, end: float) -> int | None:
    """The exit code of a command; None when it has not ended at `end`, monotonic seconds."""
    pause = POLL[0]
    while (code := _exit_code(api.exec_inspect(command))) is None:
        if time.monotonic() >= end:
            return None
        time.sleep(pause)
        pause = min(pause * 1.5, POLL[1])
    return code


def _has_ended(engine: Engine, container: str, before: dict[str, Any], within: float) -> bool:
    """Whether the process of the earlier inspection has ended, or ends within so many seconds, even if the
    restart policy has started another.
    """
    end = time.monotonic() + within
    while (now := engine.container(container)) is not None:
        if now["State"]["Status"] != "running" or now["State"]["StartedAt"] != before["State"]["StartedAt"]:
            break
        if time.monotonic() >= end:
            return False
        time.sleep(POLL[0])
    return True


def _exit_code(seen: dict[str, Any]) -> int | None:
    """None while it runs."""
    return None if seen["Running"] or seen["ExitCode"] is None else int(seen["ExitCode"])
