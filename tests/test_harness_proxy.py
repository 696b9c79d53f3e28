"""The socket proxy must be invisible until a test tells it otherwise, and its record must be complete."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import docker.errors
import pytest
import requests.exceptions

from tests.harness import images
from tests.harness.engine import Engine
from tests.harness.proxy import Proxy, Request, proxy
from tests.harness.wait import eventually


@pytest.fixture
def through(engine: Engine, tmp_path: Path) -> Iterator[tuple[Proxy, docker.DockerClient]]:
    with proxy(engine.socket, tmp_path / "s") as made:
        client = docker.DockerClient(
            base_url=f"unix://{made.socket}", version=engine.client.api.api_version, timeout=60
        )
        yield made, client
        client.close()


Through = tuple[Proxy, docker.DockerClient]


def test_reading_is_told_from_writing(through: Through, prefix: str) -> None:
    """Reads must pass `assert_only_get`; a create must fail it and be named with its status."""
    made, client = through
    client.containers.list(all=True)
    client.images.list()
    made.assert_only_get()
    client.networks.create(f"{prefix}-n")
    with pytest.raises(AssertionError, match=r"POST /v[\d.]+/networks/create 201"):
        made.assert_only_get()


def test_silence_is_not_taken_for_reading(through: Through) -> None:
    """`assert_only_get` must fail when nobody used the proxy, for then nothing was shown."""
    with pytest.raises(AssertionError, match="not asked anything"):
        through[0].assert_only_get()


def test_bodies_streams_and_hijacked_connections_pass(through: Through, prefix: str) -> None:
    """Loading an image, following a log, attaching with input and executing must work through the proxy."""
    made, client = through
    attached: Any
    client.images.load(images.image("idle").archive)
    container = client.containers.run(
        images.image("idle").ref, ["cat"], name=f"{prefix}-c", detach=True, stdin_open=True
    )
    attached = container.attach_socket(params={"stdin": 1, "stream": 1, "stdout": 1})
    attached._sock.sendall(b"hello\n")
    follow = container.logs(stream=True, follow=True)
    assert next(follow) == b"hello\n"
    assert b"hello\n" in attached._sock.recv(100)
    attached.close()
    eventually(lambda: container.exec_run(["echo", "there"]).output == b"there\n", 30, "what a command says")
    assert {r.status for r in made.requests} <= {101, 200, 201, 204}


def test_refused_connections_and_recovery(through: Through) -> None:
    """A refusing proxy must look like a stopped Engine, and work again after `resume`."""
    made, client = through
    assert client.ping()
    made.refuse()
    with pytest.raises(requests.exceptions.ConnectionError):
        client.ping()
    made.resume()
    assert client.ping()


def test_a_cut_ends_a_response_in_the_middle(through: Through) -> None:
    """After n bytes the client must see a broken connection, and all is well after `resume`."""
    made, client = through
    for count in (0, 10, 300):
        made.cut_after(count)
        with pytest.raises((requests.exceptions.RequestException, docker.errors.DockerException)):
            client.api.info()
        made.resume()
        assert client.ping()


def test_a_hanging_engine_times_out(through: Through) -> None:
    """A hanging proxy must keep the client waiting until its own time-out."""
    made, client = through
    made.hang()
    client.api.timeout = 1
    with pytest.raises(requests.exceptions.RequestException):
        client.ping()
    made.resume()
    assert client.ping()


def test_hooks_see_requests_before_and_after(through: Through, prefix: str) -> None:
    """Before a request the Engine must not have done it, and after it must have."""
    made, client = through
    other = docker.DockerClient(base_url=f"unix://{made.upstream}")
    seen: list[tuple[str, int, int]] = []

    def look(when: str) -> None:
        def call(count: int, request: Request) -> None:
            if request.path.endswith("/volumes/create"):
                names = [v.name for v in other.volumes.list() if v.name.startswith(prefix)]
                seen.append((when, count, len(names)))

        made.on_request("before" if when == "before" else "after", call)

    look("before")
    look("after")
    client.ping()
    client.volumes.create(f"{prefix}-v")
    assert seen == [("before", 2, 0), ("after", 2, 1)]
    other.close()


CLIENT = """
import docker, sys
client = docker.DockerClient(base_url="unix://" + sys.argv[1], version=sys.argv[2])
sys.stdin.readline()
for n in range(3):
    client.volumes.create(f"{sys.argv[3]}-{n}")
print("survived")
"""


@pytest.mark.parametrize(("when", "left"), [("before", 1), ("after", 2)])
def test_a_process_is_killed_at_the_chosen_request(
    through: Through, engine: Engine, prefix: str, when: str, left: int
) -> None:
    """A kill before the second request must leave one done, a kill after it two."""
    made, client = through
    version = client.api.api_version
    argv = [sys.executable, "-c", CLIENT, made.socket, version, prefix]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        made.kill_at(child.pid, 2, "before" if when == "before" else "after")
        made.clear()
        output, _ = child.communicate(b"\n", timeout=60)
    assert child.returncode == -9 and output == b""
    names = {v.name for v in engine.client.volumes.list() if v.name.startswith(prefix)}
    assert names == {f"{prefix}-{n}" for n in range(left)}


def test_a_client_that_leaves_frees_the_stream(through: Through, prefix: str) -> None:
    """When a client leaves in the middle of a stream the proxy must close its side to the Engine too."""
    made, client = through
    container = client.containers.run(images.image("idle").ref, name=f"{prefix}-c", detach=True)
    follow = container.logs(stream=True, follow=True)
    client.close()
    follow.close()
    eventually(lambda: not made._open, 60, "all connections to be closed")
