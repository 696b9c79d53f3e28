"""Taking over objects that Docker Compose, or a person, made: which container, network or volume stands for
which resource. Pure.

Rules:
1. Only a service that says `x-limpet: {adopt: true}` takes over, and with it the networks and volumes that it
   uses. An object with the label of a Limpet, of this or another installation, is never taken over; nor is an
   object of another Compose project.
2. A container is found by Compose's labels (project, service, number), or by its name when it has none of
   them.
3. An object that is taken over counts as ours from then on, by its id in the inventory, since labels cannot
   be changed. Equal content gets the digest of the resource and stays as it is. Other content gets no digest,
   so it is replaced like any container that changed.
4. Until a release that adopts it is proved, it keeps its `original`, and each plan whose target does not
   adopt it (a rollback, a revert) gives it back as it was found (`giving_back`). It is not removed before,
   and no network is taken from under it.

The comparison (`engine.compare`) is imported only when there is something to compare: most hosts adopt
nothing, and a pass with nothing to do must stay light.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from agent.kinds.base import Fate, Step, View, refuse
from agent.kinds.instances import RUNNING
from agent.model import INSTANCE_LABEL, Key, Manifest, Owned, Resource, Spec
from agent.observed import ObservedContainer, ObservedNetwork, ObservedVolume

Seen = TypeVar("Seen", ObservedNetwork, ObservedVolume)

PROJECT, SERVICE = "com.docker.compose.project", "com.docker.compose.service"
NUMBER, ONEOFF = "com.docker.compose.container-number", "com.docker.compose.oneoff"
HINT = "to take it over, write x-limpet: {adopt: true} into the service"


# --- looking ------------------------------------------------------------------------------------------------


def handles(manifest: Manifest) -> set[str]:
    """The identifiers by which the objects that a manifest adopts are recognised."""
    found: set[str] = set()
    for resource in manifest.of_kind("container"):
        if not _adopts(resource):
            continue
        spec = resource.spec
        found |= {str(resource.key), f"service/{_project(resource)}/{spec['service']}/{spec['number']}"}
        found |= {str(need.key) for need in resource.needs if need.key.kind in ("network", "volume")}
    return found


def adoption_handle(kind: str, name: str, labels: Mapping[str, str] | None) -> str:
    """The identifier of an object on the host; empty if a Limpet owns it, or if it is a Compose one-off."""
    found = labels or {}
    if INSTANCE_LABEL in found:
        return ""
    if kind != "container" or PROJECT not in found:
        return f"{kind}/{name}"
    if found.get(ONEOFF) == "True":
        return ""
    return f"service/{found[PROJECT]}/{found.get(SERVICE)}/{found.get(NUMBER)}"


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
    """The view in which every object that the target adopts is ours already."""
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
    """Whether it takes over an object. A container that only prepares its service does not, although it has
    the service's labels.
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
    """The view in which a container is replaced with those that it shares a namespace or volumes with, or
    restarts with.
    """
    while lost := _lost_partners(view):
        containers = tuple(
            replace(c, digest="", differs=(*c.differs, *lost[c.id])) if c.id in lost else c
            for c in view.observed.containers
        )
        view = replace(view, observed=replace(view.observed, containers=containers))
    return view


def _lost_partners(view: View) -> dict[str, list[str]]:
    """Container id -> the partners that do not stay as they are, of each adopted container that would."""
    resources = view.target.manifest.resources
    standing = {
        c.key_name
        for c in view.observed.containers
        if c.owned and (r := resources.get(Key("container", c.key_name))) and r.digest == c.digest
    }
    return {
        c.id: partners
        for c in view.observed.containers
        if c.adopted
        and c.found is not None
        and c.digest
        and (partners := _lost(resources[Key("container", c.key_name)], standing, resources))
    }


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
    """The names of the fields in which a network or volume differs from the one that is wanted."""
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
    """Whether this plan takes it over."""
    owned = view.inventory.get(key)
    return there.adopted and (owned is None or owned.adopted.get("id") != _id(there))


def newcomer(key: Key, view: View) -> str:
    """The id of the container that this plan takes over as it is; empty when there is none."""
    return next((c.id for c in view.containers(key.name) if c.digest and is_new(key, c, view)), "")


def _id(there: ObservedContainer | ObservedNetwork | ObservedVolume) -> str:
    return there.name if isinstance(there, ObservedVolume) else there.id


def adopted(key: Key, steps: tuple[Step, ...] = (), was: str = "") -> Fate:
    """The fate of an object that is taken over, with the steps for what it still lacks. `was`: its name until
    now, when that is another.
    """
    return Fate(key, "adopt", f"is taken over as it is{f', called {was} until now' if was else ''}", steps)


def adoption_refusal(desired: Resource, view: View) -> Fate | None:
    """The refusal to take over a container in whose place the new one would see other data."""
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
    """The refusal of a network or volume whose name is taken by a foreign one that is not taken over."""
    names = object_differences(desired, there)
    differs = f", and differs in {', '.join(names)}" if names else ""
    cause = f"a {desired.key.kind} of this name exists and is not ours{differs}"
    return refuse(desired.key, cause, remedy if there.found else f"{HINT} that uses it; or {remedy}")


def is_first(view: View) -> bool:
    """Whether something is taken over on a host where nothing else is ours: then the host can return to the
    containers that were there.
    """
    ours = [c for c in view.observed.containers if c.owned]
    return any(c.original is not None for c in ours) and all(c.original is not None for c in ours)


# --- the inventory ------------------------------------------------------------------------------------------


def record(key: Key, view: View, *, proved: bool) -> Spec:
    """The inventory's entry of the adopted object of a resource; empty when there is none. `proved`: it is
    ours for good.
    """
    there = _adopted_object(key, view)
    if there is None:
        return {}
    found: Spec = {"id": _id(there), "digest": there.digest}
    original = _original(key, there, view)
    return found if proved or original is None else {**found, "original": original}


def _adopted_object(key: Key, view: View) -> ObservedContainer | ObservedNetwork | ObservedVolume | None:
    found: list[ObservedContainer | ObservedNetwork | ObservedVolume | None] = []
    if key.kind == "container":
        found = [*view.containers(key.name)]
    elif key.kind == "network":
        found = [view.observed.networks.get(key.name)]
    elif key.kind == "volume":
        found = [view.observed.volumes.get(key.name)]
    return next((there for there in found if there is not None and there.adopted), None)


def _original(
    key: Key, there: ObservedContainer | ObservedNetwork | ObservedVolume, view: View
) -> Spec | None:
    """How an adopted object was found; None once a release that adopts it was proved."""
    if isinstance(there, ObservedContainer):
        return there.original
    known = view.inventory.get(key)
    return {"name": key.name} if is_new(key, there, view) or (known and unproved(known)) else None


def put_aside(key: Key, id: str, resource: Resource) -> Spec:
    """The entry of a container that was put aside before the release that adopts it was proved, when the
    inventory was lost: its service says how it ran.
    """
    from agent.kinds.engine.resources import restart_policy

    wanted = restart_policy(resource.spec["config"])
    policy = ":".join(filter(None, [wanted["Name"] or "no", str(wanted["MaximumRetryCount"] or "")]))
    published = [claim for claim in resource.claims if claim.startswith("port/")]
    return {
        "id": id,
        "digest": "",
        "original": {"name": key.name, "policy": policy, "running": True, "claims": published},
    }


def unproved(owned: Owned) -> bool:
    """Whether it is adopted by a release that has not been proved."""
    return "original" in owned.adopted
