"""What must stay as it was: digests for ever, documents for the next version, histories until a commit means
to change them.

`pytest tests/frozen --update-histories` writes the histories anew: read the diff. Digests and documents are
only added to: a digest that changes re-creates containers on every host at an upgrade.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.frozen import recording

FILES = sorted(recording.HISTORIES.glob("*.txt"))


@pytest.mark.parametrize("name", sorted(json.loads(recording.DIGESTS.read_text())))
def test_digests_are_what_they_were(name: str) -> None:
    """An upgrade must not change the digest of anything: it would be re-created on every host."""
    assert recording.digests()[name] == json.loads(recording.DIGESTS.read_text())[name]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_histories_are_what_they_were(path: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Plans, exit codes, states and heartbeats of a recorded history must be what they were, but for the
    words.
    """
    found = recording.history_text(recording.rounds_of(path), tmp_path / "world")
    if request.config.getoption("--update-histories"):
        path.write_text(found)
    assert found == path.read_text()


@pytest.mark.parametrize("situation", sorted(recording.SITUATIONS))
def test_documents_of_the_version_before_are_understood(situation: str, tmp_path: Path) -> None:
    """An upgrade must find its host as the version before left it, do nothing, and end as that version
    did.
    """
    world = recording.live(situation, tmp_path / "world")
    state = world.passes.paths.state
    shutil.rmtree(state)
    shutil.copytree(recording.DOCUMENTS / situation, state)
    world.host.done.clear()
    result = world.passes.run()
    assert [str(action) for action in world.host.done] == []
    assert result.exit_code == recording.SITUATIONS[situation][1], result
    assert not world.passes.plan.actions
