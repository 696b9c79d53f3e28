"""Stored documents: two generations, durable, whole after a kill or a power cut, read by older versions."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import Stalled, Transient
from agent.store import durable
from agent.store.documents import Migration, StoredDocument
from tests.fakes import dying, power

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def document(directory: Path, schema: int = 1) -> StoredDocument:
    return StoredDocument(directory / "state.json", schema, {"first": True})


@given(value=VALUES)
@settings(max_examples=60, deadline=None)
def test_value_comes_back(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    """A value that was written must be read back equal, by another process's view of the file."""
    directory = tmp_path_factory.mktemp("value")
    document(directory).write(value)
    assert document(directory).read() == value


def test_absent_is_default_without_complaint(tmp_path: Path) -> None:
    """A first start must give the default, a fresh copy each time, and report no damage."""
    doc = document(tmp_path)
    doc.read()["changed"] = 1
    assert doc.read() == {"first": True}
    assert doc.damaged == [] and not doc.lost


def test_unchanged_value_writes_nothing(tmp_path: Path) -> None:
    """Writing the value that is there must not touch the disk: a pass with nothing to do wears no flash."""
    doc = document(tmp_path)
    assert doc.write({"a": 1})
    assert dying.trace(lambda: doc.write({"a": 1})) == []


def test_modes(tmp_path: Path) -> None:
    """State must be readable by its owner only, whatever the umask."""
    mask = os.umask(0)
    try:
        doc = StoredDocument(tmp_path / "state" / "state.json", 1, {})
        doc.write(1)
        doc.write(2)
    finally:
        os.umask(mask)
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in (tmp_path / "state").iterdir()} == {
        "state.json": "0o600",
        "state.json.1": "0o600",
    }
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


def test_write_order_is_durable(tmp_path: Path) -> None:
    """The bytes must be on the disk before they get the name, and the name before the call returns."""
    doc = document(tmp_path)
    doc.write({"a": 1})
    calls = [
        (call, name)
        for call, name in dying.trace(lambda: doc.write({"a": 2}))
        if call in ("write", "fsync", "replace")
    ]
    kinds = [call + ("/directory" if name == tmp_path.name else "") for call, name in calls]
    assert kinds == ["replace", "write", "fsync", "replace", "fsync/directory"]
    assert calls[3][1] == "state.json"


@given(old=VALUES, older=VALUES, new=VALUES)
@settings(max_examples=3, deadline=None)
def test_killed_anywhere_gives_old_or_new(
    tmp_path_factory: pytest.TempPathFactory,
    older: object,
    old: object,
    new: object,
) -> None:
    """A writer killed at any call must leave the old or the new value, and after the next write nothing
    else.
    """
    directory = tmp_path_factory.mktemp("killed")
    seen = []

    def reset() -> None:
        shutil.rmtree(directory)
        directory.mkdir()
        document(directory).write(older)
        document(directory).write(old)

    for _ in dying.survive(lambda: document(directory).write(new), reset):
        doc = document(directory)
        found = doc.read()
        assert found in (old, new)
        assert doc.damaged == []
        doc.write([new])
        assert document(directory).read() == [new]
        assert {path.name for path in directory.iterdir()} == {"state.json", "state.json.1"}
        seen.append(found)
    assert document(directory).read() == new


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_power_cut_anywhere_gives_old_or_new(tmp_path: Path, writes: int) -> None:
    """A power cut after any call, with any unsynced bytes and names lost, must leave the old or the new
    value, undamaged.
    """
    directory, cut = tmp_path / "state", tmp_path / "cut"
    directory.mkdir()
    for number in range(writes):
        document(directory).write({"old": number})
    old = document(directory).read()
    images = 0
    for image in power.cuts(lambda: document(directory).write({"new": "x" * 100}), directory, cut):
        doc = document(image)
        assert doc.read() in (old, {"new": "x" * 100})
        assert doc.damaged == []
        images += 1
    assert images > 5 and document(directory).read() == {"new": "x" * 100}
    assert document(cut).read() == {"new": "x" * 100}, "once `write` returns, the value must be on the disk"


