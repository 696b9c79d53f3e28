"""Test hosts: systemd as PID 1 and a Docker Engine of their own, in a container of the machine's Engine.

    with host_network(engine) as net, HttpsRemote(repo, tmp_path, bind=net.gateway) as git:
        with host(engine, net, "web-01", release="bookworm") as h:
            h.install_limpet()
            h.configure(git, branch="main", host={"labels": {"role": "web"}})
            assert h.limpet("sync").code == 0
            assert h.heartbeat()["state"] == "Synced"

Rules:
1. A host reaches the servers of the tests at the gateway of its network, and nothing else.
2. A host's files, containers and journal outlive `kill` and `boot`; /run and /tmp do not.
3. When a test fails, the journals, heartbeats and containers of the hosts that run are kept below artifacts/.
"""

from __future__ import annotations

import functools
import io
import json
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker.errors
from docker.models.containers import Container
from docker.models.networks import Network
from docker.types import IPAMConfig, IPAMPool

from tests.harness import filestate, images
from tests.harness.engine import CHECKOUT, Engine, unique
from tests.harness.filestate import FileState
from tests.harness.gitserver import FileRemote, HttpsRemote, SshRemote
from tests.harness.hostimage import host_image
from tests.harness.wait import eventually

HEARTBEAT = "/run/limpet/heartbeat.json"
CREDENTIALS = ("ca_file", "token_file", "ssh_key", "known_hosts")
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
}
Remote = FileRemote | HttpsRemote | SshRemote
RUNNING: list[Host] = []


@dataclass(frozen=True)
class Result:
    """What a command on a host did."""

    argv: tuple[str, ...]
    code: int
    out: str
    err: str

    def __str__(self) -> str:
        return f"{shlex.join(self.argv)}: exit {self.code}\n{self.out}{self.err}"


@dataclass(frozen=True)
class HostNetwork:
    """A bridge of the machine for test hosts; servers of the tests bind to `gateway`."""

    network: Network
    gateway: str


@contextmanager
def host_network(engine: Engine) -> Iterator[HostNetwork]:
    """A network that carries traffic between the machine and its hosts, and none beyond."""
    for _ in range(20):
        subnet = f"10.{random.randrange(200, 250)}.{random.randrange(256)}"
        pool = IPAMConfig(pool_configs=[IPAMPool(subnet=f"{subnet}.0/24", gateway=f"{subnet}.1")])
        with suppress(docker.errors.APIError):
            network = engine.client.networks.create(unique("lt-hosts"), ipam=pool, internal=True)
            break
    else:
        raise RuntimeError("no free 10.x.y.0/24 subnet for test hosts")
    try:
        yield HostNetwork(network, f"{subnet}.1")
    finally:
        network.remove()


