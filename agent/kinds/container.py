"""Containers: one resource may have several instances on the host (`instances`). Pure.

The order of operations makes each of them level-triggered. A candidate or kept container gets its networks
and its restart policy before it gets the name, so a container with the final name needs nothing but a start.
A container that gives up the name is stopped first and loses its restart policy last. So the name tells which
steps are still to be taken.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypedDict, Unpack

from agent.kinds import (
    adoption,
    attaching,
    causes,
    claims,
    giving_back,
    hooks,
    in_place,
    lenders,
    notify,
    obstacles,
    oneshots,
    succession,
)
from agent.kinds.base import Fate, Part, Step, View, digest, ok
from agent.kinds.instances import BROKEN, RUNNING, candidate_name, is_candidate, is_kept, kept_name
from agent.model import Key, Need, Resource
from agent.observed import ObservedContainer

NAME = "container"
RANK = 30


class Handling(TypedDict, total=False):
    """How Limpet handles a container. It is not in the container's digest: nothing is re-created when it
    changes.

    oneshot: whether it runs once, to success
    oneoff: whether it only prepares its service (`pre_start`)
    irreversible: whether it cannot be undone once it was started
    adopt: whether it takes over a container that somebody else started
    pull_policy: when its image is pulled: always, missing (the default) or never
    pull_every: seconds after which its registry is asked again
    update: how it is changed (`update_policy`)
    rollback: how it is changed on the way back to known good
    hook_timeout: seconds that a command of a hook may take
    on_unhealthy: "restart" when it is to be restarted while it is unhealthy
    """

    oneshot: bool
    oneoff: bool
    irreversible: bool
    adopt: bool
    pull_policy: str
    pull_every: float
    update: dict[str, Any] | None
    rollback: dict[str, Any] | None
    hook_timeout: float
    on_unhealthy: str


# These stand in each spec, the others only where a service sets them.
DEFAULTS: Handling = {
    "oneshot": False,
    "oneoff": False,
    "pull_policy": "missing",
    "hook_timeout": hooks.DEADLINE,
}


def container_resource(
    name: str,
    *,
    app: str,
    service: str,
    number: int,
    config: dict[str, Any],
    inputs: dict[str, str],
    folded: dict[str, str],
    needs: tuple[Need, ...] = (),
    on_change: dict[str, str] | None = None,
    compose: dict[str, Any] | None = None,
    origin: str = "",
    **handling: Unpack[Handling],
) -> Resource:
    """One container of a service.

    name: its final name on the host
    app: the app that it belongs to
    service: the name of its service
    number: its number among the containers of its service
    config: canonical Compose keys, host-ready
    inputs: host path -> content digest, of each app file that it uses
    folded: `kind/name` -> digest, of each resource with which it must be re-created
    needs: the resources that must be ready before it
    on_change: host path -> reaction to a change of that file (`notify`)
    compose: for labels only; in no digest
    origin: `file:line` in the repository, for messages; in no digest
    handling: see `Handling`
    """
    content = {"config": config, "inputs": inputs, "folded": folded, "on_change": on_change or {}}
    spec = {
        "app": app,
        "service": service,
        "number": number,
        "name": name,
        "image": config["image"],
        "compose": compose or {},
        **DEFAULTS,
        **{key: value for key, value in handling.items() if value or key in DEFAULTS},
        **content,
    }
    return Resource(
        Key(NAME, name), spec, digest(NAME, content), needs, claims.of_service(name, config), origin
    )


def fate(key: Key, desired: Resource | None, view: View) -> Fate:
    """What becomes of one container and of each instance that bears its name."""
    instances = view.containers(key.name)
    if found := giving_back.to_give_back(desired, instances):
        makes_way = _steps(_discard("release", key, other, view) for other in instances if other is not found)
        return giving_back.given_back(key, desired, found, makes_way)
    if desired is None:
        return _removal(key, instances, view)
    if refusal := _refusal(desired, instances, view):
        return refusal
    keeper = _keeper(desired, instances, view)
    others = _steps(_put_aside(key, i, view) for i in _others(desired, instances, keeper, view))
    if keeper is None:
        return _creation(desired, instances, others, view)
    return _mending(desired, keeper, others, view)


def _others(
    desired: Resource, instances: list[ObservedContainer], keeper: ObservedContainer | None, view: View
) -> list[ObservedContainer]:
    """The instances that are put aside. A candidate that fits no more goes when the new one is made."""
    image = view.target.image(desired)
    anew = keeper is None and not oneshots.has_run(desired, image, view)
    made_anew = candidate_name(desired, image) if anew else ""
    return [each for each in instances if each is not keeper and each.name != made_anew]


def _refusal(desired: Resource, instances: list[ObservedContainer], view: View) -> Fate | None:
    """Why it cannot be as it should be, as long as others do nothing about it."""
    current = (i for i in instances if i.name == desired.key.name and i.state == "running")
    serves = any(_matches(desired, instance, view) for instance in current)
    return (
        adoption.adoption_refusal(desired, view)
        or lenders.absent_lender(desired, view)
        or obstacles.obstacle(desired, view, serves=serves)
    )


def _removal(key: Key, instances: list[ObservedContainer], view: View) -> Fate:
    steps = _steps(_discard("prune", key, instance, view) for instance in instances)
    if steps:
        return Fate(key, "delete", "no longer in the repository", steps)
    return Fate(key, "forget", "is gone")


def _steps(parts: Iterable[list[Step]]) -> tuple[Step, ...]:
    return tuple(step for part in parts for step in part)


def give_up(key: Key, view: View) -> tuple[Step, ...]:
    """The steps by which a container that is to be deleted frees its claims now; its removal may wait for
    prune.
    """
    return _steps(_put_aside(key, instance, view) for instance in view.containers(key.name))


def _matches(desired: Resource, instance: ObservedContainer, view: View) -> bool:
    image = view.target.image(desired)
    same = instance.digest == desired.digest and instance.image_id == image
    misfit = causes.why_anew(desired, instance, view)
    return same and instance.state not in BROKEN and not misfit


def _keeper(desired: Resource, instances: list[ObservedContainer], view: View) -> ObservedContainer | None:
    """The instance to use, among those that match: the one with the name first, then kept ones, then
    candidates.
    """
    # Nobody will start the candidate of a one-shot that has run.
    useless = "created" if oneshots.has_run(desired, view.target.image(desired), view) else ""
    matching = [
        instance for instance in instances if _matches(desired, instance, view) and instance.state != useless
    ]
    order = {True: 0, False: 1}
    return min(
        matching, key=lambda i: (order[i.name == desired.key.name], order[is_kept(i)], i.id), default=None
    )


def _put_aside(key: Key, instance: ObservedContainer, view: View) -> list[Step]:
    """Known good's container, and one that may have to be given back, is kept until the gate has passed. Any
    other container makes way.
    """
    at = {"container": instance.id}
    kept = instance.original is not None or view.known_good.has(key, instance.digest, instance.image_id)
    if not kept or instance.state in BROKEN or lenders.is_dead(instance, view):
        holds = (
            instance.name == key.name or instance.state in RUNNING or set(instance.networks) & view.recreated
        )
        return _discard("release" if holds else "prune", key, instance, view)
    steps = _stop("release", key, instance, view)
    steps += [
        Step("release", "disconnect", at | {"network": name})
        for name in sorted(set(instance.networks) & view.recreated)
    ]
    if not is_kept(instance):
        steps.append(Step("release", "rename", at | {"to": kept_name(key, instance)}))
    if not is_kept(instance) or instance.restart_policy not in (None, "", "no"):
        steps.append(Step("release", "policy", at | {"policy": "no"}))
    return [*steps, Step("prune", "remove", at)]


def _discard(part: Part, key: Key, instance: ObservedContainer, view: View) -> list[Step]:
    return [*_stop(part, key, instance, view), Step(part, "remove", {"container": instance.id})]


def _stop(part: Part, key: Key, instance: ObservedContainer, view: View) -> list[Step]:
    """Stops it, after the hooks that must run in it before. In a kept container they have run."""
    if instance.state not in RUNNING:
        return []
    before = [] if is_kept(instance) else hooks.before_stop(part, key, instance, view)
    return [*before, Step(part, "stop", {"container": instance.id})]


def _creation(
    desired: Resource, instances: list[ObservedContainer], others: tuple[Step, ...], view: View
) -> Fate:
    key, image = desired.key, view.target.image(desired)
    if oneshots.has_run(desired, image, view):
        return Fate(key, "delete", "an old instance is left", others) if others else ok(key)
    name = candidate_name(desired, image)
    heir_of = _heritage(desired, instances, view)
    # A candidate of an earlier try that fits no more has the name that the new one needs.
    prepare = [*_steps(_discard("prepare", key, i, view) for i in instances if i.name == name)]
    prepare += [Step("prepare", "create", {"name": name, "image": image, **heir_of})]
    prepare += [
        Step("prepare", "connect", {"container": name, "network": network})
        for network in attaching.networks(desired)[1:]
    ]
    start = (
        Step("start", "rename", {"container": name, "to": key.name}),
        Step("start", "start", {"container": key.name}),
        *hooks.after_start(desired, key.name),
    )
    verb = _making(key, instances)
    cause = causes.adoption_cause(instances) or causes.misfit_cause(desired, instances, view)
    cause = cause or causes.creation_cause(desired, verb, view)
    return Fate(key, verb, cause, (*prepare, *others, *start))


def _heritage(desired: Resource, instances: list[ObservedContainer], view: View) -> dict[str, str]:
    """The container whose unnamed volumes the new one gets, where the driver does not find it by its name."""
    adopted = next((instance for instance in instances if instance.adopted), None)
    before = adopted or succession.predecessor(desired, view)
    return {"heir_of": before.id} if before else {}


def _making(key: Key, instances: list[ObservedContainer]) -> str:
    return (
        "replace"
        if any(i.name == key.name or (i.differs and not is_kept(i)) for i in instances)
        else "create"
    )


def _mending(desired: Resource, keeper: ObservedContainer, others: tuple[Step, ...], view: View) -> Fate:
    """The fate of a container with an instance that matches. `others`: steps of the other instances."""
    key, steps = desired.key, (*others, *_mend(desired, keeper, view))
    if adoption.is_new(key, keeper, view):
        return adoption.adopted(key, steps, keeper.name if keeper.name != key.name else "")
    if not steps:
        return ok(key)
    if is_candidate(keeper):
        verb = _making(key, view.containers(key.name))
        return Fate(key, verb, causes.creation_cause(desired, verb, view), steps)
    return Fate(key, _verb(keeper, key, steps), causes.mending_cause(desired, keeper, steps, view), steps)


def _mend(desired: Resource, keeper: ObservedContainer, view: View) -> list[Step]:
    """The steps for all that a matching instance still lacks: networks, restart policy, name, a start, a
    signal, hooks; in this order.
    """
    at = {"container": keeper.id}
    steps = [*attaching.attach(desired, keeper, view), *in_place.put_back(desired, keeper, view)]
    if keeper.name != desired.key.name:
        whole = is_candidate(keeper) or (keeper.adopted and not is_kept(keeper))
        steps += [] if whole else [Step("start", "policy", at)]
        steps.append(Step("start", "rename", at | {"to": desired.key.name}))
    if keeper.state == "paused":
        steps.append(Step("start", "unpause", at))
    lives = keeper.state in ("paused", "running")
    if lives or (keeper.state == "restarting" and lenders.outlived(desired, keeper, view)):
        steps += hooks.while_running(notify.steps(desired, keeper, view), desired, keeper, view)
    elif keeper.state not in RUNNING and not _done(desired, keeper, view):
        steps += [Step("start", "start", at), *hooks.after_start(desired, keeper.id)]
    return steps


def _done(desired: Resource, keeper: ObservedContainer, view: View) -> bool:
    """Whether a one-shot has run to success."""
    succeeded = keeper.state == "exited" and keeper.exit_code == 0
    return bool(desired.spec["oneshot"]) and (succeeded or oneshots.has_run(desired, keeper.image_id, view))


def _verb(keeper: ObservedContainer, key: Key, steps: tuple[Step, ...]) -> str:
    if keeper.name != key.name:
        return "return"
    verbs = {step.verb for step in steps if step.part == "start"}
    if not verbs:
        return "delete"
    return "start" if verbs & {"start", "unpause"} else "update"
