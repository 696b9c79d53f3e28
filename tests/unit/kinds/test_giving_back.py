"""How an adopted container is given back, and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agent.kinds.adoption import HINT
from agent.kinds.base import Fate, Step
from agent.kinds.giving_back import claims_to_restore, given_back, passed_back, to_give_back
from agent.model import Key, Refusal
from tests.plan.cases import instance, release, view

WEB, NET = Key("container", "web"), Key("network", "net")
HELD = release({"desired": {"container": {"web": {"image": "a:1"}}}}, "desired")
DESIRED = HELD.manifest.resources[WEB]
WAS = {"name": "shop_web_1", "policy": "always", "running": True, "claims": ["port/tcp/0.0.0.0/80"]}
THERE = instance(HELD, "web", name="shop_web_1", restart_policy="always", original=WAS)
IN_PLACE = Refusal(WEB, "shop_web_1 is in its place, and this release does not adopt it", HINT)


def test_what_is_as_it_was_is_forgotten() -> None:
    """Nothing must be done, and a service that wants its place must be refused with the remedy."""
    cause = "is as it was before it was adopted"
    assert given_back(WEB, DESIRED, THERE, ()) == Fate(WEB, "forget", cause, refusal=IN_PLACE)
    assert given_back(WEB, None, THERE, ()) == Fate(WEB, "forget", cause)


@pytest.mark.parametrize(
    ("differs", "steps"),
    [
        ({"restart_policy": "no"}, [("policy", {"policy": "always"})]),
        ({"restart_policy": None}, []),
        ({"name": "web"}, [("rename", {"to": "shop_web_1"})]),
        ({"state": "exited"}, [("start", {})]),
        ({"state": "exited", "original": {**WAS, "running": False}}, []),
        (
            {"restart_policy": "no", "name": "web", "state": "exited"},
            [("policy", {"policy": "always"}), ("rename", {"to": "shop_web_1"}), ("start", {})],
        ),
    ],
)
def test_policy_name_and_state_come_back(differs: dict[str, Any], steps: list[tuple[str, Any]]) -> None:
    """Whatever is otherwise than it was must be put back, in this order, after the others made way."""
    away = Step("release", "remove", {"container": "new"})
    found = given_back(WEB, DESIRED, replace(THERE, **differs), (away,))
    back = [Step("start", verb, {"container": THERE.id, **args}) for verb, args in steps]
    cause = "the container that was there before comes back"
    assert found == Fate(WEB, "return", cause, (away, *back), IN_PLACE)


def test_who_adopts_gives_nothing_back() -> None:
    """Only a target that does not adopt must give back, and only what has an original."""
    adopting = replace(DESIRED, spec={**DESIRED.spec, "adopt": True})
    mine = instance(HELD, "web")
    assert to_give_back(adopting, [THERE]) is None
    assert to_give_back(DESIRED, [mine, THERE]) is THERE
    assert to_give_back(None, [THERE]) is THERE
    assert to_give_back(None, [mine]) is None


@pytest.mark.parametrize("wanted", [True, False])
def test_a_network_is_passed_back_as_it_is(wanted: bool) -> None:
    """A network that is no longer adopted must be forgotten, and refused to who wants one of its name."""
    case = {
        "desired": {"network": {"net": {}}} if wanted else {},
        "inventory": {"network/net": {"adopted": {"id": "n", "digest": "d", "original": {"name": "net"}}}},
    }
    at = view(case)
    desired = at.target.manifest.resources.get(NET)
    refused = Refusal(NET, "a network of this name exists, and this release does not adopt it", HINT)
    assert passed_back(NET, desired, at) == Fate(
        NET, "forget", "is as it was before it was adopted", refusal=refused if wanted else None
    )
    proved = view({**case, "inventory": {"network/net": {"adopted": {"id": "n", "digest": "d"}}}})
    assert passed_back(NET, desired, proved) is None


def test_the_claims_of_what_comes_back() -> None:
    """A container that is given back must take the ports again that it had."""
    at = view({"applied": {"container": {"web": {"image": "a:1"}}}})
    assert claims_to_restore(WEB, at) == ()
    seen = replace(at.observed, containers=(replace(THERE, key_name="web"),))
    assert claims_to_restore(WEB, replace(at, observed=seen)) == ("port/tcp/0.0.0.0/80",)
