"""What of others stands in the way of a container: its name, a port, an address, a device. Pure.

It is refused, and goes on by itself when the obstacle is gone: it says nothing about the release.
"""

from __future__ import annotations

from collections.abc import Iterator

from agent.kinds import adoption, claims
from agent.kinds.base import Fate, View, refuse
from agent.kinds.instances import RUNNING
from agent.model import Resource
from agent.observed import ObservedContainer

# Codes of the Engine's refusals when something else has what a container wants.
TAKEN = ("PortTaken", "AddressTaken", "NameTaken")


def obstacle(desired: Resource, view: View, *, serves: bool) -> Fate | None:
    """A refusal when something is in the way. `serves`: the container runs as it should, so that nothing but
    its name can be.
    """
    found = (refusal for other in view.observed.containers for refusal in _foreign(desired, other, serves))
    first = next(found, None)
    if first is not None or serves:
        return first
    if ports := claims.clashing(desired.claims, view.observed.held_ports):
        protocol, _, number = ports[0].removeprefix("port/").split("/")
        hint = f"see which one: ss -ln{protocol[0]}p 'sport = :{number}'. Stop it, or publish another port"
        return refuse(desired.key, f"port {number}/{protocol} is held by a process of the host", hint)
    missing = view.observed.missing_devices.intersection(claims.device_paths(desired.spec["config"]))
    if missing:
        hint = "plug it in, or load its driver"
        return refuse(desired.key, f"the device {min(missing)} is not there", hint)
    return None


def _foreign(desired: Resource, other: ObservedContainer, serves: bool) -> Iterator[Fate]:
    """What a container of somebody else has that is wanted."""
    if other.owned:
        return
    key = desired.key
    if other.name == key.name:
        cause = f"the name is taken by container {other.id[:12]}, which is not ours"
        hint = f"{adoption.HINT}; or rename it: docker rename {key.name} {key.name}-old"
        yield refuse(key, cause, hint)
    held = () if serves or other.state not in RUNNING else (*other.ports, *other.addresses)
    if taken := claims.clashing(desired.claims, held):
        kind, _, what = taken[0].partition("/")
        hint = "publish another port" if kind == "port" else "choose another address"
        cause = f"{what} is held by the foreign container {other.name}"
        yield refuse(key, cause, f"stop it (docker stop {other.name}) or {hint}")
