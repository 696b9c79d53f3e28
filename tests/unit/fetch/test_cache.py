"""The cache survives what happens to files and processes: damage, kills, locks, full disks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agent import sandbox
from agent.errors import LimpetError, Stalled, Transient
from agent.fetch import packs
from agent.fetch.cache import CacheDamaged
from agent.store.durable import MARK
from tests.harness.gitrepo import GitRepo
from tests.harness.net import free_port
from tests.unit.fetch.fetching import Fetcher, Throttle, git_daemon


@pytest.fixture
def fetch(tmp_path: Path) -> Fetcher:
    return Fetcher(tmp_path)


def _pack(git_dir: Path, suffix: str = ".pack") -> Path:
    (found,) = (git_dir / "objects/pack").glob(f"*{suffix}")
    found.chmod(0o644)
    return found


def _flip(path: Path, share: float) -> None:
    data = bytearray(path.read_bytes())
    data[int(len(data) * share)] ^= 0x40
    path.write_bytes(data)


def _flip_unseen(git_dir: Path) -> None:
    """A flipped bit with the old modification time."""
    pack = _pack(git_dir)
    status = pack.stat()
    _flip(pack, 0.5)
    os.utime(pack, ns=(status.st_atime_ns, status.st_mtime_ns))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "pack truncated": lambda d: os.truncate(_pack(d), 100),
    "pack empty": lambda d: os.truncate(_pack(d), 0),
    "pack gone": lambda d: _pack(d).unlink(),
    "pack bit flip": lambda d: _flip(_pack(d), 0.5),
    "pack bit flip, old time": _flip_unseen,
    "index truncated": lambda d: os.truncate(_pack(d, ".idx"), 40),
    "index empty": lambda d: os.truncate(_pack(d, ".idx"), 0),
    "index bit flip": lambda d: _flip(_pack(d, ".idx"), 0.93),
    "ref empty": lambda d: os.truncate(d / "refs/limpet/observed", 0),
    "ref wrong": lambda d: (d / "refs/limpet/observed").write_text("1" * 40),
    "ref gone": lambda d: (d / "refs/limpet/observed").unlink(),
    "HEAD gone": lambda d: (d / "HEAD").unlink(),
    "objects gone": lambda d: subprocess.run(["rm", "-r", str(d / "objects")], check=True),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("news", [False, True], ids=["nothing new", "a new commit"])
def test_a_damaged_cache_is_replaced_by_a_fresh_one(
    damage: str, news: bool, repo: GitRepo, fetch: Fetcher
) -> None:
    """Whatever is damaged, the next fetch must give the tip, say that it replaced the cache, and keep nothing
    of the old.
    """
    pin = repo.commit({"compose.yaml": "services: {}\n" * 50, "big": os.urandom(3000).hex()})
    fetch(repo.path)
    (fetch.git_dir / "left").write_text("over")
    DAMAGE[damage](fetch.git_dir)
    tip = repo.commit({"new": "1"}) if news else pin
    answer = fetch(repo.path, pin=pin)
    assert (answer["commit"], answer["descends"]) == (tip, True)
    assert answer["replaced"] and not (fetch.git_dir / "left").exists()
    assert fetch.git("show", f"{tip}:compose.yaml").startswith("services")
    fetch.sound()
    assert fetch(repo.path, pin=pin)["replaced"] == ""


def test_damage_that_no_time_stamp_shows_is_found_on_request(repo: GitRepo, fetch: Fetcher) -> None:
    """`check` must read all content again, whatever the stamp says."""
    repo.commit({"big": os.urandom(3000).hex()})
    fetch(repo.path)
    _flip(_pack(fetch.git_dir), 0.5)
    stamp = fetch.git_dir / "limpet.json"
    pack, status = _pack(fetch.git_dir), _pack(fetch.git_dir).stat()
    document = json.loads(stamp.read_text())
    document["files"][f"objects/pack/{pack.name}"] = [
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_ino,
    ]
    stamp.write_text(json.dumps(document))
    assert fetch(repo.path)["replaced"] == ""
    assert fetch(repo.path, check=True)["replaced"]
    fetch.sound()


def test_content_is_read_again_after_a_boot(repo: GitRepo, fetch: Fetcher) -> None:
    """A stamp of another boot must not be believed."""
    repo.commit({"a": "1"})
    fetch(repo.path)
    stamp = fetch.git_dir / "limpet.json"
    document = json.loads(stamp.read_text())
    stamp.write_text(json.dumps(document | {"boot_id": "another"}))
    answer = fetch(repo.path)
    assert (answer["changed"], answer["replaced"]) == (False, "")
    assert json.loads(stamp.read_text())["boot_id"] == document["boot_id"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"schema": 99}'])
def test_a_broken_stamp_costs_only_a_look(content: bytes, repo: GitRepo, fetch: Fetcher) -> None:
    """A stamp that cannot be read must not cost the cache."""
    tip = repo.commit({"a": "1"})
    fetch(repo.path)
    (fetch.git_dir / "limpet.json").write_bytes(content)
    answer = fetch(repo.path)
    assert (answer["commit"], answer["replaced"], answer["bytes"]) == (tip, "", 0)


def test_a_damaged_cache_stays_when_the_source_is_down(repo: GitRepo, fetch: Fetcher) -> None:
    """A cache must not be thrown away before there is a better one."""
    repo.commit({"a": "1"})
    fetch(repo.path)
    os.truncate(_pack(fetch.git_dir), 50)
    fetch.transient(f"git://127.0.0.1:{free_port()}/x")
    assert _pack(fetch.git_dir).stat().st_size == 50
    assert fetch(repo.path)["replaced"]


def test_leftovers_of_a_killed_fetch_go_away(repo: GitRepo, fetch: Fetcher) -> None:
    """Locks, temporary files and half-made caches must not stay, nor stop a fetch."""
    repo.commit({"a": "1"})
    fetch(repo.path)
    pack = fetch.git_dir / "objects/pack"
    for name in (
        "refs/limpet/observed.lock",
        "config.lock",
        "shallow.lock",
        "objects/pack/pack-1.idx.lock",
        "objects/tmp_pack_x",
        f".limpet.json{MARK}0123",
        f"refs/limpet/.observed{MARK}0123",
    ):
        (fetch.git_dir / name).write_text("x")
    (pack / "tmpabc.pack").write_text("x")
    (pack / f"pack-{'1' * 40}.pack").write_text("x")
    (fetch.git_dir.parent / "git.new-0123").mkdir()
    (fetch.git_dir.parent / "git.old-0123").mkdir()
    tip = repo.commit({"a": "2"})
    assert fetch(repo.path)["commit"] == tip
    fetch.sound()


@pytest.mark.parametrize("bundles", [False, True], ids=["repository", "full bundles"])
def test_the_cache_does_not_grow_by_a_pack_per_commit(
    bundles: bool, repo: GitRepo, fetch: Fetcher, tmp_path: Path
) -> None:
    """After many commits there must be few files and each object once, all of them readable for us and for
    Git.
    """
    commits = [repo.commit({"log": "0\n" * 500, "fixed": "x" * 1000})]
    fetch(repo.path)
    for number in range(1, packs.MANY + 2):
        commits.append(repo.commit({"log": f"{number}\n" * 500, f"dir{number % 7}/file": str(number)}))
        source = repo.bundle(tmp_path / "fleet.bundle") if bundles else repo.path
        assert fetch(source, pin=commits[-2])["descends"] is True
    found = list((fetch.git_dir / "objects/pack").iterdir())
    assert len(found) < 10
    index = [fetch.git("show-index", data=path.read_bytes()) for path in found if path.suffix == ".idx"]
    names = [line.split()[1] for text in index for line in text.splitlines()]
    assert len(names) < 1.2 * len(set(names)) + bundles * 400
    assert fetch.git("rev-list", commits[-1]).split() == commits[::-1]
    assert fetch(repo.path, check=True)["replaced"] == ""
    fetch.sound()


@pytest.mark.parametrize("suffix", [".pack", ".idx"])
def test_damage_is_found_when_packs_are_joined(
    suffix: str, repo: GitRepo, fetch: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Joining must not make a sound pack of a damaged one."""
    repo.commit({"a": "1", "noise": os.urandom(500).hex()})
    fetch(repo.path)
    damaged = _pack(fetch.git_dir, suffix)
    repo.commit({"a": "2"})
    fetch(repo.path)
    for share in (0.2, 0.5, 0.9, 0.999):
        whole = damaged.read_bytes()
        _flip(damaged, share)
        with pytest.raises(CacheDamaged):
            monkeypatch.setattr(packs, "MANY", 2)
            packs.join_packs(fetch.git_dir / "objects/pack")
        damaged.write_bytes(whole)
    packs.join_packs(fetch.git_dir / "objects/pack")
    (fetch.git_dir / "objects/pack/tmp_joined.pack").unlink(missing_ok=True)
    fetch.sound()


