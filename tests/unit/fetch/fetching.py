"""What the tests of the fetch child share:

a fetcher with a cache of its own, servers that misbehave, and looks into the cache.
"""

from __future__ import annotations

import contextlib
import http.server
import os
import socket
import socketserver
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from agent import sandbox
from agent.errors import Stalled, Transient
from agent.fetch.one_fetch import handle_fetch
from agent.store.durable import MARK
from tests.harness.gitrepo import GitRepo
from tests.harness.net import Server, free_port

E = TypeVar("E", Transient, Stalled)

PATIENCE = 30.0  # seconds that a request of the tests waits for a server that is slow because the machine is


class Fetcher:
    """Asks for `main` of a source into one cache. Called, it runs in this process; `child` runs the real
    child.
    """

    def __init__(self, directory: Path, **defaults: Any) -> None:
        self.git_dir = directory / "state" / "git"
        self.lock = directory / "run" / "fetch.lock"
        self.defaults = defaults
        self.git_dir.parent.mkdir(parents=True, exist_ok=True)

    def request(self, url: str, **more: Any) -> dict[str, Any]:
        base = {
            "ref": {"branch": "main"},
            "git_dir": str(self.git_dir),
            "lock": str(self.lock),
            "timeout": PATIENCE,
        }
        return {"url": str(url), **base, **self.defaults, **more}

    def __call__(self, url: str | Path, **more: Any) -> dict[str, Any]:
        return handle_fetch(self.request(str(url), **more))[0]

    def child(
        self, url: str | Path, *, limits: sandbox.ResourceLimits | None = None, **more: Any
    ) -> dict[str, Any]:
        return sandbox.call("_fetch", self.request(str(url), **more), timeout=60, limits=limits)[0]

    def transient(self, url: str | Path, **more: Any) -> Transient:
        with pytest.raises(Transient) as caught:
            self(url, **more)
        return _said(caught.value)

    def stalled(self, url: str | Path, **more: Any) -> Stalled:
        with pytest.raises(Stalled) as caught:
            self(url, **more)
        return _said(caught.value)

    def observed(self) -> str:
        return (self.git_dir / "refs/limpet/observed").read_text().strip()

    def git(self, *arguments: str, data: bytes | None = None) -> str:
        return git(self.git_dir, *arguments, data=data)

    def sound(self) -> None:
        """Git itself finds nothing wrong, and nothing temporary is left."""
        self.git("fsck", "--full", "--strict", "--no-dangling")
        left = [
            p.name
            for p in self.git_dir.rglob("*")
            if p.name.endswith(".lock") or p.name.startswith("tmp") or MARK in p.name
        ]
        assert left == []
        assert [p.name for p in self.git_dir.parent.iterdir()] == [self.git_dir.name]


def _said(error: E) -> E:
    assert error.message and error.hint, "every error carries a message and a remedy"
    return error


def git(git_dir: Path, *arguments: str, data: bytes | None = None) -> str:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "GIT_CONFIG_NOSYSTEM": "1",
        "LC_ALL": "C",
    }
    argv = ["git", f"--git-dir={git_dir}", *arguments]
    done = subprocess.run(argv, input=data, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, f"{argv}: {done.stderr.decode()}"
    return done.stdout.decode().strip()


def raw_tree(repo: GitRepo, entries: list[tuple[str, bytes, str]]) -> str:
    """A tree of (mode, name, id) that no git command would make."""
    data = b"".join(mode.encode() + b" " + name + b"\0" + bytes.fromhex(oid) for mode, name, oid in entries)
    return git(repo.path, "hash-object", "-t", "tree", "-w", "--literally", "--stdin", data=data)


def commit_tree(repo: GitRepo, tree: str) -> str:
    """A commit of a tree, made the tip of main."""
    who = "Ada Fleet <ada@example.org> 1700000000 +0000"
    text = f"tree {tree}\nauthor {who}\ncommitter {who}\n\nchange\n"
    commit = git(repo.path, "hash-object", "-t", "commit", "-w", "--stdin", data=text.encode())
    repo.set_branch("main", commit)
    return commit


@contextlib.contextmanager
def git_daemon(base: Path) -> Iterator[str]:
    """`git://` on loopback for the repositories below `base`; gives the URL's beginning."""
    port = free_port()
    options = [
        "--export-all",
        "--listen=127.0.0.1",
        f"--port={port}",
        f"--base-path={base}",
        "--informative-errors",
    ]
    server = Server(["git", "daemon", *options], base / "daemon.log")
    server.start("127.0.0.1", port)
    try:
        yield f"git://127.0.0.1:{port}"
    finally:
        server.stop()


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


@contextlib.contextmanager
def serving(handler: type[socketserver.BaseRequestHandler]) -> Iterator[int]:
    """A server on loopback; gives its port."""
    with _Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@contextlib.contextmanager
def silent_server(greeting: bytes = b"") -> Iterator[int]:
    """Accepts, says the greeting, and then nothing."""
    done = threading.Event()

    class Silent(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(greeting)
            done.wait()

    with serving(Silent) as port:
        yield port
        done.set()


@contextlib.contextmanager
def web_server(answer: Callable[[http.server.BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """Plain HTTP on loopback; `answer` answers every request."""

    class Web(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            answer(self)

        do_POST = do_CONNECT = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with serving(Web) as port:
        yield f"http://127.0.0.1:{port}"


def respond(
    request: http.server.BaseHTTPRequestHandler, status: int, body: bytes = b"", **headers: str
) -> None:
    request.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        request.send_header(name.replace("_", "-"), value)
    request.end_headers()
    request.wfile.write(body)


def http_backend(
    root: Path, keep: tuple[str, ...] = ("Git-Protocol",)
) -> Callable[[http.server.BaseHTTPRequestHandler], None]:
    """git-http-backend behind `web_server`;

    only the headers in `keep` reach it (none: a server without protocol v2).
    """
    program = subprocess.run(
        ["git", "--exec-path"], capture_output=True, text=True, check=True
    ).stdout.strip()

    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        path, _, query = request.path.partition("?")
        length = request.headers.get("Content-Length", "0")
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(root),
            "GIT_PROJECT_ROOT": str(root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": request.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_LENGTH": length,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
        }
        if "Git-Protocol" in keep and request.headers.get("Git-Protocol"):
            environment["GIT_PROTOCOL"] = request.headers["Git-Protocol"]
        body = request.rfile.read(int(length))
        argv = [f"{program}/git-http-backend"]
        done = subprocess.run(argv, input=body, env=environment, capture_output=True, check=False)
        if done.returncode:
            respond(request, 500)
            return
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        status = int(fields.pop("Status", "200 OK").split()[0])
        respond(request, status, content, Content_Type=fields.get("Content-Type", "text/plain"))

    return answer


class Throttle:
    """A TCP relay to a port that lets `allow` bytes of the answers through and then holds the connection open
    in silence.
    """

    def __init__(self, target: int, allow: int) -> None:
        self.target, self.allow = target, allow
        self.held = threading.Event()
        self.done = threading.Event()

    @contextlib.contextmanager
    def open(self) -> Iterator[int]:
        throttle = self

        class Relay(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with socket.create_connection(("127.0.0.1", throttle.target)) as other:
                    threading.Thread(target=_pump, args=(self.request, other), daemon=True).start()
                    while throttle.allow > 0 and (data := other.recv(min(4096, throttle.allow))):
                        throttle.allow -= len(data)
                        self.request.sendall(data)
                    if throttle.allow <= 0:
                        throttle.held.set()
                        throttle.done.wait()

        with serving(Relay) as port:
            yield port
            self.done.set()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(4096):
            target.sendall(data)
