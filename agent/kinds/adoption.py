"""Taking over what Docker Compose, or a person, made: which container, network or volume stands for which
resource. Pure.

Rules:
1. Only a service that says `x-limpet: {adopt: true}` takes over, with it the networks and volumes it uses.
   Nothing that carries the label of a Limpet, this or another installation, is ever taken over, and nothing
   of another Compose project.
2. A container is found by Compose's labels (project, service, number), or by its name when it has none of
   them.
3. What is taken over counts as ours from there on: by its id in the inventory, since labels cannot be
   changed. Equal content gets the digest of the resource and is left as it is; other content gets none, so it
   is replaced as any container that changed.
4. Until a release that adopts it is proved, it keeps its `original`, and is given back as it was found by
   every plan whose target does not adopt it: a rollback, a revert. It is not removed before, and no network
   is taken from under it.

What compares (`engine.compare`) is imported only when there is something to compare.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from agent.kinds.base import Fate, Step, View, refuse
from agent.model import (
    INSTANCE_LABEL,
    Key,
    Manifest,
    ObservedContainer,
    ObservedNetwork,
    ObservedVolume,
    Owned,
    Refusal,
    Resource,
    Spec,
)

Seen = TypeVar("Seen", ObservedNetwork, ObservedVolume)

PROJECT, SERVICE = "com.docker.compose.project", "com.docker.compose.service"
NUMBER, ONEOFF = "com.docker.compose.container-number", "com.docker.compose.oneoff"
RUNNING = {"running", "restarting", "paused"}
HINT = "to take it over, write x-limpet: {adopt: true} into the service"


# --- looking ------------------------------------------------------------------------------------------------


def handles(manifest: Manifest) -> set[str]:
    """By what that which a manifest adopts is known."""
    found: set[str] = set()
    for resource in manifest.of_kind("container"):
        if not _adopts(resource):
            continue
        spec = resource.spec
        found |= {str(resource.key), f"service/{_project(resource)}/{spec['service']}/{spec['number']}"}
        found |= {str(need.key) for need in resource.needs if need.key.kind in ("network", "volume")}
    return found


def adoption_handle(kind: str, name: str, labels: Mapping[str, str] | None) -> str:
    """The one of what is there; empty when it is a Limpet's, or a container that Compose runs once."""
    said = labels or {}
    if INSTANCE_LABEL in said:
        return ""
    if kind != "container" or PROJECT not in said:
        return f"{kind}/{name}"
    return (
        ""
        if said.get(ONEOFF) == "True"
        else f"service/{said[PROJECT]}/{said.get(SERVICE)}/{said.get(NUMBER)}"
    )


def as_adopted(seen: ObservedContainer, name: str, owned: Owned) -> ObservedContainer:
    """A container that is ours by the inventory."""
    return replace(
        seen,
        owned=True,
        adopted=True,
        key_name=name,
        app=owned.app,
        digest=owned.adopted["digest"],
        original=owned.adopted.get("original"),
    )


# --- taking over --------------------------------------------------------------------------------------------


def take_over(view: View) -> View:
    """The view in which all that the target adopts is ours already."""
    wanted = handles(view.target.manifest)
    candidates = {r.key: c for r in view.target.manifest.of_kind("container") if (c := _candidate(r, view))}
    networks = _objects("network", view.observed.networks, view, wanted)
    volumes = _objects("volume", view.observed.volumes, view, wanted)
    if not candidates and not networks and not volumes:
        return view
    names = {c.id: c.key_name or c.name for c in view.observed.containers} | {
        c.id: k.name for k, c in candidates.items()
    }
    taken = {
        c.id: _taken(view.target.manifest.resources[key], c, names, view) for key, c in candidates.items()
    }
    containers = tuple(taken.get(c.id) or c for c in view.observed.containers)
    seen = replace(
        view.observed,
        containers=containers,
        networks={**view.observed.networks, **networks},
        volumes={**view.observed.volumes, **volumes},
    )
    return _with_lost_partners(replace(view, observed=seen))


def _candidate(resource: Resource, view: View) -> ObservedContainer | None:
    """The container that is to be compared with a resource: one that is taken over already, or one that
    stands in its place.
    """
    name, mine = resource.key.name, view.containers(resource.key.name)
    if not _adopts(resource):
        return None
    known = next((c for c in mine if c.found is not None), None)
    if known is not None or any(c.name == name for c in mine):
        return known
    found = [
        c
        for c in view.observed.containers
        if not c.owned and c.found is not None and _stands_for(c, resource)
    ]
    return min(found, key=lambda c: (c.name != name, c.id), default=None)


def _adopts(resource: Resource) -> bool:
    """Whether it takes over what is there; what only prepares its service has the service's labels, and does
    not.
    """
    return bool(resource.spec.get("adopt")) and not resource.spec.get("oneoff")


def _stands_for(instance: ObservedContainer, resource: Resource) -> bool:
    labels = (instance.found or {})["container"]["Config"].get("Labels")
    place = f"service/{_project(resource)}/{resource.spec['service']}/{resource.spec['number']}"
    return adoption_handle("container", instance.name, labels) in (place, str(resource.key))