def test_a_second_fetch_waits_for_the_first(repo: GitRepo, fetch: Fetcher) -> None:
    """Two fetches must not write at once:

    the second waits, and gives up with the holder's process id in its message.
    """
    repo.commit({"a": "1"})
    fetch.lock.parent.mkdir()
    code = (
        "import fcntl, os, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, 2); f.write(str(os.getpid())); "
        "f.flush();"
        "print(1, flush=True); sys.stdin.read()"
    )
    argv = ["python3", "-c", code, str(fetch.lock)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout and holder.stdin and holder.stdout.readline()
        error = fetch.transient(repo.path, overall=0.4)
        assert error.code == "Locked" and str(holder.pid) in error.message
        waiting = threading.Timer(0.3, holder.stdin.close)
        waiting.start()
        assert fetch(repo.path, overall=30)["changed"]
    assert fetch(repo.path, overall=0.2)["changed"] is False


def test_many_fetches_at_once(repo: GitRepo, fetch: Fetcher) -> None:
    """Fetches that start together must all give the tip and leave a sound cache."""
    tip = repo.commit({f"file{n}": str(n) * 100 for n in range(50)})
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: fetch.child(repo.path), range(6)))
    assert {answer["commit"] for answer in answers} == {tip}
    assert sum(answer["changed"] for answer in answers) == 1
    fetch.sound()


