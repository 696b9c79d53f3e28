"""Waits for containers: until one is healthy or completed, or until several are good and stay so. It looks,
and changes nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

from agent.drivers.engine import Engine
from agent.errors import Failed, Interrupted, Transient
from agent.kinds.engine.health import start_patience
from agent.kinds.health import service_word, was_stopped

POLL = 0.1, 1.0  # seconds between two looks: first, longest
ENDED = ("exited", "dead", "removing")


def wait(
    engine: Engine,
    stop: threading.Event,
    container: str,
    condition: str,
    timeout: float,
    recovers: bool = False,
) -> None:
    """Waits until a container meets a condition.

    engine: is asked about it
    stop: ends the waiting when it is set
    container: its id or name
    condition: `healthy` or `completed`
    timeout: seconds; the container's own health check may give it more
    recovers: it was not started by this pass: that it is unhealthy is old, and may pass

    Errors: Failed when that takes too long, and at once when it cannot happen any more; Interrupted.
    """
    started, pause = time.monotonic(), POLL[0]
    while True:
        there = _look(engine, container)
        old = recovers and _word(there) == "unhealthy"
        if not old and _reached(_name(there), there, condition):
            return
        limit = _limit(there, timeout)
        left = started + limit - time.monotonic()
        if left <= 0:
            raise _late(there, condition, limit)
        _sleep(stop, min(pause, left), f"container {_name(there)}")
        pause = min(pause * 1.5, POLL[1])


def watch_containers(
    engine: Engine,
    stop: threading.Event,
    containers: Sequence[str],
    seconds: float,
    most: int,
    timeout: float,
) -> None:
    """Waits until all run, are healthy when they have a health check, and have stayed so for a time.

    engine: is asked about them
    stop: ends the waiting when it is set
    containers: names or ids
    seconds: how long they must stay so
    most: how many of them may end, restart, be unhealthy, or not become healthy in time
    timeout: seconds in which each must become healthy

    Errors: Failed when more than `most` do; Interrupted.
    """
    watch, pause = _Watch(engine, timeout), POLL[0]
    while True:
        now = time.monotonic()
        for container in containers:
            watch.look(container, now)
        if len(watch.failed) > most:
            raise next(iter(watch.failed.values()))
        left = max((watch.left(container, seconds, now) for container in containers), default=0.0)
        if left <= 0:
            return
        _sleep(stop, min(pause, max(left, 0.01)), f"containers {', '.join(containers)}")
        pause = min(pause * 1.5, POLL[1])


class _Watch:
    """Remembers what several looks at containers have shown."""

    def __init__(self, engine: Engine, timeout: float) -> None:
        self.failed: dict[str, Failed] = {}  # by container; these are looked at no more
        self._engine = engine
        self._timeout = timeout
        self._begun = time.monotonic()
        self._good_since: dict[str, float] = {}
        self._restarts: dict[str, int] = {}  # at the first look

    def look(self, container: str, now: float) -> None:
        """Looks at one container. Errors: Transient when it is gone."""
        if container in self.failed:
            return
        there = _look(self._engine, container)
        trouble = _trouble(there, self._restarts.setdefault(container, there.get("RestartCount", 0)))
        if trouble is None and _word(there) in ("healthy", "running"):
            self._good_since.setdefault(container, now)
            return
        self._good_since.pop(container, None)
        limit = _limit(there, self._timeout)
        if trouble is None and now - self._begun >= limit:
            trouble = _late(there, "healthy", limit)
        if trouble is not None:
            self.failed[container] = trouble

    def left(self, container: str, seconds: float, now: float) -> float:
        """The seconds until it has been good for `seconds`, or until the next look while it is not good; none
        when it has failed.
        """
        if container in self.failed:
            return 0.0
        if container not in self._good_since:
            return POLL[1]
        return seconds - (now - self._good_since[container])


def delay(stop: threading.Event, seconds: float) -> None:
    """Lets time pass. Errors: Interrupted when the pass is asked to stop."""
    _sleep(stop, seconds, f"a delay of {seconds:g} s")


def _sleep(stop: threading.Event, seconds: float, what: str) -> None:
    if stop.wait(seconds):
        raise Interrupted(f"stopped while waiting for {what}", "the next pass goes on", code="Interrupted")


def _look(engine: Engine, container: str) -> dict[str, Any]:
    there = engine.container(container)
    if there is None:
        raise Transient(f"container {container} is gone", "the next pass looks again", code="Missing")
    return there


def _limit(there: dict[str, Any], timeout: float) -> float:
    """The longest time to wait, in seconds: at least what the container's health check allows for a start."""
    return max(timeout, start_patience(there["Config"].get("Healthcheck")))


