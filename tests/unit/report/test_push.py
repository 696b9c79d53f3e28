"""The heartbeat that is sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from agent.settings.values import HeartbeatSettings
from tests.unit.report.site import Site, proved


class _Receiver(BaseHTTPRequestHandler):
    got: ClassVar[list[tuple[str, str, bytes]]] = []
    status = 204

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.got.append((self.path, self.headers.get("Authorization", ""), body))
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[HTTPServer]:
    server = HTTPServer(("127.0.0.1", 0), _Receiver)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    _Receiver.got, _Receiver.status = [], 204
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_put(tmp_path: Path, receiver: HTTPServer) -> None:
    """A pass must send the heartbeat by PUT with the URL's login, and a beat of the daemon must not."""
    site = Site(
        tmp_path, heartbeat=HeartbeatSettings(url=f"http://u:p%40@127.0.0.1:{receiver.server_port}/beat?h=1")
    )
    site.reporter.alive()
    site.finish(proved())
    [(path, login, body)] = _Receiver.got
    assert path == "/beat?h=1" and login == "Basic dTpwQA==" and json.loads(body)["state"] == "Synced"


def test_put_refused(tmp_path: Path, receiver: HTTPServer) -> None:
    """A receiver that refuses, or is down, must cost a warning without credentials, and not the pass."""
    site = Site(
        tmp_path, heartbeat=HeartbeatSettings(url=f"http://u:CANARY@127.0.0.1:{receiver.server_port}/")
    )
    _Receiver.status = 500
    site.finish(proved())
    assert site.doc["warnings"] == [f"heartbeat.url: 127.0.0.1:{receiver.server_port} answered 500"]
    site = Site(tmp_path, heartbeat=HeartbeatSettings(url="http://u:CANARY@127.0.0.1:1/"))
    site.finish(proved())
    assert "cannot be reached" in site.doc["warnings"][0] and "CANARY" not in json.dumps(site.doc)
    assert site.state == "Synced"
