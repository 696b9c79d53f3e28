"""Writing host files: whole or not at all, below the root, and never through a planted link."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.drivers.beneath import Beneath
from agent.drivers.candidate import check_candidate
from agent.drivers.files import TEMPORARY, HostFiles
from agent.drivers.observe_files import observe_files
from agent.errors import Failed, Stalled, Transient
from agent.kinds import files
from agent.model import Resource
from tests.fakes.files import MemoryContent
from tests.harness.wait import eventually

CHECKOUT = Path(__file__).resolve().parents[3]
USER = 12345  # no such user on the host


@pytest.fixture
def root(tmp_path: Path) -> Path:
    place = tmp_path / "root"
    place.mkdir()
    return place


@pytest.fixture
def content() -> MemoryContent:
    return MemoryContent()


@pytest.fixture
def driver(root: Path, content: MemoryContent) -> HostFiles:
    return HostFiles(str(root), content)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A root on a file system of 64 KiB."""
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], check=True)
    yield place
    subprocess.run(["umount", str(place)], check=True)


def a_file(content: MemoryContent, path: str, data: bytes, **attributes: Any) -> Resource:
    return files.file(path, content=content.put(data), size=len(data), **attributes)


def left(place: Path) -> list[str]:
    return sorted(entry.name for entry in place.rglob("*") if TEMPORARY.fullmatch(entry.name))


# --- links --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["write", "remove", "mkdir", "save"])
def test_a_planted_link_above_is_refused(
    driver: HostFiles, content: MemoryContent, root: Path, tmp_path: Path, verb: str
) -> None:
    """A link that an ordinary user put into the path must be refused by name, and what it points to must not
    change.
    """
    outside = tmp_path / "outside"
    (outside / "sub").mkdir(parents=True)
    (outside / "a").write_bytes(b"theirs")
    home = root / "home"
    home.mkdir()
    os.chown(home, USER, USER)
    (home / "etc").symlink_to(outside)
    os.lchown(home / "etc", USER, USER)
    with pytest.raises(Stalled, match="etc is a symbolic link") as error:
        match verb:
            case "write":
                driver.write(a_file(content, "/home/etc/a", b"ours"))
            case "remove":
                driver.remove("/home/etc/a")
            case "mkdir":
                driver.mkdir(files.directory("/home/etc/new"))
            case "save":
                driver.save_original("/home/etc/a")
    assert error.value.code == "UnsafePath" and error.value.hint
    assert (
        sorted(p.name for p in outside.iterdir()) == ["a", "sub"]
        and (outside / "a").read_bytes() == b"theirs"
    )
    assert observe_files(["/home/etc/a"], str(root))["/home/etc/a"].type == "other"


def test_a_root_owned_link_in_a_world_writable_directory_is_refused(
    driver: HostFiles, content: MemoryContent, root: Path
) -> None:
    """In a directory where anybody can rename, even root's link must not be trusted."""
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)
    (root / "etc").mkdir()
    (root / "tmp/x").symlink_to("../etc")
    with pytest.raises(Stalled):
        driver.write(a_file(content, "/tmp/x/a", b"1"))
    assert list((root / "etc").iterdir()) == []


@pytest.mark.parametrize(
    ("target", "name"), [("/run", "absolute"), ("../run", "relative"), ("../../../../../run", "far")]
)
def test_links_of_the_distribution_are_followed_below_the_root(
    driver: HostFiles, content: MemoryContent, root: Path, target: str, name: str
) -> None:
    """/var/run -> /run must work, and must not leave the root whatever its form."""
    (root / "var").mkdir()
    (root / "run").mkdir()
    (root / "var/run").symlink_to(target)
    driver.write(a_file(content, f"/var/run/{name}/a", b"1"))
    assert (root / f"run/{name}/a").read_bytes() == b"1"
    path = f"/var/run/{name}/a"
    assert observe_files([path], str(root))[path].content == content.put(b"1")
    assert not Path(f"/run/{name}").exists()


def test_a_loop_of_links_ends(driver: HostFiles, content: MemoryContent, root: Path) -> None:
    """Links that point at each other must be an error."""
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    with pytest.raises(Stalled, match="40"):
        driver.write(a_file(content, "/a/x", b"1"))


