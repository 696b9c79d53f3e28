"""Locks between processes: `flock`, which the kernel frees however the holder ends. A pid is only for
messages.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from pathlib import Path
from types import TracebackType

from agent.errors import Transient
from agent.store import durable

_PATIENCE = 0.02  # seconds between tries while waiting


class Lock:
    """An exclusive lock on `path`, for `with`; `what` names the activity in messages ("a pass").

    It is tried for `wait` seconds. Errors: Transient (code Locked) that names the holder's pid. Children do
    not inherit it.
    """

    def __init__(self, path: Path, what: str, *, wait: float = 0.0) -> None:
        self.path = path
        self.what = what
        self.wait = wait
        self._descriptor = -1

    def acquire(self) -> None:
        durable.make_directory(self.path.parent, 0o755)
        with durable.file_errors(self.path, "open the lock"):
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        deadline = time.monotonic() + self.wait
        try:
            while not _taken(descriptor):
                if time.monotonic() >= deadline:
                    raise self._refusal(descriptor)
                time.sleep(_PATIENCE)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        except OSError as error:
            os.close(descriptor)
            if error.errno == errno.ENOSPC:
                raise durable.translate(error, self.path, "write the lock") from error
            raise
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

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

    def _refusal(self, descriptor: int) -> Transient:
        pid = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
        who = f" (pid {pid})" if pid else ""
        return Transient(
            f"{self.what} is running already{who}",
            "wait until it ends, or see what it does: limpet status",
            code="Locked",
        )


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
