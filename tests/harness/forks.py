"""Commands of Limpet without the start of an interpreter: what tests use that are not about processes."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.harness import forkserver


@functools.cache
def server() -> str:
    """The socket of this process's server, which is started at first use and ends with this process."""
    path = f"{tempfile.mkdtemp(prefix='limpet-forks-', dir='/tmp')}/socket"  # at most 107 bytes
    argv = [sys.executable, "-I", str(Path(forkserver.__file__)), path]
    process = subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/", start_new_session=True
    )
    process.returncode = 0  # it is not waited for: the end of this process ends it
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n", "the fork server did not start"
    _KEPT.append(process)
    return path


_KEPT: list[subprocess.Popen[bytes]] = []


def limpet(
    arguments: Sequence[str], timeout: float, env: Mapping[str, str], network: int = 0
) -> tuple[int, str, str]:
    """Exit code and both outputs of a command. Errors: subprocess.TimeoutExpired, when it was killed.

    network: the process in whose network it runs; 0 for that of the tests
    """
    with (
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
        open(os.devnull, "rb") as nothing,
    ):
        descriptors = [file.fileno() for file in (nothing, out, err)]
        request = {"argv": list(arguments), "env": dict(env), "cwd": os.getcwd(), "network": network}
        child = forkserver.Forked(server(), descriptors, **request)
        try:
            code = child.wait(timeout)
        finally:
            if child.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child.pid, signal.SIGKILL)
        said = []
        for file in (out, err):
            file.seek(0)
            said.append(file.read().decode(errors="replace"))
    return code, said[0], said[1]
