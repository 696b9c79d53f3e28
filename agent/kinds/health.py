"""How well a container is, in a word: the one place that reads its state, health and exit code. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.model import Resource

if TYPE_CHECKING:
    from agent.observed import ObservedContainer  # the daemon needs the words only

FINE = ("healthy", "running", "completed", "present")  # words that are not a problem
PENDING = ("starting", "unknown")
KEPT_UP = (
    "always",
    "unless-stopped",
)  # restart policies that let no container stay exited by itself


def service_word(state: str, health: str) -> str:
    """healthy, running (without a health check), starting, unhealthy, or the state: created, exited, ...

    state: as the Engine says it.
    health: what its health check says; empty or "none" without one.
    """
    if state != "running":
        return state
    return health if health not in ("", "none") else "running"


def health_word(resource: Resource, instance: ObservedContainer | None) -> str:
    """As `service_word`, or missing; of a one-shot: completed, failed, or its state."""
    if not resource.spec["oneshot"]:
        return "missing" if instance is None else service_word(instance.state, instance.health)
    if instance is None:
        return "completed"  # it ran to success and may have been removed since: the plan knows
    if instance.state == "exited":
        return "failed" if instance.exit_code else "completed"
    return instance.state


def was_stopped(state: str, error: str, restart: str) -> bool:
    """Whether an exited container was stopped, by a person or with Docker: by itself it would not stay so.

    error: why the Engine could not start it, if it could not.
    restart: its restart policy.
    """
    return state == "exited" and not error and restart in KEPT_UP
