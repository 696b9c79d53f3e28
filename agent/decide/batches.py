"""Which containers of a service give way together, and what must be seen of them before the next ones do.
Pure.

Rules:
1. Only containers that run are held back: one that is down, new, or half changed by a killed pass is brought
   up at once, and with those that are right already it must be good before the next one gives way.
2. A container that something in an earlier batch waits for (a claim, a network, a need) goes with that batch:
   a batch is a wish, the rest of the order is a must.
3. What failed is counted by looking at all that was changed so far, so nothing has to be remembered.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agent.kinds.base import Fate, View
from agent.kinds.update_policy import UpdatePolicy, policy_of, serving
from agent.model import Key


@dataclass(frozen=True, slots=True)
class ServiceUpdate:
    """One service that changes. `settled` do not give way; `updating` do, in the order of their numbers;
    `watch_settled`: those of the settled ones that must be seen to be good.
    """

    policy: UpdatePolicy
    settled: tuple[Key, ...]
    updating: tuple[Key, ...]
    watch_settled: bool

    @property
    def tolerated(self) -> int:
        """So many of its containers may fail before it stops."""
        return int(self.policy.ratio * (len(self.settled) + len(self.updating)))

    @property
    def followers(self) -> set[Key]:
        """Those that wait for others, as far as the service has a say."""
        first = self.policy.parallelism or len(self.updating)
        return set(self.updating[first:])


def service_updates(view: View, fates: Mapping[Key, Fate]) -> list[ServiceUpdate]:
    """The services that have containers that give way, and say how."""
    services: dict[tuple[str, str], list[Key]] = defaultdict(list)
    for resource in view.target.manifest.of_kind("container"):
        if policy_of(resource, view) is not None:
            services[resource.spec["app"], resource.spec["service"]].append(resource.key)
    found = []
    for _, keys in sorted(services.items()):
        keys = sorted(
            (key for key in keys if fates[key].verb != "refuse"), key=lambda key: _number(key, view)
        )
        updating = tuple(key for key in keys if _gives_way(key, fates[key], view))
        settled = tuple(key for key in keys if key not in updating)
        how = policy_of(view.target.manifest.resources[keys[0]], view) if updating else None
        if how is not None:
            unsure = any(fates[key].part("start") or not _is_good(key, view) for key in settled)
            found.append(ServiceUpdate(how, settled, updating, unsure and not view.returning))
    return found


def batches(service: ServiceUpdate, ends: Callable[[Key], set[Key]]) -> list[list[Key]]:
    """The settled ones (perhaps none), then batch by batch. `ends`: the containers that cannot be done before
    this one has given way.
    """
    most = service.policy.parallelism or len(service.updating)
    found: list[list[Key]] = [list(service.settled)]
    for key in service.updating:
        needed = ends(key)
        blocked = next((index for index, batch in enumerate(found) if needed.intersection(batch)), None)
        if blocked is not None:
            found[blocked:] = [[*(other for batch in found[blocked:] for other in batch), key]]
        elif len(found) == 1 or len(found[-1]) >= most:
            found.append([key])
        else:
            found[-1].append(key)
    return found


def _number(key: Key, view: View) -> int:
    return int(view.target.manifest.resources[key].spec["number"])


def _gives_way(key: Key, fate: Fate, view: View) -> bool:
    return (
        fate.verb in ("replace", "return")
        and bool(fate.part("release"))
        and serving(key.name, view) is not None
    )


def _is_good(key: Key, view: View) -> bool:
    seen = serving(key.name, view)
    return seen is not None and seen.health in ("healthy", "")
