"""The control socket: how a command on this host asks the running daemon for a pass and watches it.

Rules:
1. `run/control.sock`, mode 0600: only the owner of the agent may connect.
2. One request per connection, one JSON line: `{"verb": "sync"}`. The answer is JSON lines: progress events,
   then `{"result": {"exit_code": n, "sentence": text}}`. A connection that ends without a result means that
   the daemon stopped.
3. The daemon never waits for a client. A client that does not read loses progress lines, then its connection.
4. The address is reached through a descriptor of the directory, because the path of a socket may have only
   107 bytes.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent.report.progress import Event

MAX_REQUEST = 4096  # bytes
MAX_BACKLOG = 65536  # bytes that wait for one client; progress beyond is dropped
# seconds until a waiting client looks up: a signal that came just before it began to wait is heard then
PULSE = 1.0

NAME = "control.sock"


@contextlib.contextmanager
def _address(directory: Path) -> Iterator[str]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{NAME}"
    finally:
        os.close(descriptor)


# --- the daemon's side --------------------------------------------------------------------------------------


class Listener:
    """The listening socket. Only the holder of the daemon's lock may make one: it replaces an old one."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / NAME
        self.socket = socket.socket(
            socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        )
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        umask = os.umask(0o177)
        try:
            with _address(directory) as address:
                self.socket.bind(address)
        finally:
            os.umask(umask)
        self.socket.listen(16)

    def accept(self) -> Client | None:
        """The next client, or None when it went away again."""
        try:
            connection, _ = self.socket.accept()
        except OSError:
            return None
        return Client(connection)

    def close(self) -> None:
        self.socket.close()
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()


class Client:
    """One connection; nothing here blocks."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.socket = connection
        self.closed = False
        self._received = b""
        self._backlog = b""
        self._ending = False

    def receive(self) -> Any:
        """The request once it is complete, else None. Anything else closes the connection."""
        try:
            data = self.socket.recv(MAX_REQUEST)
        except BlockingIOError:
            return None
        except OSError:
            data = b""
        self._received += data
        line, newline, _ = self._received.partition(b"\n")
        if newline:
            self._received = b""
            with contextlib.suppress(ValueError):
                return json.loads(line)
        if newline or not data or len(self._received) > MAX_REQUEST:
            self.close()
        return None

    def send(self, event: Event, *, last: bool = False) -> None:
        """Sends an event, or drops it when the client lags behind. The last one is always queued, and ends
        the connection.
        """
        if self.closed or self._ending:
            return
        if last or len(self._backlog) < MAX_BACKLOG:
            self._backlog += json.dumps(event, ensure_ascii=False).encode() + b"\n"
        self._ending = last
        self.flush()

    def flush(self) -> None:
        """Sends as much as the socket takes now."""
        try:
            while self._backlog:
                self._backlog = self._backlog[self.socket.send(self._backlog) :]
        except BlockingIOError:
            return
        except OSError:
            self.close()
        if self._ending:
            self.close()

    @property
    def pending(self) -> bool:
        """Whether bytes wait for the socket to become writable."""
        return bool(self._backlog) and not self.closed

    def close(self) -> None:
        self.closed = True
        self.socket.close()


# --- the command's side -------------------------------------------------------------------------------------


def ask(directory: Path, request: dict[str, Any]) -> Iterator[Event] | None:
    """The daemon's answer, event by event, as it comes; None when no daemon listens. Errors:
    PermissionError.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        with _address(directory) as address:
            connection.connect(address)
        connection.sendall(json.dumps(request).encode() + b"\n")
    except (FileNotFoundError, ConnectionRefusedError, BrokenPipeError, ConnectionResetError):
        connection.close()
        return None
    except BaseException:
        connection.close()
        raise
    return _events(connection)


def _events(connection: socket.socket) -> Iterator[Event]:
    connection.settimeout(PULSE)
    rest = b""
    with connection, contextlib.suppress(ConnectionResetError):
        while True:
            try:
                more = connection.recv(65536)
            except TimeoutError:
                continue
            if not more:
                return
            *lines, rest = (rest + more).split(b"\n")
            for line in lines:
                yield json.loads(line)
