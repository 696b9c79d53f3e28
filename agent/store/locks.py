"""Locks between processes: `flock`, which the kernel frees however the holder ends. The holder's pid is only
for messages.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType

from agent.errors import Transient
from agent.store import durable

_PATIENCE = 0.02  # seconds between tries while waiting


class Taken(Exception):
    """Another process holds the lock. `pid`: its process id, empty when it has not written it yet."""

    def __init__(self, pid: str) -> None:
        super().__init__(pid)
        self.pid = pid


def take(path: Path, wait: float) -> int:
    """Takes the lock on `path`, trying for `wait` seconds. The descriptor holds it until it is closed;
    children do not inherit it. Errors: Taken, OSError.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    deadline = time.monotonic() + wait
    try:
        while not _taken(descriptor):
            if time.monotonic() >= deadline:
                raise Taken(os.pread(descriptor, 20, 0).decode("ascii", "replace").strip())
            time.sleep(_PATIENCE)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


class Lock:
    """An exclusive lock on `path`, for `with`; `what` names the activity in messages ("a pass").

    It is tried for `wait` seconds. Errors: Transient (code Locked) that names the holder's pid.
    """

    def __init__(self, path: Path, what: str, *, wait: float = 0.0) -> None:
        self.path = path
        self.what = what
        self.wait = wait
        self._descriptor = -1

    def acquire(self) -> None:
        durable.make_directory(self.path.parent, 0o755)
        try:
            with durable.file_errors(self.path, "take the lock"):
                self._descriptor = take(self.path, self.wait)
        except Taken as taken:
            who = f" (pid {taken.pid})" if taken.pid else ""
            raise Transient(
                f"{self.what} is running already{who}",
                "wait until it ends, or see what it does: limpet status",
                code="Locked",
            ) from None

    def release(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> Lock:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def holder(path: Path) -> int | None:
    """The pid that holds the lock now, or None when it is free."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return int(os.pread(descriptor, 20, 0) or b"0")
    finally:
        os.close(descriptor)
    return None


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
