"""Secrets that belong to the user of an image, in whole passes: with new images, rollbacks and losses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agent.converge.preview import preview
from agent.references import familiar
from tests.fakes.passes import Passes
from tests.unit.render.rendering import rendered

PATH = "/var/lib/limpet/apps/fleet/.limpet/secrets/a/s"


@pytest.fixture
def passes(tmp_path: Path) -> Passes:
    found = Passes(tmp_path)
    found.host.add_image("a:1", user="1000:100")
    found.host.add_image("a:2", user="1001")
    found.host.add_image("a:sick", "sick", user="1002")
    found.host.add_image("a:node", user="node")
    found.host.add_image("a:root")
    return found


def push(passes: Passes, image: str, more: str = "") -> None:
    uses = "secrets: [{source: s, mode: 0400}]"
    text = f"services: {{a: {{image: '{image}', {uses}{more}}}}}\nsecrets: {{s: {{file: s.txt}}}}\n"
    found = rendered({"compose.yaml": text, "s.txt": "secret"})
    for data in found.content.values():
        passes.host.content.put(data)
    passes.branch.push(*found.manifest.resources.values())


def proved(passes: Passes, image: str, more: str = "") -> None:
    push(passes, image, more)
    assert passes.run().exit_code == 0


def owner(passes: Passes) -> tuple[int, int]:
    there = passes.host.files.there[PATH]
    return there.uid, there.gid


def quiet(passes: Passes) -> None:
    """Another pass does nothing."""
    done = len(passes.host.done)
    assert passes.run().exit_code == 0
    assert len(passes.host.done) == done and not passes.plan.changes


def test_a_new_image_gives_a_new_owner(passes: Passes) -> None:
    """A secret must belong to the user of the image that runs, and a second pass do nothing; a new image
    brings its own, as a part of the release and not as drift.
    """
    proved(passes, "a:1")
    assert owner(passes) == (1000, 100)
    quiet(passes)
    for image, ids in (("a:2", (1001, 0)), ("a:root", (0, 0)), ("a:1", (1000, 100))):
        proved(passes, image)
        assert owner(passes) == ids
        assert not any(change.corrective for change in passes.plan.changes)
        quiet(passes)


def test_a_rollback_gives_the_old_owner(passes: Passes) -> None:
    """When a new image fails, the old container must find its secret as it was."""
    proved(passes, "a:1")
    old = passes.host._find("fleet-a-1").seen.id
    push(passes, "a:sick")
    assert passes.run().exit_code == 4
    assert owner(passes) == (1000, 100) and passes.host._find("fleet-a-1").seen.id == old
    assert passes.run().exit_code == 4 and not passes.plan.changes


def test_an_image_that_is_pulled_first(passes: Passes) -> None:
    """The owner must be right in the pass that pulls the image, also when only its tag has moved."""
    passes.host.add_image("b:1", user="7:8", local=False)
    always = ", pull_policy: always"
    proved(passes, "b:1", always)
    assert owner(passes) == (7, 8)
    passes.host.add_image("b:1", version="v2", user="9", local=False)
    proved(passes, "b:1", f"{always}, labels: {{x: y}}")
    assert owner(passes) == (9, 0)
    quiet(passes)


def test_another_owner_is_drift(passes: Passes) -> None:
    """A secret that somebody has given to another user must be given back."""
    proved(passes, "a:1")
    there = passes.host.files.there[PATH]
    passes.host.files.there[PATH] = replace(there, uid=5, owner="5")
    assert passes.run().exit_code == 0
    assert owner(passes) == (1000, 100)
    assert [change.corrective for change in passes.plan.changes] == [True]


def test_a_tag_that_was_moved_on_the_host(passes: Passes) -> None:
    """An image that somebody has made under the same tag must change nothing before a release uses it."""
    proved(passes, "a:1")
    old = passes.host.images[familiar("a:1")]
    passes.host.unnamed.add(old)
    passes.host.add_image("a:1", version="v2", user="3000")
    quiet(passes)
    assert owner(passes) == (1000, 100)
    proved(passes, "a:1", ", labels: {x: y}")
    assert owner(passes) == (1000, 100) and passes.running("fleet-a-1") == old


def test_an_image_that_is_gone_changes_nothing(passes: Passes) -> None:
    """When the image is not on the host any more, nobody knows its user: the secret must stay as it is."""
    proved(passes, "a:1")
    del passes.host.images[familiar("a:1")]
    quiet(passes)
    assert owner(passes) == (1000, 100)


def test_a_lost_inventory(passes: Passes) -> None:
    """After the loss, the secret must be known as Limpet's own: it goes with its app."""
    proved(passes, "a:1")
    for path in passes.paths.state.glob("inventory.json*"):
        path.write_bytes(b"rot")
    quiet(passes)
    assert owner(passes) == (1000, 100)
    passes.branch.push()
    passes.branch.push(
        *rendered({"compose.yaml": "services: {a: {image: 'a:1'}}"}).manifest.resources.values()
    )
    assert passes.run().exit_code == 0
    assert PATH not in passes.host.files.there


def test_a_user_with_a_name_is_told(passes: Passes) -> None:
    """When the user of the image has a name, the dry run and each pass must ask for `uid`; once it is
    written, no more.
    """
    push(passes, "a:node")
    planned = preview(passes.new_context()).plan
    assert "the secret s is readable only for root, and image a:node runs as node" in str(planned)
    for _ in range(2):
        assert passes.run().exit_code == 0
        [warning] = passes.heartbeat()["warnings"]
        assert 'add uid: "NUMBER"' in warning
    assert owner(passes) == (0, 0)
    text = "services: {a: {image: 'a:node', secrets: [{source: s, mode: 0400, uid: '5'}]}}\n"
    found = rendered({"compose.yaml": f"{text}secrets: {{s: {{file: s.txt}}}}\n", "s.txt": "secret"})
    passes.branch.push(*found.manifest.resources.values())
    assert passes.run().exit_code == 0
    assert owner(passes) == (5, 0) and passes.heartbeat()["warnings"] == []
