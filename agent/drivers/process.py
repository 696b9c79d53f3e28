"""Runs a command of the host's owner or of the repository: an argv without a shell, in a process group of its
own, with a deadline and capped output.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

GRACE_S = 3.0  # between TERM and KILL
KEPT = 16 * 1024  # bytes of output; the last ones
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}


@dataclass(frozen=True, slots=True)
class Result:
    """How a command ended: `how` for people ("exited with code 1", "did not end within 10 s")."""

    ok: bool
    how: str
    output: str = ""


def run_process(argv: Sequence[str], *, timeout: float) -> Result:
    """Runs one command to its end or for `timeout` seconds; no process of its group is left behind."""
    try:
        child = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=ENVIRONMENT,
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        return Result(False, f"cannot be run: {error.strerror or error}")
    try:
        output, ended = _read(child, time.monotonic() + timeout)
        text = output.decode("utf-8", "replace")
        if not ended:
            return Result(False, f"did not end within {timeout:g} s", text)
        code = child.returncode
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"
        return Result(code == 0, how, text)
    finally:
        _end(child)


def _read(child: subprocess.Popen[bytes], deadline: float) -> tuple[bytes, bool]:
    """The end of the output, and whether the child ended in time. A grandchild that keeps the pipe open is
    not waited for.
    """
    assert child.stdout
    kept = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        open_ = True
        while time.monotonic() < deadline:
            if child.poll() is not None and not (open_ and selector.select(0)):
                return bytes(kept), True
            if open_ and selector.select(min(0.05, max(0.0, deadline - time.monotonic()))):
                chunk = os.read(child.stdout.fileno(), 1 << 16)
                open_ = bool(chunk)
                kept += chunk
                del kept[:-KEPT]
            elif not open_:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(max(0.0, deadline - time.monotonic()))
    return bytes(kept), child.poll() is not None


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        _signal(child.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(GRACE_S)
    _signal(child.pid, signal.SIGKILL)
    child.wait()
    if child.stdout:
        child.stdout.close()


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
