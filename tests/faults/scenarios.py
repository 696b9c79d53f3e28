"""What the sweeps kill: changes of a branch that go round and end where they began: every point starts from
the same host.

A scenario is a start and a few moves. A move is one commit, the pass that carries it out, and that pass's
exit code. `Scenario.mirrored` says that both moves do the same work in opposite directions, so that half of
the points are visited in each.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.harness import images
from tests.harness.gitrepo import Content

if TYPE_CHECKING:
    from tests.faults.ground import Ground

Files = Mapping[str, Content]
APP_FILES = ("conf/web.conf", "conf/db.conf", "files/etc/one.conf", "files/etc/two.conf", "layer.yaml")


@dataclass(frozen=True)
class Names:
    """What differs between two sites and two rounds: the app, the registry's address (empty: none), a
    number.
    """

    app: str
    registry: str = ""
    round: int = 0


@dataclass(frozen=True)
class Move:
    """`detour`: what the branch held while the pass that is killed ran; the clean pass sees `files`."""

    files: Files
    exit_code: int = 0
    detour: Files | None = None


@dataclass(frozen=True)
class Scenario:
    """`before` is what somebody does before each round; `pushed` is the kind of the image in the registry;
    `same`: the containers of the start must be there at the end, the same ones; `steady`: services that no
    move may touch; `brief`: services that a kill must not keep down for longer than their own change and the
    agent's restart; `once`: the first round runs one-shots that are never run again for the same content, so
    that only later rounds are equal.
    """

    start: Callable[[Names], Files]
    moves: tuple[Callable[[Names], Move], ...]
    before: Callable[[Ground], None] | None = None
    mirrored: bool = False
    pushed: str = ""
    same: bool = False
    steady: tuple[str, ...] = ()
    brief: tuple[str, ...] = ()
    once: bool = False


def compose(
    app: str, web: str, mark: str, *, extra: bool = False, still: bool = False, update: str = ""
) -> str:
    """Services on two networks, some of them optional; the first two use an app file."""
    more = (
        f"  extra: {{image: 'limpet-test/idle:v1', environment: {{GREETING: '{mark}'}}, networks: [back]}}\n"
    )
    unchanged = "  still: {image: 'limpet-test/idle:v1', restart: always, networks: [back]}\n"
    return f"""\
name: {app}
services:
  web:
    image: {web}
    restart: unless-stopped
    environment: {{GREETING: '{mark}'}}
    volumes: ['./conf:/conf:ro']
    networks: {{front: {{aliases: [shop]}}, back: {{}}}}
    depends_on: [db]
    {update}
  db:
    image: limpet-test/idle:v1
    volumes: ['./conf/db.conf:/db.conf:ro', 'data:/data']
    networks: [back]
{more if extra else ""}{unchanged if still else ""}networks: {{front: {{}}, back: {{}}}}
volumes: {{data: {{}}}}
"""


def repository(
    app: str,
    mark: str,
    web: str = "limpet-test/web:v1",
    *,
    extra: bool = False,
    still: bool = False,
    update: str = "",
) -> dict[str, Content]:
    """Two containers and up to two more, two files of the app, and up to two of the host."""
    return {
        "compose.yaml": compose(app, web, mark, extra=extra, still=still, update=update),
        "conf/web.conf": f"web {mark}\n",
        "conf/db.conf": f"db {mark}\n",
        "files/etc/one.conf": f"one {mark}\n",
        "files/etc/two.conf": f"two {mark}\n" if extra else None,
        "layer.yaml": None,
    }


def nothing(names: Names) -> Files:
    return {"compose.yaml": f"name: {names.app}\nservices: {{}}\n", **dict.fromkeys(APP_FILES)}


def hooked(app: str, mark: str) -> dict[str, Content]:
    """A service with hooks of every kind, for which another one waits; its own file system shows that
    post_start ran.
    """
    return {
        **repository(app, "start"),
        "compose.yaml": f"""\
name: {app}
services:
  web:
    image: limpet-test/web:v1
    environment: {{GREETING: '{mark}'}}
    networks: [front]
    pre_start: [{{command: ['true']}}, {{command: ['true'], per_replica: true}}]
    post_start: [{{command: [touch, /tmp/one]}}, {{command: [mv, /tmp/one, /tmp/hooked]}}]
    pre_stop: [{{command: [rm, -f, /tmp/hooked]}}]
  db:
    image: limpet-test/idle:v1
    environment: {{GREETING: '{mark}'}}
    networks: [front]
    depends_on: [web]
networks: {{front: {{}}}}
""",
    }


ADOPTING = """\
name: {app}
services:
  web:
    image: limpet-test/{image}
    environment: {{GREETING: '{mark}'}}
    volumes: ['./conf:/conf:ro']
    x-limpet: {{adopt: true}}
"""


def adopting(names: Names, image: str = "web:v1", mark: str = "a") -> Files:
    """A service that takes over the container that somebody started under its name, with other content."""
    return {
        **dict.fromkeys(APP_FILES),
        "compose.yaml": ADOPTING.format(app=names.app, image=image, mark=mark),
        "conf/web.conf": "web\n",
    }


def start_theirs(ground: Ground) -> None:
    """Somebody's container by the name of the service that adopts it, unless it is there."""
    name = f"{ground.names.app}-web-1"
    if name not in ground.site.ids(ground.names.app):
        policy: Any = {"Name": "unless-stopped"}  # a name that the types of the SDK lack
        ground.site.engine.client.containers.run(
            "limpet-test/plain-web:v1", name=name, detach=True, restart_policy=policy
        )


