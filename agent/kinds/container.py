"""Containers: one resource may have several instances on the host, told apart by their names. Pure.

    NAME               current    holds the name, and with it ports and addresses
    NAME.new-XXXX      candidate  created beforehand; not started, but with `order: start-first`
    NAME.kept-XXXX     kept       belongs to known good, or was adopted by a release that is not proved:
    stopped, restart policy
                                  off, until the gate has passed

The order of operations makes each of them level-triggered: a candidate or kept container gets its networks
and its restart policy before it gets the name, so a container with the final name needs nothing but a start;
and one that gives up the name is stopped first and loses its restart policy last, so the name tells what is
still to be done.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agent.kinds import adoption, claims, hooks, notify, oneshots
from agent.kinds.base import Fate, Part, Step, View, digest, ok, refuse
from agent.kinds.engine.differences import differing_fields
from agent.model import Key, Need, ObservedContainer, Resource, sha256

NAME = "container"
RANK = 30
RUNNING = {"running", "restarting", "paused"}
BROKEN = {"dead", "removing"}  # of no use to anybody
MOST_NAMES = 4  # in a cause


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
    oneshot: bool = False,
    on_change: dict[str, str] | None = None,
    pull_policy: str = "missing",
    pull_every: float = 0.0,
    compose: dict[str, Any] | None = None,
    update: dict[str, Any] | None = None,
    rollback: dict[str, Any] | None = None,
    hook_timeout: float = hooks.DEADLINE,
    oneoff: bool = False,
    adopt: bool = False,
    on_unhealthy: str = "",
    irreversible: bool = False,
    origin: str = "",
) -> Resource:
    """One container of a service.

    `config`: canonical Compose keys, host-ready. `inputs`: host path -> content digest of every app file it
    uses. `folded`: `kind/name` -> digest of what it must be re-created with. In no digest: `compose`, which
    is for labels only; `adopt`, whether it takes over what somebody else started; `irreversible`, whether it
    cannot be undone once it was started; when its image is pulled: `pull_policy` is always, missing or never,
    `pull_every`: seconds after which its registry is asked again; what is done when it is unhealthy later:
    `on_unhealthy` is restart or empty; how it is changed: `update`, `rollback` (`kinds/changing.py`); how
    long a command of a hook may take: `hook_timeout`, in seconds. `oneoff`: it only prepares its service.
    """
    content = {"config": config, "inputs": inputs, "folded": folded, "on_change": on_change or {}}
    spec = {
        "app": app,
        "service": service,
        "number": number,
        "name": name,
        "image": config["image"],
        "oneshot": oneshot,
        "pull_policy": pull_policy,
        "compose": compose or {},
        "hook_timeout": hook_timeout,
        "oneoff": oneoff,
        **({"adopt": True} if adopt else {}),
        **({"irreversible": True} if irreversible else {}),
        **content,
    }
    if pull_every:
        spec["pull_every"] = pull_every
    spec |= {
        key: value
        for key, value in (("update", update), ("rollback", rollback), ("on_unhealthy", on_unhealthy))
        if value
    }
    return Resource(
        Key(NAME, name), spec, digest(NAME, content), needs, claims.of_service(name, config), origin
    )


def candidate_name(resource: Resource, image_id: str) -> str:
    return f"{resource.key.name}.new-{sha256(resource.digest + image_id)[:12]}"


def kept_name(key: Key, instance: ObservedContainer) -> str:
    return f"{key.name}.kept-{instance.id[:12]}"


def is_kept(instance: ObservedContainer) -> bool:
    return instance.name.startswith(f"{instance.key_name}.kept-")


def is_candidate(instance: ObservedContainer) -> bool:
    return instance.name.startswith(f"{instance.key_name}.new-")


def networks(resource: Resource) -> list[str]:
    """The real names of the networks it joins, in the order of their priority."""
    joined = resource.spec["config"].get("networks") or {}
    return sorted(joined, key=lambda name: (-int((joined[name] or {}).get("priority") or 0), name))


def fate(key: Key, desired: Resource | None, view: View) -> Fate:
    """What becomes of one container and of every instance that bears its name."""
    instances = view.containers(key.name)
    if found := adoption.to_give_back(desired, instances):
        makes_way = tuple(
            step
            for other in instances
            if other is not found
            for step in _discard("release", key, other, view)
        )
        return adoption.given_back(key, desired, found, makes_way)
    if desired is None:
        steps = tuple(step for instance in instances for step in _discard("prune", key, instance, view))
        return (
            Fate(key, "delete", "no longer in the repository", steps)
            if steps
            else Fate(key, "forget", "is gone")
        )
    refusal = adoption.adoption_refusal(desired, view) or _taken(key, desired, instances, view)
    if refusal:
        return refusal
    keeper = _keeper(desired, instances, view)
    others = [
        step for instance in instances if instance is not keeper for step in _put_aside(key, instance, view)
    ]
    if keeper is None:
        return _creation(key, desired, instances, tuple(others), view)
    steps = (*others, *_mend(desired, keeper, view))
    if adoption.is_new(key, keeper, view):
        return adoption.adopted(key, steps, keeper.name if keeper.name != key.name else "")
    if not steps:
        return ok(key)
    if is_candidate(keeper):
        verb = _making(key, instances)
        return Fate(key, verb, _creation_cause(key, desired, verb, view), steps)
    return Fate(key, _verb(keeper, key, steps), _mending_cause(key, desired, keeper, steps, view), steps)


def give_up(key: Key, view: View) -> tuple[Step, ...]:
    """The steps by which a container that is to be deleted frees its claims now; its removal may wait for
    prune.
    """
    return tuple(step for instance in view.containers(key.name) for step in _put_aside(key, instance, view))


def _taken(key: Key, desired: Resource, instances: list[ObservedContainer], view: View) -> Fate | None:
    """A refusal when a foreign container holds the name or a published port."""
    for other in view.observed.containers:
        if other.owned:
            continue
        if other.name == key.name:
            return refuse(
                key,
                f"the name is taken by container {other.id[:12]}, which is not ours",
                f"{adoption.HINT}; or rename it: docker rename {key.name} {key.name}-old",
            )
        if any(i.name == key.name and i.state == "running" and _matches(desired, i, view) for i in instances):
            continue
        ports = claims.clashing(desired.claims, other.ports if other.state in RUNNING else ())
        if ports:
            return refuse(
                key,
                f"{ports[0].removeprefix('port/')} is held by the foreign container {other.name}",
                f"stop it (docker stop {other.name}) or publish another port",
            )
    return None


def _matches(desired: Resource, instance: ObservedContainer, view: View) -> bool:
    image = view.target.image(desired)
    return instance.digest == desired.digest and instance.image_id == image and instance.state not in BROKEN


def _keeper(desired: Resource, instances: list[ObservedContainer], view: View) -> ObservedContainer | None:
    """The instance to use: it matches; the one with the name first, then kept ones, then candidates."""
    useless = (
        "created" if oneshots.has_run(desired, view.target.image(desired), view) else ""
    )  # nobody will start it
    matching = [
        instance for instance in instances if _matches(desired, instance, view) and instance.state != useless
    ]
    order = {True: 0, False: 1}
    return min(
        matching, key=lambda i: (order[i.name == desired.key.name], order[is_kept(i)], i.id), default=None
    )


def _put_aside(key: Key, instance: ObservedContainer, view: View) -> list[Step]:
    """Known good's container, and one that may have to be given back, is kept until the gate has passed; any
    other makes way.
    """
    at = {"container": instance.id}
    kept = instance.original is not None or view.known_good.has(key, instance.digest, instance.image_id)
    if not kept or instance.state in BROKEN:
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
    """Its end, with what must run in it before; a kept container has done that."""
    if instance.state not in RUNNING:
        return []
    before = [] if is_kept(instance) else hooks.before_stop(part, key, instance, view)
    return [*before, Step(part, "stop", {"container": instance.id})]


def _creation(
    key: Key, desired: Resource, instances: list[ObservedContainer], others: tuple[Step, ...], view: View
) -> Fate:
    image = view.target.image(desired)
    if oneshots.has_run(desired, image, view):
        return Fate(key, "delete", "an old instance is left", others) if others else ok(key)
    name = candidate_name(desired, image)
    replaces = next(({"replaces": instance.id} for instance in instances if instance.adopted), {})
    prepare = [Step("prepare", "create", {"name": name, "image": image, **replaces})]
    prepare += [
        Step("prepare", "connect", {"container": name, "network": network})
        for network in networks(desired)[1:]
    ]
    start = (
        Step("start", "rename", {"container": name, "to": key.name}),
        Step("start", "start", {"container": key.name}),
        *hooks.after_start(desired, key.name),
    )
    verb = _making(key, instances)
    cause = _adoption_cause(instances) or _creation_cause(key, desired, verb, view)
    return Fate(key, verb, cause, (*prepare, *others, *start))


def _making(key: Key, instances: list[ObservedContainer]) -> str:
    return (
        "replace"
        if any(i.name == key.name or (i.differs and not is_kept(i)) for i in instances)
        else "create"
    )


def _adoption_cause(instances: list[ObservedContainer]) -> str:
    words = next(
        (instance.differs for instance in instances if instance.differs and not is_kept(instance)), ()
    )
    return f"what was started before differs: {_listed(words)}" if words else ""


def _mend(desired: Resource, keeper: ObservedContainer, view: View) -> list[Step]:
    """What a matching instance still lacks: networks, restart policy, name, a start, a signal, hooks; in this
    order.
    """
    at = {"container": keeper.id}
    elsewhere = sorted((set(keeper.networks) & view.recreated) - set(networks(desired)))
    steps = [Step("release", "disconnect", at | {"network": name}) for name in elsewhere]
    for network in networks(desired):
        there, attached = view.observed.networks.get(network), keeper.networks.get(network)
        replaced = network in view.recreated
        if attached is not None and not replaced and attached in ("", there.id if there else None):
            continue
        if attached is not None:
            steps.append(Step("release" if replaced else "start", "disconnect", at | {"network": network}))
        steps.append(Step("start", "connect", at | {"network": network}))
    if keeper.name != desired.key.name:
        whole = is_candidate(keeper) or (keeper.adopted and not is_kept(keeper))
        steps += [] if whole else [Step("start", "policy", at)]
        steps.append(Step("start", "rename", at | {"to": desired.key.name}))
    if keeper.state == "paused":
        steps += [
            Step("start", "unpause", at),
            *hooks.while_running(notify.steps(desired, keeper, view), desired, keeper, view),
        ]
    elif keeper.state not in RUNNING:
        starting = (
            []
            if _done(desired, keeper, view)
            else [Step("start", "start", at), *hooks.after_start(desired, keeper.id)]
        )
        return [*steps, *starting]
    elif keeper.state == "running":
        steps += hooks.while_running(notify.steps(desired, keeper, view), desired, keeper, view)
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


def _mending_cause(
    key: Key, desired: Resource, keeper: ObservedContainer, steps: tuple[Step, ...], view: View
) -> str:
    if keeper.name != key.name:
        return "known good's container comes back" if is_kept(keeper) else f"is called {keeper.name}"
    verbs = [step for step in steps if step.part == "start"]
    connects = [step.args["network"] for step in verbs if step.verb == "connect"]
    if connects:
        return f"is not attached to {', '.join(connects)}"
    if keeper.state == "running" and any(step.verb in notify.VERBS for step in verbs):
        changed = notify.changed_files(desired, keeper.id, view)
        return f"{_listed(changed)} changed" if changed else "is unhealthy"
    if not verbs:
        return "an old instance is left"
    if keeper.state == "running":
        return f"its {hooks.POST_START} has not run"
    if keeper.state == "exited":
        return f"is stopped (exit code {keeper.exit_code})"
    return f"is {keeper.state}"


def _creation_cause(key: Key, desired: Resource, verb: str, view: View) -> str:
    before = view.applied.manifest.resources.get(key)
    if before is None:
        return "new"
    if view.corrective(key):
        return "is missing" if verb == "create" else "is not the one that was applied"
    return difference(before, desired, view)


def difference(before: Resource, after: Resource, view: View) -> str:
    """What changed between two specs, for people; names only, but for the image."""
    if before.digest == after.digest:
        old, new = view.applied.image(before), view.target.image(after)
        return (
            f"image {after.spec['image']} is {_short_id(new)} now, was {_short_id(old)}"
            if new
            else "its image moved"
        )
    words = []
    if before.spec["image"] != after.spec["image"]:
        words.append(f"image {before.spec['image']} -> {after.spec['image']}")
    words += [n for n in differing_fields(before.spec["config"], after.spec["config"]) if n != "image"]
    files = {**before.spec["inputs"], **after.spec["inputs"]}
    words += sorted(p for p in files if before.spec["inputs"].get(p) != after.spec["inputs"].get(p))
    folded = {**before.spec["folded"], **after.spec["folded"]}
    words += sorted(k for k in folded if before.spec["folded"].get(k) != after.spec["folded"].get(k))
    if before.spec["on_change"] != after.spec["on_change"]:
        words.append("on_change")
    text = _listed(words)
    return text if words[:1] and words[0].startswith("image ") and len(words) == 1 else f"{text} changed"


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words[:MOST_NAMES]) + (
        f" and {len(words) - MOST_NAMES} more" if len(words) > MOST_NAMES else ""
    )


def _short_id(image_id: str) -> str:
    return image_id.removeprefix("sha256:")[:12]
