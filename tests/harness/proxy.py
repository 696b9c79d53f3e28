"""A recording proxy for the Engine's unix socket.

`with proxy(engine.socket, tmp_path / "docker.sock") as p:` passes everything through, streams and hijacked
connections included, and records (method, path, status). It can refuse, hang, cut a response after n bytes,
and call back or kill a process before or after the k-th request.

Rules:
1. One client connection is one Engine connection; requests on it are handled one after the other.
2. A request is recorded when its head has arrived (status 0), and completed when the response's head has.
3. "After" is when the Engine has done the work and answered, and the client has not been told.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

When = Literal["before", "after"]
CHUNK = 65536


@dataclass
class Request:
    """One request to the Engine. `status` is 0 while there is no answer."""

    method: str
    path: str
    status: int = 0

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.status}"


class Cut(Exception):
    """The connection is to be closed at once."""


class CutWhenDone(Cut):
    """The connection is to be closed when the Engine has done all of the work, also of an answer that streams
    (a pull).
    """


class Answer(Exception):
    """The client is to get this answer; a request that was not yet passed on never is."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        body = json.dumps({"message": message}).encode()
        head = (
            f"HTTP/1.1 {status} Fault\r\nContent-Type: application/json\r\nContent-Length: "
            f"{len(body)}\r\nConnection: close"
        )
        self.status, self.data = status, f"{head}\r\n\r\n".encode() + body


class _Stream:
    """A socket with a buffer, for reading heads and bodies of HTTP/1.1 messages."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.buffer = b""

    def fill(self) -> bool:
        data = self.socket.recv(CHUNK)
        self.buffer += data
        return bool(data)

    def head(self) -> bytes:
        """Up to and with the empty line; b"" at the end of the stream."""
        while b"\r\n\r\n" not in self.buffer:
            if not self.fill():
                return b""
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        return head + b"\r\n\r\n"

    def line(self) -> bytes:
        while b"\r\n" not in self.buffer:
            if not self.fill():
                raise Cut
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line + b"\r\n"

    def exactly(self, count: int) -> Iterator[bytes]:
        while count:
            if not self.buffer and not self.fill():
                raise Cut
            piece, self.buffer = self.buffer[:count], self.buffer[count:]
            count -= len(piece)
            yield piece

    def body(self, headers: dict[str, str]) -> Iterator[bytes]:
        """The body's bytes as sent, chunk framing included."""
        if "chunked" in headers.get("transfer-encoding", ""):
            while True:
                line = self.line()
                yield line
                size = int(line.split(b";")[0], 16)
                yield from self.exactly(size)
                yield self.line()
                if not size:
                    return
        else:
            yield from self.exactly(int(headers.get("content-length", "0")))


def _headers(head: bytes) -> dict[str, str]:
    pairs = (line.split(":", 1) for line in head.decode("latin-1").split("\r\n")[1:] if ":" in line)
    return {name.strip().lower(): value.strip().lower() for name, value in pairs}


