"""The Docker Engine of the machine, and a private one that a test may stop.

Rules:
1. The machine's Engine is started when none answers and never stopped.
2. What a test makes carries a prefix from `unique`; `remove_all(prefix)` takes containers, networks, volumes
   and image tags with that prefix (in the name, or as Compose project) and nothing else.
3. What a killed run leaves is removed by the next one that begins alone (`sessions`).
"""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import docker
import docker.errors
from docker.models.containers import Container

from tests.harness.net import Server
from tests.harness.wait import eventually

CHECKOUT = Path(__file__).resolve().parents[2]
PROJECT_LABEL = "com.docker.compose.project"
END = "-- end --"


def unique(word: str = "lt") -> str:
    """A prefix that no other test uses: `word` and 8 hex digits."""
    return f"{word}-{secrets.token_hex(4)}"


@dataclass
class Engine:
    """A Docker Engine: its unix socket and a client for it."""

    socket: str

    @cached_property
    def client(self) -> docker.DockerClient:
        """Made at first use, when the Engine must answer."""
        return docker.DockerClient(base_url=f"unix://{self.socket}", timeout=120)

    def answers(self) -> bool:
        """True when the Engine answers a ping now."""
        connection = UnixConnection(self.socket, timeout=5)
        try:
            connection.request("GET", "/_ping")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def said(self, container: str, *command: str) -> str:
        """What a command in a container prints. An Engine loses the output of one that is short now and then,
        so it is run until all of it is there.
        """

        def whole() -> str:
            script = ["sh", "-c", f'"$@" 2>/dev/null; echo {END}', "-", *command]
            output = self.client.containers.get(container).exec_run(script).output
            assert isinstance(output, bytes)  # an iterator only of a command whose output is streamed
            printed = output.decode()
            return printed if printed.endswith(f"{END}\n") else ""

        return eventually(whole, 30, f"the output of {' '.join(command)} in {container}").removesuffix(
            f"{END}\n"
        )

    @contextmanager
    def prefix(self, word: str = "lt") -> Iterator[str]:
        """A unique prefix; everything that carries it is removed at the end."""
        name = unique(word)
        try:
            yield name
        finally:
            self.remove_all(name)

    def containers(self, prefix: str) -> list[Container]:
        """All containers, running or not, whose name or Compose project starts with the prefix."""
        return [
            c
            for c in self.client.containers.list(all=True, ignore_removed=True)
            if str(c.name).startswith(prefix) or c.labels.get(PROJECT_LABEL, "").startswith(prefix)
        ]

    def remove_all(self, prefix: str) -> None:
        """Removes all that carries the prefix; what vanishes meanwhile is no error."""
        assert len(prefix) >= 8, f"{prefix!r} is too short to be unique"
        gone = suppress(docker.errors.NotFound, docker.errors.APIError)
        for container in self.containers(prefix):
            with gone:
                container.remove(force=True, v=True)
        for network in self.client.networks.list():
            if str(network.name).startswith(prefix) or (network.attrs.get("Labels") or {}).get(
                PROJECT_LABEL, ""
            ).startswith(prefix):
                with gone:
                    network.remove()
        for volume in self.client.volumes.list():
            if volume.name.startswith(prefix) or (volume.attrs.get("Labels") or {}).get(
                PROJECT_LABEL, ""
            ).startswith(prefix):
                with gone:
                    volume.remove(force=True)
        for image in (
            self.client.api.images()
        ):  # the high-level list inspects each, and trips over one that goes meanwhile
            for tag in image["RepoTags"] or ():
                if tag.startswith(prefix) or f"/{prefix}" in tag:
                    with gone:
                        self.client.images.remove(tag)


UNIQUE = re.compile(r"(foreign-)?lt[a-z]*-([a-z0-9-]*-)?[0-9a-f]{8}(?![0-9a-f])")


def clear_stale(engine: Engine) -> None:
    """Removes what a killed run left on an Engine that no run uses: all that carries a prefix of `unique`."""
    client = engine.client
    names = [str(container["Names"][0])[1:] for container in client.api.containers(all=True)]
    names += [str(network["Name"]) for network in client.api.networks()]
    names += [str(volume["Name"]) for volume in client.api.volumes()["Volumes"] or ()]
    names += [tag for image in client.api.images() for tag in image["RepoTags"] or ()]
    for prefix in dict.fromkeys(found[0] for found in map(UNIQUE.match, names) if found):
        engine.remove_all(prefix)


