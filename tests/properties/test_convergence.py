"""What holds for every host, every sequence of releases and every moment of death."""

from __future__ import annotations

import os
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from agent.decide.brakes import BrakePolicy, brakes
from agent.decide.plan import plan
from agent.kinds.base import Target, View
from agent.model import Plan
from tests.properties.machine import Machine
from tests.properties.strategies import Doc, docs, held, host

EXAMPLES = int(os.environ.get("LIMPET_TEST_EXAMPLES", "60"))
MANY = settings(
    max_examples=EXAMPLES, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)
)


def machine(seed: int = 0) -> Machine:
    return Machine(host(), random.Random(seed))


def converge(at: Machine, target: Target, *, passes: bool = True) -> None:
    """One pass; and another one when something was in the way of a path and had to be removed first."""
    at.plans.clear()
    assert at.converge(target, passes=passes)
    if any(found.refusals for found in at.plans):
        assert at.known_good is not None
        assert at.converge(at.known_good)


def quiet(at: Machine, target: Target) -> None:
    """Nothing is left to do."""
    _, found = at.decide(target)
    left = Plan(tuple(c for c in found.changes if c.verb != "forget"), found.actions)
    assert str(left) == ""


@MANY
@given(docs(), docs(), st.integers())
def test_second_pass_has_nothing_to_do(first: Doc, second: Doc, seed: int) -> None:
    """After a pass that went through, the plan must be empty."""
    at = machine(seed)
    for doc in (first, second):
        target = held(doc, at.host)
        converge(at, target)
        quiet(at, target)


@MANY
@given(docs(), docs(), st.integers())
def test_rollback_returns_the_same_host(first: Doc, second: Doc, seed: int) -> None:
    """After a rollback the host must be as it was: the same containers, with their names, policies and
    networks.
    """
    at = machine(seed)
    good = held(first, at.host)
    converge(at, good)
    before = at.snapshot(ids=True)
    converge(at, held(second, at.host), passes=False)
    assert at.snapshot(ids=True) == before
    quiet(at, good)


@MANY
@given(docs(), docs(), st.booleans(), st.integers(1, 60), st.integers())
def test_killed_pass_ends_where_an_uninterrupted_one_does(
    first: Doc, second: Doc, passes: bool, kill: int, seed: int
) -> None:
    """A pass killed before or after any action, and started again, must end as the uninterrupted pass
    ends.
    """
    ends = []
    for die_at in (None, kill):
        at = machine(seed)
        converge(at, held(first, at.host))
        target = held(second, at.host)
        if die_at is None or not at.converge(target, passes=passes, die_at=die_at):
            converge(at, target, passes=passes)
        assert at.known_good is not None
        converge(at, at.known_good)
        ends.append((at.snapshot(), set(at.proved)))
    assert ends[1] == ends[0]


@MANY
@given(
    st.lists(st.tuples(docs(), st.booleans(), st.none() | st.integers(1, 40)), min_size=1, max_size=4),
    docs(),
    st.integers(),
)
def test_history_does_not_matter(steps: list[tuple[Doc, bool, int | None]], last: Doc, seed: int) -> None:
    """Whatever was tried, superseded, killed or rolled back before: the host must end as if only the last
    release had been applied to it, and known good's containers must be there at every moment.
    """
    at = machine(seed)
    for doc, passes, die_at in steps:
        at.converge(held(doc, at.host), passes=passes, die_at=die_at)
    target = held(last, at.host)
    if at.rolling_back:
        at.converge(target)
    converge(at, target)
    converge(at, target)
    fresh = machine()
    converge(fresh, held(last, fresh.host))
    converge(fresh, held(last, fresh.host))
    assert at.snapshot() == fresh.snapshot()
    quiet(at, target)


@MANY
@given(docs(), docs(), docs(), st.integers(1, 60), st.integers())
def test_rollback_from_anywhere_returns_known_good(
    good: Doc, bad: Doc, worse: Doc, kill: int, seed: int
) -> None:
    """Attempts that were killed and superseded must not keep a rollback from returning the very containers of
    known good.
    """
    at = machine(seed)
    target = held(good, at.host)
    converge(at, target)
    before = at.snapshot(ids=True)
    at.converge(held(bad, at.host), passes=False, die_at=kill)
    converge(at, held(worse, at.host), passes=False)
    converge(at, target)
    assert at.snapshot(ids=True) == before