@pytest.mark.parametrize("allow", [10, 500, 100_000])
@pytest.mark.parametrize("first", [True, False], ids=["first fetch", "later fetch"])
def test_a_killed_fetch_leaves_a_usable_cache(allow: int, first: bool, repo: GitRepo, fetch: Fetcher) -> None:
    """Killed in the middle of a transfer, the old state must hold and the next fetch must succeed."""
    old = repo.commit({"a": "1"})
    if not first:
        fetch(repo.path)
    tip = repo.commit({"noise": os.urandom(300_000)})
    with git_daemon(repo.path.parent) as base:
        throttle = Throttle(int(base.rsplit(":", 1)[1]), allow)
        with throttle.open() as port:
            request = fetch.request(f"git://127.0.0.1:{port}/fleet.git", timeout=60)
            child = subprocess.Popen(sandbox.command("_fetch"), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            assert child.stdin and child.stdout
            child.stdin.write(json.dumps(request).encode())
            child.stdin.close()
            assert throttle.held.wait(20)
            child.send_signal(signal.SIGKILL)
            child.wait()
            assert child.stdout.read() == b""
            child.stdout.close()
        if not first:
            assert fetch.observed() == old
        assert fetch(f"{base}/fleet.git", pin=old)["commit"] == tip
    fetch.sound()


def test_a_pack_over_the_file_limit_stalls(repo: GitRepo, fetch: Fetcher) -> None:
    """A child that may not write so large a file must say so, and leave nothing behind."""
    repo.commit({"noise": os.urandom(300_000)})
    with git_daemon(repo.path.parent) as base, pytest.raises(Stalled) as caught:
        fetch.child(f"{base}/fleet.git", limits=sandbox.ResourceLimits(file_size=100_000))
    assert caught.value.code == "TooLarge"
    assert list(fetch.git_dir.parent.iterdir()) == []


def test_a_full_disk_is_waited_for(repo: GitRepo, tmp_path: Path) -> None:
    """A disk without room must be named, and the fetch succeed when there is room again."""
    old = repo.commit({"a": "1"})
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], check=True)
    try:
        fetch = Fetcher(disk)
        fetch(repo.path)
        filler = disk / "filler"
        filler.write_bytes(b"x" * 800_000)
        tip = repo.commit({"noise": os.urandom(300_000)})
        with git_daemon(repo.path.parent) as base:
            error = fetch.transient(f"{base}/fleet.git")
            assert error.code == "DiskFull" and "No space left" in error.message
            assert fetch.observed() == old
            filler.unlink()
            assert fetch(f"{base}/fleet.git", pin=old)["commit"] == tip
        fetch.sound()
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_an_unwritable_place_is_named(repo: GitRepo, tmp_path: Path) -> None:
    """A state directory that cannot be written must be an error with a path, not a crash."""
    repo.commit({"a": "1"})
    (tmp_path / "file").write_text("x")
    fetch = Fetcher(tmp_path)
    with pytest.raises((Transient, Stalled)) as caught:
        fetch(repo.path, git_dir=str(tmp_path / "file" / "git"))
    assert isinstance(caught.value, LimpetError) and str(tmp_path / "file") in caught.value.message
