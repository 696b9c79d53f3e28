"""Ports and child processes of the servers in this package."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.harness.wait import eventually


def free_port(address: str = "127.0.0.1") -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def free_ports(count: int) -> int:
    """The first of so many TCP and UDP ports in a row, below those that the kernel gives away, that nobody
    has.
    """
    for _ in range(100):
        first = random.randrange(10000, 32768 - count)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(first, first + count):
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    stack.enter_context(socket.socket(type=kind)).bind(("", port))
            return first
    raise RuntimeError(f"no {count} free ports in a row")


def answers(address: str, port: int) -> bool:
    """True when something accepts a connection there."""
    try:
        with socket.create_connection((address, port), timeout=2):
            return True
    except OSError:
        return False


@contextlib.contextmanager
def holding(port: int, address: str = "0.0.0.0", inside: int = 0) -> Iterator[None]:
    """Holds a TCP port, on the machine or in the network of the process `inside`."""
    code = f"import socket; held = socket.create_server(('{address}', {port})); print('held', flush=True)"
    enter = ["nsenter", "--net", f"--target={inside}"] if inside else []
    argv = [*enter, sys.executable, "-I", "-c", f"{code}; input()"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout and child.stdout.readline() == b"held\n", f"port {port} is not free"
            yield
        finally:
            child.kill()


class Server:
    """A foreground server process in a process group of its own, with its output in `log`."""

    def __init__(self, argv: Sequence[str], log: Path) -> None:
        self.argv = list(argv)
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.argv[0]} is not running"
        return self._process.pid

    def start(self, address: str = "", port: int = 0) -> None:
        """Starts it and, when a port is given, waits until that answers."""
        assert self._process is None, f"{self.argv[0]} runs already"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        if port:

            def up() -> bool:
                self.assert_alive()
                return answers(address, port)

            eventually(up, 60, f"{self.argv[0]} at {address}:{port}")

    def assert_alive(self) -> None:
        """AssertionError with the server's last words when it has ended."""
        assert self._process is not None, f"{self.argv[0]} is not running"
        code = self._process.poll()
        assert code is None, (
            f"{self.argv[0]} ended with {code}: {self.log.read_text(errors='replace')[-2000:]}"
        )

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to the whole process group."""
        os.killpg(self.pid, number)

    def stop(self) -> None:
        """Ends the process group; nothing happens when it is not running."""
        if self._process is None:
            return
        try:
            os.killpg(self._process.pid, signal.SIGCONT)
            os.killpg(self._process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(3)
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait(10)
        self._process = None
