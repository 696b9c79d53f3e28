"""The brakes: what policy forbids becomes a refusal that says which rule, numbers, and the remedy."""

from __future__ import annotations

from typing import Any

import pytest

from agent.decide.brakes import BrakePolicy, brakes, matches
from agent.decide.plan import plan
from agent.kinds.base import View
from agent.model import Plan
from tests.plan.cases import view


def braked(case: dict[str, Any], **policy: Any) -> Plan:
    return braked_view(view(case), **policy)


def braked_view(at: View, **policy: Any) -> Plan:
    return brakes(plan(at), at, BrakePolicy(**policy))


def fleet(count: int, kept: int, **more: Any) -> dict[str, Any]:
    """A host of `count` containers, of which the branch keeps `kept`."""
    applied = {"container": {f"c{n:02}": {"image": "a:1"} for n in range(count)}}
    drop = [f"container/c{n:02}" for n in range(kept, count)]
    return {"known_good": "applied", "applied": applied, "desired": {"base": "applied", "drop": drop}, **more}


def refused(found: Plan) -> set[str]:
    return {str(refusal.key) for refusal in found.refusals}


def test_few_deletions_pass() -> None:
    """Five deletions of a kind must pass, whatever their share."""
    found = braked(fleet(6, 1))
    assert not found.refusals
    assert len(found.staged("prune")) == 10


def test_too_large_a_share_is_refused_with_numbers_and_remedy() -> None:
    """More than five deletions and more than the share must be refused, with numbers and the trailer that
    allows them.
    """
    found = braked(fleet(10, 4))
    assert len(found.refusals) == 6
    assert not found.actions
    assert (
        found.refusals[0].cause == "6 of 10 container resources would be deleted, 60% is over max_prune 50%"
    )
    assert "`Limpet-Allow-Prune: 6`" in found.refusals[0].hint


def test_share_is_a_limit_that_may_be_reached() -> None:
    """Exactly the share must pass, and a smaller share must refuse it."""
    assert not braked(fleet(12, 6)).refusals
    assert len(braked(fleet(12, 6), max_prune=0.4).refusals) == 6


def test_share_is_of_a_kind() -> None:
    """Deletions of one kind must not hold back those of another."""
    case = fleet(10, 4)
    case["applied"]["file"] = {"/etc/motd": {"content": "x"}}
    case["desired"]["drop"].append("file/etc/motd")
    found = braked(case)
    assert refused(found) == {f"container/c{n:02}" for n in range(4, 10)}
    assert [(action.verb, str(action.key)) for action in found.actions] == [("remove", "file/etc/motd")]


def test_a_person_allows_so_many() -> None:
    """A number that a person allowed must let exactly so many pass."""
    assert not braked(fleet(10, 4), allow_prune=6).refusals
    assert len(braked(fleet(10, 4), allow_prune=5).refusals) == 6


@pytest.mark.parametrize("count", [1, 3, 20])
def test_empty_manifest_empties_nothing(count: int) -> None:
    """With nothing desired every deletion must be refused, however few they are."""
    found = braked(fleet(count, 0))
    assert len(found.refusals) == count
    assert not found.actions
    assert found.refusals[0].cause == "would be deleted, but the repository holds nothing for this host"
    assert not braked(fleet(count, 0), allow_prune=count).refusals


def test_empty_manifest_empties_no_host_without_known_good() -> None:
    """That nothing was ever proved must not make an empty manifest look like a rollback."""
    assert len(braked(fleet(3, 0, known_good={})).refusals) == 3


def test_prune_is_off() -> None:
    """With converge.prune off nothing must be deleted, whoever allowed it; the rest of the plan goes on."""
    case = fleet(2, 1)
    case["desired"]["container"] = {"new": {"image": "a:1"}}
    found = braked(case, prune=False, allow_prune=9)
    assert refused(found) == {"container/c01"}
    assert {str(action.key) for action in found.actions} == {"container/new"}
    assert "converge.prune" in found.refusals[0].cause


def test_absent_is_no_deletion() -> None:
    """`state: absent` is wanted by the repository: no brake on pruning must hold it."""
    case = {"file": {"/etc/old": {"content": "x"}}, "desired": {"file": {"/etc/old": {"state": "absent"}}}}
    assert not braked(case, prune=False).refusals


def test_what_came_with_a_failed_release_is_free() -> None:
    """A rollback must remove all that the failed release brought, however many, even with prune off; and
    nothing else.
    """
    drop = [f"container/c{n:02}" for n in range(4, 14)]
    case = fleet(14, 14, known_good={"base": "applied", "drop": drop}, desired="known_good")
    found = braked(case, prune=False)
    assert not found.refusals
    assert {action.key.name for action in found.actions} == {f"c{n:02}" for n in range(4, 14)}
    case["inventory"] = {"file/etc/older": {"digest": "x"}}
    case["file"] = {"/etc/older": {"content": "x"}}
    assert refused(braked(case, prune=False)) == {"file/etc/older"}


