"""The Engine dies, or its answers end, anywhere in a pass: the pass after it is back ends where an
undisturbed one ends.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness import images, snapshot
from tests.harness.engine import PrivateEngine, private_engine
from tests.harness.gitrepo import GitRepo
from tests.harness.proxy import Cut, Proxy, Request, proxy
from tests.harness.site import Site, make_site

COMPOSE = """\
name: {app}
services:
  web:
    image: limpet-test/{image}
    restart: unless-stopped
    environment: {{MARK: '{mark}'}}
    networks: [front]
  {second}: {{image: 'limpet-test/idle:v1', restart: unless-stopped, depends_on: [web]}}
networks: {{front: {{labels: {{mark: '{mark}'}}}}}}
"""
KILLS, CUTS = 1, 3  # Engines killed, and answers cut, in a sample


def files(app: str, mark: str, image: str, second: str) -> dict[str, str]:
    return {
        "compose.yaml": COMPOSE.format(app=app, mark=mark, image=image, second=second),
        "files/etc/app.conf": f"{mark}\n",
    }


def state(site: Site, app: str) -> dict[str, object]:
    """What a person sees: containers without their ids, networks, the file."""
    return {
        "containers": snapshot.containers(site.engine, app),
        "networks": snapshot.networks(site.engine, app),
        "file": (site.root / "etc/app.conf").read_text(),
    }


def begin(site: Site, app: str, image: str) -> None:
    """The old release is proved, the next one is on the branch."""
    site.limpet("retry", "all")
    site.commit(files(app, "old", "web:v1", "db"), "old")
    site.sync()
    site.commit(files(app, "new", image, "queue"), "new")


def spread(total: int, most: int) -> list[int]:
    return sorted({1 + round((i + 0.5) * (total - 1) / most) for i in range(most)})


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateEngine]:
    with private_engine(tmp_path_factory.mktemp("engine")) as made:
        for kind, version in (("web", "v1"), ("web", "v2"), ("sick", "v1"), ("idle", "v1")):
            images.load(made.client, images.image(kind, version))
        yield made


@pytest.fixture
def app(private: PrivateEngine) -> Iterator[str]:
    """A name; what carries it is removed after the test."""
    with private.engine.prefix() as name:
        yield name


@pytest.mark.parametrize(("image", "code"), [("web:v2", 0), ("sick:v1", 4)])
def test_docker_is_killed(
    private: PrivateEngine,
    app: str,
    repo: GitRepo,
    tmp_path: Path,
    image: str,
    code: int,
    most: Callable[[int], int | None],
    report: Callable[[str, str, int, int], None],
) -> None:
    """Killed before any request that changes something, in apply, gate, rollback or prune, the pass must end
    as temporary (5 in a rollback), and the next pass, with the Engine back, in the state of an undisturbed
    one.
    """
    with proxy(private.socket, tmp_path / "s") as between:
        site = make_site(private.engine, repo, tmp_path / "site", socket=between.socket)
        site.configure(gate={"settle": "0.5s", "deadline": "20s"})
        deadly, changes = [0], [0]

        def before(number: int, asked: Request) -> None:
            changes[0] += asked.method != "GET"
            if changes[0] == deadly[0] and asked.method != "GET":
                os.killpg(private.pid, signal.SIGKILL)
                raise Cut

        between.on_request("before", before)
        begin(site, app, image)
        changes[0] = 0
        site.sync(expect=code)
        total, wanted = changes[0], state(site, app)
        points = spread(total, most(KILLS) or total)
        report("docker killed", image, len(points), total)
        for point in points:
            begin(site, app, image)
            changes[0], deadly[0] = 0, point
            done = site.sync(expect=None)
            assert done.code in (5, 75) and "hint: " in done.err, (
                f"killed at change {point} of {total}: {done}"
            )
            deadly[0] = 0
            private.stop()
            private.start()
            site.sync(expect=None)
            again = site.sync(expect=code)
            assert state(site, app) == wanted, f"killed at change {point} of {total}: {done}{again}"
            assert len(site.heartbeat()["rejected"]) == (1 if code else 0)


def test_answers_are_cut(
    private: PrivateEngine,
    app: str,
    repo: GitRepo,
    tmp_path: Path,
    most: Callable[[int], int | None],
    report: Callable[[str, str, int, int], None],
) -> None:
    """With the Engine's answers cut after any number of bytes, the pass must end as temporary, condemn
    nothing, and the pass after it must end in the state of an undisturbed one.
    """
    with proxy(private.socket, tmp_path / "s") as between:
        site = make_site(private.engine, repo, tmp_path / "site", socket=between.socket)
        site.configure(gate={"settle": "0.2s", "deadline": "20s"})
        begin(site, app, "web:v2")
        told = counted(between)
        site.sync()
        total, wanted = told[0], state(site, app)
        points = spread(total * 9 // 10, most(CUTS) or total // 2000)  # how much it asks in the gate varies
        report("answers cut", "bytes", len(points), total)
        for count in points:
            begin(site, app, "web:v2")
            between.cut_after(count)
            done = site.sync(expect=None)
            between.resume()
            assert done.code == 75 and "hint: " in done.err, f"cut after {count} of {total} bytes: {done}"
            assert site.heartbeat()["rejected"] == []
            site.sync()
            assert state(site, app) == wanted, f"cut after {count} of {total} bytes: {done}"


def counted(between: Proxy) -> list[int]:
    """The bytes of answers from now on."""
    told, passed, lock = [0], between._to_client, threading.Lock()

    def count(client: object, data: bytes) -> None:
        with lock:
            told[0] += len(data)
        passed(client, data)  # type: ignore[arg-type]

    between._to_client = count  # type: ignore[method-assign]
    return told
