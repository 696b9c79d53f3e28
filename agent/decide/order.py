"""The order of a plan's steps across resources: which step waits for which, and why. Pure.

Rules:
1. A step waits for what it needs, never for more: unrelated resources are changed in parallel.
2. Kinds know nothing of the order. An edge comes from one of these, and is dropped only at this price:

    parts      an old container still has the name and the ports when the new one takes them
    needs      a container starts before its network, file or database is there
    claims     the Engine refuses a start: the port, the address or the name is still in use; or two
               containers write the same data
    networks   the Engine refuses to remove a network: it has active endpoints
    paths      a file is written before its directory, or where an old file is still in the way
    app files  a running container loses a file, or a new one reads a file that this release removed
    prune      a network is removed before its containers, a directory before its files
    batches    all containers of a service are down at the same time
    together   a container is down while the candidate of another one is made

3. Needs, claims, networks and paths are musts. That a service is down as shortly as can be (`prepare` before
   `release`, batches, together) is a wish: where it would make a circle with a must, its edge is left out.
4. The numbering is stable: equal fates, equal actions.
"""

from __future__ import annotations

from collections.abc import Sequence

from agent.decide.batches import BatchEdges, service_updates, watch_args
from agent.decide.graph import StepGraph, StepNode
from agent.decide.holdings import app_of, held_claims, wants
from agent.kinds import claims, files, lenders, oneshots
from agent.kinds.base import Fate, Part, View
from agent.kinds.update_policy import policy_of
from agent.model import Action, Key, Need, Stage
from agent.observed import ObservedContainer

BEGIN: tuple[Part, ...] = ("start-first", "start")  # where a resource begins to use what it needs