def _project(resource: Resource) -> str:
    return str((resource.spec.get("compose") or {}).get("project") or resource.spec["app"])


def _taken(
    resource: Resource, instance: ObservedContainer, names: Mapping[str, str], view: View
) -> ObservedContainer | None:
    """The instance as ours; None when it must not be touched."""
    from agent.kinds.engine import attachments, compare

    assert instance.found is not None
    if attachments.moved(resource, instance.found):
        return None
    differs = [] if view.target.image(resource) == instance.image_id else ["image"]
    differs += compare.container_differences(resource, instance.found, names)
    differs += [
        path for path, content in sorted(resource.spec["inputs"].items()) if _content(path, view) != content
    ]
    original: Spec = {
        "name": instance.name,
        "policy": instance.restart_policy or "no",
        "running": instance.state in RUNNING,
        "claims": list(instance.ports),
    }
    proved = view.target == view.known_good
    return replace(
        instance,
        owned=True,
        adopted=True,
        key_name=resource.key.name,
        app=resource.spec["app"],
        digest="" if differs else resource.digest,
        differs=tuple(differs),
        original=instance.original or (None if proved else original),
    )


def _content(path: str, view: View) -> str:
    there = view.observed.files.get(path)
    return there.content if there else ""


def _with_lost_partners(view: View) -> View:
    """What shares a namespace or volumes with, or restarts with, a container that is replaced is replaced
    with it.
    """
    resources = view.target.manifest.resources
    while True:
        standing = {
            c.key_name
            for c in view.observed.containers
            if c.owned and (r := resources.get(Key("container", c.key_name))) and r.digest == c.digest
        }
        lost = {
            c.id: partners
            for c in view.observed.containers
            if c.adopted
            and c.found is not None
            and c.digest
            and (partners := _lost(resources[Key("container", c.key_name)], standing, resources))
        }
        if not lost:
            return view
        containers = tuple(
            replace(c, digest="", differs=(*c.differs, *lost[c.id])) if c.id in lost else c
            for c in view.observed.containers
        )
        view = replace(view, observed=replace(view.observed, containers=containers))


def _lost(resource: Resource, standing: set[str], resources: Mapping[Key, Resource]) -> list[str]:
    keys = [Key.parse(text) for text in resource.spec["folded"]]
    return [
        str(key) for key in keys if key.kind == "container" and key in resources and key.name not in standing
    ]


def _objects(kind: str, there: Mapping[str, Seen], view: View, wanted: set[str]) -> dict[str, Seen]:
    """The networks or volumes of a kind that are taken over."""
    found = {}
    for name, seen in there.items():
        resource = view.target.manifest.resources.get(Key(kind, name))
        if resource and _may_take(seen, resource, wanted) and not object_differences(resource, seen):
            found[name] = replace(seen, owned=True, adopted=True, digest=resource.digest)
    return found


def object_differences(resource: Resource, there: ObservedNetwork | ObservedVolume) -> list[str]:
    """Names of what differs between a network or volume that is there and the one that is wanted."""
    if there.found is None:
        return []
    from agent.kinds.engine import compare

    differences = (
        compare.network_differences if resource.key.kind == "network" else compare.volume_differences
    )
    return differences(resource, there.found)


def _may_take(there: ObservedNetwork | ObservedVolume, resource: Resource, wanted: set[str]) -> bool:
    if there.owned or there.found is None or resource.spec["external"] or str(resource.key) not in wanted:
        return False
    return bool((there.found.get("Labels") or {}).get(PROJECT, _project(resource)) == _project(resource))


# --- fates --------------------------------------------------------------------------------------------------


def is_new(key: Key, there: ObservedContainer | ObservedNetwork | ObservedVolume, view: View) -> bool:
    """Whether it is taken over by this plan."""
    owned = view.inventory.get(key)
    return there.adopted and (owned is None or owned.adopted.get("id") != _id(there))


def newcomer(key: Key, view: View) -> str:
    """The id of the container that this plan takes over as it is; empty when there is none."""
    return next((c.id for c in view.containers(key.name) if c.digest and is_new(key, c, view)), "")


def _id(there: ObservedContainer | ObservedNetwork | ObservedVolume) -> str:
    return there.name if isinstance(there, ObservedVolume) else there.id


def adopted(key: Key, steps: tuple[Step, ...] = (), was: str = "") -> Fate:
    """The fate of what is taken over, with what it lacks yet."""
    return Fate(key, "adopt", f"is what was started before{f' as {was}' if was else ''}", steps)


