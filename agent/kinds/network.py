"""Networks: replaced when their content changes, with everything that is attached. Pure.

Networks are decided before everything else, because the containers on a network that is removed must give
way. A network is removed before the gate when its content changed (`replace`), or when it is no longer wanted
and a new one wants its subnet (`make_room`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from agent.kinds import adoption, claims, giving_back
from agent.kinds.base import Fate, Step, View, digest, ok, refuse
from agent.kinds.engine.differences import differing_fields
from agent.model import Key, Resource

NAME = "network"
RANK = 20


def network_resource(
    name: str,
    *,
    app: str,
    config: dict[str, Any],
    external: bool = False,
    compose: dict[str, Any] | None = None,
    origin: str = "",
) -> Resource:
    """A Docker network.

    name: its name on the host
    app: the app that it belongs to
    config: the canonical Compose keys that the user set
    external: whether it must be there already, and is never changed
    compose: for labels only; in no digest
    origin: `file:line` in the repository, for messages
    """
    content = {"config": config, "external": external}
    spec = {"name": name, "app": app, "external": external, "config": config, "compose": compose or {}}
    held = () if external else claims.of_network(config)
    return Resource(Key(NAME, name), spec, digest(NAME, content), claims=held, origin=origin)


def fate(key: Key, desired: Resource | None, view: View) -> Fate:
    """What becomes of one network."""
    there = view.observed.networks.get(key.name)
    if passed_back := giving_back.passed_back(key, desired, view):
        return passed_back
    if desired is None:
        return _removal(key, view)
    if desired.spec["external"]:
        if there:
            return ok(key)
        return refuse(key, "external network does not exist", f"create it: docker network create {key.name}")
    if there is None:
        cause = "is missing" if view.corrective(key) else "new"
        return Fate(key, "create", cause, (Step("start", "create"),))
    if not there.owned:
        return adoption.not_ours(
            desired,
            there,
            f"mark it `external: true` in the Compose file, or remove it: docker network rm {key.name}",
        )
    if there.digest == desired.digest:
        return adoption.adopted(key) if adoption.is_new(key, there, view) else ok(key)
    return _replacement(key, desired, there.id, view)


def _replacement(key: Key, desired: Resource, network_id: str, view: View) -> Fate:
    if foreign := _foreign(key, view):
        return refuse(
            key,
            f"must be re-created, but the foreign container {foreign[0]} is attached to it",
            f"docker network disconnect {key.name} {foreign[0]}",
        )
    before = view.applied.manifest.resources.get(key)
    names = differing_fields(before.spec["config"], desired.spec["config"]) if before else []
    cause = f"{', '.join(names)} changed" if names else "content differs from the release"
    return Fate(
        key, "replace", cause, (Step("release", "remove", {"id": network_id}), Step("start", "create"))
    )


def make_room(fates: Mapping[Key, Fate], view: View) -> dict[Key, Fate]:
    """The fates of all networks, where one that is to be deleted gives way to a new one that wants its
    addresses. A new one is refused when the network that holds them stays.
    """
    changed = dict(fates)
    while staying := _staying(changed, view):
        for taker, name, claim in staying:
            other = changed.get(Key(NAME, name))
            remedy = f"choose another, or remove it: docker network rm {name}"
            changed[taker] = refuse(
                taker,
                f"{claim.partition('/')[2]} is held by the network {name}, which stays",
                other.refusal.hint if other and other.refusal else remedy,
            )
    for name in {name for _, name, _ in _clashes(changed, view)}:
        other = changed[Key(NAME, name)]
        changed[other.key] = replace(other, steps=tuple(_before_the_gate(step) for step in other.steps))
    return changed


def _before_the_gate(step: Step) -> Step:
    return replace(step, part="release") if step.part == "prune" else step


def _clashes(fates: Mapping[Key, Fate], view: View) -> list[tuple[Key, str, str]]:
    """(new network, network that is there, claim of it that the new one wants)."""
    takers = sorted(key for key, fate in fates.items() if fate.verb in ("create", "replace"))
    return [(taker, name, claim) for taker in takers for name, claim in _holders(taker, view)]


def _staying(fates: Mapping[Key, Fate], view: View) -> list[tuple[Key, str, str]]:
    """The clashes with a network that is neither deleted nor replaced."""
    return [
        (taker, name, claim)
        for taker, name, claim in _clashes(fates, view)
        if (other := fates.get(Key(NAME, name))) is None or other.verb not in ("delete", "replace")
    ]


def _holders(taker: Key, view: View) -> list[tuple[str, str]]:
    """The other networks that hold a claim of a new one, each with the claim."""
    wanted = view.target.manifest.resources[taker].claims
    return [
        (name, clashes[0])
        for name, there in sorted(view.observed.networks.items())
        if name != taker.name and (clashes := claims.clashing(there.claims, wanted))
    ]


def _foreign(key: Key, view: View) -> list[str]:
    """The containers on it that are not ours, or may not stay ours: they must not lose their network."""
    return [
        c.name
        for c in view.observed.containers
        if (not c.owned or c.original is not None) and key.name in c.networks
    ]


def _removal(key: Key, view: View) -> Fate:
    there = view.observed.networks.get(key.name)
    if there is None or not there.owned:
        return Fate(key, "forget", "is gone" if there is None else "is not ours any more")
    if foreign := _foreign(key, view):
        return refuse(
            key,
            f"no longer in the repository, but the foreign container {foreign[0]} is attached to it",
            f"docker network disconnect {key.name} {foreign[0]}",
        )
    return Fate(key, "delete", "no longer in the repository", (Step("prune", "remove", {"id": there.id}),))
