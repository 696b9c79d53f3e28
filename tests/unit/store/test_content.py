"""Contents by digest: never damaged, never outside, durable before they are named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from agent.errors import Stalled, Transient
from agent.model import sha256
from agent.store import durable
from agent.store.content import Content
from tests.fakes import dying, power


def test_content_survives_a_power_cut(tmp_path: Path) -> None:
    """A power cut while contents are put must leave each absent or whole, and all there once `put_many`
    returned.
    """
    directory, cut = tmp_path / "content", tmp_path / "cut"
    directory.mkdir()
    blobs = [b"a" * 50, b"b" * 50]
    for image in power.cuts(lambda: Content(directory).put_many(blobs), directory, cut):
        content = Content(image)
        assert all(content.get(sha256(blob)) == blob for blob in blobs if content.has(sha256(blob)))
    assert [Content(cut).get(sha256(blob)) for blob in blobs] == blobs


def test_content_by_digest(tmp_path: Path) -> None:
    """A content must come back under its SHA-256, and be private."""
    content = Content(tmp_path / "content")
    digest = content.put(b"hello")
    assert digest == sha256(b"hello") and content.get(digest) == b"hello" and content.has(digest)
    assert content.path(digest).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("damage", [b"", b"hellO", b"hello\n"])
def test_damaged_content_is_never_delivered(tmp_path: Path, damage: bytes) -> None:
    """A damaged content must be said and put away, to be tried again, and putting it again must heal it."""
    content = Content(tmp_path)
    digest = content.put(b"hello")
    content.path(digest).write_bytes(damage)
    with pytest.raises(Transient) as caught:
        content.get(digest)
    assert caught.value.code == "ContentDamaged" and "stores it again" in caught.value.hint
    assert not content.has(digest)
    content.put(b"hello")
    assert content.get(digest) == b"hello"


def test_missing_content_stalls(tmp_path: Path) -> None:
    """A missing content must stall and name itself."""
    with pytest.raises(Stalled, match="is missing") as caught:
        Content(tmp_path).get("a" * 64)
    assert caught.value.code == "ContentMissing"


@pytest.mark.parametrize("name", ["../" + "a" * 61, "a" * 63, "A" * 64, "", "/etc/passwd", "a" * 64 + "\n"])
def test_content_never_leaves_its_directory(tmp_path: Path, name: str) -> None:
    """What is no digest must never become a path."""
    with pytest.raises(ValueError, match="not a content digest"):
        Content(tmp_path).path(name)


def test_collect_keeps_what_it_is_told(tmp_path: Path) -> None:
    """Collecting must delete exactly what is not kept, and what killed writers left."""
    content = Content(tmp_path)
    keep, drop = content.put_many([b"keep", b"drop"])
    durable.write_beside(content.path(drop), b"half", mode=0o600)
    (tmp_path / "note.txt").write_text("not ours")
    assert content.collect({keep}) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([keep, "note.txt"])


def test_many_contents_are_durable_before_they_are_named(tmp_path: Path) -> None:
    """All bytes must be on the disk before any gets its name, with one wait for the directory, equal contents
    once.
    """
    content = Content(tmp_path)
    content.put(b"old")
    calls = [call for call, _ in dying.trace(lambda: content.put_many([b"a", b"b", b"a", b"old"]))]
    assert [call for call in calls if call in ("fsync", "replace")] == [
        "fsync",
        "fsync",
        "replace",
        "replace",
        "fsync",
    ]


def test_put_killed_anywhere_never_damages(tmp_path: Path) -> None:
    """A put killed at any call must leave each content absent or whole, and be possible again."""
    directory = tmp_path / "content"
    blobs = [b"a" * 100, b"b" * 100]
    for _ in dying.survive(
        lambda: Content(directory).put_many(blobs), lambda: shutil.rmtree(directory, True)
    ):
        content = Content(directory)
        for blob in blobs:
            if content.has(sha256(blob)):
                assert content.get(sha256(blob)) == blob
        assert content.put_many(blobs) == [sha256(blob) for blob in blobs]
        content.collect({sha256(blob) for blob in blobs})
        assert len(list(directory.iterdir())) == 2