class Ordering:
    """The edges between the steps of all fates."""

    def __init__(self, view: View, fates: dict[Key, Fate], wait_limit: float) -> None:
        self.view, self.fates, self.wait_limit = view, fates, wait_limit
        self.graph = StepGraph()
        self.awaits: dict[tuple[Key, str], StepNode] = {}
        self.acting = sorted(key for key, fate in fates.items() if fate.steps)
        self.updates = service_updates(view, fates)
        self.followers = {key for service in self.updates for key in service.followers}
        for key in self.acting:
            for step in fates[key].steps:
                self.graph.add(key, step)
        self.freed = self._freed()
        self.removed = [key for key in self.acting if self._is_removed_early(key)]
        self.losing = {app_of(key, view) for key in self.removed} - {""}
        for key in self.acting:
            self._order_parts(key)
            self._order_needs(key)
        self._order_claims()
        self._order_networks()
        self._order_paths()
        self._order_app_files()
        self._order_prune()
        for service in self.updates:
            BatchEdges(service, self.graph, fates, view.returning, wait_limit).add()
        self._order_together()

    # --- parts ---

    def _order_parts(self, key: Key) -> None:
        first, last = self.graph.first, self.graph.last
        # Without it: the new container is renamed to NAME, or started, while the old one still has the name
        # and the ports. The Engine refuses both, and a good release is condemned.
        self.graph.edge(last(key, "release"), first(key, "start"))
        # Without it: a candidate is started that is not created yet.
        self.graph.edge(last(key, "prepare"), first(key, *BEGIN))
        fate = self.fates[key]
        if fate.started_first:
            policy = policy_of(self.view.target.manifest.resources[key], self.view)
            seconds = policy.monitor if policy else 0.0
            args = watch_args([fate.started_first], seconds, int(self.view.returning), self.wait_limit)
            watch = self.graph.between(key, "watch", args, [last(key, "start-first", "prepare")])
            # Without the first: the old container goes before the new one is good, which is the gap that
            # `start-first` is there to avoid. Without the second: a new container that is not good gets the
            # final name.
            self.graph.edge(watch, first(key, "release"))
            self.graph.edge(watch, first(key, "start"))
        elif not self._created_late(key):
            # Without it: the service is down while its candidate is created; when the Engine refuses to
            # create it, the service has gone down for nothing.
            self.graph.edge(last(key, "prepare"), first(key, "release"))

    def _created_late(self, key: Key) -> bool:
        """Whether its candidate can only be created after it gave way: its network is re-created, or it
        shares with a container that changes. The edge would make a circle.
        """
        return self._on_recreated(key) or bool(self._shared_from(key))

    # --- needs ---

    def _order_needs(self, key: Key) -> None:
        resource = self.view.target.manifest.resources.get(key)
        for need in resource.needs if resource else ():
            self._order_need(key, need)

    def _order_need(self, key: Key, need: Need) -> None:
        """`need` before `key`: a file that changes after `key` gave way, any other need before `key` is
        created or gives way.
        """
        edge, first = self.graph.edge, self.graph.first
        if first(key, "prepare", "release", *BEGIN) is None:
            return  # only what is left of it goes, after the gate
        ready = self._ready(need)
        # Without it: a container is started before its network or volume is there (the Engine refuses),
        # before its file is written (it reads the old one), or before its database is healthy (it exits).
        edge(ready, first(key, *BEGIN))
        if self._is_late(need.key):
            if self._holds_files(key):
                # Without it: the old container sees the new content while it runs. A program that reads its
                # configuration again by itself has half of the old release and half of the new one.
                edge(self.graph.last(key, "release"), first(need.key, "start"))
        elif need.key.kind == "container":
            if need.key in self._shared_from(key):
                # Without it: the Engine looks up `network_mode`, `pid`, `ipc` and `volumes_from` when it
                # creates the candidate, and finds the container that is about to be removed.
                edge(ready, first(key, "prepare"))
            if not self._gives_way_early(key):
                # Without it: the service is down for as long as its database takes to become healthy.
                edge(ready, first(key, "release"))
        elif self._on_recreated(key):
            # Not before `release`: the network that it needs waits for just that release.
            edge(ready, first(key, "prepare"))
        else:
            # Without it: a candidate is created on a network that is not there (the Engine refuses), or with
            # a file that is not there (the Engine makes an empty directory in its place).
            edge(ready, first(key, "prepare", "release"))

    def _ready(self, need: Need) -> StepNode | None:
        """The node after which a need is met; None when it is met already, or never will be (refused, and not
        required).
        """
        last = self.graph.last(need.key, "start")
        fate = self.fates.get(need.key)
        if need.condition not in ("healthy", "completed"):
            return last
        if fate is None or fate.verb == "refuse" or self._has_run(need):
            return last
        if last is None and (self._met(need) or self._is_undone()):
            return None
        known = self.awaits.get((need.key, need.condition))
        if known is None:
            # Without the edge from `last`: an old container that is still healthy would end the wait.
            args = {"container": need.key.name, "condition": need.condition, "timeout": self.wait_limit}
            if need.condition == "healthy" and not self._is_started(need.key):
                args["recovers"] = True  # unhealthy is what it was before: nothing of this plan made it so
            known = self.graph.between(need.key, "await", args, [last])
            self.awaits[need.key, need.condition] = known
        return known

    def _is_undone(self) -> bool:
        """Whether a release is undone: what ran before ran with what was there, healthy or not."""
        return self.view.returning and not self.view.repairing

    def _is_started(self, key: Key) -> bool:
        fate = self.fates.get(key)
        return fate is not None and any(step.verb in ("start", "restart") for step in fate.steps)

    def _met(self, need: Need) -> bool:
        current = [c for c in self.view.containers(need.key.name) if c.name == need.key.name]
        if need.condition == "healthy":
            return any(_is_healthy(c) for c in current)
        return any(c.state == "exited" and c.exit_code == 0 for c in current)

    def _has_run(self, need: Need) -> bool:
        """Whether a one-shot has run for this release, whatever its container says by now."""
        resource = self.view.target.manifest.resources.get(need.key)
        if resource is None or need.condition != "completed":
            return False
        return oneshots.has_run(resource, self.view.target.image(resource), self.view)

    def _is_late(self, key: Key) -> bool:
        """Whether a file is written only after its users have given way: it exists and changes."""
        return (
            key.kind in ("file", "symlink")
            and key.name in self.view.observed.files
            and self.graph.first(key, "start") is not None
        )

    def _holds_files(self, key: Key) -> bool:
        """Whether files wait until a container has given way. Those of later batches do not count, else the
        batches would become one; nor does one that runs until the new one does.
        """
        return key not in self.followers and not self.fates[key].started_first

    def _shared_from(self, key: Key) -> set[Key]:
        """The changing containers that the Engine looks up when it creates this one."""
        resource = self.view.target.manifest.resources.get(key)
        named = lenders.looked_up(resource) if resource else set()
        return {other for other in named if self.graph.first(other, "start")}

    def _gives_way_early(self, key: Key) -> bool:
        """Whether another resource, or a need of this one, waits for its release. It then cannot wait for
        its needs: that would be a circle.
        """
        if any(holder == key for holder, _ in self.freed) or self._on_recreated(key) or self._loses_file(key):
            return True
        resource = self.view.target.manifest.resources.get(key)
        return resource is not None and any(self._is_late(need.key) for need in resource.needs)

    # --- claims and networks ---

    def _freed(self) -> list[tuple[Key, Key]]:
        """Pairs (holder, taker): the holder gives way, and the taker wants one of its claims."""
        takers = [(key, taken) for key in self.acting if (taken := wants(key, self.fates[key], self.view))]
        holders = [
            (key, held_claims(key, self.view)) for key in self.acting if self.graph.first(key, "release")
        ]
        return [
            (holder, taker)
            for holder, held in holders
            for taker, taken in takers
            if holder != taker and claims.clashing(taken, held)
        ]

    def _order_claims(self) -> None:
        for holder, taker in self.freed:
            # Without it: "port is already allocated". A port that moves from one service to another could
            # never be brought in.
            self.graph.edge(self.graph.last(holder, "release"), self.graph.first(taker, *BEGIN))
            if not self._waits_for_holder(holder, taker):
                # Without it: nobody has the port while the taker's candidate is created.
                self.graph.edge(self.graph.last(taker, "prepare"), self.graph.first(holder, "release"))

    def _waits_for_holder(self, holder: Key, taker: Key) -> bool:
        """Whether the taker's candidate may have to wait until the holder has given way. Two containers that
        swap their ports are both holder and taker.
        """
        return (
            self._created_late(taker) or self._on_recreated(holder) or bool(self.fates[holder].part("start"))
        )

    def _order_networks(self) -> None:
        for name in self.view.recreated:
            remove = self.graph.first(Key("network", name), "release")
            for instance in self.view.observed.containers:
                if instance.owned and name in instance.networks:
                    # Without it: the Engine refuses to remove the network, it has active endpoints.
                    self.graph.edge(self.graph.last(Key("container", instance.key_name), "release"), remove)

    def _on_recreated(self, key: Key) -> bool:
        """Whether an instance of it is attached to a network that is removed in this plan."""
        return key.kind == "container" and any(
            self.view.recreated & set(c.networks) for c in self.view.containers(key.name)
        )

    # --- paths ---

    def _order_paths(self) -> None:
        edge, first, last = self.graph.edge, self.graph.first, self.graph.last
        for key in self.acting:
            if key.kind not in files.KINDS or first(key, "start") is None:
                continue
            for other in self._above(key):
                if key in self.removed:
                    # Without it: a directory is removed, to make way for a file, that is not empty yet.
                    edge(last(key, "start"), first(other, "start"))
                    continue
                if other.kind == "directory":
                    # Without it: a file is written into a directory that is not there.
                    edge(last(other, "start"), first(key, "start"))
                # Without it: a directory is made where an old file or link still is.
                edge(last(other, "release"), first(key, "start"))

    def _above(self, key: Key) -> list[Key]:
        """The changing paths above a path."""
        above = (Key(kind, parent) for parent in files.parents(key.name) for kind in files.KINDS)
        return [other for other in above if other in self.fates and self.fates[other].steps]

    def _is_removed_early(self, key: Key) -> bool:
        """Whether a path is removed between the stop and the start of its app's containers."""
        return (
            key.kind in files.KINDS
            and self.graph.first(key, "start") is not None
            and key not in self.view.target.manifest.resources
        )

    def _order_app_files(self) -> None:
        """Removes app files between the stop and the start of the app's containers."""
        for key in self.removed:
            node, app = self.graph.first(key, "start"), app_of(key, self.view)
            for other in self.acting:
                if not app or other.kind != "container" or app_of(other, self.view) != app:
                    continue
                if self._holds_files(other):
                    # Without it: the old container loses the file while it runs.
                    self.graph.edge(self.graph.last(other, "release"), node)
                # Without it: the new container reads the removed file at its start (a snippet in `conf.d`),
                # and nothing ever tells it that the file has gone.
                self.graph.edge(node, self.graph.first(other, *BEGIN))

    def _loses_file(self, key: Key) -> bool:
        """Whether a file of its app is removed between its stop and its start."""
        return key.kind == "container" and app_of(key, self.view) in self.losing

    # --- prune ---

    def _order_prune(self) -> None:
        for key in self.acting:
            last = self.graph.last(key, "prune")
            for other in self._pruned_after(key) if last else ():
                # Without it: a network is removed that still has endpoints, a directory that is not empty.
                # Both are refused, and stay until the next prune.
                self.graph.edge(last, self.graph.first(other, "prune"))

    def _pruned_after(self, key: Key) -> set[Key]:
        """The resources that can go only after this one: what it needed, its networks, its directories."""
        owned = self.view.inventory.get(key)
        found = {Key.parse(need) for need in owned.needs} if owned else set()
        if key.kind == "container":
            found |= {Key("network", name) for c in self.view.containers(key.name) for name in c.networks}
        elif key.kind in files.KINDS:
            found |= {Key("directory", parent) for parent in files.parents(key.name)}
        return found

    # --- together ---

    def _order_together(self) -> None:
        """Containers that give way for the same file do so when the candidates of all of them are created."""
        writes = [
            before
            for node, before in self.graph.after.items()
            if node.key.kind in files.KINDS and node.step.part == "start"
        ]
        groups = {_releasing(before) for before in writes}
        for group in sorted(map(sorted, groups)):
            releases = [release for key in group if (release := self.graph.first(key, "release"))]
            for key in group:
                self._prepared_before(self.graph.last(key, "prepare"), releases)

    def _prepared_before(self, ready: StepNode | None, releases: Sequence[StepNode]) -> None:
        if ready is None:
            return
        before = self.graph.before(ready)
        for release in releases:
            if release.key != ready.key and release not in before:
                # Without it: the first container is down while the candidate of the last one is created; a
                # pass that is killed in between leaves it down.
                self.graph.edge(ready, release)

    # --- the result ---

    def awaited(self) -> set[Key]:
        """Resources that are as they should be, and are only waited for."""
        return {key for key, _ in self.awaits if not self.fates[key].steps}

    def actions(self) -> list[Action]:
        """All steps as actions, numbered in one stable topological order."""
        numbers: dict[StepNode, int] = {}
        found: list[Action] = []
        for number, node in enumerate(self.graph.in_order(), 1):
            numbers[node] = number
            found.append(self._action(node, numbers))
        return found

    def _action(self, node: StepNode, numbers: dict[StepNode, int]) -> Action:
        stage: Stage = "prune" if node.step.part == "prune" else "apply"
        fate, step = self.fates[node.key], node.step
        return Action(
            id=numbers[node],
            verb=step.verb,
            key=node.key,
            cause=fate.cause,
            args=step.args,
            after=tuple(sorted(numbers[other] for other in self.graph.after[node])),
            stage=stage,
            corrective=fate.verb != "keep" and self.view.corrective(node.key),
            required=step.required,
            secret=step.secret,
        )


def _releasing(before: set[StepNode]) -> frozenset[Key]:
    return frozenset(node.key for node in before if node.step.part == "release")


def _is_healthy(instance: ObservedContainer) -> bool:
    return instance.state == "running" and instance.health in ("healthy", "")
