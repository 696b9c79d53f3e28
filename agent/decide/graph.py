"""The order of a plan's steps across resources, as a graph with edges. Pure.

Rules:
1. A step waits for what it needs, never for more.
2. An edge comes from a need, a claim that moves, a path, a network that is removed, or a file for which
   several give way together, and from the batches of an update; kinds know nothing of it.
3. The numbering is stable: equal fates, equal actions.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from agent.decide.batches import ServiceUpdate, batches, service_updates
from agent.kinds import KINDS, adoption, claims, files, oneshots
from agent.kinds.base import Fate, Part, Step, View
from agent.kinds.container import RUNNING
from agent.kinds.update_policy import policy_of
from agent.model import Action, Key, Need, ObservedContainer, Stage

PARTS: tuple[Part, ...] = ("prepare", "start-first", "release", "start", "prune")
BEGIN: tuple[Part, ...] = ("start-first", "start")  # where a resource begins to use what it needs
MOST = 10_000  # steps of one part of one resource


@dataclass(frozen=True, slots=True, order=True)
class StepNode:
    """One step in the graph; sorts by kind, key and position, so that the numbering is stable."""

    rank: int
    key: Key
    index: int
    step: Step = field(compare=False)


class Graph:
    """The steps of all fates with the edges between them."""

    def __init__(self, view: View, fates: dict[Key, Fate], wait_limit: float) -> None:
        self.view, self.fates, self.wait_limit = view, fates, wait_limit
        self.after: dict[StepNode, set[StepNode]] = {}
        self.parts: dict[tuple[Key, Part], list[StepNode]] = defaultdict(list)
        self.awaits: dict[tuple[Key, str], StepNode] = {}
        self.extra = 0  # nodes that are no step of a fate
        self.acting = sorted(key for key, fate in fates.items() if fate.steps)
        self.service_updates = service_updates(view, fates)
        self.following = {key for service in self.service_updates for key in service.followers}
        for key in self.acting:
            for step in fates[key].steps:
                self._add(key, step)
        self.freed = self._freed()
        self.removed = [
            key
            for key in self.acting
            if key.kind in files.KINDS
            and self._first(key, "start")
            and key not in view.target.manifest.resources
        ]
        self.losing = {app_of(key, view) for key in self.removed} - {""}
        for key in self.acting:
            self._order_parts(key)
            resource = view.target.manifest.resources.get(key)
            for need in resource.needs if resource else ():
                self._order_need(key, need)
        self._order_claims()
        self._order_paths()
        self._order_prune()
        for service in self.service_updates:
            self._order_batches(service)
        self._order_together()

    def _add(self, key: Key, step: Step) -> StepNode:
        nodes = self.parts[key, step.part]
        rank = KINDS[key.kind].rank
        node = StepNode(
            1000 - rank if step.part == "prune" else rank,
            key,
            PARTS.index(step.part) * MOST + len(nodes),
            step,
        )
        self.after[node] = {nodes[-1]} if nodes else set()
        nodes.append(node)
        return node

    def _between(
        self, key: Key, verb: str, args: dict[str, object], after: Iterable[StepNode | None]
    ) -> StepNode:
        """A node of its own: something to wait for."""
        node = StepNode(
            KINDS["container"].rank, key, len(PARTS) * MOST + self.extra, Step("start", verb, args)
        )
        self.after[node] = {other for other in after if other is not None}
        self.extra += 1
        return node

    def _edge(self, before: StepNode | None, then: StepNode | None) -> None:
        if before is not None and then is not None and before is not then:
            self.after[then].add(before)

    def _first(self, key: Key, *parts: Part) -> StepNode | None:
        return next((nodes[0] for part in parts if (nodes := self.parts.get((key, part)))), None)

    def _last(self, key: Key, *parts: Part) -> StepNode | None:
        return next((nodes[-1] for part in parts if (nodes := self.parts.get((key, part)))), None)

    def _freed(self) -> list[tuple[Key, Key]]:
        """Pairs (holder, taker): the holder gives way and the taker wants one of its claims."""
        takers = [(key, taken) for key in self.acting if (taken := wants(key, self.fates[key], self.view))]
        holders = [(key, held_claims(key, self.view)) for key in self.acting if self._first(key, "release")]
        return [
            (holder, taker)
            for holder, held in holders
            for taker, taken in takers
            if holder != taker and claims.clashing(taken, held)
        ]

    def _gives_way_early(self, key: Key) -> bool:
        """Whether something that others or this resource need waits for its release."""
        if any(holder == key for holder, _ in self.freed) or self._on_recreated(key) or self._loses_file(key):
            return True
        resource = self.view.target.manifest.resources.get(key)
        return resource is not None and any(self._is_late(need.key) for need in resource.needs)

    def _on_recreated(self, key: Key) -> bool:
        """Whether an instance of it is attached to a network that is replaced."""
        return key.kind == "container" and any(
            self.view.recreated & set(c.networks) for c in self.view.containers(key.name)
        )

    def _loses_file(self, key: Key) -> bool:
        """Whether a file of its app is removed between its stop and its start."""
        return key.kind == "container" and app_of(key, self.view) in self.losing

    def _created_late(self, key: Key) -> bool:
        """Whether its candidate cannot be created before it gives way: its network is replaced, or it has
        lenders.
        """
        return self._on_recreated(key) or bool(self._shared_from(key))

    def _shared_from(self, key: Key) -> set[Key]:
        """The changing containers that the Engine looks at when it creates this one: those whose volumes or
        processes it shares, and those that it is linked to outside of networks of its own.
        """
        resource = self.view.target.manifest.resources.get(key)
        config = resource.spec["config"] if resource and key.kind == "container" else {}
        entries = [
            *(config.get("volumes_from") or ()),
            *((config.get("links") or ()) if config.get("network_mode") else ()),
        ]
        modes = [str(config.get(mode) or "") for mode in ("pid", "ipc")]
        entries += [mode.removeprefix("container:") for mode in modes if mode.startswith("container:")]
        named = {Key("container", str(entry).partition(":")[0]) for entry in entries}
        return {other for other in named if self._first(other, "start")}

    def _is_late(self, key: Key) -> bool:
        """Whether a file is written only after its users have given way: it exists and changes."""
        return (
            key.kind in ("file", "symlink")
            and key.name in self.view.observed.files
            and bool(self.parts.get((key, "start")))
        )

    def _holds_files(self, key: Key) -> bool:
        """Whether files wait until it has given way. Of a service that is changed batch by batch only the
        first do so, and one that runs until the new one does cannot.
        """
        return key not in self.following and not self.fates[key].started_first

    def _order_parts(self, key: Key) -> None:
        self._edge(self._last(key, "release"), self._first(key, "start"))
        self._edge(self._last(key, "prepare"), self._first(key, *BEGIN))
        fate = self.fates[key]
        if fate.started_first:
            how = policy_of(self.view.target.manifest.resources[key], self.view)
            watch = self._watch(
                key,
                [fate.started_first],
                how.monitor if how else 0.0,
                int(self.view.returning),
                [self._last(key, "start-first", "prepare")],
            )
            self._edge(watch, self._first(key, "release"))
            self._edge(watch, self._first(key, "start"))
        elif not self._created_late(key):
            self._edge(self._last(key, "prepare"), self._first(key, "release"))

    def _order_need(self, key: Key, need: Need) -> None:
        """`need` before `key`: files that change after `key` gave way, other needs before it is created or
        gives way.
        """
        ready = self._ready(need)
        self._edge(ready, self._first(key, *BEGIN))
        if self._is_late(need.key):
            if self._holds_files(key):
                self._edge(self._last(key, "release"), self._first(need.key, "start"))
        elif need.key.kind == "container":
            if need.key in self._shared_from(key):
                self._edge(ready, self._first(key, "prepare"))
            if not self._gives_way_early(key):
                self._edge(ready, self._first(key, "release"))
        else:
            self._edge(
                ready,
                self._first(key, *(("prepare",) if self._on_recreated(key) else ("prepare", "release"))),
            )

    def _ready(self, need: Need) -> StepNode | None:
        """The node after which a need is met, None when it is met already, or never will be (refused, and not
        required).
        """
        last = self._last(need.key, "start")
        fate = self.fates.get(need.key)
        if (
            need.condition not in ("healthy", "completed")
            or fate is None
            or fate.verb == "refuse"
            or self._has_run(need)
        ):
            return last
        if last is None and self._met(need):
            return None
        known = self.awaits.get((need.key, need.condition))
        if known is None:
            args = {"container": need.key.name, "condition": need.condition, "timeout": self.wait_limit}
            known = self.awaits[need.key, need.condition] = self._between(need.key, "await", args, [last])
        return known

    def _met(self, need: Need) -> bool:
        current = [c for c in self.view.containers(need.key.name) if c.name == need.key.name]
        if need.condition == "healthy":
            return any(_is_healthy(c) for c in current)
        return any(c.state == "exited" and c.exit_code == 0 for c in current)

    def _has_run(self, need: Need) -> bool:
        """Whether there is nothing to wait for, whatever its container says by now."""
        resource = (
            self.view.target.manifest.resources.get(need.key) if need.condition == "completed" else None
        )
        return resource is not None and oneshots.has_run(
            resource, self.view.target.image(resource), self.view
        )

    def _order_claims(self) -> None:
        for holder, taker in self.freed:
            self._edge(self._last(holder, "release"), self._first(taker, *BEGIN))
            if (
                not self._created_late(taker)
                and not self._on_recreated(holder)
                and not self.fates[holder].part("start")
            ):
                self._edge(self._last(taker, "prepare"), self._first(holder, "release"))
        for name in self.view.recreated:
            remove = self._first(Key("network", name), "release")
            for instance in self.view.observed.containers:
                if instance.owned and name in instance.networks:
                    self._edge(self._last(Key("container", instance.key_name), "release"), remove)

    def _order_paths(self) -> None:
        """Directories before what lies in them; removed app files between the stop and the start of their
        app's containers.
        """
        for key in self.acting:
            if key.kind in files.KINDS and (node := self._first(key, "start")):
                for parent in _parents(key.name):
                    self._edge(self._last(Key("directory", parent), "start"), node)
                    self._edge(self._last(Key("file", parent), "release"), node)
                    self._edge(self._last(Key("symlink", parent), "release"), node)
        for key in self.removed:
            node, app = self._first(key, "start"), app_of(key, self.view)
            for other in self.acting:
                if app and other.kind == "container" and app_of(other, self.view) == app:
                    self._edge(self._last(other, "release") if self._holds_files(other) else None, node)
                    self._edge(node, self._first(other, *BEGIN))

    def _order_batches(self, service: ServiceUpdate) -> None:
        """A batch gives way when all before it are good, and the delay has passed."""
        how = service.policy
        held = {key: self._first(key, "start-first", "release") for key in service.updating}
        before = {
            key: self._before(node)
            for key in (*service.settled, *service.updating)
            if (node := self._last(key, "start"))
        }
        order = batches(service, lambda key: {other for other, nodes in before.items() if held[key] in nodes})
        done: list[Key] = []
        for index, batch in enumerate(order):
            done += batch
            following = order[index + 1] if index + 1 < len(order) else []
            ends = [self._last(key, "start") for key in batch]
            seen = all(self.fates[key].started_first for key in batch) if index else not service.watch_settled
            monitor = how.monitor if index else 0.0
            if batch and not seen and (following or (monitor and not self.view.returning)):
                key = batch[0] if index else following[0]
                ends = [self._watch(key, [key.name for key in done], monitor, service.tolerated, ends)]
            if following and index and how.delay:
                ends = [self._between(following[0], "delay", {"seconds": how.delay}, ends)]
            for key in following:
                for end in ends:
                    self._edge(end, held[key])

    def _order_together(self) -> None:
        """Those that give way for one file do so when all of them are prepared: else the first is down while
        the last one's candidate is made.
        """
        waits = (
            before
            for node, before in self.after.items()
            if node.key.kind in files.KINDS and node.step.part == "start"
        )
        groups = {
            frozenset(other.key for other in before if other.step.part == "release") for before in waits
        }
        for group in sorted(map(sorted, groups)):
            first = [gives for key in group if (gives := self._first(key, "release"))]
            for ready in filter(None, (self._last(key, "prepare") for key in group)):
                before = self._before(ready)
                for gives in first:
                    if gives.key != ready.key and gives not in before:
                        self._edge(ready, gives)

    def _watch(
        self, key: Key, names: list[str], seconds: float, most: int, after: list[StepNode | None]
    ) -> StepNode:
        args = {"containers": names, "seconds": seconds, "most": most, "timeout": self.wait_limit}
        return self._between(key, "watch", args, after)

    def _before(self, node: StepNode) -> set[StepNode]:
        """The node and all that must be done before it."""
        found, todo = {node}, [node]
        while todo:
            new = self.after[todo.pop()] - found
            found |= new
            todo += new
        return found

    def _order_prune(self) -> None:
        """Dependents before what they need, containers before their networks, the deeper path first."""
        for key in self.acting:
            last = self._last(key, "prune")
            if last is None:
                continue
            owned = self.view.inventory.get(key)
            before = {Key.parse(need) for need in owned.needs} if owned else set()
            if key.kind == "container":
                before |= {
                    Key("network", name) for c in self.view.containers(key.name) for name in c.networks
                }
            elif key.kind in files.KINDS:
                before |= {Key("directory", parent) for parent in _parents(key.name)}
            for other in before:
                self._edge(last, self._first(other, "prune"))

    def awaited(self) -> set[Key]:
        """Resources that are as they should be, and are only waited for."""
        return {key for key, _ in self.awaits if not self.fates[key].steps}

    def actions(self) -> list[Action]:
        """Numbered in one stable topological order."""
        waiting = {node: len(before) for node, before in self.after.items()}
        followers: dict[StepNode, list[StepNode]] = defaultdict(list)
        for node, before in self.after.items():
            for other in before:
                followers[other].append(node)
        ready = [node for node, count in waiting.items() if not count]
        heapq.heapify(ready)
        numbers: dict[StepNode, int] = {}
        found: list[Action] = []
        while ready:
            node = heapq.heappop(ready)
            numbers[node] = len(numbers) + 1
            found.append(self._action(node, numbers))
            for follower in followers[node]:
                waiting[follower] -= 1
                if not waiting[follower]:
                    heapq.heappush(ready, follower)
        if len(found) != len(self.after):
            stuck = sorted({str(node.key) for node in self.after if node not in numbers})
            raise AssertionError(f"the plan has a cycle: {', '.join(stuck)}")
        return found

    def _action(self, node: StepNode, numbers: dict[StepNode, int]) -> Action:
        after = tuple(sorted(numbers[other] for other in self.after[node]))
        stage: Stage = "prune" if node.step.part == "prune" else "apply"
        fate = self.fates[node.key]
        corrective = fate.verb != "keep" and self.view.corrective(node.key)
        step = node.step
        return Action(
            numbers[node],
            step.verb,
            node.key,
            fate.cause,
            step.args,
            after,
            stage,
            corrective,
            step.required,
            step.secret,
        )


def _parents(path: str) -> list[str]:
    parts = path.strip("/").split("/")[:-1]
    return ["/" + "/".join(parts[: i + 1]) for i in range(len(parts))]


def _is_healthy(instance: ObservedContainer) -> bool:
    return instance.state == "running" and instance.health in ("healthy", "")


def held_claims(key: Key, view: View) -> set[str]:
    """What a resource holds now: as the inventory remembers and as the host shows."""
    if key.kind == "network":
        there = view.observed.networks.get(key.name)
        return set(there.claims) if there else set()
    owned = view.inventory.get(key)
    held = set(owned.claims) if owned else set()
    if key.kind != "container":
        return held | {claims.path(key.name)} if key.kind in files.KINDS else held
    for instance in view.containers(key.name):
        held |= _instance_claims(key, instance, view)
        if instance.name == key.name:
            held.add(claims.name(key.name))
    return held


def running_claims(key: Key, view: View) -> set[str]:
    """What the running containers of a resource hold, and nothing that they held once or will hold."""
    instances = view.containers(key.name) if key.kind == "container" else ()
    return {
        claim
        for instance in instances
        if instance.state in RUNNING
        for claim in _instance_claims(key, instance, view)
    }


def _instance_claims(key: Key, instance: ObservedContainer, view: View) -> set[str]:
    known = [
        r
        for release in (view.target, view.applied, view.known_good)
        if (r := release.manifest.resources.get(key))
    ]
    return {*instance.ports, *(claim for r in known if r.digest == instance.digest for claim in r.claims)}


def wants(key: Key, fate: Fate, view: View) -> tuple[str, ...]:
    """The claims that a resource takes by its start."""
    if fate.verb not in ("create", "replace", "return", "start", "adopt") or not fate.part("start"):
        return ()
    resource = view.target.manifest.resources.get(key)
    return adoption.claims_to_restore(key, view) or (resource.claims if resource else ())


def app_of(key: Key, view: View) -> str:
    resource, owned = view.target.manifest.resources.get(key), view.inventory.get(key)
    return str(resource.spec["app"]) if resource else owned.app if owned else ""