class Host:
    """A running test host. Paths are the host's own; commands are argv lists, run as root."""

    def __init__(self, container: Container, name: str, release: str, scratch: Path) -> None:
        self.container = container
        self.name = name
        self.release = release
        self.pid = 0  # of its first process, as the machine sees it
        self._socket = scratch / "docker.sock"
        self.engine = Engine(str(self._socket))

    # Running things.

    def run(
        self,
        argv: Sequence[str],
        check: bool = True,
        timeout: float = 120,
        env: Mapping[str, str] | None = None,
    ) -> Result:
        """Runs a command to its end; AssertionError when it fails (unless `check=False`). After `timeout` s
        it is killed and the code is 124 or 137.
        """
        code, out, err = self._enter(["timeout", "--kill-after=5", f"{timeout:g}", *argv], env=env)
        result = Result(tuple(argv), code, out.decode(errors="replace"), err.decode(errors="replace"))
        assert code == 0 or not check, f"{self.name}: {result}"
        return result

    def _enter(
        self, argv: Sequence[str], stdin: bytes = b"", env: Mapping[str, str] | None = None
    ) -> tuple[int, bytes, bytes]:
        """Runs a command in the host's namespaces. Not by the Engine's exec, which loses output on a loaded
        machine.
        """
        enter = [
            "nsenter",
            f"--target={self.pid}",
            "--mount",
            "--uts",
            "--ipc",
            "--net",
            "--pid",
            "--root",
            "--",
        ]
        done = subprocess.run(
            [*enter, *argv],
            input=stdin,
            env={**ENVIRONMENT, **(env or {})},
            cwd="/",
            capture_output=True,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    def limpet(self, *arguments: str, timeout: float = 300) -> Result:
        """Runs `limpet` with these arguments; its exit code is for the caller to judge."""
        return self.run(["limpet", *arguments], check=False, timeout=timeout)

    def systemctl(self, *arguments: str, check: bool = True) -> Result:
        return self.run(["systemctl", *arguments], check=check)

    def restart(self, unit: str) -> None:
        """Restarts a unit; for `docker`, waits until the Engine answers again."""
        self.systemctl("restart", unit)
        if unit.startswith("docker"):
            eventually(self.engine.answers, 60, f"the Engine of {self.name}")

    # Files.

    def put(self, path: str, content: str | bytes, mode: int = 0o644) -> None:
        """Writes a file, making its directories."""
        raw = content.encode() if isinstance(content, str) else content
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode = len(raw), mode
            archive.addfile(entry, io.BytesIO(raw))
        self.unpack(buffer.getvalue())

    def unpack(self, archive: bytes, directory: str = "/") -> None:
        """Unpacks a tar archive there."""
        argv = ["tar", "--keep-directory-symlink", "-C", directory, "-xf", "-"]
        code, _, err = self._enter(argv, archive)
        assert code == 0, f"{self.name}: tar: {err.decode(errors='replace')}"

    def read(self, path: str) -> str:
        return self.run(["cat", path]).out

    def exists(self, path: str) -> bool:
        return self.run(["test", "-e", path], check=False).code == 0

    def files(self, directory: str, ignore: Sequence[str] = ()) -> dict[str, FileState]:
        """A snapshot of what lies below a directory (see `filestate.files`)."""
        source = Path(filestate.__file__).read_text()
        found = json.loads(self.run(["python3", "-I", "-c", source, directory, *ignore]).out)
        return {name: FileState(**state) for name, state in found.items()}

    # The host's Engine: `engine`, reached from here, also after a restart of the host.

    def load_image(self, wanted: images.Image) -> images.Image:
        """Makes sure that the host's Engine has an image."""
        return images.load(self.engine.client, wanted)

    # Limpet on the host.

    def install_limpet(self) -> None:
        """Installs the checkout as the service, as packages lay it out; neither configured nor started."""
        self.unpack(_distribution())
        wheel = f"/limpet-source/{_wheel().name}"
        self.run(["/limpet-source/packaging/install.sh"], env={"WHEEL": wheel, "PIP_NO_INDEX": "1"})

    def configure(self, remote: Remote, branch: str = "main", **sections: Mapping[str, Any]) -> None:
        """Writes the settings: [source] for this server, with its credentials as files on the host, and other
        sections by name. Times are short, so that tests do not wait: `gate={"settle": "10s"}` overrides."""
        source: dict[str, Any] = {**remote.settings(), "branch": branch}
        for key in CREDENTIALS:
            if key in source:
                content = Path(source[key]).read_text()
                source[key] = f"/etc/limpet/{key}"
                self.put(source[key], content, 0o600)
        merged: dict[str, dict[str, Any]] = {
            "host": {"name": self.name},
            "source": {"poll": "2s", "timeout": "10s"} | source,
            "gate": {"settle": "1s", "deadline": "20s"},
        }
        for name, section in sections.items():
            merged[name] = {**merged.get(name, {}), **section}
        self.settings(to_toml(merged))

    def settings(self, toml: str) -> None:
        """Writes /etc/limpet/limpet.toml."""
        self.put("/etc/limpet/limpet.toml", toml, 0o600)

    def start_limpet(self) -> None:
        """Enables and starts the service; returns when it has said that it is ready."""
        self.systemctl("enable", "--now", "--quiet", "limpet")

    def heartbeat(self) -> dict[str, Any]:
        """The heartbeat as it is now; AssertionError when there is none."""
        document: dict[str, Any] = json.loads(self.read(HEARTBEAT))
        return document

    def journal(self, unit: str = "limpet") -> str:
        return self.run(
            ["journalctl", "--no-pager", "--output=short-precise", "--unit", unit], check=False
        ).out

    # Power.

    def kill(self) -> None:
        """Pulls the plug: every process is gone at once."""
        self.container.kill()

    def shut_down(self) -> None:
        """An orderly power-off."""
        self.container.stop(timeout=60)

    def boot(self) -> None:
        """Switches it on and waits until systemd has started everything and the Engine answers."""
        self.container.start()
        self.wait_until_up()

    def wait_until_up(self) -> None:
        """Waits until all is up; the socket of the host's Engine is that of its new first process."""
        self.container.reload()
        self.pid = self.container.attrs["State"]["Pid"]
        self._socket.unlink(missing_ok=True)
        self._socket.symlink_to(f"/proc/{self.pid}/root/run/docker.sock")

        def running() -> bool:
            state = self.run(
                ["systemctl", "is-system-running", "--wait"], check=False, timeout=60
            ).out.strip()
            if state == "degraded":
                raise RuntimeError(self.run(["systemctl", "--failed", "--no-pager"]).out)
            return state == "running"

        eventually(running, 90, f"{self.name} to boot", interval=0.1)
        eventually(self.engine.answers, 60, f"the Engine of {self.name}")

    def keep_artifacts(self, directory: Path) -> None:
        """Writes what tells the story of a failure; never raises."""
        directory.mkdir(parents=True, exist_ok=True)
        commands = {
            "journal.txt": ["journalctl", "--no-pager", "--output=short-precise"],
            "heartbeat.json": ["cat", HEARTBEAT],
            "limpet.toml": ["cat", "/etc/limpet/limpet.toml"],
            "units.txt": ["systemctl", "list-units", "--all", "--no-pager"],
            "state.txt": ["ls", "-laR", "/var/lib/limpet"],
        }
        for name, argv in commands.items():
            with suppress(Exception):
                result = self.run(argv, check=False, timeout=20)
                (directory / name).write_text(result.out + result.err)
        with suppress(Exception):
            found = [c.attrs for c in self.engine.client.containers.list(all=True)]
            (directory / "containers.json").write_text(json.dumps(found, indent=1))


@contextmanager
def host(
    engine: Engine, net: HostNetwork, name: str, release: str = "bookworm", share: Path | None = None
) -> Iterator[Host]:
    """A booted test host with this host name. `share`: a directory of the machine that it sees at the same
    path.
    """
    shared = [f"{share}:{share}"] if share else []
    container = engine.client.containers.run(
        host_image(engine, release),
        name=unique(f"lt-{name}"),
        hostname=name,
        detach=True,
        network=net.network.name,
        cap_add=["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE"],
        security_opt=["seccomp=unconfined", "apparmor=unconfined"],
        tmpfs={"/run": "", "/run/lock": "", "/tmp": ""},
        volumes=["/sys/fs/cgroup:/sys/fs/cgroup:rw", "/var/lib/docker", *shared],
        cgroupns="host",
        environment={"container": "docker"},
    )
    try:
        with attached(container, name, release) as made:
            yield made
    finally:
        container.remove(force=True, v=True)


@contextmanager
def attached(container: Container, name: str, release: str) -> Iterator[Host]:
    """A test host that runs, or has just been started."""
    scratch = Path(tempfile.mkdtemp(prefix="limpet-host-"))
    made = Host(container, name, release, scratch)
    try:
        made.wait_until_up()
        RUNNING.append(made)
        yield made
    except BaseException:
        made.keep_artifacts(artifacts(name))
        raise
    finally:
        with suppress(ValueError):
            RUNNING.remove(made)
        shutil.rmtree(scratch)


def artifacts(name: str) -> Path:
    """Where the running test keeps what tells of a failure on a host."""
    test = os.environ.get("PYTEST_CURRENT_TEST", "no test").rpartition(" ")[0]
    return CHECKOUT / "artifacts" / re.sub(r"[^\w.\[\]-]+", "_", test) / name


def to_toml(sections: Mapping[str, Mapping[str, Any]]) -> str:
    """Settings as TOML; values are texts, numbers, booleans, lists and flat mappings."""

    def value(item: Any) -> str:
        if isinstance(item, Mapping):
            return "{" + ", ".join(f"{json.dumps(k)} = {value(v)}" for k, v in item.items()) + "}"
        if isinstance(item, list | tuple):
            return "[" + ", ".join(value(each) for each in item) + "]"
        return json.dumps(item)

    lines = []
    for name, section in sections.items():
        lines += [f"[{name}]", *(f"{key} = {value(item)}" for key, item in section.items()), ""]
    return "\n".join(lines)


@functools.cache
def _wheel() -> Path:
    """The checkout as a wheel, built once per run."""
    directory = Path(tempfile.mkdtemp(prefix="limpet-wheel-"))
    argv = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
    ]
    subprocess.run(
        [*argv, "--wheel-dir", str(directory), str(CHECKOUT)], check=True, stdin=subprocess.DEVNULL
    )
    return next(directory.glob("*.whl"))


@functools.cache
def _distribution() -> bytes:
    """The wheel, and what the installer needs beside it, below /limpet-source."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("packaging", "systemd", "tools", "requirements.lock"):
            archive.add(CHECKOUT / name, f"limpet-source/{name}")
        archive.add(_wheel(), f"limpet-source/{_wheel().name}")
    return buffer.getvalue()


def forget_wheel() -> None:
    """Removes the wheel of this run."""
    if _wheel.cache_info().currsize:
        shutil.rmtree(_wheel().parent, ignore_errors=True)
        _wheel.cache_clear()
        _distribution.cache_clear()
