"""One Git server that is reached under every host and port: TLS on loopback, and a proxy that leads all
tunnels to it. Both Git and Limpet are sent through the proxy, so names of hosts need no name server.
"""

from __future__ import annotations

import contextlib
import http.server
import os
import select
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tests.harness.gitrepo import GitRepo
from tests.harness.tls import Authority
from tests.unit.fetch.fetching import http_backend, respond, serving

Answer = Callable[[http.server.BaseHTTPRequestHandler], None]
HOST = "git.example.org"
NAMES = (HOST, "xn--bcher-kva.example", "localhost", "127.0.0.1", "::1")


@dataclass
class Place:
    """What is needed to ask, and what was asked for so far: the target and Host of each request."""

    proxy: str
    ca_file: Path
    commit: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)

    def credentials(self, **more: str) -> dict[str, str]:
        return {"proxy": self.proxy, "ca_file": str(self.ca_file), **more}

    def git(self, url: str) -> str:
        """The commit of main that `git ls-remote` sees; empty when Git fails."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_SSH_COMMAND": "false",
            "LC_ALL": "C.UTF-8",
        }
        argv = ["git", "-c", f"http.proxy={self.proxy}", "-c", f"http.sslCAInfo={self.ca_file}"]
        argv += ["ls-remote", "--", url, "refs/heads/main"]
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout.partition("\t")[0] if done.returncode == 0 else ""


@contextlib.contextmanager
def everywhere(directory: Path, answer: Answer) -> Iterator[Place]:
    """`answer` behind TLS, with a certificate for NAMES."""
    authority = Authority(directory / "tls")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue(HOST, *NAMES))
    asked: list[tuple[str, str]] = []

    class Web(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            self.request = context.wrap_socket(self.request, server_side=True)
            super().setup()

        def do_GET(self) -> None:
            asked.append((self.path, self.headers.get("Host", "")))
            answer(self)

        do_POST = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Proxy(http.server.BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            with socket.create_connection(("127.0.0.1", port)) as other:
                self.send_response(200)
                self.end_headers()
                _relay(self.connection, other)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with serving(Web) as port, serving(Proxy) as proxy:
        yield Place(f"http://127.0.0.1:{proxy}", authority.ca_file, asked=asked)


def _relay(one: socket.socket, other: socket.socket) -> None:
    pair = [one, other]
    with contextlib.suppress(OSError):
        while ready := select.select(pair, [], [], 60)[0]:
            data = ready[0].recv(65536)
            if not data:
                return
            pair[1 - pair.index(ready[0])].sendall(data)


def repositories(root: Path, *names: str) -> tuple[Answer, str]:
    """Repositories of these names below `root` with one and the same commit, as git-http-backend gives them;
    and the commit.
    """
    commit = ""
    for name in names:
        commit = GitRepo(root / name).commit({"compose.yaml": "services: {}\n"})
    backend = http_backend(root)

    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        path, mark, query = request.path.partition("?")
        request.path = unquote(path) + mark + query
        if "/../" in path or "/./" in path:
            respond(request, 400)  # as strict servers do
        else:
            backend(request)

    return answer, commit
