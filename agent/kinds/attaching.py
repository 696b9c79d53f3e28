"""How an instance of a container gets to the networks of its service. Pure.

Rules:
1. A network that was removed and made again is another one: the instance leaves the old one and joins it.
2. From API 1.44 on the Engine gives a MAC address only to a container that is created in the network; one
   that joins later gets another, without a word. Such an instance is re-created, also where known good comes
   back. (Before, the address of the service belongs to the container, wherever it joins.)
3. Who leaves a network and joins it again by hand loses the names and addresses that others find it by. Such
   an instance, seen where it was inspected, leaves and joins once more.
4. Besides those of the service, only the Engine's own bridge (`network_mode: bridge`) can be left. It gets
   another id at each start of the Engine, which does not count.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agent.kinds.base import Part, Step, View
from agent.kinds.engine.endpoints import ALL_AT_CREATE, BRIDGE, FIRST_ONLY, endpoint, mac_address_in
from agent.kinds.instances import is_candidate
from agent.model import Resource, Spec
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


def joined_otherwise(desired: Resource, instance: ObservedContainer, view: View) -> list[str]:
    """The networks in which an instance is, but with other names or addresses than the service has there."""
    return [
        network
        for network in networks(desired)
        if network in instance.endpoints
        and _is_in(instance, network, view)
        and _differs(desired, instance, network, view)
    ]


def wrong_networks(
    desired: Resource, keeper: ObservedContainer, connects: list[str], view: View
) -> list[str]:
    """What is not as it should be, in words, of the networks that an instance joins."""
    otherwise = joined_otherwise(desired, keeper, view)
    missing = ", ".join(name for name in connects if name not in otherwise)
    words = [f"is attached to {name} with other names or addresses" for name in otherwise]
    return [f"is not attached to {missing}", *words] if missing else words


def _to_join(desired: Resource, instance: ObservedContainer, view: View) -> Iterator[str]:
    """The networks of the service in which an instance is not, or not as they are or will be."""
    otherwise = joined_otherwise(desired, instance, view)
    for network in networks(desired):
        if network in otherwise or not _is_in(instance, network, view):
            yield network
    on_bridge = desired.spec["config"].get("network_mode") == BRIDGE
    if on_bridge and BRIDGE not in instance.networks and instance.state != "created":
        yield BRIDGE


def _is_in(instance: ObservedContainer, network: str, view: View) -> bool:
    there, attached = view.observed.networks.get(network), instance.networks.get(network)
    return network not in view.recreated and attached in ("", there.id if there else "-")


def _differs(desired: Resource, instance: ObservedContainer, network: str, view: View) -> bool:
    """Whether an endpoint is not as the service has it. Names that Docker Compose gave an adopted container
    besides are no difference.
    """
    api = ALL_AT_CREATE if view.observed.engine_api >= ALL_AT_CREATE else FIRST_ONLY
    wanted, there = endpoint(desired.spec, network, api), instance.endpoints[network]
    own = {instance.id[:12], instance.name, desired.key.name}
    names, found = {*wanted["Aliases"]} - own, {*(there.get("Aliases") or ())} - own
    renamed = not names <= found if instance.adopted else names != found
    mac = there.get("MacAddress") or wanted.get("MacAddress")  # only one that runs has any
    moved = _addresses(wanted) != _addresses(there)
    return renamed or moved or bool(wanted.get("MacAddress") and mac != wanted["MacAddress"])


def _addresses(one: Spec) -> dict[str, Any]:
    """The addresses that were asked for, in one spelling."""
    asked = {key: value for key, value in (one.get("IPAMConfig") or {}).items() if value}
    if not asked:
        return {}
    from ipaddress import ip_address  # only who asks for an address pays for it

    return {
        key: sorted(str(ip_address(each)) for each in ([value] if isinstance(value, str) else value))
        for key, value in asked.items()
    }
