"""An Engine that only gives its events."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit


class EventsEngine:
    """Listens on a socket. `requests`: the filters of each stream that was asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.requests: list[dict[str, list[str]]] = []
        self.status = "200 OK"
        self._streams: list[tuple[dict[str, list[str]], socket.socket]] = []
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self.up()

    def up(self) -> None:
        """Takes connections from now on."""
        self.path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self.path))
        self._listener.listen()
        threading.Thread(target=self._serve, args=[self._listener], daemon=True).start()

    def down(self) -> None:
        """Ends all streams and takes no connection."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        with self._lock:
            for _, stream in self._streams:
                stream.close()
            self._streams.clear()

    close = down

    def emit(self, kind: str, action: str, name: str, id: str = "", **attributes: str) -> None:
        """Tells everybody who asked for events of this kind."""
        event: dict[str, Any] = {
            "Type": kind,
            "Action": action,
            "Actor": {"ID": id, "Attributes": {"name": name, **attributes}},
        }
        self.send(json.dumps(event).encode() + b"\n", kind)

    def send(self, data: bytes, kind: str = "container") -> None:
        """Sends bytes to everybody who asked for events of this kind."""
        with self._lock:
            for filters, stream in self._streams:
                if kind in filters["type"]:
                    with contextlib.suppress(OSError):
                        stream.sendall(data)

    @property
    def streams(self) -> int:
        """How many streams are open on this side."""
        with self._lock:
            return len(self._streams)

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            head = b""
            while b"\r\n\r\n" not in head and (data := connection.recv(65536)):
                head += data
            if not head:  # somebody only tries whether it listens
                connection.close()
                continue
            target = head.split(b" ", 2)[1].decode()
            filters = json.loads(parse_qs(urlsplit(target).query)["filters"][0])
            connection.sendall(f"HTTP/1.0 {self.status}\r\nContent-Type: application/json\r\n\r\n".encode())
            with self._lock:
                self.requests.append(filters)
                self._streams.append((filters, connection))
