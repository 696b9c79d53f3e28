"""Debian's docker-registry on loopback.

`with registry(tmp_path) as r: r.push(image, "team/web:1")` gives the reference `127.0.0.1:PORT/team/web:1`.
It can be stopped and started on the same port (a registry that is down), frozen (one that hangs), and have a
login.
"""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import json
import signal
import ssl
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from pathlib import Path

import bcrypt

from tests.harness.images import Image
from tests.harness.net import Server, free_port
from tests.harness.tls import Authority

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


class Registry:
    """A registry below `directory`. With `login` (user, password) it answers 401 to everyone else; with
    `tls`, it speaks TLS with a certificate of that authority.
    """

    def __init__(
        self,
        directory: Path,
        bind: str = "127.0.0.1",
        login: tuple[str, str] | None = None,
        tls: Authority | None = None,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.bind = bind
        self.port = free_port(bind)
        self.address = f"{bind}:{self.port}"
        self.login = login
        self.tls = tls
        config: dict[str, object] = {
            "version": 0.1,
            "log": {"level": "warn"},
            "storage": {
                "filesystem": {"rootdirectory": str(directory / "data")},
                "delete": {"enabled": True},
            },
            "http": {"addr": self.address},
        }
        if login:
            passwords = directory / "htpasswd"
            digest = bcrypt.hashpw(login[1].encode(), bcrypt.gensalt(4)).decode()
            passwords.write_text(f"{login[0]}:{digest}\n")
            config["auth"] = {"htpasswd": {"realm": "limpet-tests", "path": str(passwords)}}
        if tls:
            certificate, key = tls.issue(bind)
            config["http"] = {"addr": self.address, "tls": {"certificate": str(certificate), "key": str(key)}}
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

    def push(self, wanted: Image, name: str) -> str:
        """Puts an image there as `name:tag` and gives the full reference. No Engine is asked."""
        repository, _, tag = name.partition(":")
        tag = tag or "latest"
        layers = [self._upload(repository, layer, LAYER) for layer in map(_compressed, wanted.layers)]
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self._upload(
                repository, wanted.config, "application/vnd.docker.container.image.v1+json"
            ),
            "layers": layers,
        }
        self._call("PUT", f"/v2/{repository}/manifests/{tag}", json.dumps(manifest).encode(), MANIFEST)
        return f"{self.address}/{repository}:{tag}"

    def _upload(self, repository: str, blob: bytes, media_type: str) -> dict[str, object]:
        digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
        where = self._call("POST", f"/v2/{repository}/blobs/uploads/")["Location"]
        separator = "&" if "?" in where else "?"
        self._call("PUT", f"{where}{separator}digest={digest}", blob, "application/octet-stream")
        return {"mediaType": media_type, "size": len(blob), "digest": digest}

    def _call(self, method: str, url: str, body: bytes = b"", content_type: str = "") -> Message:
        url = url if url.startswith("http") else f"{'https' if self.tls else 'http'}://{self.address}{url}"
        request = urllib.request.Request(url, body, method=method)
        if content_type:
            request.add_header("Content-Type", content_type)
        if self.login:
            request.add_header(
                "Authorization", "Basic " + base64.b64encode(":".join(self.login).encode()).decode()
            )
        trust = ssl.create_default_context(cafile=str(self.tls.ca_file)) if self.tls else None
        with urllib.request.urlopen(request, timeout=30, context=trust) as response:
            headers: Message = response.headers
            return headers


@functools.lru_cache(maxsize=4)
def _compressed(layer: bytes) -> bytes:
    return gzip.compress(layer, 1, mtime=0)


@contextmanager
def registry(
    directory: Path,
    bind: str = "127.0.0.1",
    login: tuple[str, str] | None = None,
    tls: Authority | None = None,
) -> Iterator[Registry]:
    """A running registry."""
    made = Registry(directory, bind, login, tls)
    try:
        made.start()
        yield made
    finally:
        made.stop()
