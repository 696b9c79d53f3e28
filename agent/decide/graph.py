"""The steps of a plan as a graph: nodes, edges, and one stable order. Pure. `order` says which edges there
are.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from agent.kinds.base import Part, Step
from agent.kinds.table import KINDS
from agent.model import Key

PARTS: tuple[Part, ...] = ("prepare", "start-first", "release", "start", "prune")
MOST = 10_000  # steps of one part of one resource


@dataclass(frozen=True, slots=True, order=True)
class StepNode:
    """One step in the graph. Nodes sort by kind, key and position: equal fates are numbered equally."""

    rank: int
    key: Key
    index: int
    step: Step = field(compare=False)


class StepGraph:
    """`after`: node -> the nodes that it waits for."""

    def __init__(self) -> None:
        self.after: dict[StepNode, set[StepNode]] = {}
        self._parts: dict[tuple[Key, Part], list[StepNode]] = defaultdict(list)
        self._extra = 0  # nodes that are not a step of a fate

    def add(self, key: Key, step: Step) -> None:
        """Adds a step of a fate, after the one that was added before it to the same part.

        Without this edge the steps of a part would run in any order: a container would be started under its
        old name, or before it is connected to its networks.
        """
        nodes = self._parts[key, step.part]
        rank = KINDS[key.kind].rank
        node = StepNode(
            1000 - rank if step.part == "prune" else rank,
            key,
            PARTS.index(step.part) * MOST + len(nodes),
            step,
        )
        self.after[node] = {nodes[-1]} if nodes else set()
        nodes.append(node)

    def between(
        self, key: Key, verb: str, args: dict[str, object], after: Iterable[StepNode | None]
    ) -> StepNode:
        """Adds a node that belongs to no part: something to wait for."""
        node = StepNode(
            KINDS["container"].rank, key, len(PARTS) * MOST + self._extra, Step("start", verb, args)
        )
        self.after[node] = {other for other in after if other is not None}
        self._extra += 1
        return node

    def edge(self, before: StepNode | None, then: StepNode | None) -> None:
        """`then` waits for `before`; nothing waits when one of them is not there."""
        if before is not None and then is not None and before is not then:
            self.after[then].add(before)

    def first(self, key: Key, *parts: Part) -> StepNode | None:
        """The first node of the first of these parts that has steps."""
        return next((nodes[0] for part in parts if (nodes := self._parts.get((key, part)))), None)

    def last(self, key: Key, *parts: Part) -> StepNode | None:
        """The last node of the first of these parts that has steps."""
        return next((nodes[-1] for part in parts if (nodes := self._parts.get((key, part)))), None)

    def before(self, node: StepNode) -> set[StepNode]:
        """The node and all nodes that must be done before it."""
        found, todo = {node}, [node]
        while todo:
            new = self.after[todo.pop()] - found
            found |= new
            todo += new
        return found

    def in_order(self) -> list[StepNode]:
        """All nodes in one stable topological order. Errors: AssertionError when there is a circle."""
        followers = self._followers()
        waiting = {node: len(before) for node, before in self.after.items()}
        ready = sorted(node for node, count in waiting.items() if not count)
        found: list[StepNode] = []
        while ready:
            found.append(heapq.heappop(ready))
            for follower in followers[found[-1]]:
                waiting[follower] -= 1
                if not waiting[follower]:
                    heapq.heappush(ready, follower)
        if len(found) != len(self.after):
            stuck = sorted({str(node.key) for node in self.after.keys() - set(found)})
            raise AssertionError(f"the plan has a cycle: {', '.join(stuck)}")
        return found

    def _followers(self) -> dict[StepNode, list[StepNode]]:
        """Node -> the nodes that wait for it."""
        followers: dict[StepNode, list[StepNode]] = defaultdict(list)
        for node, before in self.after.items():
            for other in before:
                followers[other].append(node)
        return followers
