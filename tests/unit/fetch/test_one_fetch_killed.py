"""A fetch killed before each of its operations on files: the next one must end where an uninterrupted one
ends.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.fetch import packs
from agent.fetch.one_fetch import handle_fetch
from tests.harness.gitrepo import GitRepo
from tests.unit.fetch.fetching import Fetcher

CHANGES = {
    "os.rename",
    "os.remove",
    "os.mkdir",
    "os.rmdir",
    "os.truncate",
    "os.chmod",
    "os.utime",
    "tempfile.mkstemp",
}


def _killed_at(point: int, request: dict[str, Any]) -> bool:
    """Runs the fetch in a fork that kills itself before its `point`-th change of a file; whether it came that
    far.
    """
    child = os.fork()
    if child == 0:
        left = [point]

        def count(event: str, arguments: tuple[Any, ...]) -> None:
            writes = (
                event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            )
            if event in CHANGES or writes:
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(count)
            handle_fetch(request)
            os._exit(0)
        except BaseException:
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL)
    return status < 0


def _nothing(fetch: Fetcher, repo: GitRepo) -> None:
    """No cache yet."""


def _older(fetch: Fetcher, repo: GitRepo) -> None:
    fetch(repo.path)


def _damaged(fetch: Fetcher, repo: GitRepo) -> None:
    fetch(repo.path)
    for pack in (fetch.git_dir / "objects/pack").glob("*.pack"):
        pack.chmod(0o644)
        os.truncate(pack, pack.stat().st_size // 2)


def _many(fetch: Fetcher, repo: GitRepo) -> None:
    fetch(repo.path)
    for number in range(packs.MANY - 1):
        repo.commit({"n": str(number)})
        fetch(repo.path)


@pytest.mark.parametrize("prepare", [_nothing, _older, _damaged, _many], ids=lambda f: f.__name__.strip("_"))
def test_a_fetch_killed_anywhere_is_made_good_by_the_next(
    prepare: Callable[[Fetcher, GitRepo], None],
    repo: GitRepo,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    """At every point: before the next fetch the ref names objects that are there, after it nothing is left of
    the kill.
    """
    monkeypatch.setattr(packs, "MANY", 3)
    pin = repo.commit({"a": "1", "b/c": "2"})
    fetch = Fetcher(tmp_path / "host")
    prepare(fetch, repo)
    before = tmp_path / "before"
    shutil.copytree(fetch.git_dir.parent, before)
    tip = repo.commit({"a": "2"})
    request = fetch.request(str(repo.path), pin=pin)
    point = 1
    while _killed_at(point, request):
        if (fetch.git_dir / "refs/limpet/observed").exists() and prepare is not _damaged:
            fetch.git("rev-list", "--objects", fetch.observed())
        answer = fetch(repo.path, pin=pin)
        assert (answer["commit"], answer["descends"]) == (tip, True), point
        if prepare is not _damaged:
            assert answer["replaced"] == "", point
        fetch.sound()
        shutil.rmtree(fetch.git_dir.parent)
        shutil.copytree(before, fetch.git_dir.parent)
        point += 1
    assert point > 8
    record_property("points", point - 1)
    assert fetch(repo.path, pin=pin)["commit"] == tip
