"""Runs the main job on an embedded example: on this machine, in a directory of its own, in under two minutes.

Every step reports its result and its duration, and is checked; the exit code is 0 only if all steps
succeeded. Containers, networks, volumes, the image and the directory are removed at the end. Another Limpet
on this machine is not affected: the demo is an installation of its own.
"""

from __future__ import annotations

import argparse
import io
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import EXIT_CHANGES, EXIT_FAILED, EXIT_OK, EXIT_ROLLED_BACK, LimpetError, Stalled
from agent.model import INSTANCE_LABEL

if TYPE_CHECKING:
    import docker

APPLETS = ("cat", "echo", "false", "grep", "httpd", "mkdir", "sh", "sleep", "true", "wget")
SETTINGS = """\
[host]
name = "demo"
[source]
url = "file://{url}"
branch = "main"
[gate]
settle = "2s"
deadline = "30s"
[engine]
socket = "{socket}"
"""


class StepFailed(Exception):
    """A step did not have the expected result."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--socket", default="/var/run/docker.sock", help="the Docker Engine to use")
    parser.add_argument("--keep", action="store_true", help="keep everything at the end, to look around")


def run(args: argparse.Namespace) -> int:
    demo = Demo(args.socket)
    try:
        demo.play()
    except StepFailed as failure:
        print(f"\nthe demo failed: {failure}", file=sys.stderr)
        return EXIT_FAILED
    finally:
        if args.keep:
            print(f"everything is kept; to look around: limpet --root {demo.root} status")
        else:
            demo.clean()
    print('\nall steps succeeded, and nothing is left behind. Next: README.md, "On a host".')
    return EXIT_OK


class Demo:
    """The steps of the demo, and the installation that they use."""

    def __init__(self, engine_socket: str) -> None:
        self.socket = engine_socket
        self.home = Path(tempfile.mkdtemp(prefix="limpet-demo-"))
        self.root, self.work, self.bare = self.home / "root", self.home / "fleet", self.home / "fleet.git"
        self.app = f"demo{self.home.name[-6:].lower().replace('_', 'x')}"
        self.image = f"limpet-demo/{self.app}:1"
        self.port = _free_port()
        self.number = 0
        self.client = _client(engine_socket)

    def play(self) -> None:
        """Runs the steps in order. Raises StepFailed."""
        print(f"Limpet demo, all of it below {self.home}\n")
        self.step("make an image from this machine's busybox", self.make_image)
        self.step(
            "limpet init: write a fleet repository, put it behind a bare Git repository", self.make_repository
        )
        self.step("limpet plan: what would happen, and why", self.plan)
        self.step("limpet sync: apply it and prove it healthy", self.first_sync)
        self.step("limpet status", self.status)
        self.step("limpet sync again, nothing was committed", self.second_sync)
        self.step("commit: another page for web", self.good_commit)
        self.step("commit: a web that never gets healthy", self.bad_commit)
        self.step("git revert of that commit", self.revert)
        self.step("limpet history", self.history)

    def step(self, title: str, do: Callable[[], str]) -> None:
        """Runs one step, and prints its title, result and duration."""
        self.number += 1
        print(f"[{self.number:2}] {title}", flush=True)
        started = time.monotonic()
        result = do()
        for line in (*result.splitlines(), f"({time.monotonic() - started:.1f} s)"):
            print(f"     {line}", flush=True)

    # --- steps ---

    def make_image(self) -> str:
        busybox = shutil.which("busybox", path="/bin:/usr/bin:/sbin:/usr/sbin")
        if busybox is None:
            raise StepFailed("there is no busybox on this machine (apt-get install busybox-static)")
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            archive.add(busybox, "bin/busybox")
            for applet in APPLETS:
                link = tarfile.TarInfo(f"bin/{applet}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                archive.addfile(link)
        name, _, tag = self.image.partition(":")
        self.client.api.import_image_from_data(
            buffer.getvalue(), repository=name, tag=tag, changes=["ENV PATH=/bin"]
        )
        return f"-> {self.image}, {len(buffer.getvalue()) // 1024} KiB, no registry needed"

    def make_repository(self) -> str:
        self.limpet(
            "init",
            str(self.work),
            "--image",
            self.image,
            "--name",
            self.app,
            "--port",
            str(self.port),
            root=False,
        )
        self.git("init", "-q", "--bare", "-b", "main", str(self.bare), at=self.home)
        self.git("init", "-q", "-b", "main")
        self.git("remote", "add", "origin", str(self.bare))
        self.push("First")
        settings = self.root / "etc/limpet/limpet.toml"
        settings.parent.mkdir(parents=True)
        settings.write_text(SETTINGS.format(url=self.bare, socket=self.socket))
        files = [path for path in self.work.rglob("*") if path.is_file() and ".git" not in path.parts]
        self.limpet("validate", "--repo", str(self.work), root=False)
        return (
            f"-> {len(files)} files: an app of three services, two templated host files; `limpet "
            "validate` finds no problem"
        )

    def plan(self) -> str:
        said = self.limpet("plan", expect=EXIT_CHANGES)
        self.check(not self.containers(), "plan touched something")
        return "\n".join(line for line in said.splitlines()[1:] if line[:1].isalnum())

    def first_sync(self) -> str:
        said = self.limpet("sync")
        names = self.containers()
        self.check(len(names) == 3, f"3 containers are expected, {len(names)} are there")
        self.check(self.page() == "<h1>Hello</h1>", f"web answers {self.page()!r}")
        about = self.root / f"etc/{self.app}/about.txt"
        self.check(about.is_file() and "demo runs" in about.read_text(), f"{about} was not rendered")
        return (
            f"{said}\n-> http://127.0.0.1:{self.port}/ answers {self.page()}; {about.name}: "
            f"{about.read_text().strip()}"
        )

    def status(self) -> str:
        said = self.limpet("status")
        self.check("Synced" in said, "status does not say Synced")
        return "\n".join(said.splitlines()[:6])

    def second_sync(self) -> str:
        before = self.containers()
        said = self.limpet("sync")
        self.check("nothing to do" in said and self.containers() == before, "the second sync did something")
        return said

    def good_commit(self) -> str:
        before = self.containers()
        (self.work / f"apps/{self.app}/www/index.html").write_text("<h1>Hello again</h1>\n")
        self.push("Say hello again")
        said = self.limpet("sync")
        after = self.containers()
        changed = sorted(name for name in after if after[name] != before.get(name))
        self.check(changed == [f"{self.app}-web-1"], f"only web must be replaced, but {changed} were")
        self.check(self.page() == "<h1>Hello again</h1>", f"web answers {self.page()!r}")
        return (
            f"{said}\n-> replaced: {', '.join(changed)}; the other two are the same containers; web "
            f"answers {self.page()}"
        )

    def bad_commit(self) -> str:
        before = self.containers()
        compose = self.work / f"apps/{self.app}/compose.yaml"
        compose.write_text(
            compose.read_text().replace('["httpd", "-f", "-p", "8080"', '["httpd", "-f", "-p", "8081"')
        )
        self.push("Listen on 8081")
        said = self.limpet("sync", expect=EXIT_ROLLED_BACK)
        self.check(self.containers() == before, "the old containers are not back")
        self.check(self.page() == "<h1>Hello again</h1>", f"web answers {self.page()!r}")
        again = self.limpet("sync", expect=EXIT_ROLLED_BACK)
        self.check("holding" in again and self.containers() == before, "it was tried again")
        return f"{said}\n-> the old containers run again, the same ones; a further sync does not try it again"

    def revert(self) -> str:
        before = self.containers()
        self.git("revert", "--no-edit", "HEAD")
        self.git("push", "-q", "origin", "main")
        said = self.limpet("sync")
        self.check(self.containers() == before, "the revert touched something")
        return said

    def history(self) -> str:
        said = self.limpet("history")
        self.check(
            said.count("Converged") == 2 and said.count("RolledBack") == 1,
            f"the history is not as it was:\n{said}",
        )
        return said

    # --- helpers ---

    def limpet(self, *arguments: str, expect: int = EXIT_OK, root: bool = True) -> str:
        """Runs the real command, and returns its output. Raises StepFailed on another exit code."""
        argv = [
            sys.executable,
            "-I",
            "-m",
            "agent",
            *(["--root", str(self.root)] if root else []),
            *arguments,
        ]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
        said = f"{done.stdout}{done.stderr}"
        self.check(
            done.returncode == expect,
            f"limpet {arguments[0]} exited {done.returncode}, not {expect}:\n{said}",
        )
        return done.stdout.strip() or (done.stderr.strip().splitlines() or [""])[-1]

    def check(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise StepFailed(otherwise)

    def git(self, *arguments: str, at: Path | None = None) -> None:
        identity = [
            "-c",
            "user.name=Limpet demo",
            "-c",
            "user.email=demo@example.org",
            "-c",
            "commit.gpgsign=false",
        ]
        done = subprocess.run(
            ["git", *identity, *arguments], cwd=at or self.work, capture_output=True, text=True, check=False
        )
        self.check(done.returncode == 0, f"git {arguments[0]}: {done.stderr.strip()}")

    def push(self, message: str) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)
        self.git("push", "-q", "origin", "main")

    def containers(self) -> dict[str, str]:
        """Name -> id of the demo's containers."""
        found = self.client.api.containers(
            all=True, filters={"label": f"com.docker.compose.project={self.app}"}
        )
        return {entry["Names"][0].lstrip("/"): entry["Id"] for entry in found}

    def page(self) -> str:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://127.0.0.1:{self.port}/", timeout=5) as answer:
                return str(answer.read().decode()).strip()
        except OSError as error:
            return f"nothing ({error})"

    def clean(self) -> None:
        """Removes everything that the demo created, by its instance label, and its directory."""
        from agent.installation import Paths, instance

        mine: dict[str, str | list[str] | bool] = {"label": f"{INSTANCE_LABEL}={instance(Paths(self.root))}"}
        for container in self.client.containers.list(all=True, filters=mine, ignore_removed=True):
            container.remove(force=True, v=True)
        for network in self.client.networks.list(filters=mine):
            network.remove()
        for volume in self.client.volumes.list(filters=mine):
            volume.remove()
        if self.client.images.list(self.image):
            self.client.images.remove(self.image, force=True)
        self.client.close()
        shutil.rmtree(self.home, ignore_errors=True)


def _client(path: str) -> docker.DockerClient:
    import docker

    try:
        client = docker.DockerClient(base_url=f"unix://{path}", timeout=60)
        client.ping()
    except (docker.errors.DockerException, OSError) as error:
        raise _no_engine(path) from error
    return client


def _no_engine(path: str) -> LimpetError:
    return Stalled(
        f"no Docker Engine answers at {path}",
        "start it (systemctl start docker), or run `make demo`, which does",
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
