"""Tiny images made from busybox-static, without a registry.

Rules:
1. An image is a pure function of its recipe: the same recipe has the same image id on every Engine and every
   day.
2. The tag is `limpet-test/KIND:VERSION`; loading one that an Engine has already costs one request.
3. Each stops at once on SIGTERM, except where its purpose is not to.

Kinds: `idle` (runs, does nothing), `web` (answers on port 8080 from /www, has a health check), `plain-web`
(the same without), `sick` (runs, never healthy), `crash` (exits 3 at once), `late` (healthy for $AFTER s,
default 2, then exits 1), `once` (exits 0), `fail-once` (exits 7), `stubborn` (ignores SIGTERM).
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import platform
import shutil
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import docker
import docker.errors

REPOSITORY = "limpet-test"
SECOND = 1_000_000_000

APPLETS = (
    "sh",
    "ash",
    "cat",
    "cp",
    "date",
    "dd",
    "echo",
    "env",
    "expr",
    "false",
    "grep",
    "head",
    "hostname",
    "httpd",
    "id",
    "ip",
    "kill",
    "ln",
    "ls",
    "mkdir",
    "mv",
    "nc",
    "netstat",
    "nslookup",
    "ping",
    "printenv",
    "ps",
    "pwd",
    "rm",
    "sed",
    "seq",
    "sleep",
    "sort",
    "stat",
    "sync",
    "tail",
    "tee",
    "test",
    "[",
    "top",
    "touch",
    "tr",
    "true",
    "umount",
    "uname",
    "vi",
    "wc",
    "wget",
    "which",
)


_IDLE = "#!/bin/sh\ntrap 'exit 0' TERM INT\nwhile :; do sleep 1000000 & wait $!; done\n"
_SERVE = "#!/bin/sh\ntrap 'exit 0' TERM INT\nhttpd -f -p ${PORT:-8080} -h ${WWW:-/www} &\nwait $!\n"
_LATE = "#!/bin/sh\ntrap 'exit 0' TERM INT\nsleep ${AFTER:-2} & wait $!\necho failing >&2\nexit 1\n"
_STUBBORN = "#!/bin/sh\ntrap '' TERM INT\nwhile :; do sleep 1000000; done\n"
_PROBE = ["CMD-SHELL", "wget -q -O /dev/null http://127.0.0.1:${PORT:-8080}/"]


@dataclass(frozen=True)
class Image:
    """A ready image: its tag, its id, its configuration document and layers, and all that as `docker save`
    has it.
    """

    ref: str
    id: str
    config: bytes
    layers: tuple[bytes, ...]
    archive: bytes


def healthcheck_of(test: Sequence[str], interval: float = 0.3, retries: int = 3) -> dict[str, object]:
    return {"Test": list(test), "Interval": int(interval * SECOND), "Timeout": 5 * SECOND, "Retries": retries}


KINDS: Mapping[str, Mapping[str, object]] = {
    "idle": {"Cmd": ["/bin/idle"]},
    "web": {"Cmd": ["/bin/serve"], "Healthcheck": healthcheck_of(_PROBE)},
    "plain-web": {"Cmd": ["/bin/serve"]},
    "sick": {"Cmd": ["/bin/idle"], "Healthcheck": healthcheck_of(["CMD", "false"])},
    "crash": {"Cmd": ["sh", "-c", "echo dying >&2; exit 3"]},
    "late": {"Cmd": ["/bin/late"], "Healthcheck": healthcheck_of(["CMD", "true"])},
    "once": {"Cmd": ["sh", "-c", "echo done"]},
    "fail-once": {"Cmd": ["sh", "-c", "echo cannot >&2; exit 7"]},
    "stubborn": {"Cmd": ["/bin/stubborn"]},
}


def _add(archive: tarfile.TarFile, name: str, content: bytes, mode: int = 0o755) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    archive.addfile(entry, io.BytesIO(content))


def _directory(archive: tarfile.TarFile, name: str, mode: int = 0o755) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, mode
    archive.addfile(entry)


@functools.cache
def _base_layer() -> bytes:
    """busybox, its applets, the small programs, users and an empty /tmp and /www."""
    busybox = Path(
        shutil.which("busybox", path="/bin:/usr/bin:/usr/local/bin") or "/bin/busybox"
    ).read_bytes()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, mode in (("bin", 0o755), ("etc", 0o755), ("tmp", 0o1777), ("www", 0o755), ("data", 0o755)):
            _directory(archive, name, mode)
        _add(archive, "bin/busybox", busybox)
        for applet in APPLETS:
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(entry)
        for name, script in (("idle", _IDLE), ("serve", _SERVE), ("late", _LATE), ("stubborn", _STUBBORN)):
            _add(archive, f"bin/{name}", script.encode())
        _add(archive, "etc/passwd", b"root:x:0:0::/:/bin/sh\napp:x:1000:1000::/:/bin/sh\n", 0o644)
        _add(archive, "etc/group", b"root:x:0:\napp:x:1000:\n", 0o644)
    return buffer.getvalue()


def _version_layer(version: str, files: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, text in sorted({"version": version, "www/index.html": f"{version}\n", **files}.items()):
            _add(archive, path.lstrip("/"), text.encode(), 0o755 if text.startswith("#!") else 0o644)
    return buffer.getvalue()


def make(
    ref: str, config: Mapping[str, object], version: str = "v1", files: Mapping[str, str] | None = None
) -> Image:
    """An image of our own recipe: `config` as in the image specification (Cmd, Env, Healthcheck, Labels, User
    …), `files` by path in the image. `/version` and `/www/index.html` hold the version.
    """
    layers = [_base_layer(), _version_layer(version, files or {})]
    digests = [hashlib.sha256(layer).hexdigest() for layer in layers]
    settings = {"Env": ["PATH=/bin", f"VERSION={version}"], "WorkingDir": "/", **config}
    document = json.dumps(
        {
            "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()],
            "os": "linux",
            "created": "2024-01-01T00:00:00Z",
            "config": settings,
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{d}" for d in digests]},
            "history": [
                {"created": "2024-01-01T00:00:00Z", "created_by": "tests/harness/images.py"} for _ in digests
            ],
        },
        sort_keys=True,
    ).encode()
    image_id = hashlib.sha256(document).hexdigest()
    manifest = [
        {"Config": f"{image_id}.json", "RepoTags": [ref], "Layers": [f"{d}/layer.tar" for d in digests]}
    ]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        _add(archive, f"{image_id}.json", document, 0o644)
        for digest, layer in zip(digests, layers, strict=True):
            _add(archive, f"{digest}/layer.tar", layer, 0o644)
        _add(archive, "manifest.json", json.dumps(manifest).encode(), 0o644)
    return Image(ref, f"sha256:{image_id}", document, tuple(layers), buffer.getvalue())


@functools.cache
def image(kind: str, version: str = "v1") -> Image:
    """The image `limpet-test/KIND:VERSION` (see the kinds above), not yet loaded anywhere."""
    return make(f"{REPOSITORY}/{kind}:{version}", KINDS[kind], version)


def load(client: docker.DockerClient, wanted: Image) -> Image:
    """Makes sure that an Engine has the image under its tag."""
    try:
        if client.images.get(wanted.ref).id == wanted.id:
            return wanted
    except docker.errors.ImageNotFound:
        pass
    client.images.load(wanted.archive)
    return wanted


def load_all(client: docker.DockerClient, versions: Sequence[str] = ("v1", "v2")) -> dict[str, Image]:
    """Every kind in every version, by `KIND:VERSION`."""
    wanted = {f"{kind}:{version}": image(kind, version) for kind in KINDS for version in versions}
    return {name: load(client, each) for name, each in wanted.items()}
