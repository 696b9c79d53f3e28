"""Locks: one holder, who is named."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from agent.errors import Stalled, Transient
from agent.store.locks import Lock, holder

ROOT = Path(__file__).resolve().parents[3]


HOLD = (
    "import sys; from pathlib import Path; from agent.store.locks import Lock\n"
    "lock = Lock(Path(sys.argv[1]), 'a pass'); lock.acquire(); print('held', flush=True); sys.stdin.read()"
)


def test_second_holder_is_refused_with_the_pid(tmp_path: Path) -> None:
    """A second pass must be Transient (exit 75) and name the holder; the lock must be free once the holder is
    killed.
    """
    path = tmp_path / "run" / "lock"
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert child.stdout is not None and child.stdout.readline() == b"held\n"
        with pytest.raises(Transient, match=rf"a pass is running already \(pid {child.pid}\)") as caught:
            Lock(path, "a pass").acquire()
        assert caught.value.exit_code == 75 and caught.value.code == "Locked"
        assert holder(path) == child.pid
    finally:
        child.kill()
        child.wait()
    with Lock(path, "a pass"):
        assert holder(path) == os.getpid()
    assert holder(path) is None


def test_lock_is_not_inherited(tmp_path: Path) -> None:
    """A child that outlives the holder must not keep the lock."""
    path = tmp_path / "lock"
    with Lock(path, "a pass"):
        child = subprocess.Popen(["sleep", "60"])
    try:
        assert holder(path) is None
    finally:
        child.kill()
        child.wait()


def test_waiting_for_a_lock(tmp_path: Path) -> None:
    """A writer that may wait must get the lock as soon as it is free."""
    path = tmp_path / "lock"
    first = Lock(path, "a writer")
    first.acquire()
    threading.Timer(0.1, first.release).start()
    with Lock(path, "a writer", wait=10.0):
        pass


def test_lock_is_no_link(tmp_path: Path) -> None:
    """A planted link must not make the agent write elsewhere."""
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "lock").symlink_to(tmp_path / "victim")
    with pytest.raises(Stalled):
        Lock(tmp_path / "lock", "a pass").acquire()
    assert (tmp_path / "victim").read_text() == "precious"
