"""How an instance of a container gets to the networks of its service. Pure.

Rules:
1. A network that was removed and made again is another one: the instance leaves the old one and joins it.
2. From API 1.44 on the Engine gives a MAC address only to a container that is created in the network; one
   that joins later gets another, without a word. Such an instance is re-created, also where known good comes
   back. (Before, the address of the service belongs to the container, wherever it joins.)
"""

from __future__ import annotations

from collections.abc import Iterator

from agent.kinds.base import Part, Step, View
from agent.kinds.engine.endpoints import ALL_AT_CREATE, mac_address_in
from agent.kinds.instances import is_candidate
from agent.model import Resource
from agent.observed import ObservedContainer


def networks(resource: Resource) -> list[str]:
    """The real names of the networks it joins, in the order of their priority."""
    joined = resource.spec["config"].get("networks") or {}
    return sorted(joined, key=lambda name: (-int((joined[name] or {}).get("priority") or 0), name))


def attach(desired: Resource, keeper: ObservedContainer, view: View) -> list[Step]:
    """The steps that attach an instance to its networks, and to none that is removed."""
    at = {"container": keeper.id}
    elsewhere = sorted((set(keeper.networks) & view.recreated) - set(networks(desired)))
    steps = [Step("release", "disconnect", at | {"network": name}) for name in elsewhere]
    for network in _to_join(desired, keeper, view):
        if network in keeper.networks:
            part: Part = "release" if network in view.recreated else "start"
            steps.append(Step(part, "disconnect", at | {"network": network}))
        steps.append(Step("start", "connect", at | {"network": network}))
    return steps


def loses_address(desired: Resource, instance: ObservedContainer, view: View) -> str:
    """Why an instance must be re-created instead of attached; empty when it need not."""
    if view.observed.engine_api < ALL_AT_CREATE:
        return ""
    for network in _to_join(desired, instance, view):
        if is_candidate(instance) and network not in view.recreated:
            continue  # it was created in it
        if mac_address_in(desired.spec, network):
            return f"it can have its MAC address in {network} only when it is created there"
    return ""


def _to_join(desired: Resource, instance: ObservedContainer, view: View) -> Iterator[str]:
    """The networks of the service in which an instance is not, or not as they are or will be."""
    for network in networks(desired):
        there, attached = view.observed.networks.get(network), instance.networks.get(network)
        if network in view.recreated or attached not in ("", there.id if there else "-"):
            yield network
