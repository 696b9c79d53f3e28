"""Commands of Limpet without the start of an interpreter: what tests use that are not about processes."""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.harness import forkserver


@functools.cache
def server() -> str:
    """The name of this process's server, started at first use; it ends with this process."""
    name = f"limpet-tests-{secrets.token_hex(8)}"
    argv = [sys.executable, "-I", str(Path(forkserver.__file__)), name]
    process = subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/", start_new_session=True
    )
    process.returncode = 0  # it is not waited for: the end of this process ends it
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n", "the fork server did not start"
    _KEPT.append(process)
    return name


_KEPT: list[subprocess.Popen[bytes]] = []


def limpet(arguments: Sequence[str], timeout: float, env: Mapping[str, str]) -> tuple[int, str, str]:
    """Exit code and both outputs of a command. Errors: subprocess.TimeoutExpired, when it was killed."""
    with (
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
        open(os.devnull, "rb") as nothing,
    ):
        descriptors = [file.fileno() for file in (nothing, out, err)]
        child = forkserver.Forked(server(), descriptors, argv=list(arguments), env=dict(env), cwd=os.getcwd())
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
