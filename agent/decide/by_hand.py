"""What a person's hand did to a host, and what happened to it by itself. Pure.

Rules:
1. What is gone, or has ended by itself, is repaired at once: nobody wants that.
2. What a person did (an edited file, a stopped container) is said at once, and repaired by the next full
   pass: the person may be at work. So is whatever else differs and is not gone.
3. Whether somebody stopped a container is told by the Engine's events. Where they are not heard, one that
   Docker would keep up counts as stopped.
"""

from __future__ import annotations

from collections.abc import Collection

from agent.kinds import lenders
from agent.kinds.base import View
from agent.kinds.health import was_stopped
from agent.kinds.instances import RUNNING
from agent.model import PATH_KINDS, Change, Key, Plan


def by_hand(plan: Plan, view: View, stopped: Collection[str] | None) -> set[Key]:
    """The resources whose correction waits for the next full pass. `stopped`: names of the containers that
    somebody stopped; None where the Engine's events are not heard.
    """
    return {
        change.key
        for change in plan.changes
        if change.stage == "apply" and change.verb != "keep" and _waits(change, view, stopped)
    }


def _waits(change: Change, view: View, stopped: Collection[str] | None) -> bool:
    key = change.key
    if key.kind in PATH_KINDS:
        return key.name in view.observed.files
    if key.kind == "network":
        return key.name in view.observed.networks
    if key.kind == "volume":
        return key.name in view.observed.volumes
    return _container_waits(key, view, stopped)


def _container_waits(key: Key, view: View, stopped: Collection[str] | None) -> bool:
    there = next((each for each in view.containers(key.name) if each.name == key.name), None)
    if there is None:
        return False
    resource = view.target.manifest.resources.get(key)
    if there.state in RUNNING:
        return there.health != "unhealthy" and not (resource and lenders.lenders(resource))
    if stopped is not None:
        return key.name in stopped
    restart = str(resource.spec["config"].get("restart") or "") if resource else ""
    return was_stopped(there.state, there.error, restart)
