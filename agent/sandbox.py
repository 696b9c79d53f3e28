"""Runs the hostile-input parts (`fetch`, `render`) as fresh, limited processes, and is their entry on the
other side.

Protocol: the request is one JSON object on the child's stdin. The answer on stdout is one line of JSON, the
header, then raw bytes whose meaning the header tells. A failure is `{"error": {"class", "message", "hint",
"code", "resource", "problems"}}`.

Rules:
1. A child is an `exec`, not a fork: nothing of the parent's memory, descriptors or environment reaches it but
   the request.
2. A child sets its limits before it reads a single byte of input, and cannot lift them again.
3. Whatever ends a call (answer, timeout, cancel, crash), no process of the child's group is left behind.
4. A child that gives no answer condemns nothing: the error is `Transient` and shows the child's last line.
   A child that ran into a limit is `Stalled`: the same input would run into it again.
5. Only the standard library is imported: the resident process and the light pass use this module.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from agent.errors import (
    EXIT_OK,
    EXIT_STALLED,
    EXIT_TEMPORARY,
    BadInput,
    Failed,
    Interrupted,
    LimpetError,
    Problem,
    Stalled,
    Transient,
)

JsonObject = dict[str, Any]
Answer = tuple[JsonObject, Iterable[bytes]]

GRACE_S = 2.0  # between SIGTERM and SIGKILL
STDERR_KEPT = 16 * 1024  # bytes; the last ones
REQUEST_LIMIT = 16 * 1024 * 1024  # bytes
CANCEL_POLL_S = 0.1
MIB = 1024 * 1024
LIMITS = "LIMPET_CHILD_LIMITS"  # the environment variable by which a child knows its own
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class ResourceLimits:
    """The resources that one child may use. Sizes in bytes, `cpu` in seconds. `output` bounds the answer that
    the parent accepts.
    """

    memory: int = 2048 * MIB  # address space
    cpu: int = 300
    files: int = 512
    file_size: int = 1024 * MIB
    output: int = 512 * MIB


class Cancel(Protocol):
    """A `threading.Event`, or anything else that says when to give up."""

    def is_set(self) -> bool: ...


def call(
    verb: str,
    request: Mapping[str, Any],
    *,
    timeout: float,
    limits: ResourceLimits | None = None,
    cancel: Cancel | None = None,
    user: str | int | None = None,
) -> tuple[JsonObject, bytes]:
    """Runs `limpet VERB` as a child; gives the answer's header and the bytes after it.

    verb: the hidden verb, as `_fetch`
    request: what the child reads
    timeout: seconds for the whole call
    limits: what the child may use
    cancel: ends the call when it is set
    user: who the child runs as; by default the caller

    Errors: what the child reported; Transient `ChildTimeout`, `ChildCrashed`; Stalled `LimitExceeded`;
    Interrupted when `cancel` was set.
    """
    limits = limits or ResourceLimits()
    name = verb.lstrip("_")
    try:
        process = _spawn(verb, user, limits)
    except OSError as error:
        why = error.strerror or str(error)
        raise Transient(
            f"{name} cannot be started: {why}", "it is tried again", code="ChildCrashed"
        ) from None
    try:
        talk = _Conversation(process, json.dumps(request).encode())
        ended = talk.run(timeout, limits.output, cancel)
        if ended != "closed":
            raise _unfinished(name, ended, timeout, limits)
        return _answer(name, process.wait(GRACE_S), talk, limits)
    except subprocess.TimeoutExpired:
        raise Transient(
            f"{name} answered but did not end", "it is tried again", code="ChildTimeout"
        ) from None
    finally:
        _end(process)


def _unfinished(name: str, ended: str, timeout: float, limits: ResourceLimits) -> LimpetError:
    if ended == "cancelled":
        return Interrupted(f"{name} was cancelled", code="Cancelled")
    if ended == "timeout":
        what = f"{name} did not finish within {timeout:g} s and was stopped"
        return Transient(what, "it is tried again; look for a hanging network or disk", code="ChildTimeout")
    what = f"the answer of {name} is larger than {limits.output // MIB} MiB"
    return Stalled(what, "make the repository smaller", code="LimitExceeded")


def command(verb: str) -> list[str]:
    """The argv of a child: our own interpreter, isolated, with nothing but the installed package."""
    return [sys.executable, "-I", "-m", "agent", verb]


def _spawn(verb: str, user: str | int | None, limits: ResourceLimits) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command(verb),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        cwd="/",
        env={"PATH": PATH, "HOME": "/", "LANG": "C.UTF-8", LIMITS: json.dumps(asdict(limits))},
        start_new_session=True,
        umask=0o077,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
    )


class _Conversation:
    """Feeds a child its request and collects both of its outputs."""

    def __init__(self, process: subprocess.Popen[bytes], request: bytes) -> None:
        assert process.stdin and process.stdout and process.stderr
        self.stdout, self.stderr = bytearray(), bytearray()
        self._stdin = process.stdin
        self._rest = memoryview(request)
        self._selector = selectors.DefaultSelector()
        os.set_blocking(process.stdin.fileno(), False)
        self._selector.register(process.stdin, selectors.EVENT_WRITE)
        self._selector.register(process.stdout, selectors.EVENT_READ, self.stdout)
        self._selector.register(process.stderr, selectors.EVENT_READ, self.stderr)

    def run(self, timeout: float, output: int, cancel: Cancel | None) -> str:
        """How it ended: `closed`, `timeout` (seconds), `cancelled`, or `output` (more than so many bytes)."""
        deadline = time.monotonic() + timeout
        with self._selector:
            while self._selector.get_map():
                left = deadline - time.monotonic()
                if cancel is not None and cancel.is_set():
                    return "cancelled"
                if left <= 0:
                    return "timeout"
                self._exchange(left if cancel is None else min(left, CANCEL_POLL_S))
                if len(self.stdout) > output:
                    return "output"
        return "closed"

    def _exchange(self, wait: float) -> None:
        """Reads and writes what can be read and written within `wait` seconds."""
        for key, _ in self._selector.select(wait):
            if key.fileobj is self._stdin:
                self._feed()
                continue
            chunk = os.read(key.fd, 1 << 16)
            key.data.extend(chunk)
            if not chunk:
                self._selector.unregister(key.fileobj)
        del self.stderr[:-STDERR_KEPT]

    def _feed(self) -> None:
        try:
            self._rest = self._rest[os.write(self._stdin.fileno(), self._rest[: 1 << 16]) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._rest = self._rest[:0]
        if not self._rest:
            self._selector.unregister(self._stdin)
            self._stdin.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the whole group, gently first when its leader still runs, and reaps the leader."""
    if process.poll() is None:
        _kill(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
    _kill(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def _kill(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _answer(name: str, status: int, talk: _Conversation, limits: ResourceLimits) -> tuple[JsonObject, bytes]:
    """The answer of a child that ended with `status`. Errors: the child's own; Transient, Stalled."""
    line, _, body = bytes(talk.stdout).partition(b"\n")
    try:
        header = json.loads(line) if line else None
    except ValueError:
        header = None
    if isinstance(header, dict) and "error" in header:
        raise _error(header["error"])
    if isinstance(header, dict) and status == EXIT_OK:
        return header, body
    if status == -signal.SIGXCPU:
        raise Stalled(
            f"{name} used more than {limits.cpu} s of CPU",
            "make the repository smaller or simpler",
            code="LimitExceeded",
        )
    words = talk.stderr.decode("utf-8", "replace")
    words = words.partition("\nException ignored in")[0]  # the rest is noise of the exit
    said = [text for text in words.splitlines() if text.strip()]
    how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
    raise Transient(
        f"{name} {how} without an answer" + (f": {said[-1].strip()[:300]}" if said else ""),
        "it is tried again; if the error stays, report it with the log",
        code="ChildCrashed",
    )


def _error(document: Mapping[str, Any]) -> LimpetError:
    """The child's error as the exception it was."""
    kind = document.get("class")
    if kind == "BadInput" and document.get("problems"):
        return BadInput(
            Problem(p["file"], p["line"], p["message"], p.get("hint", "")) for p in document["problems"]
        )
    known: dict[Any, type[LimpetError]] = {"Stalled": Stalled, "Failed": Failed, "Interrupted": Interrupted}
    return known.get(kind, Transient)(
        str(document.get("message", "")),
        str(document.get("hint", "")),
        code=str(document.get("code", "")),
        resource=str(document.get("resource", "")),
    )


# --- the child's side ---------------------------------------------------------------------------------------


def serve(handle: Callable[[JsonObject], Answer]) -> int:
    """Reads the request, gives it to `handle`, and writes its answer (header and chunks) or its error.
    Returns the exit code.
    """
    _confine()
    try:
        request = json.loads(sys.stdin.buffer.read(REQUEST_LIMIT))
        header, chunks = handle(request)
    except LimpetError as error:
        _write(error_document(error))
        return EXIT_TEMPORARY if error.retryable else EXIT_STALLED
    except MemoryError:
        _write(
            error_document(
                Stalled(
                    "it needs more memory than the agent allows itself",
                    "make the repository smaller",
                    code="LimitExceeded",
                )
            )
        )
        return EXIT_STALLED
    _write(header, chunks)
    return EXIT_OK


def error_document(error: LimpetError) -> JsonObject:
    """The error as the protocol writes it: under the most general class that the other side knows."""
    kinds: tuple[type[LimpetError], ...] = (BadInput, Stalled, Interrupted, Failed, Transient)
    kind = next((k for k in kinds if isinstance(error, k)), Transient)
    problems = [
        {"file": p.file, "line": p.line, "message": p.message, "hint": p.hint}
        for p in (error.problems if isinstance(error, BadInput) else ())
    ]
    return {
        "error": {
            "class": kind.__name__,
            "message": error.message,
            "hint": error.hint,
            "code": error.code,
            "resource": error.resource,
            "problems": problems,
        }
    }


def _write(header: JsonObject, chunks: Iterable[bytes] = ()) -> None:
    out = sys.stdout.buffer
    out.write(json.dumps(header).encode() + b"\n")
    for chunk in chunks:
        out.write(chunk)
    out.flush()


def _confine() -> None:
    """Sets the limits, forbids new privileges, and makes this process die with its parent, so that a killed
    pass leaves no fetch behind.
    """
    import ctypes  # only the child pays for it

    limits = ResourceLimits(**json.loads(os.environ.pop(LIMITS, "{}")))
    for kind, soft, hard in (
        (resource.RLIMIT_AS, limits.memory, limits.memory),
        # The soft limit ends the child with a signal that tells why.
        (resource.RLIMIT_CPU, limits.cpu, limits.cpu + 5),
        (resource.RLIMIT_NOFILE, limits.files, limits.files),
        (resource.RLIMIT_FSIZE, limits.file_size, limits.file_size),
        (resource.RLIMIT_CORE, 0, 0),
    ):
        most = resource.getrlimit(kind)[1]
        if most != resource.RLIM_INFINITY:
            soft, hard = min(soft, most), min(hard, most)
        resource.setrlimit(kind, (soft, hard))
    libc = ctypes.CDLL(None, use_errno=True)
    no_new_privs, parent_death_signal = 38, 1
    libc.prctl(no_new_privs, 1, 0, 0, 0)
    libc.prctl(parent_death_signal, int(signal.SIGKILL), 0, 0, 0)
