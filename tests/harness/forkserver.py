"""A process that has imported all of Limpet and forks one for each command; `forks` is its other side.

Rules:
1. A forked command is a process of its own, with the caller's descriptors, environment and directory. Only
   the start of the interpreter and the imports are saved.
2. What a command starts as a child (fetch, render) is forked here too, never from the command, which has
   threads.
3. When its standard input is closed it ends; commands that run go on.
4. A command may be, with its children, in another network than the tests: that of a process.

One connection serves one command: the request is a line of JSON with three descriptors beside it, the answers
are two lines, the process id and then the wait status.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import json
import os
import pkgutil
import selectors
import shutil
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from types import SimpleNamespace
from typing import IO, Any, NoReturn

LIMIT = 1 << 20  # bytes of a request
LIBRARIES = ("docker", "dulwich.repo", "jinja2", "pydantic", "rich.console", "yaml")


class Forked:
    """A command that was asked for: as much of `subprocess.Popen` as its caller needs."""

    def __init__(self, server: str, descriptors: list[int], **request: Any) -> None:
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(server)
        data = json.dumps(request).encode() + b"\n"
        socket.send_fds(self._connection, [data[:1]], descriptors)
        self._connection.sendall(data[1:])
        self._answers = self._connection.makefile("rb")
        self.pid = int(self._answers.readline())
        self.returncode: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            with selectors.DefaultSelector() as selector:
                selector.register(self._connection, selectors.EVENT_READ)
                if not selector.select(timeout):
                    raise subprocess.TimeoutExpired("limpet", timeout or 0)
            self.returncode = os.waitstatus_to_exitcode(int(self._answers.readline()))
            self._answers.close()
            self._connection.close()
        return self.returncode

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode


class Piped(Forked):
    """The same with pipes to its descriptors."""

    stdin: IO[bytes]
    stdout: IO[bytes]
    stderr: IO[bytes]

    def __init__(self, server: str, **request: Any) -> None:
        (read, write), (out, their_out), (err, their_err) = os.pipe(), os.pipe(), os.pipe()
        self.stdin, self.stdout = os.fdopen(write, "wb", 0), os.fdopen(out, "rb", 0)
        self.stderr = os.fdopen(err, "rb", 0)
        theirs = [read, their_out, their_err]
        try:
            super().__init__(server, theirs, **request)
        finally:
            for descriptor in theirs:
                os.close(descriptor)


class Server:
    """Forks; `serve` returns in the server when it ends and in each forked process with its command. `path`:
    its socket, which is reached from any network.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.network = 0  # the process in whose network this one is, when it is not that of the tests
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(64)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(0, selectors.EVENT_READ)
        self._running: dict[int, tuple[int, socket.socket]] = {}  # by descriptor of the process

    def serve(self) -> list[str] | None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    command = self._begin(self._listener.accept()[0])
                    if command is not None:
                        return command
                elif key.fd in self._running:
                    self._ended(key.fd)
                elif not os.read(0, 1):
                    return None

    def _begin(self, connection: socket.socket) -> list[str] | None:
        data, descriptors, _, _ = socket.recv_fds(connection, LIMIT, 3)
        while not data.endswith(b"\n"):
            data += connection.recv(LIMIT)
        pid = os.fork()
        if not pid:
            connection.close()
            return self._become(json.loads(data), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        process = os.pidfd_open(pid)
        self._running[process] = pid, connection
        self._selector.register(process, selectors.EVENT_READ)
        self._tell(connection, pid)
        return None

    def _become(self, request: dict[str, Any], descriptors: list[int]) -> list[str]:
        """Makes this forked process what was asked for; gives its arguments."""
        self._selector.close()
        self._listener.close()
        for process, (_, connection) in self._running.items():
            os.close(process)
            connection.close()
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
            os.close(descriptor)
        self.network = request["network"]
        if self.network:
            enter_network(self.network)
        if request.get("session"):
            os.setsid()
        if "umask" in request:
            os.umask(request["umask"])
        os.chdir(request["cwd"])
        os.environ.clear()
        os.environ.update(request["env"])
        sys.argv = ["limpet", *request["argv"]]
        return list(request["argv"])

    def _ended(self, process: int) -> None:
        pid, connection = self._running.pop(process)
        self._selector.unregister(process)
        os.close(process)
        self._tell(connection, os.waitpid(pid, 0)[1])
        connection.close()

    def _tell(self, connection: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError):  # nobody waits any longer
            connection.sendall(f"{number}\n".encode())


def enter_network(pid: int) -> None:
    """Moves this process, which has one thread, into the network of another one."""
    with open(f"/proc/{pid}/ns/net", "rb") as namespace:
        if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), 0):
            raise OSError(ctypes.get_errno(), f"cannot enter the network of process {pid}")


def import_all() -> None:
    """All modules of Limpet, and the libraries that they import late."""
    package = importlib.import_module("agent")
    for module in pkgutil.walk_packages(package.__path__, "agent."):
        if module.name != "agent.__main__":
            importlib.import_module(module.name)
    for library in LIBRARIES:
        importlib.import_module(library)


def popen(server: Server) -> Any:
    """What takes the place of `subprocess.Popen` where the product starts a child."""

    def started(argv: list[str], *, env: dict[str, str], cwd: str, umask: int, **options: Any) -> Any:
        command = [sys.executable, "-I", "-m", "agent"]
        if argv[: len(command)] != command or options.get("user") is not None:
            return subprocess.Popen(argv, env=env, cwd=cwd, umask=umask, **options)
        wanted = {"argv": argv[len(command) :], "env": env, "cwd": cwd, "umask": umask, "session": True}
        return Piped(server.path, **wanted, network=server.network)

    return started


def main(path: str) -> int:
    from agent import sandbox
    from agent.__main__ import main as limpet

    import_all()
    server = Server(path)
    vars(sandbox)["subprocess"] = SimpleNamespace(**(vars(subprocess) | {"Popen": popen(server)}))
    gc.freeze()
    print("ready", flush=True)
    command = server.serve()
    if command is not None:
        leave(limpet, command)
    shutil.rmtree(os.path.dirname(path))
    return 0


def leave(call: Callable[[list[str]], int], command: list[str]) -> NoReturn:
    """Ends the process with what the command gives, as the interpreter does, but without taking its modules
    apart: that would copy all the memory that it shares with the server.
    """
    try:
        code: int | str | None = call(command)
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
