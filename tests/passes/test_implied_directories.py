"""Directories that are made only for the sake of what lies below them: whole passes on a fake host."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.kinds import files
from agent.model import Resource
from agent.store.inventory import InventoryStore
from tests.fakes.passes import Passes, service


@pytest.fixture
def passes(tmp_path: Path) -> Passes:
    made = Passes(tmp_path)
    made.host.add_image("shop/web:1", "web")
    made.host.files.make_directory("/etc")
    return made


def file(passes: Passes, path: str, text: str = "x", app: str = "") -> Resource:
    return files.file(path, content=passes.host.content.put(text.encode()), size=len(text), app=app)


def push(passes: Passes, *resources: Resource) -> None:
    passes.branch.push(service("shop/web:1"), *resources)
    assert passes.run().exit_code == 0


def directories(passes: Passes) -> list[str]:
    return sorted(
        path
        for path, there in passes.host.files.there.items()
        if there.type == "directory" and path != "/var/lib"
    )


def test_they_go_with_the_last_that_needs_them(passes: Passes) -> None:
    """They must stay while anything of ours is below them, go with the last of it, and leave what was there
    before.
    """
    push(passes, file(passes, "/etc/app/conf.d/a"), file(passes, "/etc/app/conf.d/b"))
    push(passes, file(passes, "/etc/app/conf.d/b"))
    assert directories(passes) == ["/etc", "/etc/app", "/etc/app/conf.d"]
    assert passes.run().outcome == "Converged" and passes.state.known_good
    push(passes)
    assert directories(passes) == ["/etc"]
    assert not [key for key in InventoryStore(passes.paths.state).load() if key.kind == "directory"]


def test_what_somebody_put_there_keeps_them(passes: Passes) -> None:
    """A file that is not ours must keep the directories above it."""
    push(passes, file(passes, "/etc/app/conf.d/a"))
    passes.host.files.put("/etc/app/notes", b"mine")
    push(passes)
    assert directories(passes) == ["/etc", "/etc/app"] and passes.host.files.read("/etc/app/notes") == b"mine"


def test_a_mounted_directory_keeps_its_inode(passes: Passes) -> None:
    """A directory that a service mounts must stay when the last tracked file in it goes."""
    mount = {"type": "bind", "source": "/apps/shop/conf", "target": "/conf"}
    web = service("shop/web:1", volumes=[mount])
    passes.branch.push(web, file(passes, "/apps/shop/conf/a", app="shop"))
    assert passes.run().exit_code == 0
    passes.branch.push(web)
    assert passes.run().exit_code == 0
    assert directories(passes) == ["/apps", "/apps/shop", "/apps/shop/conf", "/etc"]
    push(passes)
    assert directories(passes) == ["/etc"]


def test_more_than_five_meet_no_brake(passes: Passes) -> None:
    """Empty directories that nobody asked for must be no reason to refuse what is removed."""
    push(passes, file(passes, "/etc/stays"), *(file(passes, f"/etc/one/{name}/f") for name in "abcde"))
    push(passes, file(passes, "/etc/stays"))
    assert directories(passes) == ["/etc"]


def test_a_failed_release_leaves_none(passes: Passes) -> None:
    """A release that turned a file into a tree and failed must leave the file, and no directory."""
    push(passes, file(passes, "/etc/app", "known good"))
    passes.host.add_image("shop/web:sick", "sick")
    passes.branch.push(service("shop/web:sick"), file(passes, "/etc/app/conf.d/a"))
    assert passes.run().outcome == "RolledBack"
    assert passes.host.files.read("/etc/app") == b"known good" and directories(passes) == ["/etc"]
