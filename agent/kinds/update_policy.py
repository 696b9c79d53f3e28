"""How a service wants to be updated: `deploy.update_config`, and `rollback_config` on the way back to known
good. Pure.

Rules:
1. It is in no digest: nothing is re-created because it changed.
2. `start-first`: the new container is started under the name that it has until then (candidate, kept), and
   takes the final name when it is good and the old one has given way. So a name that is not the final one
   still says all that is to be done.
3. `start-first` is impossible when the new container needs a claim of the old one, or a network that is
   removed first, or when another resource waits for a claim of the old one (`plan.py`). Then the old one goes
   first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from agent.kinds import claims
from agent.kinds.base import Fate, Step, View
from agent.kinds.hooks import POST_START, PRE_STOP
from agent.model import Resource
from agent.observed import ObservedContainer

# The steps that a new container needs besides its name and policy.
START_FIRST_VERBS = ("connect", "disconnect", "start", "unpause", "signal", "restart", POST_START, PRE_STOP)


@dataclass(frozen=True, slots=True)
class UpdatePolicy:
    """How the containers of a service are changed.

    start_first: whether a new container runs beside the old one before that gives way
    parallelism: containers at a time, 0 for all
    delay: seconds between two batches
    monitor: seconds that a new container must stay good
    ratio: the share of failed containers up to which the update goes on; 1 when nothing stops it
    """

    start_first: bool = False
    parallelism: int = 0
    delay: float = 0.0
    monitor: float = 0.0
    ratio: float = 0.0


def policy_of(resource: Resource, view: View) -> UpdatePolicy | None:
    """How a container is changed now; None when its service does not say. Nothing stops a rollback: the gate
    judges its end.
    """
    if resource.spec["oneshot"]:
        return None
    returning = view.returning
    config: Mapping[str, Any] = resource.spec.get("rollback" if returning else "update") or {}
    if not config:
        return None
    unstoppable = returning or config.get("failure_action") == "continue"
    return UpdatePolicy(
        start_first=config.get("order") == "start-first",
        parallelism=int(config.get("parallelism", 1)),
        delay=float(config.get("delay", 0)),
        monitor=float(config.get("monitor", 0)),
        ratio=1.0 if unstoppable else float(config.get("max_failure_ratio", 0)),
    )


def serving(name: str, view: View) -> ObservedContainer | None:
    """The instance that holds the final name and runs."""
    return next((c for c in view.containers(name) if c.name == name and c.state == "running"), None)


def start_first(fate: Fate, view: View) -> Fate:
    """The fate of a container, with the steps that start the new one before the old one gives way where that
    is wanted and possible.
    """
    desired = view.target.manifest.resources.get(fate.key)
    how, old = policy_of(desired, view) if desired else None, serving(fate.key.name, view)
    taking = next((step for step in fate.steps if (step.part, step.verb) == ("start", "rename")), None)
    if desired is None or how is None or not how.start_first or old is None or taking is None:
        return fate
    taken = [claim for claim in desired.claims if not claim.startswith("name/")]
    networks = {name for instance in view.containers(fate.key.name) for name in instance.networks}
    networks |= (desired.spec["config"].get("networks") or {}).keys()
    if (
        claims.clashing(taken, old.ports)
        or any(claim.startswith("address/") for claim in taken)
        or networks & view.recreated
    ):
        return fate
    new = str(taking.args["container"])
    return replace(
        fate,
        started_first=new,
        steps=tuple(_before_the_old_one(step, fate.key.name, new, old.id) for step in fate.steps),
    )


def _before_the_old_one(step: Step, name: str, new: str, old: str) -> Step:
    """Moves a step that the new container needs before the end of the old one, and also a step that removes
    another instance in its way: a candidate of an earlier try.
    """
    if step.part == "release" and step.args["container"] != old:
        return replace(step, part="start-first")
    if step.part != "start" or step.verb not in START_FIRST_VERBS:
        return step
    at = {"container": new} if step.args.get("container") == name else {}
    return replace(step, part="start-first", args={**step.args, **at})
