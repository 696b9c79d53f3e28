"""What every host does with files, directories and links."""

from __future__ import annotations

from typing import Any

import pytest

from agent.drivers.observe import Look
from agent.errors import Failed, Stalled, Transient
from agent.kinds import files
from agent.model import Key, Resource
from agent.observed import ObservedFile
from tests.contract.bench import Bench, act, twice

pytestmark = pytest.mark.parametrize("bench", ["fake", "real"], indirect=True)


def a_file(bench: Bench, path: str, data: bytes, **attributes: Any) -> Resource:
    return files.file(path, content=bench.content.put(data), size=len(data), **attributes)


def look(bench: Bench, path: str) -> ObservedFile | None:
    return bench.host.observe(Look(frozenset([path]), runtime=False)).files.get(path)


def test_a_written_file_is_seen_as_written(bench: Bench) -> None:
    """A written file must have content, mode and owner as asked, parents included; writing again must change
    nothing.
    """
    wanted = a_file(bench, "/etc/app/app.conf", b"hello", mode="0640")
    assert look(bench, "/etc/app/app.conf") is None
    twice(bench, wanted, "write")
    there = look(bench, "/etc/app/app.conf")
    assert there is not None
    assert (there.type, there.content, there.mode, there.owner, there.group) == (
        "file",
        wanted.spec["content"],
        0o640,
        "root",
        "root",
    )
    parent = look(bench, "/etc/app")
    assert parent is not None and (parent.type, parent.mode, parent.empty) == ("directory", 0o755, False)
    assert bench.read_file("/etc/app/app.conf") == b"hello"


def test_attributes_change_alone(bench: Bench) -> None:
    """A changed mode must be set without a change of content."""
    act(bench, a_file(bench, "/etc/a", b"1"), "write")
    twice(bench, a_file(bench, "/etc/a", b"1", mode="0600"), "attributes")
    there = look(bench, "/etc/a")
    assert there is not None and there.mode == 0o600 and bench.read_file("/etc/a") == b"1"
    with pytest.raises(Transient) as error:
        act(bench, a_file(bench, "/etc/none", b"1"), "attributes")
    assert error.value.code == "Missing"


def test_an_unknown_owner_is_a_failure(bench: Bench) -> None:
    """A user that the host does not know must fail the write, and nothing may be left."""
    with pytest.raises(Failed) as error:
        act(bench, a_file(bench, "/etc/a", b"1", owner="nobody-knows"), "write")
    assert error.value.code == "UnknownOwner" and "nobody-knows" in error.value.message
    assert look(bench, "/etc/a") is None


def test_a_file_is_removed_once(bench: Bench) -> None:
    """Removing a file or link that is gone must be done already."""
    wanted = a_file(bench, "/etc/deep/a", b"1")
    act(bench, wanted, "write")
    twice(bench, wanted, "remove")
    assert look(bench, "/etc/deep/a") is None
    act(bench, a_file(bench, "/nowhere/at/all", b"1"), "remove")


def test_directories(bench: Bench) -> None:
    """A directory must be made with its mode, kept when something is in it, and removed when empty."""
    wanted = files.directory("/srv/data", mode="0750")
    twice(bench, wanted, "mkdir")
    there = look(bench, "/srv/data")
    assert there is not None and (there.type, there.mode, there.empty) == ("directory", 0o750, True)
    act(bench, a_file(bench, "/srv/data/x", b"1"), "write")
    with pytest.raises(Transient) as error:
        act(bench, wanted, "rmdir")
    assert error.value.code == "NotEmpty" and bench.read_file("/srv/data/x") == b"1"
    act(bench, files.absent("/srv/data/x"), "remove")
    twice(bench, wanted, "rmdir")
    assert look(bench, "/srv/data") is None


def test_what_is_known_of_a_directory(bench: Bench) -> None:
    """A directory must be known only when everything in it was looked at too, however deep it lies."""
    act(bench, a_file(bench, "/srv/data/a", b"1"), "write")
    act(bench, a_file(bench, "/srv/data/sub/b", b"1"), "write")

    def known(*paths: str) -> list[bool]:
        seen = bench.host.observe(Look(frozenset(paths), runtime=False)).files
        return [seen[path].known for path in ("/srv/data", "/srv/data/sub") if path in seen]

    ours = ("/srv/data", "/srv/data/a", "/srv/data/sub", "/srv/data/sub/b")
    assert known("/srv/data") == [False]
    assert known("/srv/data", "/srv/data/a", "/srv/data/sub/b") == [False]
    assert known(*ours) == [True, True]
    bench.put_file("/srv/data/sub/theirs", b"a person's")
    assert known(*ours) == [True, False]


def test_links(bench: Bench) -> None:
    """A link must be put in place of a link or file, never followed, and be safe to repeat."""
    bench.put_file("/etc/motd", b"old")
    wanted = files.symlink("/etc/motd", target="/run/motd")
    twice(bench, wanted, "link")
    there = look(bench, "/etc/motd")
    assert there is not None and (there.type, there.target) == ("symlink", "/run/motd")
    act(bench, a_file(bench, "/etc/motd", b"new"), "write")
    assert bench.read_file("/etc/motd") == b"new" and bench.read_file("/run/motd") is None


def test_a_directory_in_the_way_stays(bench: Bench) -> None:
    """Neither a write nor a removal may touch a directory that is in a file's place, nor mkdir a file."""
    act(bench, files.directory("/etc/thing"), "mkdir")
    for verb in ("write", "remove"):
        with pytest.raises(Stalled) as error:
            act(bench, a_file(bench, "/etc/thing", b"1"), verb)
        assert error.value.code == "Blocked"
    bench.put_file("/etc/file", b"1")
    for verb in ("mkdir", "rmdir"):
        with pytest.raises(Stalled) as error:
            act(bench, files.directory("/etc/file"), verb)
        assert error.value.code == "Blocked"
    with pytest.raises(Stalled):
        act(bench, a_file(bench, "/etc/file/below", b"1"), "write")
    assert bench.read_file("/etc/file") == b"1"


@pytest.mark.parametrize("original", ["file", "symlink", "absent"])
def test_an_original_comes_back(bench: Bench, original: str) -> None:
    """What lay at a path before us must come back as it was: content, mode, target, or nothing."""
    if original == "file":
        bench.put_file("/etc/app.conf", b"theirs", 0o604)
    elif original == "symlink":
        bench.put_link("/etc/app.conf", "elsewhere")
    before = look(bench, "/etc/app.conf")
    saved = bench.host.save_original("/etc/app.conf")
    assert saved["type"] == original
    wanted = a_file(bench, "/etc/app.conf", b"ours")
    act(bench, wanted, "write")
    twice(bench, wanted, "restore", original=saved)
    assert look(bench, "/etc/app.conf") == before


def test_saving_an_original_needs_no_parent(bench: Bench) -> None:
    """Where not even the directory is, nothing must be saved."""
    assert bench.host.save_original("/no/such/place") == {"type": "absent"}


def test_missing_content_is_no_empty_file(bench: Bench) -> None:
    """A file whose content is not in the store must not be written at all."""
    with pytest.raises(Stalled):
        act(bench, files.file("/etc/a", content="0" * 64, size=1), "write")
    assert look(bench, "/etc/a") is None


def test_a_check_judges_the_candidate(bench: Bench) -> None:
    """A file without `check` must pass, and nothing may be written by checking."""
    wanted = a_file(bench, "/etc/a", b"1")
    bench.host.check_candidate(wanted)
    assert look(bench, str(Key.parse("file/etc/a").name)) is None
