"""Named volumes: created when missing, never changed, never deleted. Pure."""

from __future__ import annotations

from typing import Any

from agent.kinds import adoption, giving_back
from agent.kinds.base import Fate, Step, View, digest, ok, refuse
from agent.model import Key, Resource

NAME = "volume"
RANK = 20


def volume_resource(
    name: str,
    *,
    app: str,
    config: dict[str, Any],
    external: bool = False,
    compose: dict[str, Any] | None = None,
    origin: str = "",
) -> Resource:
    """A named volume.

    name: its name on the host
    app: the app that it belongs to
    config: the canonical Compose keys that the user set
    external: whether it must be there already
    compose: for labels only; in no digest
    origin: `file:line` in the repository, for messages
    """
    content = {"config": config, "external": external}
    spec = {"name": name, "app": app, "external": external, "config": config, "compose": compose or {}}
    return Resource(Key(NAME, name), spec, digest(NAME, content), origin=origin)


def fate(key: Key, desired: Resource | None, view: View) -> Fate:
    """What becomes of one volume; its data is never put at risk."""
    there = view.observed.volumes.get(key.name)
    if passed_back := giving_back.passed_back(key, desired, view):
        return passed_back
    if desired is None:
        return Fate(
            key,
            "forget",
            f"no longer in the repository; its data stays (docker volume rm {key.name} deletes it)",
        )
    if there is None:
        if desired.spec["external"]:
            return refuse(
                key, "external volume does not exist", f"create it: docker volume create {key.name}"
            )
        return Fate(
            key, "create", "is missing" if view.corrective(key) else "new", (Step("start", "create"),)
        )
    if desired.spec["external"]:
        return ok(key)
    if not there.owned:
        return adoption.not_ours(
            desired, there, "mark it `external: true` in the Compose file to use it as it is"
        )
    if there.digest != desired.digest:
        return refuse(
            key,
            "its options changed, and changing them would lose its data",
            f"undo the change, or move the data and remove it: docker volume rm {key.name}",
        )
    return adoption.adopted(key) if adoption.is_new(key, there, view) else ok(key)
