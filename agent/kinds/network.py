"""Networks: replaced when their content changes, with everything that is attached. Pure."""

from __future__ import annotations

from typing import Any

from agent.kinds.base import Fate, Step, View, differences, digest, ok, refuse
from agent.model import Key, Resource

NAME = "network"
RANK = 20


def network(name: str, *, app: str, config: dict[str, Any], external: bool = False, compose: dict[str, Any] | None = None,
            origin: str = "") -> Resource:
    """A Docker network. `config`: canonical Compose keys that the user set; `compose` is for labels only."""
    content = {"config": config, "external": external}
    spec = {"name": name, "app": app, "external": external, "config": config, "compose": compose or {}}
    return Resource(Key(NAME, name), spec, digest(NAME, content), origin=origin)


def fate(key: Key, desired: Resource | None, view: View) -> Fate:
    """What becomes of one network."""
    there = view.observed.networks.get(key.name)
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
        return refuse(key, "a network of this name exists and is not ours",
                      f"mark it `external: true` in the Compose file, or remove it: docker network rm {key.name}")
    if there.digest == desired.digest:
        return ok(key)
    return _replacement(key, desired, there.id, view)


def _replacement(key: Key, desired: Resource, network_id: str, view: View) -> Fate:
    if foreign := _foreign(key, view):
        return refuse(key, f"must be re-created, but the foreign container {foreign[0]} is attached to it",
                      f"docker network disconnect {key.name} {foreign[0]}")
    before = view.applied.manifest.resources.get(key)
    names = differences(before.spec["config"], desired.spec["config"]) if before else []
    cause = f"{', '.join(names)} changed" if names else "content differs from the release"
    return Fate(key, "replace", cause, (Step("release", "remove", {"id": network_id}), Step("start", "create")))


def _foreign(key: Key, view: View) -> list[str]:
    """The containers on it that are not ours: they must not lose their network."""
    return [c.name for c in view.observed.containers if not c.owned and key.name in c.networks]


def _removal(key: Key, view: View) -> Fate:
    there = view.observed.networks.get(key.name)
    if there is None or not there.owned:
        return Fate(key, "forget", "is gone" if there is None else "is not ours any more")
    if foreign := _foreign(key, view):
        return refuse(key, f"no longer in the repository, but the foreign container {foreign[0]} is attached to it",
                      f"docker network disconnect {key.name} {foreign[0]}")
    return Fate(key, "delete", "no longer in the repository", (Step("prune", "remove", {"id": there.id}),))