def test_what_was_never_proved_is_free() -> None:
    """What only an attempt brought must go without a brake when another release takes its place, and nothing
    that was proved with it; an empty manifest must empty nothing all the same.
    """
    left = {f"container/c{n:02}": {"attempted": True} for n in range(4, 14)}
    case = fleet(14, 4, inventory=left)
    assert not braked(case).refusals
    left.pop("container/c13")
    for n in range(4, 8):
        left.pop(f"container/c{n:02}")
    assert not braked(case).refusals
    left.pop("container/c08")
    assert refused(braked(case, max_prune=0.4)) == {f"container/c{n:02}" for n in (4, 5, 6, 7, 8, 13)}
    assert len(braked(fleet(14, 0, inventory=left)).refusals) == 14


# --- data ---------------------------------------------------------------------------------------------------

DATA: dict[str, dict[str, Any]] = {
    "a volume that nobody names any more": {
        "applied": {"volume": {"data": {}}, "container": {"db": {"image": "a:1", "volumes": ["data"]}}},
        "desired": {},
    },
    "a volume with another driver": {
        "applied": {"volume": {"data": {}}},
        "desired": {"volume": {"data": {"config": {"driver": "nfs"}}}},
    },
    "a volume with other options": {
        "applied": {"volume": {"data": {"config": {"driver_opts": {"device": "/a"}}}}},
        "desired": {"volume": {"data": {"config": {"driver_opts": {"device": "/b"}}}}},
    },
    "a directory with a person's files": {
        "applied": {"directory": {"/srv/data": {}}},
        "desired": {},
        "file": {"/srv/data": {"type": "directory", "mode": "0755"}},
    },
    "a directory that becomes a file": {
        "applied": {},
        "desired": {"file": {"/srv/data": {"content": "x"}}},
        "file": {"/srv/data": {"type": "directory", "mode": "0755"}},
    },
    "our directory with a person's files that becomes a file": {
        "applied": {"directory": {"/srv/data": {}}},
        "desired": {"file": {"/srv/data": {"content": "x"}}},
        "file": {"/srv/data": {"type": "directory", "mode": "0755"}},
    },
    "a directory that becomes a link": {
        "applied": {},
        "desired": {"symlink": {"/srv/data": {"target": "/x"}}},
        "file": {"/srv/data": {"type": "directory", "mode": "0755"}},
    },
    "a directory that must be absent": {
        "applied": {},
        "desired": {"file": {"/srv/data": {"state": "absent"}}},
        "file": {"/srv/data": {"type": "directory", "mode": "0755"}},
    },
    "a file of somebody else that becomes a directory": {
        "applied": {},
        "desired": {"directory": {"/srv/data": {}}},
        "file": {"/srv/data": {"content": "mine"}},
    },
    "a file that we do not own": {
        "applied": {"file": {"/srv/data": {"content": "x"}}},
        "desired": {},
        "unowned": ["file/srv/data"],
    },
}


@pytest.mark.parametrize("what", DATA)
@pytest.mark.parametrize("undoing", [False, True])
def test_data_is_never_lost_whatever_is_allowed(what: str, undoing: bool) -> None:
    """However much a person allowed, and on the way back too, no plan may touch what could be somebody's
    data.
    """
    case = {"known_good": "desired" if undoing else "applied", **DATA[what]}
    found = braked(case, max_prune=1.0, allow_prune=10**6, undoing=undoing)
    touched = [(action.verb, str(action.key)) for action in found.actions if action.key.kind != "container"]
    assert touched == []
    if DATA[what]["desired"]:
        assert len(found.refusals) == 1 and found.refusals[0].hint


@pytest.mark.parametrize(
    ("path", "pattern", "covered"),
    [
        ("/etc/limpet", "/etc/limpet/**", True),
        ("/etc/limpet/a/b", "/etc/limpet/**", True),
        ("/etc/limpet2", "/etc/limpet/**", False),
        ("/etc/shadow", "/etc/shadow", True),
        ("/etc/shadow-", "/etc/shadow", False),
        ("/etc/a.conf", "/etc/*.conf", True),
        ("/etc/A.conf", "/etc/a.*", False),
    ],
)
def test_patterns_cover_paths(path: str, pattern: str, covered: bool) -> None:
    """`/x/**` must cover `/x` and all below it; other globs must match the whole path, case and all."""
    assert matches(path, pattern) is covered


def test_denied_path_is_refused_and_so_is_who_needs_it() -> None:
    """A path under files_deny must not be written, nor a container started that needs it; others are."""
    case = {
        "desired": {
            "file": {"/boot/x": {"content": "x"}, "/etc/ok": {"content": "x"}},
            "container": {"a": {"image": "a:1", "inputs": ["/boot/x"]}, "b": {"image": "a:1"}},
        }
    }
    found = braked(case, files_deny=("/boot/**",))
    assert refused(found) == {"file/boot/x", "container/a"}
    assert {str(action.key) for action in found.actions} == {"file/etc/ok", "container/b"}
    reasons = {str(refusal.key): refusal.cause for refusal in found.refusals}
    assert reasons["container/a"] == "waits for file/boot/x, which is refused"
    assert "(/boot/**)" in reasons["file/boot/x"]


