"""Lifecycle hooks: commands that run in a service's container after Limpet started it and before Limpet stops
it. Pure.

Rules:
1. `post_start` runs whenever Limpet starts the container, in the declared order, before any action that waits
   for the container. The inventory says in which containers it ran (`Owned.hooked`); in all others it has not
   run.
2. `pre_stop` comes from the release that the container belongs to, not from the one that takes its place. A
   failure keeps known good's container as it is, so that the release is rolled back. It never blocks a
   rollback, nor the end of a container that is unhealthy or that nobody would return to.
3. A command may hold secrets: it goes to the driver apart from the arguments of the action, which are shown.

`pre_start` does not run in the container: each command is a one-shot container that the service needs
(`agent.render.pre_start`).
"""

from __future__ import annotations

from agent.kinds import adoption
from agent.kinds.base import Part, Step, View
from agent.model import Key, Resource, Spec
from agent.observed import ObservedContainer

POST_START, PRE_STOP = "post_start", "pre_stop"
# The verbs of actions after which the hooks of a container have not run.
STARTING = ("start", "restart", POST_START)
DEADLINE = 60.0  # seconds that one command may take, unless the service says otherwise


def after_start(desired: Resource, container: str) -> list[Step]:
    """The hooks of a container that was started just now; `container` is its name or id."""
    return _steps("start", POST_START, desired, container)


def while_running(
    steps: list[Step], desired: Resource, instance: ObservedContainer, view: View
) -> list[Step]:
    """The steps that notify a running container of changed files, with its hooks: those of a stop and a start
    around a restart; else its `post_start`, if that has not run.
    """
    if any(step.verb == "restart" for step in steps):
        return [
            *before_stop("start", desired.key, instance, view),
            *steps,
            *after_start(desired, instance.id),
        ]
    return [*steps, *(after_start(desired, instance.id) if _pending(desired, instance, view) else ())]


def before_stop(part: Part, key: Key, instance: ObservedContainer, view: View) -> list[Step]:
    """The hooks of a container that is about to be stopped."""
    made_from = view.resource(key, instance.digest)
    if instance.state != "running" or made_from is None:
        return []
    good = view.known_good.has(key, instance.digest, instance.image_id) and instance.health != "unhealthy"
    return _steps(
        part,
        PRE_STOP,
        made_from,
        instance.id,
        required=good and part != "prune" and view.target != view.known_good,
    )


def _steps(
    part: Part, event: str, resource: Resource, container: str, *, required: bool = True
) -> list[Step]:
    """The commands of an event.

    part: of the fate
    event: POST_START or PRE_STOP
    resource: the one that declares them
    container: name or id
    required: whether a failure stops the plan
    """
    timeout = resource.spec.get("hook_timeout", DEADLINE)
    return [
        Step(part, event, {"container": container, "number": number, "timeout": timeout}, hook, required)
        for number, hook in enumerate(_commands(resource, event), 1)
    ]


def _pending(desired: Resource, instance: ObservedContainer, view: View) -> bool:
    """Whether its `post_start` has not run, or not to its end, since Limpet started it. An adopted container
    was started by somebody else; its hooks count as done.
    """
    owned = view.owned(desired.key)
    known = owned is not None and instance.id in owned.hooked
    return not known and instance.id != adoption.newcomer(desired.key, view)


def _commands(resource: Resource, event: str) -> list[Spec]:
    return resource.spec["config"].get(event) or []