def remove_volumes(ground: Ground) -> None:
    """Volumes are never deleted by Limpet, so that somebody has to."""
    for volume in ground.site.engine.client.volumes.list():
        if volume.name.startswith(ground.names.app):
            volume.remove()


def wipe(ground: Ground) -> None:
    """A host that has never seen Limpet."""
    ground.site.engine.remove_all(ground.names.app)
    ground.forget_images()
    for name in ("var/lib/limpet", "run/limpet"):
        shutil.rmtree(ground.site.root / name, ignore_errors=True)
    for name in ("one.conf", "two.conf"):
        (ground.site.root / "etc" / name).unlink(missing_ok=True)


LAYER = """\
files:
  /etc/app/one.conf: {{mode: "{mode}", check: "test -s {{file}}"}}
  /etc/app/link: {{type: symlink, target: one.conf}}
  /etc/app/old.conf: {{state: absent}}
  /srv/app: {{type: directory, mode: "{directory}"}}
"""
HOST_FILES = ("one.conf", "two.conf", "deep/three.conf")


def host_files(names: Names, mark: str, mode: str, directory: str) -> Files:
    """Files, a symlink, a directory, and a file that must not be; some were there before."""
    return {
        **nothing(names),
        "layer.yaml": LAYER.format(mode=mode, directory=directory),
        **{f"files/etc/app/{name}": f"{name} {mark}\n" * 50 for name in HOST_FILES},
    }


def without_files(names: Names) -> Files:
    return {**nothing(names), **{f"files/etc/app/{name}": None for name in HOST_FILES}}


def write_theirs(ground: Ground) -> None:
    """What was there before Limpet took it over: it is there again after each round."""
    place = ground.site.root / "etc/app"
    if place.exists():
        return
    place.mkdir(parents=True)
    for name in ("one.conf", "old.conf"):
        (place / name).write_text("mine\n")
        (place / name).chmod(0o640)
    (place / "link").symlink_to("old.conf")


def pulled(names: Names, kind: str) -> str:
    return f"{names.registry}/{names.app}/{kind}:1"


def image(names: Names, kind: str) -> images.Image:
    """An image that no other test has."""
    return images.make(pulled(names, kind), images.KINDS[kind], "v1", {"app": names.app})


START_FIRST = "deploy: {update_config: {order: start-first}}"
SCENARIOS = {
    "create": Scenario(
        nothing, (lambda n: Move(repository(n.app, "a")), lambda n: Move(nothing(n))), remove_volumes
    ),
    "change": Scenario(
        lambda n: repository(n.app, "a", still=True),
        (
            lambda n: Move(repository(n.app, "b", still=True)),
            lambda n: Move(repository(n.app, "a", still=True)),
        ),
        mirrored=True,
        steady=("still",),
        brief=("web", "db"),
    ),
    "rollback": Scenario(
        lambda n: repository(n.app, "a", still=True),
        (lambda n: Move(repository(n.app, f"b{n.round}", pulled(n, "sick"), still=True), 4),),
        pushed="sick",
        same=True,
        steady=("still",),
    ),
    "prune": Scenario(
        lambda n: repository(n.app, "a", extra=True),
        (
            lambda n: Move(repository(n.app, "a")),
            lambda n: Move(repository(n.app, "a", extra=True)),
        ),
        steady=("web", "db"),
    ),
    "hooks": Scenario(
        lambda n: hooked(n.app, "a"),
        (lambda n: Move(hooked(n.app, "b")), lambda n: Move(hooked(n.app, "a"))),
        mirrored=True,
        once=True,
    ),
    "files": Scenario(
        without_files,
        (
            lambda n: Move(host_files(n, "a", "0600", "0750")),
            lambda n: Move(host_files(n, "b", "0644", "0700")),
            lambda n: Move(without_files(n)),
        ),
        write_theirs,
    ),
    "adoption": Scenario(nothing, (lambda n: Move(adopting(n)), lambda n: Move(nothing(n))), start_theirs),
    "give-back": Scenario(
        nothing, (lambda n: Move(adopting(n, "sick:v1", f"b{n.round}"), 4),), start_theirs, same=True
    ),
    "superseded": Scenario(
        lambda n: repository(n.app, "a"),
        (
            lambda n: Move(
                repository(n.app, "b"), detour=repository(n.app, "x", "limpet-test/web:v2", extra=True)
            ),
            lambda n: Move(
                repository(n.app, "a"), detour=repository(n.app, "y", "limpet-test/web:v2", extra=True)
            ),
        ),
        mirrored=True,
    ),
    "first": Scenario(
        nothing, (lambda n: Move(repository(n.app, "a", pulled(n, "web"))),), wipe, pushed="web"
    ),
    "start-first": Scenario(
        lambda n: repository(n.app, "a", update=START_FIRST),
        (
            lambda n: Move(repository(n.app, "b", update=START_FIRST)),
            lambda n: Move(repository(n.app, "a", update=START_FIRST)),
        ),
        mirrored=True,
    ),
}
RICH = Scenario(
    lambda n: repository(n.app, "a", extra=True, still=True),
    (
        lambda n: Move(repository(n.app, "b", extra=True, still=True)),
        lambda n: Move(repository(n.app, f"c{n.round}", pulled(n, "sick"), still=True), 4),
        lambda n: Move(repository(n.app, "b", "limpet-test/web:v2", still=True, update=START_FIRST)),
        lambda n: Move(repository(n.app, "a", extra=True, still=True)),
    ),
    pushed="sick",
    steady=("still",),
)