def machine_engine() -> Engine:
    """The machine's Engine, started when none answers. RuntimeError with its last words when it does not
    start.
    """
    engine = Engine("/var/run/docker.sock")
    if not engine.answers():
        done = subprocess.run(
            [str(CHECKOUT / "tools/engine.sh")],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode or not engine.answers():
            raise RuntimeError(f"no Docker Engine: {done.stdout}{done.stderr}")
    return engine


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


PRIVATE_PREFIX, ALIVE = "lt-", "alive"  # its directory, and the lock that its maker holds there
PRIVATE = """ip link set lo up
[ ! -d /run/containerd ] || mount -t tmpfs tmpfs /run/containerd
exec "$0" "$@"
"""


class PrivateEngine:
    """An Engine of its own below `directory`, which a test may stop, start or kill.

    It lives in network and mount namespaces of its own: its bridges, published ports and firewall rules are
    not the machine's (an Engine set to have no bridge would delete the machine's `docker0`), and it finds no
    other containerd.
    """

    def __init__(self, directory: Path, **settings: object) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        # A path of a socket has at most 107 bytes, and containerd's lie deep below this one.
        self._run = Path(tempfile.mkdtemp(prefix=PRIVATE_PREFIX, dir="/tmp"))
        self._alive = (self._run / ALIVE).open("w")
        fcntl.flock(self._alive, fcntl.LOCK_EX)
        self.socket = str(self._run / "docker.sock")
        config = directory / "daemon.json"
        config.write_text(json.dumps({"shutdown-timeout": 2, **settings}))
        argv = [
            "unshare",
            "--net",
            "--mount",
            "sh",
            "-c",
            PRIVATE,
            "dockerd",
            "--config-file",
            str(config),
            "--host",
            f"unix://{self.socket}",
            "--data-root",
            str(directory / "data"),
            "--exec-root",
            str(self._run / "exec"),
            "--pidfile",
            str(self._run / "docker.pid"),
        ]
        self._server = Server(argv, directory / "dockerd.log")
        self.engine = Engine(self.socket)

    @property
    def client(self) -> docker.DockerClient:
        return self.engine.client

    @property
    def pid(self) -> int:
        return self._server.pid

    def start(self) -> None:
        for stale in ("docker.pid", "docker.sock"):
            with suppress(FileNotFoundError):
                (self._run / stale).unlink()
        self._server.start()
        eventually(self._up, 180, "the private Docker Engine")

    def _up(self) -> bool:
        """True when it answers; starts it again when it has ended, for it gives its containerd only 15 s."""
        try:
            self._server.assert_alive()
        except AssertionError:
            self._server.stop()
            self._server.start()
            raise
        return self.engine.answers()

    def stop(self) -> None:
        """Stops it with its containers; the socket refuses from then on."""
        self._server.stop()

    def close(self) -> None:
        if self.engine.answers():
            for container in self.client.containers.list(all=True, ignore_removed=True):
                with suppress(docker.errors.APIError):
                    container.remove(force=True, v=True)
        self.stop()
        end_private(self._run)
        self._alive.close()


def end_private(run: Path) -> None:
    """Ends what is left of a private Engine: shims outlive one that was killed."""
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if str(run).encode() in process.read_bytes():
                os.kill(int(process.parent.name), signal.SIGKILL)
    shutil.rmtree(run, ignore_errors=True)


def end_stale() -> None:
    """Ends the private Engines whose run was killed."""
    for alive in Path("/tmp").glob(f"{PRIVATE_PREFIX}*/{ALIVE}"):
        with suppress(OSError), alive.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            end_private(alive.parent)


@contextmanager
def private_engine(directory: Path, **settings: object) -> Iterator[PrivateEngine]:
    """A running private Engine below an empty directory on a real disk; `settings` go into its
    daemon.json.
    """
    private = PrivateEngine(directory, **settings)
    try:
        private.start()
        yield private
    finally:
        private.close()