@MANY
@given(docs(), docs(), st.integers())
def test_foreign_things_are_never_touched(first: Doc, second: Doc, seed: int) -> None:
    """No action may name, stop, change or remove what is not ours."""
    at = machine(seed)
    foreign = [c.seen for c in at.host.containers.values() if not c.seen.owned]
    ids = {c.id for c in foreign} | {c.name for c in foreign} | {n.id for n in at.host.networks.values()}
    nothing: Doc = {kind: {} for kind in first}
    for doc in (first, second, nothing):
        converge(at, held(doc, at.host))
        assert [c.seen for c in at.host.containers.values() if not c.seen.owned] == foreign
        assert not at.host.networks["foreign"].owned
        assert not [
            action
            for found in at.plans
            for action in found.actions
            if ids & set(map(str, action.args.values()))
        ]
    assert at.host.files.read("/etc/x") == b"was here before"
    assert at.host.files.there["/etc/y"].target == "was/here"


@MANY
@given(docs(), docs(), st.integers())
def test_plan_is_determined_by_its_arguments(first: Doc, second: Doc, seed: int) -> None:
    """Equal arguments, equal plan, whatever the order of what is in them."""
    at, shuffle = machine(seed), random.Random(seed)
    converge(at, held(first, at.host))
    view, found = at.decide(held(second, at.host))

    def mixed(mapping: Any) -> Any:
        return dict(shuffle.sample(list(mapping.items()), len(mapping)))

    def turned(one: Target) -> Target:
        return replace(one, manifest=replace(one.manifest, resources=mixed(one.manifest.resources)))

    seen = replace(view.observed, files=mixed(view.observed.files), networks=mixed(view.observed.networks))
    other = View(
        turned(view.target), seen, mixed(view.inventory), turned(view.applied), turned(view.known_good)
    )
    assert plan(other) == found
    assert str(plan(other)) == str(found)


@MANY
@given(docs(), docs(), st.integers())
def test_empty_manifest_never_empties_a_host(first: Doc, second: Doc, seed: int) -> None:
    """With an empty manifest the brakes must refuse every deletion, unless a person allowed so many."""
    at = machine(seed)
    for doc in (first, second):
        converge(at, held(doc, at.host))
    view, found = at.decide(Target())
    braked = brakes(found, view, BrakePolicy())
    assert not braked.actions
    deletions = sum(change.verb == "delete" for change in found.changes)
    assert brakes(found, view, BrakePolicy(allow_prune=deletions)) == found


RICH_BEFORE: Doc = {
    "network": {"n1": {"config": {"variant": 1}}, "n2": {}},
    "volume": {"v": {}},
    "symlink": {},
    "directory": {"/etc/d": {}},
    "file": {
        "/apps/shop/f1": {"content": "one", "app": "shop"},
        "/apps/shop/f2": {"content": "one", "app": "shop"},
        "/etc/x": {"content": "one"},
        "/etc/y": {"state": "absent"},
        "/etc/d/z": {"content": "one"},
    },
    "container": {
        "db": {
            "image": "web:1",
            "networks": {"n1": {"ipv4_address": "10.0.0.5"}},
            "volumes": ["v"],
            "config": {"restart": "always"},
        },
        "job": {
            "image": "once:1",
            "oneshot": True,
            "networks": {"n1": {}},
            "needs": ["container/db healthy"],
        },
        "web": {
            "image": "web:1",
            "ports": ["80"],
            "networks": {"n1": {}},
            "inputs": ["/apps/shop/f1", "/apps/shop/f2"],
            "needs": ["container/job completed"],
            "config": {"restart": "always"},
        },
        "old": {"image": "idle:1", "ports": ["81"], "config": {"restart": "always"}},
        **{
            f"first-{n}": {
                "image": "web:1",
                "service": "first",
                "number": n,
                "networks": {"n2": {}},
                "rollback": {"order": "start-first", "parallelism": 1},
            }
            for n in (1, 2)
        },
        **{
            f"batch-{n}": {"image": "web:1", "service": "batch", "number": n, "inputs": ["/apps/shop/f1"]}
            for n in (1, 2)
        },
    },
}
RICH_AFTER: Doc = {
    "network": {"n1": {"config": {"variant": 2}}, "n2": {}},
    "volume": {"v": {}},
    "directory": {},
    "symlink": {"/etc/x": {"target": "two"}},
    "file": {"/apps/shop/f1": {"content": "two", "app": "shop"}},
    "container": {
        "db": {"image": "web:2", "networks": {"n1": {}}, "volumes": ["v"], "config": {"restart": "always"}},
        "job": {
            "image": "once:2",
            "oneshot": True,
            "networks": {"n1": {}},
            "needs": ["container/db healthy"],
        },
        "web": {
            "image": "web:1",
            "ports": ["81"],
            "networks": {"n1": {"ipv4_address": "10.0.0.5"}},
            "inputs": ["/apps/shop/f1"],
            "needs": ["container/job completed"],
            "config": {"restart": "always"},
        },
        "new": {"image": "idle:1", "ports": ["80"]},
        **{
            f"first-{n}": {
                "image": "web:2",
                "service": "first",
                "number": n,
                "networks": {"n2": {}},
                "update": {"order": "start-first", "parallelism": 1, "delay": 1},
            }
            for n in (1, 2, 3)
        },
        **{
            f"batch-{n}": {
                "image": "web:1",
                "service": "batch",
                "number": n,
                "inputs": ["/apps/shop/f1"],
                "update": {"parallelism": 1, "monitor": 1},
            }
            for n in (1, 2)
        },
    },
}


