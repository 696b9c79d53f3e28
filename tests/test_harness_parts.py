"""The harness must do what later tests rely on: waiting, images, registry, snapshots."""

from __future__ import annotations

import os
from pathlib import Path

import docker.errors
import pytest

from tests.harness import images, snapshot
from tests.harness.engine import Engine, private_engine
from tests.harness.registry import registry
from tests.harness.wait import eventually


def test_eventually_returns_the_first_true_value() -> None:
    """`eventually` must call again until the check gives something, exceptions included."""
    answers = iter([0, OSError("not yet"), "there"])

    def check() -> object:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert eventually(check, 5, interval=0) == "there"


def test_eventually_says_what_it_waited_for() -> None:
    """A wait that fails must name what was awaited and what was seen last."""
    with pytest.raises(AssertionError, match=r"the moon; last seen: 0"):
        eventually(lambda: 0, 0.01, "the moon", interval=0)


def test_an_image_is_a_function_of_its_recipe(engine: Engine) -> None:
    """The id that the recipe predicts must be the id that the Engine gives."""
    for kind in images.KINDS:
        wanted = images.image(kind)
        assert engine.client.images.get(wanted.ref).id == wanted.id
    assert images.image("web", "v1").id != images.image("web", "v2").id


def health_of(engine: Engine, name: str) -> str:
    return str(engine.client.containers.get(name).health)


def test_images_behave_as_their_kind_says(engine: Engine, prefix: str) -> None:
    """`web` must get healthy, `sick` unhealthy, `crash`, `late`, `once` and `fail-once` exit with their
    codes.
    """
    expected = {"crash": 3, "late": 1, "once": 0, "fail-once": 7}
    made = {
        kind: engine.client.containers.run(images.image(kind).ref, name=f"{prefix}-{kind}", detach=True)
        for kind in images.KINDS
    }
    for kind, code in expected.items():
        assert made[kind].wait(timeout=20)["StatusCode"] == code, kind
    eventually(lambda: health_of(engine, f"{prefix}-web") == "healthy", 60, "web to be healthy")
    eventually(lambda: health_of(engine, f"{prefix}-sick") == "unhealthy", 60, "sick to be unhealthy")
    assert engine.said(f"{prefix}-web", "wget", "-qO-", "http://127.0.0.1:8080/") == "v1\n"
    for kind in ("idle", "plain-web", "stubborn"):
        made[kind].reload()
        assert made[kind].status == "running"


def test_containers_stop_at_once(engine: Engine, prefix: str) -> None:
    """An image's program must end on SIGTERM by itself, so that tests do not wait for the kill."""
    container = engine.client.containers.run(images.image("web").ref, name=f"{prefix}-web", detach=True)
    eventually(lambda: health_of(engine, f"{prefix}-web") == "healthy", 60, "web to be healthy")
    container.stop(timeout=20)
    container.reload()
    assert container.attrs["State"]["ExitCode"] == 0


def test_a_prefix_removes_only_its_own(engine: Engine) -> None:
    """What carries the prefix must be gone at its end, and another test's containers must stay."""
    with engine.prefix() as keep:
        engine.client.containers.run(images.image("idle").ref, name=f"{keep}-a", detach=True)
        with engine.prefix() as drop:
            engine.client.containers.run(images.image("idle").ref, name=f"{drop}-a", detach=True)
            labels = {"com.docker.compose.project": f"{drop}-shop"}
            engine.client.containers.run(images.image("idle").ref, labels=labels, detach=True)
            engine.client.networks.create(f"{drop}-net")
            engine.client.volumes.create(f"{drop}-vol")
            assert len(engine.containers(drop)) == 2
        assert engine.containers(drop) == []
        assert snapshot.networks(engine, drop) == {} and snapshot.volumes(engine, drop) == set()
        assert [c.name for c in engine.containers(keep)] == [f"{keep}-a"]


def test_the_registry_serves_what_was_pushed(engine: Engine, prefix: str, tmp_path: Path) -> None:
    """A pushed image must be pullable under its reference, and refused while the registry is stopped."""
    with registry(tmp_path) as reg:
        ref = reg.push(images.image("idle"), f"{prefix}/idle:1")
        reg.stop()
        with pytest.raises(docker.errors.APIError, match="connection refused"):
            engine.client.images.pull(ref)
        reg.start()
        assert engine.client.images.pull(ref).id == images.image("idle").id


def test_a_registry_with_a_login_refuses_others(engine: Engine, prefix: str, tmp_path: Path) -> None:
    """A registry with a login must serve the one who has it and nobody else."""
    with registry(tmp_path, login=("ada", "s3cret")) as reg:
        ref = reg.push(images.image("idle"), f"{prefix}/idle:1")
        with pytest.raises(docker.errors.APIError, match="no basic auth credentials"):
            engine.client.images.pull(ref)
        login = {"username": "ada", "password": "s3cret"}
        assert engine.client.images.pull(ref, auth_config=login).id == images.image("idle").id


def test_a_private_engine_can_be_stopped(engine: Engine, tmp_path: Path) -> None:
    """A private Engine must run containers, refuse while stopped, know its containers after a start, and
    leave the machine's bridge alone.
    """
    bridge = Path("/sys/class/net/docker0/ifindex")
    before = bridge.read_text()
    with private_engine(tmp_path) as private:
        images.load(private.client, images.image("idle"))
        private.client.containers.run(images.image("idle").ref, name="idle", detach=True)
        private.stop()
        assert not private.engine.answers()
        private.start()
        assert [c.name for c in private.client.containers.list(all=True)] == ["idle"]
    assert bridge.read_text() == before


def test_a_snapshot_of_files_sees_every_kind_of_change(tmp_path: Path) -> None:
    """Content, mode, link target, a new and a missing file must each show; an ignored path must not."""
    (tmp_path / "d").mkdir()
    for name in ("content", "mode", "gone", "same"):
        (tmp_path / "d" / name).write_text(name)
    (tmp_path / "link").symlink_to("d/same")
    (tmp_path / "noise").write_text("1")
    before = snapshot.files(tmp_path, ["noise"])
    (tmp_path / "d" / "content").write_text("other")
    (tmp_path / "d" / "mode").chmod(0o600)
    (tmp_path / "d" / "gone").unlink()
    (tmp_path / "new").mkdir()
    (tmp_path / "link").unlink()
    os.symlink("elsewhere", tmp_path / "link")
    (tmp_path / "noise").write_text("2")
    report = snapshot.difference(before, snapshot.files(tmp_path, ["noise"]))
    shown = [line.split(": ")[:2] for line in report.splitlines()]
    assert shown == [
        ["gone", "d/gone"],
        ["new", "new"],
        ["changed", "d/content"],
        ["changed", "d/mode"],
        ["changed", "link"],
    ]


def test_a_snapshot_of_containers_tells_replaced_from_same(engine: Engine, prefix: str) -> None:
    """A container made again from the same settings must look the same, and differ when ids are asked for."""

    def start() -> None:
        engine.client.containers.run(images.image("idle").ref, name=f"{prefix}-a", detach=True)

    start()
    before, before_ids = snapshot.containers(engine, prefix), snapshot.containers(engine, prefix, ids=True)
    engine.client.containers.get(f"{prefix}-a").remove(force=True)
    start()
    assert snapshot.difference(before, snapshot.containers(engine, prefix)) == ""
    assert snapshot.difference(before_ids, snapshot.containers(engine, prefix, ids=True)) != ""
