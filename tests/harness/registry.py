"""Debian's docker-registry on loopback.

`with registry(tmp_path) as r: r.push(client, image, "team/web:1")` gives the reference `127.0.0.1:PORT/team/web:1`.
It can be stopped and started on the same port (a registry that is down), frozen (one that hangs), and have a login.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bcrypt
import docker

from tests.harness.images import Image, load
from tests.harness.net import Server, free_port


class Registry:
    """A registry below `directory`. With `login` (user, password) it answers 401 to everyone else."""

    def __init__(self, directory: Path, bind: str = "127.0.0.1", login: tuple[str, str] | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.bind = bind
        self.port = free_port(bind)
        self.address = f"{bind}:{self.port}"
        self.login = login
        config: dict[str, object] = {
            "version": 0.1,
            "log": {"level": "warn"},
            "storage": {"filesystem": {"rootdirectory": str(directory / "data")}, "delete": {"enabled": True}},
            "http": {"addr": self.address},
        }
        if login:
            passwords = directory / "htpasswd"
            digest = bcrypt.hashpw(login[1].encode(), bcrypt.gensalt(4)).decode()
            passwords.write_text(f"{login[0]}:{digest}\n")
            config["auth"] = {"htpasswd": {"realm": "limpet-tests", "path": str(passwords)}}
        file = directory / "config.yml"
        file.write_text(json.dumps(config))
        self._server = Server(["docker-registry", "serve", str(file)], directory / "registry.log")

    def start(self) -> None:
        self._server.start(self.bind, self.port)

    def stop(self) -> None:
        """From now on connections are refused."""
        self._server.stop()

    def hang(self) -> None:
        """From now on connections are accepted by the kernel and nothing answers."""
        self._server.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._server.signal(signal.SIGCONT)

    def push(self, client: docker.DockerClient, wanted: Image, name: str) -> str:
        """Puts an image there as `name:tag`, leaves no tag of it on the Engine, and gives the full reference."""
        repository, _, tag = name.partition(":")
        remote = f"{self.address}/{repository}"
        tag = tag or "latest"
        load(client, wanted)
        client.images.get(wanted.ref).tag(remote, tag)
        auth = {"username": self.login[0], "password": self.login[1]} if self.login else None
        for line in client.images.push(remote, tag, stream=True, decode=True, auth_config=auth):
            assert "error" not in line, f"push of {remote}:{tag}: {line['error']}"
        client.images.remove(f"{remote}:{tag}", noprune=True)
        return f"{remote}:{tag}"


@contextmanager
def registry(directory: Path, bind: str = "127.0.0.1", login: tuple[str, str] | None = None) -> Iterator[Registry]:
    """A running registry."""
    made = Registry(directory, bind, login)
    made.start()
    try:
        yield made
    finally:
        made.stop()
