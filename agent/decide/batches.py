"""Which containers of a service give way together, and what must be seen before the next ones do. Pure.

Rules:
1. Only containers that run are held back. A container that is down, new, or half changed by a killed pass is
   brought up at once; it must be good, like those that are right already, before the next one gives way.
2. A container for which something in an earlier batch waits (a claim, a network, a need) goes with that
   batch: a batch is a wish, the rest of the order is a must.
3. Failures are counted by looking at all containers that were changed so far, so nothing has to be
   remembered.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from agent.decide.graph import StepGraph, StepNode
from agent.kinds.base import Fate, View
from agent.kinds.update_policy import UpdatePolicy, policy_of, serving
from agent.model import Key


@dataclass(frozen=True, slots=True)
class ServiceUpdate:
    """One service that changes.

    policy: how it wants to be updated
    settled: its containers that do not give way now
    updating: its containers that give way, in the order of their numbers
    watch_settled: whether the settled ones must be seen to be good before the first batch gives way
    """

    policy: UpdatePolicy
    settled: tuple[Key, ...]
    updating: tuple[Key, ...]
    watch_settled: bool

    @property
    def tolerated(self) -> int:
        """So many of its containers may fail before the update stops."""
        return int(self.policy.ratio * (len(self.settled) + len(self.updating)))

    @property
    def followers(self) -> set[Key]:
        """The containers that must wait for an earlier batch of their own service."""
        first = self.policy.parallelism or len(self.updating)
        return set(self.updating[first:])


def service_updates(view: View, fates: Mapping[Key, Fate]) -> list[ServiceUpdate]:
    """The services with containers that give way and with an update policy."""
    services: dict[tuple[str, str], list[Key]] = defaultdict(list)
    for resource in view.target.manifest.of_kind("container"):
        if policy_of(resource, view) is not None:
            services[resource.spec["app"], resource.spec["service"]].append(resource.key)
    updates = (_service_update(keys, view, fates) for _, keys in sorted(services.items()))
    return [update for update in updates if update is not None]


def _service_update(containers: list[Key], view: View, fates: Mapping[Key, Fate]) -> ServiceUpdate | None:
    keys = sorted(
        (key for key in containers if fates[key].verb != "refuse"), key=lambda key: _number(key, view)
    )
    updating = tuple(key for key in keys if _gives_way(key, fates[key], view))
    policy = policy_of(view.target.manifest.resources[keys[0]], view) if updating else None
    if policy is None:
        return None
    settled = tuple(key for key in keys if key not in updating)
    unsure = any(fates[key].part("start") or not _is_good(key, view) for key in settled)
    return ServiceUpdate(policy, settled, updating, unsure and not view.returning)


def batches(service: ServiceUpdate, ends: Callable[[Key], set[Key]]) -> list[list[Key]]:
    """The settled containers (perhaps none), then batch by batch. `ends`: the containers that cannot be done
    before this one has given way.
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


def watch_args(names: Sequence[str], seconds: float, most: int, wait_limit: float) -> dict[str, object]:
    """The arguments of an action that waits until containers are good for `seconds`; `most` may fail."""
    return {"containers": list(names), "seconds": seconds, "most": most, "timeout": wait_limit}


@dataclass(frozen=True, slots=True)
class BatchEdges:
    """The edges between the batches of one service.

    service: the service
    graph: all steps, with all other edges
    fates: what becomes of its containers
    returning: whether the host is brought back to known good; nothing is watched then at the end
    wait_limit: seconds that a batch may take to become good
    """

    service: ServiceUpdate
    graph: StepGraph
    fates: Mapping[Key, Fate]
    returning: bool
    wait_limit: float

    def add(self) -> None:
        """A batch gives way when all batches before it are good and the delay has passed."""
        gives_way = {key: self.graph.first(key, "start-first", "release") for key in self.service.updating}
        done: list[Key] = []
        for index, (batch, following) in enumerate(pairwise([*self._batches(gives_way), []])):
            done += batch
            ends = self._ends(index, batch, following, done)
            for key in following:
                for end in ends:
                    # Without it: two batches are down at the same time, in the end the whole service.
                    self.graph.edge(end, gives_way[key])

    def _batches(self, gives_way: Mapping[Key, StepNode | None]) -> list[list[Key]]:
        before = {
            key: self.graph.before(node)
            for key in (*self.service.settled, *self.service.updating)
            if (node := self.graph.last(key, "start"))
        }
        return batches(
            self.service, lambda key: {other for other, nodes in before.items() if gives_way[key] in nodes}
        )

    def _ends(
        self, index: int, batch: Sequence[Key], following: Sequence[Key], done: Sequence[Key]
    ) -> list[StepNode | None]:
        """The nodes for which the following batch waits. Batch 0 are the settled containers."""
        policy = self.service.policy
        ends = [self.graph.last(key, "start") for key in batch]
        if batch and self._is_watched(index, batch, following):
            # Without it: the next batch gives way although this one has failed, and a bad release takes the
            # whole service down before anything notices.
            names, seconds = [key.name for key in done], policy.monitor if index else 0.0
            args = watch_args(names, seconds, self.service.tolerated, self.wait_limit)
            ends = [self.graph.between(batch[0] if index else following[0], "watch", args, ends)]
        if following and index and policy.delay:
            ends = [self.graph.between(following[0], "delay", {"seconds": policy.delay}, ends)]
        return ends

    def _is_watched(self, index: int, batch: Sequence[Key], following: Sequence[Key]) -> bool:
        """Whether a batch must be seen to be good before the order goes on. A container that started first
        has been watched already.
        """
        if index == 0:
            return self.service.watch_settled and bool(following)
        if all(self.fates[key].started_first for key in batch):
            return False
        return bool(following) or bool(self.service.policy.monitor and not self.returning)


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
