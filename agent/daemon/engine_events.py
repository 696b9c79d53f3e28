"""RESIDENT: the Engine's events, as far as they are about what is ours.

Rules:
1. An event only says that something may have happened; a look finds out what. What cannot be read is no
   event.
2. Nothing here waits. A stream that ends is opened again after a pause that grows, and what happened
   meanwhile is to be looked for.
3. The Engine filters by label what is about containers, so that the containers of others cost nothing. Names
   tell which networks and volumes are ours, and ids which containers have no label of ours.
4. Plain HTTP/1.0 on the Engine's socket: its answer has no chunks, and an event is one line.
"""

from __future__ import annotations

import json
import selectors
import socket
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import quote

from agent.model import INSTANCE_LABEL
from agent.store.watch_list import WatchList

CONTAINERS = (
    "die",
    "oom",
    "health_status",
    "destroy",
    "stop",
    "start",
    "pause",
    "unpause",
    "rename",
    "update",
)
OTHERS = ("destroy", "connect", "disconnect")  # of networks and volumes
PAUSES = (1.0, 2.0, 5.0, 10.0, 30.0)  # seconds before a stream is opened again
LONGEST = 1 << 20  # bytes of a line
READ = 1 << 16


class EngineEvents:
    """The open streams of one Engine. `stopped`: names of our containers that somebody stopped, and that have
    not been started since.
    """

    def __init__(
        self, selector: selectors.BaseSelector, noticed: Callable[[str], None], clock: Callable[[], float]
    ) -> None:
        """
        selector: of the loop; what it finds readable is read here
        noticed: called with what has happened, for the log
        clock: monotonic seconds
        """
        self._selector, self._noticed, self._clock = selector, noticed, clock
        self._socket_path, self._instance = "", ""
        self._list = WatchList()
        self._streams: dict[socket.socket, _Stream] = {}
        self._failures = 0
        self.retry_at = float("inf")
        self.stopped: set[str] = set()

    @property
    def flowing(self) -> bool:
        """Whether the Engine has accepted all streams: what happens is heard."""
        return bool(self._streams) and all(stream.accepted for stream in self._streams.values())

    def follow(self, socket_path: str, instance: str, watched: WatchList) -> None:
        """Listens to what is ours from now on. Streams that are right stay open."""
        same = (socket_path, instance, watched.unlabelled) == (
            self._socket_path,
            self._instance,
            self._list.unlabelled,
        )
        self._socket_path, self._instance, self._list = socket_path, instance, watched
        if not same or (not self._streams and self.retry_at == float("inf")):
            self._open()

    def turn(self) -> None:
        """Opens the streams again when their pause is over."""
        if self._clock() >= self.retry_at:
            self._open()

    def close(self) -> None:
        for connection in list(self._streams):
            self._selector.unregister(connection)
            connection.close()
        self._streams.clear()

    def _open(self) -> None:
        self.close()
        self.retry_at = float("inf")
        try:
            for filters in self._filters():
                self._connect(filters)
        except OSError:
            self._lost()

    def _filters(self) -> Iterable[Mapping[str, list[str]]]:
        ours = {"type": ["container"], "event": list(CONTAINERS)}
        yield {**ours, "label": [f"{INSTANCE_LABEL}={self._instance}"]}
        if self._list.unlabelled:
            yield {**ours, "container": sorted(self._list.unlabelled)}
        yield {"type": ["network", "volume"], "event": list(OTHERS)}

    def _connect(self, filters: Mapping[str, list[str]]) -> None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.setblocking(False)
            connection.connect(self._socket_path)
            wanted = quote(json.dumps(filters), safe="")
            connection.send(f"GET /events?filters={wanted} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
        except OSError:
            connection.close()
            raise
        self._streams[connection] = _Stream()
        self._selector.register(connection, selectors.EVENT_READ, lambda mask: self._read(connection))

    def _lost(self) -> None:
        """A stream has ended, or none can be had: Docker is down, or restarts."""
        was_flowing = self.flowing
        self.close()
        self.retry_at = self._clock() + PAUSES[min(self._failures, len(PAUSES) - 1)]
        self._failures += 1
        if was_flowing:
            self._noticed("the Engine's events have ended")

    def _read(self, connection: socket.socket) -> None:
        if (stream := self._streams.get(connection)) is None:
            return  # it was closed in this turn of the loop
        try:
            data = connection.recv(READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        try:
            lines = stream.lines(data)
        except ValueError:
            lines, data = [], b""
        if not data:
            self._lost()
            return
        if stream.began:
            self._failures = 0
            self._noticed("the Engine's events begin")
        for line in lines:
            self._heard(line)

    def _heard(self, line: bytes) -> None:
        try:
            event = json.loads(line)
            kind, action = event["Type"], event["Action"].partition(":")[0]
            who = event["Actor"]
            attributes = who["Attributes"]
            name = str(attributes.get("name") or "")
        except (ValueError, KeyError, TypeError, AttributeError):
            return
        if kind == "container":
            self._by_hand(name, action)
        elif not self._is_ours(kind, name or str(who.get("ID") or ""), attributes):
            return
        self._noticed(f"{event['Action']} {kind}/{name}")

    def _by_hand(self, name: str, action: str) -> None:
        if action == "stop":
            self.stopped.add(name)
        elif action in ("start", "destroy"):
            self.stopped.discard(name)

    def _is_ours(self, kind: str, name: str, attributes: Mapping[str, Any]) -> bool:
        names = self._list.networks if kind == "network" else self._list.volumes
        return name in names or str(attributes.get("container")) in self._list.containers


class _Stream:
    """What has come of one answer. `accepted`: its head said that it is the stream; `began`: it just did."""

    def __init__(self) -> None:
        self.accepted = self.began = False
        self._buffer = b""

    def lines(self, data: bytes) -> list[bytes]:
        """The whole lines of events. Errors: ValueError for any other answer."""
        self._buffer += data
        self.began = False
        if not self.accepted:
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            if not found:
                return []
            if head.split(b" ", 2)[1:2] != [b"200"]:
                raise ValueError("the Engine does not give its events")
            self.accepted = self.began = True
            self._buffer = rest
        *lines, self._buffer = self._buffer.split(b"\n")
        if len(self._buffer) > LONGEST:
            raise ValueError("a line without an end")
        return [line for line in lines if line.strip()]
