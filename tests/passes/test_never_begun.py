"""What passes leave behind: nothing that no remembered release needs. Whole passes on a fake host."""

from __future__ import annotations

import pytest

from agent.converge import prune, transaction
from agent.errors import Transient
from agent.kinds import files
from agent.model import Resource
from agent.store import durable
from tests.fakes.host import Died
from tests.fakes.passes import Passes, service


def motd(passes: Passes, text: str) -> Resource:
    """A file, whose content is in the agent's store as after a rendering."""
    passes.branch.content.put(text.encode())
    return files.file("/etc/motd", content=passes.host.content.put(text.encode()), size=len(text))


def test_releases_that_are_never_begun_leave_nothing(passes: Passes) -> None:
    """Commits of which none can be begun must not fill the disk: only what is remembered and the newest may
    stay.
    """
    passes.host.add_image("shop/web:1", "web")
    passes.branch.push(service("shop/web:1"), motd(passes, "good"))
    assert passes.run().exit_code == 0
    for number in range(5):
        passes.branch.push(service(f"shop/missing:{number}"), motd(passes, f"never {number}"))
        assert passes.run().exit_code == 78
    assert len(list(passes.paths.manifests.iterdir())) == 2
    assert len(list(passes.paths.content.iterdir())) == 2


def test_rejected_release_is_rendered_once(passes: Passes) -> None:
    """What the branch says must stay rendered while it is rejected, as long as the branch says it."""
    passes.host.add_image("shop/web:1", "web")
    passes.host.add_image("shop/web:2", "sick")
    passes.branch.push(service("shop/web:1"), motd(passes, "good"))
    assert passes.run().exit_code == 0
    passes.branch.push(service("shop/web:2"), motd(passes, "bad"))
    assert passes.run().exit_code == 4
    rejected = passes.branch.manifest.digest
    assert passes.branch.manifests.has(rejected) and all(
        map(passes.branch.content.has, passes.branch.manifest.content())
    )
    passes.branch.push(service("shop/web:1"), motd(passes, "better"))
    assert passes.run().exit_code == 0 and not passes.branch.manifests.has(rejected)


def test_a_pass_killed_before_it_forgets_leaves_nothing(
    passes: Passes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was kept of a person's file must go once the file is given back, though that pass was killed
    before it forgot it.
    """
    passes.host.files.store = passes.branch.content
    passes.host.add_image("shop/web:1", "web")
    passes.host.files.put("/etc/motd", b"a person's")
    passes.branch.push(service("shop/web:1"), motd(passes, "ours"))
    assert passes.run().exit_code == 0
    passes.branch.push(service("shop/web:1"))
    with monkeypatch.context() as patch, pytest.raises(Died):
        forget = prune.collect
        patch.setattr(
            prune,
            "collect",
            lambda context, wanted, always=False: _die() if always else forget(context, wanted),
        )
        passes.run()
    assert passes.run().exit_code == 0
    assert passes.host.files.read("/etc/motd") == b"a person's"
    assert len(list(passes.paths.content.iterdir())) == 1  # of the release before


def test_what_a_killed_writer_left_goes(passes: Passes) -> None:
    """A half-written state or inventory must be gone after the next pass, also when that has nothing to
    write.
    """
    passes.host.add_image("shop/web:1", "web")
    passes.branch.push(service("shop/web:1"))
    assert passes.run().exit_code == 0
    documents = ("state.json", "state.json.1", "inventory.json", "inventory.json.1")
    for name in documents:
        (passes.paths.state / f".{name}{durable.MARK}link").write_text("half")
    assert passes.run().exit_code == 0
    assert not [path for path in passes.paths.state.iterdir() if durable.MARK in path.name]


@pytest.mark.parametrize("name", ["a" * 64, f".{'a' * 64}{durable.MARK}x"])
def test_contents_of_a_killed_rendering_go(passes: Passes, name: str) -> None:
    """Contents that a pass stored for a manifest it was killed before storing must be gone after the next
    pass.
    """
    passes.host.add_image("shop/web:1", "web")
    passes.branch.push(service("shop/web:1"), motd(passes, "ours"))
    assert passes.run().exit_code == 0
    (passes.paths.content / name).write_text("of a release that never was")
    assert passes.run().exit_code == 0
    assert len(list(passes.paths.content.iterdir())) == 1


def test_pin_is_what_was_proved(passes: Passes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A release that is finished because the newest commit cannot be begun must be proved at its own commit:
    the newest one has never been here, and may be taken back.
    """
    for number in (1, 2):
        passes.host.add_image(f"shop/web:{number}", "web", version=f"{number}")
    passes.branch.push(service("shop/web:1"))
    assert passes.run().exit_code == 0
    passes.branch.push(service("shop/web:2"))
    with monkeypatch.context() as patch, pytest.raises(Died):
        patch.setattr(transaction, "watch", lambda *_, **__: _die())
        passes.run()
    passes.branch.push(service("shop/missing:1"))
    assert passes.run().exit_code == 78
    revision = passes.heartbeat()["revision"]
    assert [revision[name][-2:] for name in ("observed", "applied", "known_good", "pin")] == [
        "03",
        "02",
        "02",
        "02",
    ]


def test_known_good_that_comes_back_keeps_its_commit(passes: Passes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Known good that comes back because the branch says what was rejected must be applied, and proved, at
    its own commit.
    """
    for number, kind in enumerate(("web", "web", "sick")):
        passes.host.add_image(f"shop/web:{number}", kind, version=f"{number}")
    passes.branch.push(service("shop/web:0"))
    assert passes.run().exit_code == 0
    passes.branch.push(service("shop/web:2"))
    assert passes.run().exit_code == 4
    for image in ("shop/web:1", "shop/web:2"):
        passes.branch.push(service(image))
        with monkeypatch.context() as patch, pytest.raises(Died):
            patch.setattr(transaction, "watch", lambda *_, **__: _die())
            passes.run()
    passes.branch.down = Transient("the source does not answer", "", code="SourceUnavailable")
    assert passes.run().exit_code == 75
    revision = passes.heartbeat()["revision"]
    assert [revision[name][-2:] for name in ("applied", "known_good", "pin")] == ["01"] * 3


def _die() -> None:
    raise Died
