"""The apps of the contract suite: what lies below apps/NAME, and how both tools make containers of it.

Rules:
1. `apps/NAME` is an app as in a fleet repository, about one rule or one stack. `case.yaml` beside it is the
   suite's own: `start` (compared running), `around` (what others made before: networks, volumes, containers),
   `expect` (dotted fields of the inspection, where Docker Compose 1.29 is too old), `api` and `too_new` (the
   Engine's API that a key needs), `files` (below the app's directory), `syncs` (false where this machine
   lacks what it needs).
2. In every file `lt-project` is the project's name, 10.231.x and fd00:231: are free networks, 58000 to 58099
   free ports.
3. `compose.json` beside it is what Docker Compose makes of the app (`answers`).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import docker
import yaml

from agent.converge.apply import apply
from agent.converge.prefetch import check_engine
from agent.decide.plan import plan
from agent.drivers.host import Host, RealHost
from agent.drivers.observe import Look
from agent.kinds.base import Target, View
from agent.model import Action, Manifest, Resource
from agent.render.assembly import RenderContext
from agent.render.render import render
from agent.report.progress import Silent
from agent.store.journal import Journal
from tests.fakes.tree import MemoryTree
from tests.harness import images
from tests.harness.engine import Engine

DIRECTORY = Path(__file__).parent / "apps"
CASE, ANSWER = "case.yaml", "compose.json"
PROJECT, NET, NET6 = "lt-project", "10.231.", "fd00:231:"
SECOND = images.SECOND

# Images that say much about themselves, as those of real software do. All run /bin/idle, which takes any
# words.
IMAGES: Mapping[str, Mapping[str, Any]] = {
    "full": {
        "Entrypoint": ["/bin/idle", "--quiet"],
        "Cmd": ["serve", "--all"],
        "User": "app",
        "WorkingDir": "/srv",
        "Env": ["PATH=/bin", "LEVEL=info", "FROM=image"],
        "ExposedPorts": {"8080/tcp": {}, "9090/udp": {}},
        "Volumes": {"/var/lib/full": {}},
        "Labels": {"com.example.image": "full", "com.example.version": "1"},
        "StopSignal": "SIGUSR1",
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": SECOND, "Retries": 2},
    },
    "db": {
        "Entrypoint": ["/bin/idle"],
        "Cmd": ["postgres"],
        "Env": ["PATH=/bin", "PGDATA=/var/lib/postgresql/data"],
        "ExposedPorts": {"5432/tcp": {}},
        "Volumes": {"/var/lib/postgresql/data": {}},
        "StopSignal": "SIGINT",
    },
    "cache": {
        "Entrypoint": ["/bin/idle"],
        "Cmd": ["redis-server"],
        "WorkingDir": "/data",
        "Volumes": {"/data": {}},
        "ExposedPorts": {"6379/tcp": {}},
    },
    "php": {
        "Entrypoint": ["/bin/idle"],
        "Cmd": ["apache2-foreground"],
        "WorkingDir": "/var/www/html",
        "ExposedPorts": {"80/tcp": {}},
        "Volumes": {"/var/www/html": {}},
        "StopSignal": "SIGWINCH",
    },
    "proxy": {
        "Entrypoint": ["/bin/idle"],
        "Cmd": ["nginx", "-g", "daemon off;"],
        "ExposedPorts": {"80/tcp": {}},
        "StopSignal": "SIGQUIT",
        "Labels": {"maintainer": "nobody"},
    },
}


@dataclass(frozen=True)
class Place:
    """Networks `10.NETWORK.` and ports from `port` on, for the use of one app."""

    network: str
    port: int

    def put(self, text: str) -> str:
        """A text of an app, there."""
        text = text.replace(NET, f"10.{self.network}.").replace(NET6, f"fd00:{self.network}:")
        return re.sub(r"\b580(\d\d)\b", lambda found: str(self.port + int(found[1])), text)


@dataclass(frozen=True)
class App:
    name: str
    files: Mapping[str, str]
    case: Mapping[str, Any] = field(default_factory=dict)
    answer: Mapping[str, Any] = field(default_factory=dict)

    def placed(self, project: str, place: Place) -> App:
        """The app under a project's name, at this place, and the answer as it would have been there."""

        def put(text: str) -> str:
            return place.put(text.replace(PROJECT, project))

        files = {path: put(text) for path, text in self.files.items()}
        case, answer = json.loads(put(json.dumps(self.case))), json.loads(place.put(json.dumps(self.answer)))
        return App(self.name, files, case, answer)


