"""A pass without its shell: plans and applies on the fake host, in any order that the plan allows, killed
where one likes.

It keeps what a pass keeps (known good, applied, the attempt, the inventory) and changes it in the order in
which `agent.converge.transaction` does; the verdict of the gate is an argument.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import Any

from agent.decide import ownership
from agent.decide.plan import plan
from agent.drivers.observe import Look
from agent.kinds import notify
from agent.kinds.adoption import handles, is_first, take_over
from agent.kinds.base import Target, View
from agent.kinds.files import KINDS as PATHS
from agent.model import Action, Key, Need, Outcome, Owned, Plan, Stage
from agent.observed import Observed, ObservedContainer
from tests.fakes.host import Died, FakeHost


@dataclass
class Machine:
    """One host with what its agent remembers. `proved`: the ids of known good's containers; `always`: names
    of which an instance must run, and be healthy, at every moment.
    """

    host: FakeHost
    order: random.Random
    inventory: dict[Key, Owned] = field(default_factory=dict)
    applied: Target = field(default_factory=Target)
    known_good: Target | None = None
    attempt: Target | None = None
    rolling_back: bool = False
    proved: dict[str, str] = field(default_factory=dict)
    plans: list[Plan] = field(default_factory=list)
    always: frozenset[str] = frozenset()

    def converge(self, target: Target, *, passes: bool = True, die_at: int | None = None) -> bool:
        """One pass; False when it was killed."""
        self.host._points, self.host.die_at = 0, die_at
        try:
            self._converge(target, passes)
        except Died:
            return False
        finally:
            self.host.die_at = None
        return True

    def _converge(self, target: Target, passes: bool) -> None:
        if self.rolling_back:
            self._roll_back()
            return
        if target == self.known_good and self.attempt is None:
            self._apply(target, self.applied)
            self._prune(target)
            return
        if self.known_good is None and self.attempt is None and is_first(self.decide(target)[0]):
            self.known_good = Target()
        self.attempt = target
        self._apply(target, self.applied)
        if passes:
            self.known_good = self.applied = target
            self.attempt = None
            current = [
                c for c in self.containers() if target.has(Key("container", c.name), c.digest, c.image_id)
            ]
            self.proved = {c.name: c.id for c in current}
            self._prune(target)
        elif self.known_good is None:
            self.applied = target
        else:
            self.rolling_back = True
            self._roll_back()

    def _roll_back(self) -> None:
        assert self.known_good is not None and self.attempt is not None
        self._apply(self.known_good, self.attempt)
        self.applied, self.attempt, self.rolling_back = self.known_good, None, False
        self._prune(self.known_good)

    def _apply(self, target: Target, applied: Target) -> None:
        view, found = self.decide(target, applied)
        self.inventory |= ownership.owned_entries(found, view, self.host.save_original)
        self._execute(found, "apply", target)
        telling = notify.telling(found.staged("apply"), view)
        after = replace(view, inventory=self.inventory, observed=self.observe(target))
        self.inventory |= ownership.notified_entries(telling, after)

    def _prune(self, target: Target) -> None:
        view, found = self.decide(target)
        self.inventory |= ownership.settled(view)
        before = None
        while found.staged("prune") and str(found) != before:
            before = str(found)
            self._execute(found, "prune", target)
            view, found = self.decide(target)
        for key in ownership.disowned(self.inventory, view, found):
            del self.inventory[key]

    def decide(self, target: Target, applied: Target | None = None) -> tuple[View, Plan]:
        """What a pass would do."""
        view = View(
            target,
            self.observe(target),
            dict(self.inventory),
            applied or self.applied,
            self.known_good or Target(),
        )
        view = take_over(view)
        return view, plan(view)

    def observe(self, target: Target) -> Any:
        keys = {*target.manifest.resources, *self.inventory}
        adopted = {
            (key.kind, owned.adopted["id"]): (key.name, owned)
            for key, owned in self.inventory.items()
            if owned.adopted
        }
        paths = frozenset(key.name for key in keys if key.kind in PATHS)
        return self.host.observe(
            Look(paths, (), True, adopted=adopted, adopting=frozenset(handles(target.manifest)))
        )

    def _execute(self, found: Plan, stage: Stage, target: Target) -> None:
        """Every order that the plan allows must do: which one is the order's choice."""
        self.plans.append(found)
        todo, done = {action.id: action for action in found.staged(stage)}, set()
        while todo:
            ready = [a for a in todo.values() if all(i in done or i not in todo for i in a.after)]
            action = self.order.choice(ready)
            self._check(action, target)
            self.host.execute(action, target.manifest.resources.get(action.key))
            done.add(action.id)
            del todo[action.id]
            self._known_good_lives()
        outcomes = [Outcome(action, "done") for action in found.staged(stage)]
        self.inventory |= ownership.hooked(
            outcomes, Observed(containers=tuple(self.containers())), self.inventory
        )

    # --- what holds at every moment ---

    def _check(self, action: Action, target: Target) -> None:
        """Nothing is started before its needs."""
        if action.verb != "start" or action.key not in target.manifest.resources:  # or it is given back
            return
        for need in target.manifest.resources[action.key].needs:
            assert self._met(need, target), f"{action.key} is started before {need}"

    def _met(self, need: Need, target: Target) -> bool:
        match need.key.kind:
            case "file":
                file = self.host.files.there.get(need.key.name)
                return (
                    file is not None and file.content == target.manifest.resources[need.key].spec["content"]
                )
            case "network":
                digest = target.manifest.resources[need.key].digest
                there = self.host.networks.get(need.key.name)
                return there is not None and self._digest(need.key, there.id, there.digest) == digest
            case "volume":
                return need.key.name in self.host.volumes
        at = next((c for c in self.host.containers.values() if c.seen.name == need.key.name), None)
        wanted = target.manifest.resources[need.key].digest
        if at is None or self._digest(need.key, at.seen.id, at.seen.digest) != wanted:
            return False
        current = at.seen
        hooks = target.manifest.resources[need.key].spec["config"].get("post_start") or ()
        if current.state == "running" and at.hooks.count("post_start") < len(hooks):
            return False
        if need.condition == "completed":
            return (current.state, current.exit_code) == ("exited", 0)
        return current.state == "running" and (need.condition != "healthy" or current.health == "healthy")

    def _digest(self, key: Key, id: str, digest: str) -> str:
        """What an object counts as: what is adopted has no label that says it."""
        adopted = self.inventory[key].adopted if key in self.inventory else {}
        return str(adopted["digest"]) if adopted.get("id") == id else digest

    def _known_good_lives(self) -> None:
        """What known good needs to come back is never removed before another release is known good."""
        there = {c.id for c in self.containers()}
        lost = {name for name, id in self.proved.items() if id not in there}
        assert not lost, f"containers of known good are gone: {lost}"
        serving = {
            c.key_name for c in self.containers() if c.state == "running" and c.health in ("", "healthy")
        }
        assert not self.always - serving, f"nothing runs for {self.always - serving}"

    # --- what one sees ---

    def containers(self) -> list[ObservedContainer]:
        return [c.seen for c in self.host.containers.values() if c.seen.owned]

    def snapshot(self, *, ids: bool = False) -> dict[str, Any]:
        """The host as a person would compare it; directories that came with a file are not. `ids`: identity
        counts too.
        """
        found: dict[str, Any] = {}
        for at in self.host.containers.values():
            seen, networks = at.seen, self.host.networks
            assert all(id in ("", networks[name].id) for name, id in seen.networks.items()), (
                f"{seen.name} has a stale network"
            )
            for path, content in at.read.items() if seen.state == "running" else ():
                there = self.host.files.there.get(path)
                assert there is not None and there.content == content, f"{seen.name} knows another {path}"
            hooked = seen.id in next(
                (o.hooked for k, o in self.inventory.items() if k == Key("container", seen.key_name)), ()
            )
            found[f"container {seen.name}"] = (
                seen.digest,
                seen.image_id,
                seen.state,
                at.policy,
                sorted(seen.networks),
                seen.ports,
                "post_start" in at.hooks,
                hooked,
                seen.id if ids else "",
            )
        found |= {f"network {n.name}": (n.owned, n.digest) for n in self.host.networks.values()}
        found |= {
            f"path {path}": there
            for path, there in self.host.files.there.items()
            if there.type != "directory" or Key("directory", path) in self.inventory
        }
        owned = [(key, entry) for key, entry in self.inventory.items() if key.kind != "volume"]
        found |= {
            f"owned {key}": replace(entry, notified={}, completed="", hooked=()) for key, entry in owned
        }
        return found
