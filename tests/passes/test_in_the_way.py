"""Applied means converged, also where what is new must wait for what is old to go. Whole passes on a fake
host.
"""

from __future__ import annotations

from typing import Any

import pytest

from agent.converge import transaction
from agent.kinds import files
from agent.model import Key, Resource
from agent.store.inventory import InventoryStore
from agent.store.orders import Orders, Suspension
from tests.fakes.host import Died
from tests.fakes.passes import Passes, service


def test_directory_that_becomes_a_link(passes: Passes) -> None:
    """A link in the place of a directory that only held files of ours must be there when the pass says that
    it converged.
    """
    passes.branch.push(
        files.directory("/srv/d"),
        files.symlink("/srv/d/z", target="one"),
        files.symlink("/srv/e", target="two"),
    )
    assert passes.run().exit_code == 0
    passes.branch.push(files.symlink("/srv/d", target="three"), files.symlink("/srv/e", target="two"))
    assert passes.run().exit_code == 0
    there = passes.host.files.there
    assert there["/srv/d"].target == "three" and "/srv/d/z" not in there
    done = len(passes.host.done)
    assert passes.run().exit_code == 0 and len(passes.host.done) == done


def test_killed_before_the_directory_goes(passes: Passes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The link must be there when a pass says that it converged, though one was killed before it removed the
    files.
    """
    passes.branch.push(
        files.directory("/srv/d"),
        files.symlink("/srv/d/z", target="one"),
        files.symlink("/srv/e", target="two"),
    )
    assert passes.run().exit_code == 0
    passes.branch.push(files.symlink("/srv/d", target="three"), files.symlink("/srv/e", target="two"))
    with monkeypatch.context() as patch, pytest.raises(Died):
        patch.setattr(transaction, "prune", dies)
        passes.run()
    assert passes.run().exit_code == 0
    assert passes.host.files.there["/srv/d"].target == "three"


@pytest.mark.parametrize("kind", ["web", "sick"])
def test_what_is_done_in_two_parts_is_counted_once(passes: Passes, kind: str) -> None:
    """A commit, or a rollback, that replaces a container and then a directory must say so of both, and call
    neither drift.
    """
    passes.host.add_image("shop/web:1", "web")
    passes.host.add_image("shop/web:2", kind)
    old = [files.symlink("/srv/d", target="three")]
    new = [files.directory("/srv/d"), files.symlink("/srv/d/z", target="one")]
    if kind == "web":
        old, new = new, old
    passes.branch.push(service("shop/web:1"), *old)
    assert passes.run().exit_code == 0
    passes.branch.push(service("shop/web:2"), *new)
    assert passes.run().exit_code == (0 if kind == "web" else 4)
    did = passes.heartbeat()["last_pass"]
    assert (did["replaced"], did["deleted"], did["corrective"]) == (2, 1, 0), did


def test_directory_that_holds_what_is_not_ours(passes: Passes) -> None:
    """With a person's file in the directory the link must be refused, and the file stay."""
    passes.branch.push(files.directory("/srv/d"), files.symlink("/srv/e", target="two"))
    assert passes.run().exit_code == 0
    passes.host.files.put("/srv/d/theirs", b"a person's")
    passes.branch.push(files.symlink("/srv/d", target="three"), files.symlink("/srv/e", target="two"))
    assert passes.run().exit_code == 6
    assert passes.host.files.read("/srv/d/theirs") == b"a person's"


def test_directory_that_must_be_absent(passes: Passes) -> None:
    """A directory of ours in whose place there must be nothing must go, and the path be ours, in the pass
    that says so.
    """
    passes.branch.push(files.directory("/srv/d"), files.symlink("/srv/e", target="two"))
    assert passes.run().exit_code == 0
    passes.branch.push(files.absent("/srv/d"), files.symlink("/srv/e", target="two"))
    assert passes.run().exit_code == 0
    assert "/srv/d" not in passes.host.files.there
    assert Key.parse("file/srv/d") in InventoryStore(passes.paths.state).load()


@pytest.mark.parametrize(
    ("at", "refused_too"),
    [("gate", ["container/shop-s-1", "container/shop-t-1"]), ("first action", ["container/shop-s-1"])],
)
def test_port_of_a_refused_service(
    passes: Passes, at: str, refused_too: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that is refused must keep others from a port that its old form has, and from no port that
    only a killed pass meant for it.
    """
    for image in ("shop/web:1", "shop/web:2"):
        passes.host.add_image(image, "web", version=image)
    passes.branch.push(on_port("s", 80), on_port("t", 90))
    assert passes.run().exit_code == 0
    passes.branch.push(on_port("s", 81), on_port("t", 80 if at == "gate" else 90))
    with monkeypatch.context() as patch, pytest.raises(Died):
        if at == "gate":
            patch.setattr(transaction, "watch", dies)
        else:
            passes.host.die_at = passes.host._points + 1
        passes.run()
    passes.host.die_at = None
    passes.host.add_foreign_container("theirs", ports=("port/tcp/0.0.0.0/82",))
    passes.branch.push(on_port("s", 82), on_port("t", 80 if at == "gate" else 81))
    assert passes.run().exit_code == 6
    passes.host.stop_by_hand("shop-t-1")
    for _ in range(3):
        assert passes.run().exit_code == 6
        assert [refused["resource"] for refused in passes.heartbeat()["refused"]] == refused_too
    assert passes.running("shop-t-1")


def on_port(name: str, port: int) -> Resource:
    ports = [{"published": str(port), "target": 80, "protocol": "tcp"}]
    return service("shop/web:1", f"shop-{name}-1", config={"ports": ports})


def dies(*_: Any, **__: Any) -> Any:
    raise Died


def test_what_is_frozen_and_empty_in_the_end(passes: Passes) -> None:
    """A frozen directory that only becomes empty when the pass has pruned must be said to be refused by that
    pass.
    """
    passes.branch.push(files.symlink("/srv/d/z", target="one"), files.symlink("/srv/e", target="two"))
    assert passes.run().exit_code == 0
    Orders(passes.paths.state).suspend("directory/srv/d", Suspension("being looked at", passes.clock.wall()))
    passes.branch.push(files.symlink("/srv/e", target="two"))
    for _ in range(2):
        assert passes.run().exit_code == 6
        assert [refused["resource"] for refused in passes.heartbeat()["refused"]] == ["directory/srv/d"]
