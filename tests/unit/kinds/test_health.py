"""How well a container is, in a word."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.kinds.health import health_word, service_word, was_stopped
from tests.plan.cases import instance, release


@pytest.mark.parametrize(
    ("state", "health", "word"),
    [
        ("running", "", "running"),
        ("running", "none", "running"),
        ("running", "healthy", "healthy"),
        ("running", "starting", "starting"),
        ("exited", "healthy", "exited"),
        ("paused", "", "paused"),
    ],
)
def test_the_word_for_a_service(state: str, health: str, word: str) -> None:
    """The health check must be believed while it runs, and the state otherwise."""
    assert service_word(state, health) == word


@pytest.mark.parametrize(
    ("state", "code", "word"),
    [
        ("exited", 0, "completed"),
        ("exited", 3, "failed"),
        ("running", None, "running"),
        ("created", None, "created"),
    ],
)
def test_the_word_for_a_one_shot(state: str, code: int | None, word: str) -> None:
    """A one-shot must have completed only when it exited with 0."""
    held = release({"desired": {"container": {"m": {"image": "once:1", "oneshot": True}}}}, "desired")
    resource = next(iter(held.manifest.resources.values()))
    assert health_word(resource, replace(instance(held, "m"), state=state, exit_code=code)) == word
    assert health_word(resource, None) == "completed"


def test_the_word_for_a_service_that_is_not_there() -> None:
    """A service without a container must be missing."""
    held = release({"desired": {"container": {"web": {"image": "web:1"}}}}, "desired")
    resource = next(iter(held.manifest.resources.values()))
    assert health_word(resource, None) == "missing"
    assert health_word(resource, instance(held, "web", health="unhealthy")) == "unhealthy"


@pytest.mark.parametrize(
    ("state", "error", "restart", "stopped"),
    [
        ("exited", "", "always", True),
        ("exited", "", "unless-stopped", True),
        ("exited", "", "on-failure", False),
        ("exited", "", "no", False),
        ("exited", "no such file", "always", False),
        ("running", "", "always", False),
    ],
)
def test_who_stopped_a_container(state: str, error: str, restart: str, stopped: bool) -> None:
    """What its policy keeps up and is exited all the same must count as stopped, unless it cannot start."""
    assert was_stopped(state, error, restart) is stopped
