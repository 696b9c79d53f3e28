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