def _word(there: dict[str, Any]) -> str:
    """How well the container is (`kinds/health.py`)."""
    state = there["State"]
    return service_word(state["Status"], (state.get("Health") or {}).get("Status") or "")


def _name(there: dict[str, Any]) -> str:
    return str(there["Name"]).removeprefix("/")


def _late(there: dict[str, Any], condition: str, timeout: float) -> Failed:
    health = (there["State"].get("Health") or {}).get("Status", "")
    now = f"{there['State']['Status']} {health}".rstrip()
    name = _name(there)
    return Failed(
        f"container {name} is not {condition} after {timeout:g} s; it is {now}",
        f"docker logs {name}",
        code="NotReady",
    )


def _trouble(there: dict[str, Any], restarts: int) -> Failed | None:
    """Why a container is not good and will not become so."""
    name, state = _name(there), there["State"]
    count = there.get("RestartCount", 0)
    if state["Status"] == "restarting" or count > restarts:
        return Failed(
            f"container {name} is in a restart loop; its last exit code was {state['ExitCode']}",
            f"docker logs {name}",
            code="Restarts",
        )
    return _ended(name, there, "while it was watched") or _unhealthy(name, there)


def _ended(name: str, there: dict[str, Any], when: str) -> Failed | None:
    state = there["State"]
    status = state["Status"]
    if was_stopped(status, state.get("Error") or "", there["HostConfig"]["RestartPolicy"]["Name"]):
        return None
    if status not in ENDED and not (status == "created" and state.get("Error")):
        return None
    code = (
        f" with exit code {state['ExitCode']}" if status == "exited" else f": {state.get('Error') or status}"
    )
    return Failed(f"container {name} ended{code} {when}", f"see why: docker logs {name}", code="Exited")


def _unhealthy(name: str, there: dict[str, Any]) -> Failed | None:
    if _word(there) != "unhealthy":
        return None
    hint = f"see its last probes: docker inspect -f '{{{{json .State.Health}}}}' {name}"
    return Failed(f"container {name} is unhealthy", hint, code="Unhealthy")


def _reached(name: str, there: dict[str, Any], condition: str) -> bool:
    """Whether a container meets the condition. Errors: Failed when it never will."""
    state = there["State"]
    status, word = state["Status"], _word(there)
    logs = f"see why: docker logs {name}"
    if condition == "completed":
        if status == "exited" and state["ExitCode"] != 0:
            raise Failed(
                f"container {name} ended with exit code {state['ExitCode']}", logs, code="ExitedWithError"
            )
        if status == "dead" or (status == "created" and state.get("Error")):
            raise Failed(
                f"container {name} cannot run: {state.get('Error') or status}", logs, code="CannotStart"
            )
        return bool(status == "exited")
    if trouble := _ended(name, there, "before it was healthy") or _unhealthy(name, there):
        raise trouble
    if word == "running":
        raise Failed(
            f"container {name} has no health check, but something waits for it to be healthy",
            "add a healthcheck to the service, or wait for service_started",
            code="NoHealthCheck",
        )
    return word == "healthy"
