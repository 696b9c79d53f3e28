"""Paths of the host: what differs, what stays, and what comes back."""

from __future__ import annotations

from typing import Any

import pytest

from agent.kinds import files
from agent.kinds.base import Fate
from agent.model import Key
from tests.plan.cases import view

MOTD = Key("file", "/etc/motd")
OURS = {"file": {"/etc/motd": {"content": "ours"}}}
WAS = {"type": "file", "content": "was", "mode": 0o644, "uid": 0, "gid": 0}


def fate(case: dict[str, Any], key: Key = MOTD) -> Fate:
    at = view(case)
    return files.fate(key, at.target.manifest.resources.get(key), at)


@pytest.mark.parametrize(
    ("there", "verb", "cause"),
    [
        ({"mode": "0600"}, "update", "mode is 0600, want 0644"),
        ({"owner": "app"}, "update", "owner is app, want root"),
        ({"group": "app"}, "update", "group is app, want root"),
        ({"content": "theirs"}, "replace", "content was edited on the host"),
        (
            {"content": "theirs", "mode": "0600", "group": "app"},
            "replace",
            "content was edited on the host, mode is 0600, want 0644, group is app, want root",
        ),
    ],
)
def test_each_property_is_put_right_and_named(there: dict[str, str], verb: str, cause: str) -> None:
    """Whatever differs of a file must be put right, and be said with what it is and what it should be."""
    found = fate({"applied": OURS, "desired": "applied", "file": {"/etc/motd": {"content": "ours"} | there}})
    assert (found.verb, found.cause) == (verb, cause)


@pytest.mark.parametrize("there", [{"owner": "x", "uid": 0}, {"group": "x", "gid": 0}])
def test_owners_may_be_numbers(there: dict[str, Any]) -> None:
    """An owner or a group that is asked for by number must be compared by number."""
    wanted = {"file": {"/etc/motd": {"content": "ours", "owner": "0", "group": "0"}}}
    lying = {"/etc/motd": {"content": "ours"} | {k: v for k, v in there.items() if isinstance(v, str)}}
    assert fate({"applied": wanted, "desired": "applied", "file": lying}).verb == "ok"


@pytest.mark.parametrize(
    ("original", "there", "verb", "cause"),
    [
        (WAS, None, "delete", "no longer in the repository; the original comes back"),
        (WAS, {"type": "directory"}, "forget", "is a directory now, which is not ours"),
        ({"type": "directory"}, None, "forget", "the directory was there before and stays"),
        (None, {"type": "symlink", "target": "x"}, "forget", "is a symlink now, which is not ours"),
        (None, None, "delete", "no longer in the repository"),
    ],
)
def test_what_the_branch_drops(original: Any, there: Any, verb: str, cause: str) -> None:
    """What was there before must come back, what is not ours must stay, and only what is ours may go."""
    case: dict[str, Any] = {"applied": OURS}
    if original:
        case["inventory"] = {"file/etc/motd": {"original": original}}
    if there:
        case["file"] = {"/etc/motd": there}
    found = fate(case)
    assert found.verb == verb and found.cause.endswith(cause)
    assert bool(found.steps) is (verb == "delete")


def test_a_path_that_is_not_ours_is_left_alone() -> None:
    """A file that no release has and nobody took over must have no fate but to stay."""
    found = fate({"file": {"/etc/motd": {"content": "theirs"}}})
    assert (found.verb, found.steps) == ("ok", ())


@pytest.mark.parametrize(
    ("case", "cause"),
    [
        ({"file": {"/etc/motd": {"content": "x"}}}, "must be absent; the file that is there is saved"),
        ({"file": {"/etc/motd": {"content": "x"}}, "inventory": {"file/etc/motd": {}}}, "must be absent"),
        (
            {"applied": "desired", "file": {"/etc/motd": {"type": "symlink", "target": "x"}}},
            "is back",
        ),
    ],
)
def test_what_must_be_absent_is_removed(case: dict[str, Any], cause: str) -> None:
    """A file or a link must go, and it must be said whether it is saved, or was there again."""
    found = fate({"desired": {"file": {"/etc/motd": {"state": "absent"}}}, **case})
    assert (found.key, found.verb, found.cause) == (MOTD, "delete", cause)
    assert [(step.part, step.verb) for step in found.steps] == [("start", "remove")]


def test_a_directory_that_must_be_absent_is_refused() -> None:
    """What may hold a person's files must not be removed, and it must be said who is to do it."""
    found = fate(
        {
            "desired": {"file": {"/etc/motd": {"state": "absent"}}},
            "file": {"/etc/motd": {"type": "directory"}},
        }
    )
    assert found.refusal is not None and found.refusal.key == MOTD
    assert found.refusal.cause == "must be absent, but is a directory"
    assert found.refusal.hint == "remove it by hand: /etc/motd"
    assert fate({"desired": {"file": {"/etc/motd": {"state": "absent"}}}}).verb == "ok"


@pytest.mark.parametrize(
    ("gone", "verb", "cause"),
    [([], "keep", "makes way for a symlink"), (["file/etc/motd"], "forget", "is a symlink now")],
)
def test_a_path_that_becomes_another_kind(gone: list[str], verb: str, cause: str) -> None:
    """The new resource must change the path alone; the old one is only forgotten, and says what it is now."""
    found = fate({"applied": OURS, "gone": gone, "desired": {"symlink": {"/etc/motd": {"target": "/x"}}}})
    assert found == Fate(MOTD, verb, cause)


def test_a_file_that_was_removed_by_hand_is_forgotten() -> None:
    """What the branch drops and nobody has any more must leave the inventory without an action."""
    assert fate({"applied": OURS, "gone": ["file/etc/motd"]}) == Fate(MOTD, "forget", "is gone")
