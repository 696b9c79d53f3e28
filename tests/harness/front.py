"""A front before a registry or a Git server, that can answer with trouble of its own.

with front(reg.port) as f:                   # f.port, f.address; `authority` when the server speaks TLS: then
it does too
    f.status = 429                           # answers so instead of asking
    f.cut = 3000                             # bytes of a body, after which the connection ends; the next
    `f.cuts` times f.pause = 0.05                           # seconds before each piece of a body f.only =
    "/blobs/"                       # all this only where the path has this in it f.heal()
"""

from __future__ import annotations

import contextlib
import http.client
import http.server
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any

from tests.harness.tls import Authority

PIECE = 2048
HOP = {"connection", "transfer-encoding", "keep-alive", "content-length"}


class Front:
    """The front's controls."""

    def __init__(self, port: int, tls: ssl.SSLContext | None) -> None:
        self.upstream, self.tls, self.port = ("127.0.0.1", port), tls, 0
        self._lock = threading.Lock()
        self.heal()

    def heal(self) -> None:
        self.status: int | None = None
        self.cut: int | None = None
        self.cuts = 1_000_000
        self.pause, self.only = 0.0, ""

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        """Passes one request on, or not."""
        troubled = self.only in request.path
        size = int(request.headers.get("Content-Length") or 0)
        body = request.rfile.read(size)
        if troubled and self.status is not None:
            request.send_response(self.status)
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        made: Any = (
            http.client.HTTPSConnection(*self.upstream, context=self.tls, timeout=30)
            if self.tls
            else http.client.HTTPConnection(*self.upstream, timeout=30)
        )
        with contextlib.closing(made) as connection:
            sent = {
                name: ", ".join(request.headers.get_all(name, ()))
                for name in request.headers
                if name.lower() not in HOP
            }
            connection.request(request.command, request.path, body or None, sent)
            with connection.getresponse() as answer:
                self._pass(answer, request, troubled)

    def _pass(
        self, answer: http.client.HTTPResponse, request: http.server.BaseHTTPRequestHandler, troubled: bool
    ) -> None:
        request.send_response(answer.status)
        for name, value in answer.headers.items():
            if name.lower() not in HOP:
                request.send_header(name, value)
        length = answer.headers.get("Content-Length")
        if length is not None:
            request.send_header("Content-Length", length)
        request.send_header("Connection", "close")
        request.end_headers()
        request.close_connection = True
        if request.command == "HEAD":
            return
        left = self._cut() if troubled else None
        while piece := answer.read1(PIECE):
            time.sleep(self.pause if troubled else 0)
            request.wfile.write(piece if left is None else piece[:left])
            left = None if left is None else left - len(piece)
            if left is not None and left <= 0:
                return

    def _cut(self) -> int | None:
        """After how many bytes this body is cut; each cut is given away once, also to bodies at the same
        time.
        """
        with self._lock:
            if self.cut is None or self.cuts <= 0:
                return None
            self.cuts -= 1
            return self.cut


@contextlib.contextmanager
def front(port: int, authority: Authority | None = None) -> Iterator[Front]:
    """A listening front of the server on this port of loopback."""
    made = Front(port, ssl.create_default_context(cafile=str(authority.ca_file)) if authority else None)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with contextlib.suppress(OSError):
                made.answer(self)

        do_HEAD = do_POST = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if authority:
            own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            own.load_cert_chain(*authority.issue("127.0.0.1"))
            server.socket = own.wrap_socket(server.socket, server_side=True)
        made.port = server.server_port
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield made
        server.shutdown()
