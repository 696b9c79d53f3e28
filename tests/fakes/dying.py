"""A process that dies at its k-th system call that changes a file: the kill sweeps of the store.

`survive(action)` runs `action` in forked children, each killed at another point, before the call, in the
middle of it (half of the bytes written) or after it, and yields after each death, until a child lives to the
end.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

CALLS = (
    "open",
    "write",
    "fchmod",
    "fsync",
    "link",
    "replace",
    "rename",
    "unlink",
    "mkdir",
    "ftruncate",
    "pwrite",
)


def survive(action: Callable[[], object], reset: Callable[[], object]) -> Iterator[int]:
    """Calls `reset`, then `action` in a child that dies at point k, and yields k; for k = 1, 2, ... until one
    lives.
    """
    for point in range(1, 10_000):
        reset()
        if _run(action, point):
            return
        yield point
    raise AssertionError("it never ends")


def trace(action: Callable[[], object]) -> list[tuple[str, str]]:
    """The (call, path) pairs that change files, in order, as `action` makes them in this process."""
    found: list[tuple[str, str]] = []
    names: dict[int, str] = {}

    def note(name: str, call: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        result = call(*args, **kwargs)
        target = args[1] if name in ("replace", "rename", "link") else args[0]
        if name == "open":
            names[result] = str(target)
        found.append((name, Path(names.get(target, str(target)) if isinstance(target, int) else target).name))
        return result

    patched(note, action)
    return found


def failing(action: Callable[[], object], call: str, code: int, *, nth: int = 1) -> None:
    """Runs `action` while the n-th `call` (os.write, ...) raises OSError(code)."""
    count = 0

    def fail(name: str, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        nonlocal count
        count += name == call
        if name == call and count == nth:
            raise OSError(code, os.strerror(code))
        return function(*args, **kwargs)

    patched(fail, action)


def _run(action: Callable[[], object], point: int) -> bool:
    """True when the child ended by itself."""
    child = os.fork()
    if child == 0:
        try:
            patched(_killer(point), action)
        except BaseException:
            os._exit(99)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert not os.WIFEXITED(status) or os.WEXITSTATUS(status) == 0, "the child failed instead of dying"
    return os.WIFEXITED(status)


def _killer(point: int) -> Callable[..., Any]:
    count = 0

    def step() -> None:
        nonlocal count
        count += 1
        if count == point:
            os.kill(os.getpid(), signal.SIGKILL)

    def call(name: str, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        step()
        if name == "write" and len(args[1]) > 1:
            half = function(args[0], args[1][: len(args[1]) // 2])
            step()
            result = half + function(args[0], args[1][half:])
        else:
            result = function(*args, **kwargs)
        step()
        return result

    return call


def patched(around: Callable[..., Any], action: Callable[[], object]) -> None:
    real = {name: getattr(os, name) for name in CALLS}

    def wrap(name: str) -> Callable[..., Any]:
        return lambda *args, **kwargs: around(name, real[name], args, kwargs)

    try:
        for name in CALLS:
            setattr(os, name, wrap(name))
        action()
    finally:
        for name, function in real.items():
            setattr(os, name, function)


NO_SPACE = errno.ENOSPC
READ_ONLY = errno.EROFS