@pytest.mark.parametrize("passes", [True, False], ids=["applied", "rolled-back"])
def test_every_kill_point_of_a_rich_change(passes: bool) -> None:
    """A change of everything at once, killed before and after each of its actions, must end as the
    uninterrupted one; rolled back, with the very same containers.
    """
    ends, kill = [], 0
    killed = True
    while killed:
        at = machine(kill)
        good = held(RICH_BEFORE, at.host)
        converge(at, good)
        before, target = at.snapshot(ids=True), held(RICH_AFTER, at.host)
        kill += 1
        killed = not at.converge(target, passes=passes, die_at=kill)
        if killed:
            converge(at, target, passes=passes)
        assert at.known_good is not None
        converge(at, at.known_good)
        quiet(at, at.known_good)
        ends.append(at.snapshot())
        assert passes or at.snapshot(ids=True) == before
    assert all(end == ends[-1] for end in ends)
    assert kill > 50


@pytest.mark.parametrize("passes", [True, False], ids=["applied", "rolled-back"])
def test_start_first_never_goes_down(passes: bool) -> None:
    """Of a service that is changed with the new one first, a good container must run at every moment, there
    and back, in any order and wherever the pass is killed.
    """
    for seed in range(40):
        at = machine(seed)
        good = held(RICH_BEFORE, at.host)
        converge(at, good)
        at.observe(good)  # a tick: all are healthy
        at.always = frozenset(("first-1", "first-2"))
        target = held(RICH_AFTER, at.host)
        if not at.converge(target, passes=passes, die_at=4 * seed + 1):
            converge(at, target, passes=passes)


@MANY
@given(docs(), st.integers(), st.data())
def test_drift_is_repaired(doc: Doc, seed: int, data: st.DataObject) -> None:
    """Whatever somebody does to our containers, networks and files: one pass must bring all of it back, and
    say it is drift.
    """
    at = machine(seed)
    target = held(doc, at.host)
    converge(at, target)
    before = at.snapshot()
    damaged = damage(at, target, data)
    at.proved.clear()
    _, found = at.decide(target)
    assert all(change.corrective or change.verb == "forget" for change in found.changes)
    assert bool(found.actions) or not damaged
    converge(at, target)
    assert at.snapshot() == before
    quiet(at, target)


def damage(at: Machine, target: Target, data: st.DataObject) -> bool:
    """Somebody removes, stops, disconnects and edits; whether anything needs repair."""
    host, some = at.host, False
    for resource in target.manifest.of_kind("container"):
        seen = next((c.seen for c in host.containers.values() if c.seen.name == resource.key.name), None)
        how = data.draw(st.sampled_from(("", "", "vanish", "stop", "disconnect")))
        if seen is None or resource.spec["oneshot"]:
            continue
        if how == "vanish":
            host.vanish(seen.name)
        elif how == "stop":
            host.stop_by_hand(seen.name)
        elif how == "disconnect" and seen.networks:
            host._container_disconnect(None, seen.id, sorted(seen.networks)[0])
        some |= how in ("vanish", "stop") or (how == "disconnect" and bool(seen.networks))
    for resource in target.manifest.of_kind("network"):
        users = [c for c in at.containers() if resource.key.name in c.networks and c.state == "running"]
        if not users and data.draw(st.booleans()):
            del host.networks[resource.key.name]
            some = True
    for resource in target.manifest.of_kind("file"):
        there = host.files.there.get(resource.key.name)
        if there is not None and there.type == "file" and data.draw(st.booleans()):
            host.files.put(resource.key.name, b"edited by hand", 0o600)
            some = True
    return some