def adoption_refusal(desired: Resource, view: View) -> Fate | None:
    """A container in whose place the new one would see other data is not taken over."""
    instance = _candidate(desired, view)
    if instance is None:
        return None
    from agent.kinds.engine import attachments

    moves = attachments.moved(desired, instance.found or {})
    if not moves:
        return None
    target, there, wanted = moves[0]
    more = f", and {len(moves) - 1} more binds would move" if len(moves) > 1 else ""
    cause = (
        f"is to take over {instance.name}, but the source of {target} would move from {there} to "
        f"{wanted}{more}"
    )
    directory = attachments.directory_for(desired, there, wanted)
    app = desired.spec["app"]
    hint = (
        f"move the data there and remove {instance.name}, or write the absolute path {there} into the "
        "Compose file"
    )
    if directory:
        hint = f"keep the app where it is: apps: {{{app}: {{directory: {directory}}}}} in layer.yaml"
    return refuse(desired.key, cause, hint)


def not_ours(desired: Resource, there: ObservedNetwork | ObservedVolume, remedy: str) -> Fate:
    """A network or volume of the wanted name that is not ours and is not taken over."""
    names = object_differences(desired, there)
    differs = f", and differs in {', '.join(names)}" if names else ""
    cause = f"a {desired.key.kind} of this name exists and is not ours{differs}"
    return refuse(desired.key, cause, remedy if there.found else f"{HINT} that uses it; or {remedy}")


def to_give_back(desired: Resource | None, instances: list[ObservedContainer]) -> ObservedContainer | None:
    """The container that the target does not adopt, and that must be as it was found."""
    if desired is not None and desired.spec.get("adopt"):
        return None
    return next((instance for instance in instances if instance.original is not None), None)


def given_back(
    key: Key, desired: Resource | None, instance: ObservedContainer, others: tuple[Step, ...]
) -> Fate:
    """`others`: how the containers that took its place make way. Its name comes last but the start, as
    always.
    """
    original, at = instance.original or {}, {"container": instance.id}
    refused = (
        Refusal(key, f"{original['name']} is in its place, and this release does not adopt it", HINT)
        if desired
        else None
    )
    steps = list(others)
    if instance.restart_policy not in (None, original["policy"]):
        steps.append(Step("start", "policy", at | {"policy": original["policy"]}))
    if instance.name != original["name"]:
        steps.append(Step("start", "rename", at | {"to": original["name"]}))
    if original["running"] and instance.state not in RUNNING:
        steps.append(Step("start", "start", at))
    if not steps:
        return Fate(key, "forget", "is as it was before it was adopted", refusal=refused)
    return Fate(key, "return", "what was there before it was adopted comes back", tuple(steps), refused)


def passed_back(key: Key, desired: Resource | None, view: View) -> Fate | None:
    """A network or volume that an earlier release adopted without being proved, and the target does not: it
    stays as it is.
    """
    owned = view.inventory.get(key)
    if owned is None or not unproved(owned) or str(key) in handles(view.target.manifest):
        return None
    refused = (
        Refusal(key, f"a {key.kind} of this name exists, and this release does not adopt it", HINT)
        if desired
        else None
    )
    return Fate(key, "forget", "is as it was before it was adopted", refusal=refused)


def claims_to_restore(key: Key, view: View) -> tuple[str, ...]:
    """The claims that a container takes again when it is given back."""
    found = to_give_back(view.target.manifest.resources.get(key), view.containers(key.name))
    return tuple(found.original["claims"]) if found and found.original else ()


def is_first(view: View) -> bool:
    """Whether something is taken over on a host where nothing else is ours: then what was there is what can
    be returned to.
    """
    ours = [c for c in view.observed.containers if c.owned]
    return any(c.original is not None for c in ours) and all(c.original is not None for c in ours)


# --- the inventory ------------------------------------------------------------------------------------------


def record(key: Key, view: View, *, proved: bool) -> Spec:
    """What the inventory remembers of the adopted object of a resource; empty when there is none. `proved`:
    ours for good.
    """
    there: ObservedContainer | ObservedNetwork | ObservedVolume | None = None
    original: Spec | None = None
    if key.kind == "container":
        there = next((c for c in view.containers(key.name) if c.adopted), None)
        original = there.original if there else None
    elif key.kind in ("network", "volume"):
        seen = (
            view.observed.networks.get(key.name)
            if key.kind == "network"
            else view.observed.volumes.get(key.name)
        )
        there = seen if seen and seen.adopted else None
        known = view.inventory.get(key)
        original = (
            {"name": key.name}
            if there and (is_new(key, there, view) or (known and unproved(known)))
            else None
        )
    if there is None:
        return {}
    found: Spec = {"id": _id(there), "digest": there.digest}
    return found if proved or original is None else {**found, "original": original}


def put_aside(key: Key, id: str, resource: Resource) -> Spec:
    """The record of a container that was put aside before the release that adopts it was proved, when the
    inventory was lost: its service says how it ran.
    """
    from agent.kinds.engine.resources import restart_policy

    said = restart_policy(resource.spec["config"])
    policy = ":".join(filter(None, [said["Name"] or "no", str(said["MaximumRetryCount"] or "")]))
    published = [claim for claim in resource.claims if claim.startswith("port/")]
    return {
        "id": id,
        "digest": "",
        "original": {"name": key.name, "policy": policy, "running": True, "claims": published},
    }


def unproved(owned: Owned) -> bool:
    """Whether it is adopted by a release that has not been proved."""
    return "original" in owned.adopted
