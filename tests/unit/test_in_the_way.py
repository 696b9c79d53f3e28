"""Applied means converged, also where what is new must wait for what is old to go. Whole passes on a fake host."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.kinds import files
from agent.model import Key
from agent.store.inventory import InventoryStore
from agent.store.orders import Orders, Suspension
from tests.fakes.passes import Passes


@pytest.fixture
def passes(tmp_path: Path) -> Passes:
    return Passes(tmp_path)


def test_directory_that_becomes_a_link(passes: Passes) -> None:
    """A link in the place of a directory that only held files of ours must be there when the pass says that it converged."""
    passes.branch.push(files.directory("/srv/d"), files.symlink("/srv/d/z", target="one"), files.symlink("/srv/e", target="two"))
    assert passes.run().exit_code == 0
    passes.branch.push(files.symlink("/srv/d", target="three"), files.symlink("/srv/e", target="two"))
    assert passes.run().exit_code == 0
    there = passes.host.files.there
    assert there["/srv/d"].target == "three" and "/srv/d/z" not in there
    done = len(passes.host.done)
    assert passes.run().exit_code == 0 and len(passes.host.done) == done


def test_directory_that_holds_what_is_not_ours(passes: Passes) -> None:
    """With a person's file in the directory the link must be refused, and the file stay."""
    passes.branch.push(files.directory("/srv/d"), files.symlink("/srv/e", target="two"))
    assert passes.run().exit_code == 0
    passes.host.files.put("/srv/d/theirs", b"a person's")
    passes.branch.push(files.symlink("/srv/d", target="three"), files.symlink("/srv/e", target="two"))
    assert passes.run().exit_code == 6
    assert passes.host.files.read("/srv/d/theirs") == b"a person's"


def test_directory_that_must_be_absent(passes: Passes) -> None:
    """A directory of ours in whose place there must be nothing must go, and the path be ours, in the pass that says so."""
    passes.branch.push(files.directory("/srv/d"), files.symlink("/srv/e", target="two"))
    assert passes.run().exit_code == 0
    passes.branch.push(files.absent("/srv/d"), files.symlink("/srv/e", target="two"))
    assert passes.run().exit_code == 0
    assert "/srv/d" not in passes.host.files.there
    assert Key.parse("file/srv/d") in InventoryStore(passes.paths.state).load()


def test_what_is_frozen_and_empty_in_the_end(passes: Passes) -> None:
    """A frozen directory that only becomes empty when the pass has pruned must be said to be refused by that pass."""
    passes.branch.push(files.symlink("/srv/d/z", target="one"), files.symlink("/srv/e", target="two"))
    assert passes.run().exit_code == 0
    Orders(passes.paths.state).suspend("directory/srv/d", Suspension("being looked at", passes.clock.wall()))
    passes.branch.push(files.symlink("/srv/e", target="two"))
    for _ in range(2):
        assert passes.run().exit_code == 6
        assert [refused["resource"] for refused in passes.heartbeat()["refused"]] == ["directory/srv/d"]