class Proxy:
    """The proxy's controls and its record."""

    def __init__(self, upstream: str, socket_path: Path) -> None:
        self.upstream = upstream
        self.socket = str(socket_path)
        self._records: list[Request] = []
        self._lock = threading.Lock()
        self._budget: int | None = None
        self._hooks: list[tuple[When, Callable[[int, Request], None]]] = []
        self._seen = 0
        self._awake = threading.Event()
        self._awake.set()
        self._open: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self._closed = False

    # What a test sees.

    @property
    def requests(self) -> list[Request]:
        """What was asked since the start or `clear`, oldest first."""
        with self._lock:
            return list(self._records)

    def clear(self) -> None:
        """Forgets the record; requests are counted from 1 again."""
        with self._lock:
            self._records.clear()
            self._seen = 0

    def assert_only_get(self) -> None:
        """AssertionError that lists every request but GET and HEAD; also when there was none at all."""
        assert self.requests, "the Engine was not asked anything through this proxy"
        others = [str(r) for r in self.requests if r.method not in ("GET", "HEAD")]
        assert not others, "touched the Engine: " + "; ".join(others)

    # What a test does to it.

    def refuse(self) -> None:
        """From now on connections are refused, and open ones are closed."""
        self._stop_listening()
        self._close_open()

    def hang(self) -> None:
        """From now on connections are accepted and nothing is answered."""
        self._awake.clear()

    def cut_after(self, count: int) -> None:
        """After `count` more bytes of responses every connection is closed, and new ones get nothing."""
        with self._lock:
            self._budget = count

    def resume(self) -> None:
        """Ends `refuse`, `hang` and `cut_after`."""
        with self._lock:
            self._budget = None
        self._awake.set()
        if self._listener is None:
            self.listen()

    def on_request(self, when: When, call: Callable[[int, Request], None]) -> None:
        """`call(k, request)` before the k-th request is passed on, or after it was done; k starts at 1, also
        after `clear`. It may raise Cut, CutWhenDone and, before, Answer.
        """
        self._hooks.append((when, call))

    def kill_at(self, pid: int, request: int, when: When) -> None:
        """Sends SIGKILL to a process before or after the k-th request; the request is not answered then."""

        def kill(count: int, _: Request) -> None:
            if count == request:
                os.kill(pid, signal.SIGKILL)
                raise Cut

        self.on_request(when, kill)

    # The works.

    def listen(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.socket)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.socket)
        listener.listen(128)
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def close(self) -> None:
        self._closed = True
        self._awake.set()
        self._stop_listening()
        self._close_open()

    def _stop_listening(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def _close_open(self) -> None:
        with self._lock:
            for each in self._open:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        engine = socket.socket(socket.AF_UNIX)
        with self._lock:
            self._open |= {client, engine}
        try:
            self._awake.wait()
            engine.connect(self.upstream)
            source, target = _Stream(client), _Stream(engine)
            while not self._closed and self._exchange(source, target):
                pass
        except (Cut, OSError):
            pass
        finally:
            with self._lock:
                self._open -= {client, engine}
            client.close()
            engine.close()

    def _call(self, when: When, count: int, request: Request) -> None:
        for wanted, call in list(self._hooks):
            if wanted == when:
                call(count, request)

    def _exchange(self, client: _Stream, engine: _Stream) -> bool:
        """One request and its response; False when the connection is over."""
        head = client.head()
        if not head:
            return False
        self._awake.wait()
        method, path, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
        request = Request(method, path)
        with self._lock:
            self._records.append(request)
            self._seen += 1
            count = self._seen
        headers = _headers(head)
        try:
            self._call("before", count, request)
        except Answer as made_up:
            request.status = made_up.status
            for _ in client.body(headers):
                pass
            self._to_client(client, made_up.data)
            return False
        engine.socket.sendall(head)
        for piece in client.body(headers):
            engine.socket.sendall(piece)
        answer = engine.head()
        while answer.startswith(b"HTTP/1.1 100"):
            answer = engine.head()
        if not answer:
            return False
        request.status = int(answer.split(b" ", 2)[1])
        reply = _headers(answer)
        try:
            self._call("after", count, request)
        except CutWhenDone:
            for _ in engine.body(reply) if "chunked" in reply.get("transfer-encoding", "") else ():
                pass
            raise
        self._to_client(client, answer)
        if request.status == 101 or (
            "raw-stream" in reply.get("content-type", "") and "content-length" not in reply
        ):
            self._pass_through(client, engine)
            return False
        if method == "HEAD" or request.status in (204, 304):
            return True
        if "chunked" in reply.get("transfer-encoding", "") or "content-length" in reply:
            self._forward_body(client, engine, reply)
            return reply.get("connection") != "close" and headers.get("connection") != "close"
        self._pass_through(client, engine)
        return False

    def _forward_body(self, client: _Stream, engine: _Stream, reply: dict[str, str]) -> None:
        """The response's body; ends when the client goes away in the middle of a stream."""
        stop, wake = socket.socketpair()

        def watch() -> None:
            readable, _, _ = select.select([client.socket, stop], [], [])
            if stop not in readable and not client.socket.recv(1, socket.MSG_PEEK):
                engine.socket.shutdown(socket.SHUT_RDWR)

        def guard() -> None:
            with contextlib.suppress(OSError, ValueError):
                watch()

        streamed = "chunked" in reply.get("transfer-encoding", "")
        watcher = threading.Thread(target=guard, daemon=True) if streamed else None
        if watcher:
            watcher.start()
        try:
            for piece in engine.body(reply):
                self._to_client(client, piece)
        finally:
            wake.close()
            if watcher:
                watcher.join()
            stop.close()

    def _to_client(self, client: _Stream, data: bytes) -> None:
        with self._lock:
            if self._budget is not None:
                allowed = data[: self._budget]
                self._budget -= len(allowed)
            else:
                allowed = data
        client.socket.sendall(allowed)
        if len(allowed) < len(data):
            self._close_open()
            raise Cut

    def _pass_through(self, client: _Stream, engine: _Stream) -> None:
        """Raw bytes both ways until both sides have ended."""
        if client.buffer:
            engine.socket.sendall(client.buffer)
        if engine.buffer:
            self._to_client(client, engine.buffer)
        client.buffer = engine.buffer = b""
        reading = [client.socket, engine.socket]
        while reading:
            readable, _, _ = select.select(reading, [], [])
            for each in readable:
                data = each.recv(CHUNK)
                other = engine.socket if each is client.socket else client.socket
                if not data:
                    reading.remove(each)
                    if each is engine.socket:
                        return
                    with contextlib.suppress(OSError):
                        other.shutdown(socket.SHUT_WR)
                elif each is engine.socket:
                    self._to_client(client, data)
                else:
                    other.sendall(data)


@contextlib.contextmanager
def proxy(upstream: str, socket_path: Path) -> Iterator[Proxy]:
    """A listening proxy; the path of a unix socket has at most 107 bytes."""
    made = Proxy(upstream, socket_path)
    made.listen()
    try:
        yield made
    finally:
        made.close()