def test_only_allowed_paths_are_written() -> None:
    """With files_allow every other path must be refused."""
    case = {"desired": {"file": {"/etc/a": {"content": "x"}, "/srv/b": {"content": "x"}}}}
    assert refused(braked(case, files_allow=("/srv/**",))) == {"file/etc/a"}


def test_suspended_resource_is_frozen_with_who_waits_for_it() -> None:
    """A suspended resource must not change, and who must wait for its change waits; who needs it as it is
    does not.
    """
    case = {
        "known_good": "applied",
        "applied": {
            "container": {"db": {"image": "a:1"}, "web": {"image": "a:1", "needs": ["container/db started"]}}
        },
        "desired": {"base": "applied", "container": {"db": {"image": "a:2"}, "web": {"image": "a:2"}}},
    }
    found = braked(case, suspended={"container/db": "being looked at"})
    assert refused(found) == {"container/db", "container/web"}
    assert not found.actions
    case["desired"] = {"base": "applied", "container": {"web": {"image": "a:2"}}}
    assert not braked(case, suspended={"container/db": "being looked at"}).refusals


def test_waiting_for_a_suspended_resource_is_no_change_of_it() -> None:
    """A suspended container that is still starting must not hold back who waits for its health."""
    case = {
        "applied": {"container": {"db": {"image": "a:1"}}},
        "container": [{"of": "applied/db", "health": "starting"}],
        "desired": {
            "base": "applied",
            "container": {"web": {"image": "a:1", "needs": ["container/db healthy"]}},
        },
    }
    found = braked(case, suspended={"container/db": "being looked at"})
    assert not found.refusals
    assert [action.verb for action in found.actions] == ["await", "create", "rename", "start"]


def test_deletion_that_frees_a_port_is_braked_with_its_taker() -> None:
    """When the deletion that frees a port is refused, the container that needs the port must be refused
    too.
    """
    case = {
        "known_good": "applied",
        "applied": {"container": {"web": {"image": "a:1", "ports": ["80"]}}},
        "desired": {"container": {"www": {"image": "a:1", "ports": ["80"]}}},
    }
    found = braked(case, prune=False)
    assert refused(found) == {"container/web", "container/www"}
    assert not found.actions


@pytest.mark.parametrize(
    ("policy", "cause", "hint"),
    [
        (
            {"suspended": {"file/etc/a": "being looked at"}},
            "suspended: being looked at",
            "limpet resume file/etc/a",
        ),
        (
            {"files_deny": ("/boot/**", "/etc/**")},
            "the path is under policy.files_deny (/etc/**)",
            "change the repository, or the host's limpet.toml",
        ),
        (
            {"files_allow": ("/srv/**", "/var/**")},
            "the path is not under policy.files_allow",
            "change the repository, or the host's limpet.toml",
        ),
    ],
)
def test_who_is_refused_is_told_the_rule_and_the_remedy(
    policy: dict[str, Any], cause: str, hint: str
) -> None:
    """What the owner forbids must be refused with the rule, and with what lifts it."""
    (refusal,) = braked({"desired": {"file": {"/etc/a": {"content": "x"}}}}, **policy).refusals
    assert (str(refusal.key), refusal.cause, refusal.hint) == ("file/etc/a", cause, hint)


def test_what_flaps_is_refused_only_as_a_correction() -> None:
    """A flapping resource must be left alone while nothing but drift is to be corrected, with the numbers and
    the remedy; a new commit changes it.
    """
    case: dict[str, Any] = {
        "applied": {"file": {"/etc/a": {"content": "x"}}},
        "desired": "applied",
        "file": {"/etc/a": {"content": "edited"}},
    }
    (refusal,) = braked(case, flapping={"file/etc/a": 4}).refusals
    assert refusal.cause == (
        "flapping: corrected 4 times within an hour, and needs it again: content was edited on the host"
    )
    assert refusal.hint == (
        "find out what changes it; to have it corrected again: limpet retry file/etc/a, or a new commit"
    )
    case["desired"] = {"file": {"/etc/a": {"content": "new"}}}
    assert not braked(case, flapping={"file/etc/a": 4}).refusals


def test_what_is_not_pruned_says_how_it_is() -> None:
    """With converge.prune off the hint must say how a deletion comes about all the same."""
    (refusal,) = braked(fleet(2, 1), prune=False).refusals
    assert refusal.cause == "would be deleted, but converge.prune is off"
    assert refusal.hint == "delete it by hand, or set converge.prune = true"