def test_the_last_component_is_never_followed(
    driver: HostFiles, content: MemoryContent, root: Path, tmp_path: Path
) -> None:
    """A link in the file's own place must be replaced, and attributes must not reach what it points to."""
    outside = tmp_path / "outside"
    outside.write_bytes(b"theirs")
    outside.chmod(0o600)
    (root / "a").symlink_to(outside)
    with pytest.raises(Stalled):
        driver.attributes(a_file(content, "/a", b"1", mode="0666"))
    driver.write(a_file(content, "/a", b"ours"))
    assert (root / "a").read_bytes() == b"ours" and not (root / "a").is_symlink()
    assert outside.read_bytes() == b"theirs" and outside.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("path", ["/etc/../../x", "etc/a", "/a\0b", "/"])
def test_odd_paths_are_refused(driver: HostFiles, content: MemoryContent, path: str) -> None:
    """A path that is not absolute and plain must be refused whatever came before."""
    with pytest.raises(Stalled):
        driver.write(a_file(content, path, b"1"))


def test_no_descriptor_is_left(root: Path, driver: HostFiles, content: MemoryContent) -> None:
    """Reading and writing, with and without errors, must leave no open descriptor."""
    before = descriptors_below(root)
    for _ in range(3):
        driver.write(a_file(content, "/a/b/c", b"1"))
        driver.save_original("/a/b/c")
        observe_files(["/a/b/c", "/a/b", "/none/x", "/a/b/c/d"], str(root))
        for path in ("/a/b/c/d", "/a/b"):
            with pytest.raises(Stalled):
                driver.write(a_file(content, path, b"1"))
    assert descriptors_below(root) == before


def descriptors_below(root: Path) -> int:
    """How many descriptors of this process are of something below a directory."""
    found = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one that lists them
            found += str(descriptor.readlink()).startswith(str(root))
    return found


# --- whole or not at all ------------------------------------------------------------------------------------


def test_modes_hold_under_any_umask(driver: HostFiles, content: MemoryContent, root: Path) -> None:
    """Files, directories and parents must have their modes whatever the umask."""
    old = os.umask(0o077)
    try:
        driver.write(a_file(content, "/new/dir/a", b"1", mode="0664"))
        os.umask(0)
        driver.write(a_file(content, "/other/b", b"1", mode="0600"))
        driver.mkdir(files.directory("/d", mode="2750"))
    finally:
        os.umask(old)
    modes = {
        p: (root / p).stat().st_mode & 0o7777
        for p in ("new", "new/dir", "new/dir/a", "other", "other/b", "d")
    }
    assert modes == {
        "new": 0o755,
        "new/dir": 0o755,
        "new/dir/a": 0o664,
        "other": 0o755,
        "other/b": 0o600,
        "d": 0o2750,
    }


def test_owners_by_name_and_number(driver: HostFiles, content: MemoryContent, root: Path) -> None:
    """Owner and group must be set by name and by number, set-uid bits included."""
    driver.write(a_file(content, "/a", b"1", owner="daemon", group="12345", mode="4755"))
    status = (root / "a").stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (1, 12345, 0o4755)
    seen = observe_files(["/a"], str(root))["/a"]
    assert (seen.owner, seen.group) == ("daemon", "12345")


def test_a_full_disk_leaves_the_old_file(small: Path, content: MemoryContent) -> None:
    """Without space the write must be Transient with the number of bytes, the old file whole, and nothing
    left behind.
    """
    driver = HostFiles(str(small), content)
    driver.write(a_file(content, "/a", b"old"))
    with pytest.raises(Transient, match="200000 bytes") as error:
        driver.write(a_file(content, "/a", b"x" * 200_000))
    assert error.value.code == "DiskFull" and error.value.hint
    assert (small / "a").read_bytes() == b"old" and left(small) == []


def test_a_read_only_file_system_needs_a_person(small: Path, content: MemoryContent) -> None:
    """A read-only mount must be Stalled and say so."""
    driver = HostFiles(str(small), content)
    subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
    with pytest.raises(Stalled) as error:
        driver.write(a_file(content, "/a", b"1"))
    assert error.value.code == "ReadOnly"


