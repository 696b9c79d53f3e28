"""How well a container is, in a word. The one place that reads an instance's state, health and exit code.
Pure.
"""

from __future__ import annotations

from agent.model import ObservedContainer, Resource

FINE = ("healthy", "running", "completed", "present")  # words that are not a problem
PENDING = ("starting", "unknown")


def health_word(resource: Resource, instance: ObservedContainer | None) -> str:
    """healthy, running, completed, starting, unhealthy, restarting, exited, failed, missing, ..."""
    if resource.spec["oneshot"]:
        if instance is None:
            return "completed"
        if instance.state == "exited":
            return "failed" if instance.exit_code else "completed"
        return instance.state
    if instance is None:
        return "missing"
    return instance.health or "running" if instance.state == "running" else instance.state