@cache
def apps() -> dict[str, App]:
    """All apps by name."""
    found = {}
    for directory in sorted(DIRECTORY.iterdir()):
        files = {
            str(path.relative_to(directory)): path.read_text()
            for path in sorted(directory.rglob("*"))
            if path.is_file()
        }
        case = yaml.safe_load(files.pop(CASE, "")) or {}
        answer = json.loads(files.pop(ANSWER, "{}"))
        found[directory.name] = App(directory.name, files, case, answer)
    return found


def load_images(client: docker.DockerClient) -> None:
    """The images of the apps, beside those that the harness always loads."""
    for kind in IMAGES:
        images.load(client, image(kind))


@cache
def image(kind: str) -> images.Image:
    return images.make(f"{images.REPOSITORY}/{kind}:v1", IMAGES[kind])


def place() -> Place:
    """That of this worker of the run: none of the others uses it, and each runs one test at a time."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    assert worker < 100, "there are places for a hundred workers"
    return Place(str(100 + worker), 20000 + 100 * worker)


def surround(engine: Engine, app: App) -> None:
    """Makes what others made."""
    around = app.case.get("around") or {}
    for name in around.get("networks") or ():
        engine.client.networks.create(name)
    for name in around.get("volumes") or ():
        engine.client.volumes.create(name)
    for name in around.get("containers") or ():
        engine.client.containers.run(
            f"{images.REPOSITORY}/idle:v1", name=name, detach=True, volumes=[f"{name}:/outside"]
        )


# --- Docker Compose -----------------------------------------------------------------------------------------

SERVER = """
import json, os, sys, traceback
import compose
from compose.cli.main import main
print(compose.__version__, flush=True)
for line in sys.stdin:
    job = json.loads(line)
    pid = os.fork()
    if not pid:
        out = os.open(job["log"], os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.chdir(job["directory"])
        sys.argv = ["docker-compose", *job["argv"]]
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException:
            traceback.print_exc()
            code = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code or 0)
    print(os.waitpid(pid, 0)[1], flush=True)
"""


class Compose:
    """Debian's docker-compose: its own program, loaded once, run in a process for each call."""

    def __init__(self, engine: Engine, scratch: Path) -> None:
        self._log = scratch / "compose.log"
        environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(scratch),
            "LANG": "C.UTF-8",
            "DOCKER_HOST": f"unix://{engine.socket}",
        }
        self._server = subprocess.Popen(
            ["/usr/bin/python3", "-c", SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        assert self._server.stdout
        self.version = self._server.stdout.readline().strip()

    def up(self, app: App, project: str, directory: Path) -> None:
        """`docker-compose up` in a directory with the app's files. Keys of `deploy` count, as they do in
        Compose v2.
        """
        for path, text in app.files.items():
            place = directory / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        how = "--detach" if app.case.get("start") else "--no-start"
        argv = ["--compatibility", "--project-name", project, "up", how]
        job = {"directory": str(directory), "argv": argv, "log": str(self._log)}
        assert self._server.stdin and self._server.stdout
        self._server.stdin.write(json.dumps(job) + "\n")
        self._server.stdin.flush()
        code = self._server.stdout.readline().strip()
        assert code == "0", f"docker-compose says:\n{self._log.read_text()}"

    def close(self) -> None:
        self._server.communicate(timeout=30)


# --- Limpet -------------------------------------------------------------------------------------------------


def manifest_of(host: RealHost, app: App, project: str) -> Manifest:
    """What the app is to be; its files are in the host's content store."""
    tree = {f"apps/{project}/{path}": text for path, text in app.files.items()}
    rendered = render(MemoryTree(tree), RenderContext("host"))
    host.content.put_many(rendered.content.values())  # type: ignore[attr-defined]
    return rendered.manifest


class Unstarted:
    """A host on which nothing is started; further networks are joined before a start, and so are not."""

    def __init__(self, host: RealHost) -> None:
        self._host = host

    def __getattr__(self, name: str) -> Any:
        return getattr(self._host, name)

    def execute(self, action: Action, resource: Resource | None) -> None:
        if action.verb not in ("start", "await", "connect"):
            self._host.execute(action, resource)


def limpet_up(host: RealHost, app: App, project: str, scratch: Path) -> None:
    """The plan for a host without it, carried out; without `start`, nothing is started. Raises what
    failed.
    """
    manifest = manifest_of(host, app, project)
    observed = host.observe(Look(frozenset(), tuple(manifest.images())))
    held = Target(manifest, observed.images)
    made = plan(View(held, observed, {}), 60)
    assert not made.refused, made.refused
    check_engine(made, manifest, observed)
    doer: Host = host if app.case.get("start") else Unstarted(host)
    for outcome in apply(
        made.actions, manifest, doer, Journal(scratch / "journal"), Silent(), threading.Event()
    ):
        if outcome.error is not None:
            raise outcome.error