def test_a_killed_write_leaves_the_old_file_and_is_cleaned_up(content: MemoryContent, root: Path) -> None:
    """A write killed at any moment must leave the old or the new content; the next write there removes what
    was left.
    """
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from agent.drivers.files import HostFiles\nfrom agent.kinds import files\nfrom tests.fakes.files "
        "import MemoryContent\n"
        "content = MemoryContent(); driver = HostFiles(sys.argv[2], content)\n"
        "both = [files.file('/a', content=content.put(c * 400_000), size=1) for c in (b'1', b'2')]\n"
        "driver.write(both[0]); print('go', flush=True)\n"
        "while True:\n    driver.write(both[1]); driver.write(both[0])\n"
    )
    stale = 0
    for attempt in range(8):
        child = subprocess.Popen(
            [sys.executable, "-c", code, str(CHECKOUT), str(root)], stdout=subprocess.PIPE
        )
        assert child.stdout and child.stdout.readline() == b"go\n"
        time.sleep(0.01 + 0.003 * attempt)
        child.kill()
        child.wait()
        child.stdout.close()
        data = (root / "a").read_bytes()
        assert data in (b"1" * 400_000, b"2" * 400_000)
        stale += len(left(root))
    (root / f".limpet-{'a' * 16}.tmp").write_bytes(b"left by a kill")
    (root / ".limpet-mine").write_bytes(b"a user's")
    HostFiles(str(root), content).write(a_file(content, "/b", b"1"))
    assert left(root) == [] and (root / ".limpet-mine").exists()


def test_restoring_needs_its_content(driver: HostFiles, content: MemoryContent, root: Path) -> None:
    """When the saved content is lost, what is there must stay."""
    driver.write(a_file(content, "/a", b"1"))
    saved = {**driver.save_original("/a"), "content": "0" * 64}
    driver.write(a_file(content, "/a", b"2"))
    with pytest.raises(Stalled):
        driver.restore("/a", saved)
    assert (root / "a").read_bytes() == b"2"


def test_devices_and_pipes_are_left_alone(driver: HostFiles, content: MemoryContent, root: Path) -> None:
    """A pipe must be seen as neither file nor link, at once, and must not be taken over."""
    os.mkfifo(root / "pipe")
    assert observe_files(["/pipe"], str(root))["/pipe"].type == "other"
    with pytest.raises(Stalled):
        driver.save_original("/pipe")
    with pytest.raises(Stalled):
        driver.attributes(a_file(content, "/pipe", b"1"))


# --- checks -------------------------------------------------------------------------------------------------


def checked(
    content: MemoryContent, argv: tuple[str, ...], mode: str = "0644", data: bytes = b"port 80\n"
) -> tuple[Resource, bytes]:
    return a_file(content, "/etc/app.conf", data, check=argv, mode=mode), data


def test_a_check_sees_the_candidate(content: MemoryContent, root: Path) -> None:
    """The command must get the candidate's content under the file's own name, and its judgement must hold."""
    check_candidate(*checked(content, ("grep", "-q", "port 80", "{file}")), root)
    with pytest.raises(Failed, match=r"exited with code 1: .*app\.conf: no good") as error:
        check_candidate(*checked(content, ("/bin/sh", "-c", 'echo "$0: no good"; exit 1', "{file}")), root)
    assert error.value.resource == "file/etc/app.conf"
    assert list((root / "run/limpet").iterdir()) == []


def test_a_check_of_a_secret_says_nothing_of_it(content: MemoryContent, root: Path) -> None:
    """The output of a check of a private file must not be shown: it may quote the file."""
    with pytest.raises(Failed) as error:
        check_candidate(
            *checked(content, ("/bin/sh", "-c", "cat $0; exit 1", "{file}"), "0600", b"hunter2"), root
        )
    assert "hunter2" not in error.value.message + error.value.hint


def test_a_check_that_hangs_is_killed_with_its_children(
    content: MemoryContent, root: Path, tmp_path: Path
) -> None:
    """A check over its deadline must end, whatever it started."""
    pid = tmp_path / "pid"
    hang = ("/bin/sh", "-c", f"sleep 1000 & echo $! > {pid}; wait", "{file}")
    with pytest.raises(Failed, match="did not end"):
        check_candidate(*checked(content, hang), root, deadline=0.5)
    process = Path(f"/proc/{pid.read_text().strip()}/cmdline")
    eventually(lambda: not process.exists() or not process.read_bytes(), 60, "the end of its child")


def test_a_check_that_is_not_installed_is_a_failure(content: MemoryContent, root: Path) -> None:
    """A command that the host lacks must be named."""
    with pytest.raises(Failed, match="no-such-command"):
        check_candidate(*checked(content, ("no-such-command", "{file}")), root)


# --- many ---------------------------------------------------------------------------------------------------


def test_a_walk_makes_missing_parents_for_all_at_once(root: Path) -> None:
    """Threads that make the same parents must not disturb each other."""
    from concurrent.futures import ThreadPoolExecutor

    def make(number: int) -> bool:
        with Beneath(str(root)).parent(f"/deep/er/still/{number}", make=True):
            return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(make, range(64)))
