"""The values between the steps."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from agent.check import Check
from agent.kinds import files
from agent.model import SCHEME, Action, Change, Key, Manifest, Need, Plan, Refusal, Release
from agent.revision import Revision


def test_manifest_digest_is_of_content() -> None:
    """Two manifests of equal content must have one digest, whatever their order, origins and warnings."""
    one, other = files.file("/a", content="a" * 64, size=1, origin="x:1"), files.directory("/b")
    first = Manifest({one.key: one, other.key: other}, warnings=("w",))
    moved = files.file("/a", content="a" * 64, size=1, origin="y:2")
    assert Manifest({other.key: other, moved.key: moved}).digest == first.digest
    assert Manifest({one.key: one}).digest != first.digest
    assert Manifest.from_json(first.to_json()).digest == first.digest


def test_the_text_of_a_plan() -> None:
    """A plan must say of each change what is done, in which order, after what, and which of it may fail;
    and of each refusal why, and what to do if something can be done. Secrets are not in it.
    """
    web, motd = Key("container", "web"), Key("file", "/etc/motd")
    found = Plan(
        (Change(web, "replace", "image changed"), Change(motd, "delete", "gone", "prune")),
        (
            Action(1, "create", web, "c", {"name": "x" * 41, "image": "y" * 40}),
            Action(
                2, "post_start", web, "c", {"index": 0}, (1,), required=False, secret={"command": ["s3c"]}
            ),
            Action(3, "remove", web, "c", {"ids": ["b", "a"]}, (1, 2), "prune"),
            Action(4, "restore", motd, "c", stage="prune"),
        ),
        (Refusal(Key("volume", "v"), "its options changed", "undo it"), Refusal(Key("volume", "w"), "no")),
    )
    assert (
        str(found)
        == f"""\
replace container/web: image changed
    [1] create image={"y" * 40} name={"x" * 37}...
    [2] post_start index=0 after 1 (may fail)
    [3] remove ids=["b","a"] after 1,2 (after the gate)
delete file/etc/motd: gone (after the gate)
    [4] restore
refused volume/v: its options changed
    hint: undo it
refused volume/w: no"""
    )
    assert [action.id for action in found.staged("apply")] == [1, 2]
    assert str(Plan()) == ""


@pytest.mark.parametrize(
    ("check", "words"),
    [
        (Check("a", http="http://x/", status=204), "curl -i http://x/ (wants status 204)"),
        (Check("a", tcp="127.0.0.1:5432"), "nc -vz 127.0.0.1 5432"),
        (Check("a", exec=("/bin/check", "-v")), "/bin/check -v"),
    ],
)
def test_check_can_be_run_by_hand(check: Check, words: str) -> None:
    """A check must be described as the command that a person runs."""
    assert check.by_hand == words


def test_a_manifest_is_read_as_it_was_written() -> None:
    """Resources, checks and warnings must come back from JSON; a document without warnings has none."""
    motd = replace(
        files.file("/etc/motd", content="a" * 64, size=1, origin="x:1"),
        needs=(Need(Key("network", "n"), "started", False),),
    )
    check = Check("a", exec=("/bin/check", "-v"), timeout=3.0, within=5.0, origin="y:2")
    whole = Manifest({motd.key: motd}, (check,), ("one", "two"))
    doc = json.loads(json.dumps(whole.to_json()))
    assert set(doc) == {"scheme", "resources", "checks", "warnings"} and doc["scheme"] == SCHEME
    assert doc["resources"][0]["key"] == "file/etc/motd" and doc["warnings"] == ["one", "two"]
    assert Manifest.from_json(doc) == whole
    del doc["warnings"], doc["resources"][0]["origin"]
    assert Manifest.from_json(doc).warnings == ()
    assert Manifest.from_json(doc).resources[motd.key].origin == ""


def test_a_release_is_read_as_it_was_written() -> None:
    """Its parts must come back from JSON; one that says nothing of where and when is still read."""
    held = Release("d" * 64, {"web:1": "sha256:1"}, Revision("main", "c" * 40), 5.0)
    doc = json.loads(json.dumps(held.to_json()))
    assert Release.from_json(doc) == held and set(doc) == {"manifest_digest", "lock", "revision", "at"}
    del doc["revision"], doc["at"]
    assert Release.from_json(doc) == Release("d" * 64, {"web:1": "sha256:1"})