@pytest.mark.parametrize("left_out", ["sync_file", "sync_directory"])
def test_power_cut_model_sees_a_missing_fsync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left_out: str
) -> None:
    """Without either fsync, the model must find a disk with a damaged or a lost value: else the tests above
    say nothing.
    """
    directory, cut = tmp_path / "state", tmp_path / "cut"
    directory.mkdir()
    document(directory).write({"old": 1})
    monkeypatch.setattr(durable, left_out, lambda path: None)
    found = []
    for image in power.cuts(lambda: document(directory).write({"new": 1}), directory, cut):
        doc = document(image)
        found.append((doc.read(), bool(doc.damaged)))
    assert (
        (True in [damaged for _, damaged in found])
        if left_out == "sync_file"
        else found[-1] == ({"old": 1}, False)
    )


def test_killed_first_write(tmp_path: Path) -> None:
    """The very first write, killed anywhere, must leave the default or the value."""
    directory = tmp_path / "state"
    points = []
    for point in dying.survive(
        lambda: document(directory).write({"a": 1}), lambda: shutil.rmtree(directory, True)
    ):
        points.append(point)
        assert document(directory).read() in ({"first": True}, {"a": 1})
        assert document(directory).damaged == []
    assert len(points) > 10


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_damage_falls_back(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Any flipped, cut or zeroed newest generation must be noticed, said, and give the generation before,
    never a mix.
    """
    directory = tmp_path_factory.mktemp("damaged")
    doc = document(directory)
    doc.write({"number": 1, "text": "before"})
    doc.write({"number": 2, "text": "after"})
    whole = bytearray(doc.path.read_bytes())
    kind = data.draw(st.sampled_from(["flip", "cut", "zero", "gone", "directory"]))
    place = data.draw(st.integers(0, len(whole) - 1))
    if kind == "flip":
        whole[place] ^= 1 << data.draw(st.integers(0, 7))
        doc.path.write_bytes(whole)
    elif kind == "cut":
        doc.path.write_bytes(whole[:place])
    elif kind == "zero":
        doc.path.write_bytes(bytes(len(whole)))
    else:
        doc.path.unlink()
        if kind == "directory":
            doc.path.mkdir()
    fresh = document(directory)
    found = fresh.read()
    if found == {"number": 2, "text": "after"}:  # a flip in the version of the writer, which decides nothing
        assert kind == "flip" and place < whole.index(b"\n")
        return
    assert found == {"number": 1, "text": "before"}
    assert len(fresh.damaged) == 1 and "one change older" in fresh.damaged[0]
    assert not fresh.lost


def test_damaged_generation_is_never_kept(tmp_path: Path) -> None:
    """A write over a damaged generation must not push the whole one out."""
    doc = document(tmp_path)
    doc.write(1)
    doc.write(2)
    doc.path.write_bytes(b"garbage")
    doc.write(3)
    doc.path.write_bytes(b"garbage")
    assert document(tmp_path).read() == 1


def test_both_lost_starts_anew_and_says_so(tmp_path: Path) -> None:
    """When both generations are damaged, the default must be used, and both must be named."""
    doc = document(tmp_path)
    doc.write(1)
    doc.write(2)
    doc.path.write_bytes(b"")
    doc.previous.write_bytes(b"\0" * 100)
    fresh = document(tmp_path)
    assert fresh.read() == {"first": True}
    assert fresh.lost and len(fresh.damaged) == 1
    assert "state.json is damaged" in fresh.damaged[0] and "state.json.1 is damaged" in fresh.damaged[0]


def test_newer_schema_stalls_and_is_not_overwritten(tmp_path: Path) -> None:
    """A file of a newer Limpet must stall both reading and writing, with the remedy, and stay as it is."""
    document(tmp_path, schema=3).write({"new": True})
    before = (tmp_path / "state.json").read_bytes()
    for attempt in (
        lambda: document(tmp_path, schema=2).read(),
        lambda: document(tmp_path, schema=2).write(1),
    ):
        with pytest.raises(Stalled, match="schema 3") as caught:
            attempt()
        assert "install Limpet" in caught.value.hint and caught.value.code == "NewerSchema"
    assert (tmp_path / "state.json").read_bytes() == before


@pytest.mark.parametrize("call", ["open", "write", "fsync", "link", "replace"])
def test_full_disk_is_transient_and_leaves_nothing(tmp_path: Path, call: str) -> None:
    """A full disk at any call must be Transient with the remedy, keep the old value, and leave no temporary
    file.
    """
    doc = document(tmp_path)
    doc.write(1)
    with pytest.raises(Transient) as caught:
        dying.failing(lambda: doc.write(2), call, dying.NO_SPACE)
    assert caught.value.code == "DiskFull" and "free space" in caught.value.hint
    assert document(tmp_path).read() == 1
    assert {path.name for path in tmp_path.iterdir()} <= {"state.json", "state.json.1"}


def test_read_only_disk_stalls(tmp_path: Path) -> None:
    """A read-only file system needs a person: Stalled, and the message names the file."""
    with pytest.raises(Stalled, match=r"state\.json"):
        dying.failing(lambda: document(tmp_path).write(2), "open", dying.READ_ONLY)


STEPS = (
    Migration(lambda value: {"things": value}, lambda value: value["things"]),
    Migration(lambda value: value | {"more": 0}, lambda value: {"things": value["things"]}),
)


def third(directory: Path) -> StoredDocument:
    """The same document as a version two schemas later has it."""
    return StoredDocument(directory / "state.json", 3, {}, STEPS)


def test_an_upgrade_can_be_undone_until_it_has_settled(tmp_path: Path) -> None:
    """A newer Limpet must read what an older one wrote, and write what that one reads, until its own first
    converged pass.
    """
    document(tmp_path).write([1])
    newer = third(tmp_path)
    assert newer.read() == {"things": [1], "more": 0}
    newer.write({"things": [1, 2], "more": 5})
    assert document(tmp_path).read() == [1, 2]
    assert third(tmp_path).read() == {"things": [1, 2], "more": 0}


def test_a_settled_upgrade_writes_its_own_schema(tmp_path: Path) -> None:
    """After it has converged, a newer Limpet must write its own schema, once, and the older one must stop at
    it.
    """
    document(tmp_path).write([1])
    newer = third(tmp_path)
    value = newer.read()
    assert newer.settle() and newer.write(value | {"more": 5})
    assert not newer.settle() and third(tmp_path).read() == {"things": [1], "more": 5}
    with pytest.raises(Stalled, match=r"has schema 3, this Limpet .* reads up to 1"):
        document(tmp_path).read()


def test_a_damaged_generation_falls_back_across_schemas(tmp_path: Path) -> None:
    """When the newest generation is damaged, the one before must be used though its schema is older."""
    document(tmp_path).write([1])
    newer = third(tmp_path)
    newer.read()
    newer.settle()
    newer.write({"things": [1, 2], "more": 5})
    (tmp_path / "state.json").write_bytes(b"x")
    again = third(tmp_path)
    assert again.read() == {"things": [1], "more": 0} and again.found == 1 and again.damaged


def test_envelope_is_readable(tmp_path: Path) -> None:
    """A person must be able to read a document: two lines of JSON, the second the value."""
    document(tmp_path).write({"b": [1, 2]})
    head, body = (tmp_path / "state.json").read_text().splitlines()
    assert json.loads(head)["schema"] == 1
    assert json.loads(body) == {"b": [1, 2]}


def test_clean_removes_only_its_own(tmp_path: Path) -> None:
    """Cleaning must remove what killed writers left, and nothing else."""
    left = durable.write_beside(tmp_path / "state.json", b"x", mode=0o600)
    for name in (".hidden", "state.json", ".state.json.swp"):
        (tmp_path / name).write_text("mine")
    assert durable.remove_temporaries(tmp_path, "other.json") == 0
    assert durable.remove_temporaries(tmp_path) == 1
    assert not left.exists() and len(list(tmp_path.iterdir())) == 3
