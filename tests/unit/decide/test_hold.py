"""The part of a release that can be brought in: which resources wait with a refused one, and which stay."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.check import Check
from agent.decide.hold import possible
from agent.kinds import claims
from agent.kinds.base import Target
from agent.model import Key, Refusal, Resource
from tests.plan.cases import release
from tests.properties.strategies import docs

SHARED = {"/etc/c": {"content": "old"}}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], list[str], set[str], set[str]]] = {
    # known good; the release; what is refused -> what waits, what of known good stays besides
    "nothing else": (
        {"container": {"a": {"image": "a:1"}, "b": {"image": "b:1"}}},
        {"container": {"a": {"image": "a:2"}, "b": {"image": "b:2"}}},
        ["container/a"],
        {"container/a"},
        set(),
    ),
    "one that is new": (
        {"container": {"b": {"image": "b:1"}}},
        {"container": {"a": {"image": "a:1"}, "b": {"image": "b:2"}}},
        ["container/a"],
        {"container/a"},
        set(),
    ),
    "one that needs the new form": (
        {"container": {"a": {"image": "a:1"}, "b": {"image": "b:1", "needs": ["container/a started"]}}},
        {"container": {"a": {"image": "a:2"}, "b": {"image": "b:2", "needs": ["container/a started"]}}},
        ["container/a"],
        {"container/a", "container/b"},
        set(),
    ),
    "a file that the old form uses, and another user of it": (
        {
            "file": SHARED,
            "container": {
                "a": {"image": "a:1", "inputs": ["/etc/c"]},
                "b": {"image": "b:1", "inputs": ["/etc/c"]},
            },
        },
        {
            "file": {"/etc/c": {"content": "new"}},
            "container": {
                "a": {"image": "a:2", "inputs": ["/etc/c"]},
                "b": {"image": "b:2", "inputs": ["/etc/c"]},
            },
        },
        ["container/a"],
        {"container/a", "file/etc/c", "container/b"},
        set(),
    ),
    "a file that the old form uses and the release removes": (
        {"file": SHARED, "container": {"a": {"image": "a:1", "inputs": ["/etc/c"]}}},
        {"container": {"a": {"image": "a:2"}}},
        ["container/a"],
        {"container/a"},
        {"file/etc/c"},
    ),
    "what takes the place of a file that stays": (
        {"file": SHARED, "container": {"a": {"image": "a:1", "inputs": ["/etc/c"]}}},
        {"directory": {"/etc/c": {}}, "container": {"a": {"image": "a:2"}}},
        ["container/a"],
        {"container/a", "directory/etc/c"},
        {"file/etc/c"},
    ),
    "a file above a file that stays": (
        {
            "file": {"/etc/c/d": {"content": "old"}},
            "container": {"a": {"image": "a:1", "inputs": ["/etc/c/d"]}},
        },
        {"file": SHARED, "container": {"a": {"image": "a:2"}}},
        ["container/a"],
        {"container/a", "file/etc/c"},
        {"file/etc/c/d"},
    ),
    "the port of an old form": (
        {"container": {"a": {"image": "a:1", "ports": ["80"]}, "b": {"image": "b:1"}}},
        {"container": {"a": {"image": "a:1", "ports": ["81"]}, "b": {"image": "b:1", "ports": ["80"]}}},
        ["container/a"],
        {"container/a", "container/b"},
        set(),
    ),
    "what makes room for a refused one": (
        {"container": {"a": {"image": "a:1", "ports": ["80"]}}},
        {"container": {"b": {"image": "b:1", "ports": ["80"]}}},
        ["container/b"],
        {"container/b"},
        {"container/a"},
    ),
    "what hands its data to a refused one": (
        {"volume": {"v": {}}, "container": {"a": {"image": "a:1", "volumes": ["v"], "service": "a"}}},
        {"volume": {"v": {}}, "container": {"b": {"image": "a:1", "volumes": ["v"], "service": "b"}}},
        ["container/b"],
        {"container/b"},
        {"container/a"},
    ),
    "what an old form depends on, and what would write its data": (
        {
            "volume": {"v": {}},
            "container": {
                "db": {"image": "db:1", "volumes": ["v"]},
                "a": {"image": "a:1", "needs": ["container/db started"]},
            },
        },
        {
            "volume": {"v": {}},
            "container": {"db2": {"image": "db:1", "volumes": ["v"]}, "a": {"image": "a:2"}},
        },
        ["container/a"],
        {"container/a", "container/db2"},
        {"container/db"},
    ),
    "a dependency of an old form may change": (
        {"container": {"db": {"image": "db:1"}, "a": {"image": "a:1", "needs": ["container/db started"]}}},
        {"container": {"db": {"image": "db:2"}, "a": {"image": "a:2", "needs": ["container/db started"]}}},
        ["container/a"],
        {"container/a"},
        set(),
    ),
    "a reference that means another image now": (
        {"container": {"a": {"image": "x:1"}, "b": {"image": "x:1"}}},
        {"lock": {"x:1": "sha256:new"}, "container": {"a": {"image": "x:1"}, "b": {"image": "x:1"}}},
        ["container/a"],
        {"container/a", "container/b"},
        set(),
    ),
    "a release of which nothing can come in": (
        {"file": SHARED, "container": {"a": {"image": "a:1"}}},
        {"container": {"b": {"image": "b:1"}}},
        ["container/b"],
        {"container/b"},
        {"container/a", "file/etc/c"},
    ),
    "drift of what does not change": (
        {"container": {"a": {"image": "a:1"}, "b": {"image": "b:1"}}},
        {"container": {"a": {"image": "a:1"}, "b": {"image": "b:2"}}},
        ["container/a"],
        set(),
        set(),
    ),
    "a deletion": (
        {"container": {"a": {"image": "a:1"}, "b": {"image": "b:1"}}},
        {"container": {"b": {"image": "b:2"}}},
        ["container/a"],
        set(),
        set(),
    ),
}


def refusal(key: str) -> Refusal:
    return Refusal(Key.parse(key), "it is so", "change it")


@pytest.mark.parametrize("name", CASES)
def test_what_waits_and_what_stays(name: str) -> None:
    """Exactly what cannot be without the refused part must wait or stay; all else comes in."""
    before, after, refused, waits, stays = CASES[name]
    good, wanted = release({"known_good": before}, "known_good"), release({"desired": after}, "desired")
    found = possible(wanted, good, map(refusal, refused))
    assert {str(each.key) for each in found.put_off} == waits
    for key, resource in wanted.manifest.resources.items():
        expected = good.manifest.resources.get(key) if str(key) in waits else resource
        assert found.manifest.resources.get(key) == expected
    besides = {str(key) for key in found.manifest.resources.keys() - wanted.manifest.resources.keys()}
    assert besides == stays
    assert all(each.hint == "change it" for each in found.put_off)
    for each in found.manifest.of_kind("container"):
        assert found.image(each) == (good if str(each.key) in waits | stays else wanted).image(each)


def test_without_known_good_it_is_not_there_yet() -> None:
    """In a first release what is refused, and what needs it, must be left out."""
    case = {
        "desired": {
            "container": {"a": {"image": "a:1"}, "b": {"image": "b:1", "needs": ["container/a started"]}}
        }
    }
    found = possible(release(case, "desired"), Target(), [refusal("container/a")])
    assert not found.manifest.resources and len(found.put_off) == 2


@pytest.mark.parametrize(
    ("check", "asked"),
    [
        (Check("shop", tcp="127.0.0.1:81"), False),
        (Check("shop", http="http://localhost:81/health"), False),
        (Check("shop", http="http://localhost:82/"), True),
        (Check("shop", http="http://localhost/"), True),
        (Check("shop", exec=("true",)), True),
    ],
)
def test_checks_of_ports_that_come_later(check: Check, asked: bool) -> None:
    """A check of a port that comes with what waits must not be asked; where known good has one of that name,
    that one is.
    """
    case = {
        "known_good": {"container": {"a": {"image": "a:1", "ports": ["80"]}}},
        "desired": {"container": {"a": {"image": "a:1", "ports": ["81"]}}},
    }
    good, wanted = release(case, "known_good"), release(case, "desired")
    before = Check("shop", tcp="127.0.0.1:80")
    wanted = replace(wanted, manifest=replace(wanted.manifest, checks=(check,)))
    for checks in ((), (before,)):
        known = replace(good, manifest=replace(good.manifest, checks=checks))
        found = possible(wanted, known, [refusal("container/a")])
        assert found.manifest.checks == ((check,) if asked else checks)


@given(docs(), docs(), st.data())
def test_a_part_is_whole(before: dict[str, Any], after: dict[str, Any], data: st.DataObject) -> None:
    """Whatever is refused, the part must have all that its resources need, and no two of them may want the
    same unless known good or the release has it so. Asked again with the same refusals it stays.
    """
    good, wanted = release({"known_good": before}, "known_good"), release({"desired": after}, "desired")
    keys = sorted(wanted.manifest.resources)
    refused = [refusal(str(key)) for key in keys if data.draw(st.booleans())]
    found = possible(wanted, good, refused)
    resources, known = found.manifest.resources, (good.manifest.resources, wanted.manifest.resources)
    for key, resource in resources.items():
        for need in resource.needs:
            had = any(each.get(key) == resource and need.key not in each for each in known)
            assert need.key in resources or had or not need.required, (key, need)
    pairs = {frozenset((one, other)) for one in resources for other in resources if one != other}
    for one, other in map(sorted, pairs):
        alike = any(resources[one] == each.get(one) and resources[other] == each.get(other) for each in known)
        assert alike or not claims.clashing(resources[one].claims, resources[other].claims), (one, other)
    for each in refused:
        assert resources.get(each.key) in (
            good.manifest.resources.get(each.key),
            unchanged(wanted, good, each.key),
        )
    assert possible(found, good, refused) is found or not found.put_off
    again = possible(found, good, [each for each in refused if each.key in resources])
    assert again.manifest.digest == found.manifest.digest


def unchanged(wanted: Target, good: Target, key: Key) -> Resource | None:
    """The resource, when the release does not change it."""
    new, old = wanted.manifest.resources[key], good.manifest.resources.get(key)
    same = old is not None and (old.digest, old.key) == (new.digest, new.key)
    return new if same else old
