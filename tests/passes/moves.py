"""What the tests of whole passes do alike: hosts with images, releases that are proved, rollbacks by hand and
rollbacks that are killed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.kinds import files
from agent.model import Resource
from agent.store.orders import Orders
from tests.fakes.host import Died
from tests.fakes.passes import Passes


def with_images(root: Path, *images: tuple[str, str], **settings: Any) -> Passes:
    """A host below `root` that has these images (reference, kind)."""
    found = Passes(root, **settings)
    for reference, kind in images:
        found.host.add_image(reference, kind)
    return found


def motd(passes: Passes, text: str) -> Resource:
    """A file of the host, whose content is there."""
    return files.file("/etc/motd", content=passes.host.content.put(text.encode()), size=len(text))


def proved(passes: Passes, *resources: Resource) -> str:
    """The id of the release of these resources, once it is known good."""
    passes.branch.push(*resources)
    assert passes.run().exit_code == 0
    return passes.state.known_good[0].id


def roll_back_by_hand(passes: Passes, release: str) -> None:
    """Somebody asks for the release; the next pass goes back to it."""
    Orders(passes.paths.state).roll_back(release, "asked for", passes.clock.wall())


def die_in_the_rollback(passes: Passes) -> None:
    """Kills the pass after the first action of its rollback."""
    reached = passes.host.execute

    def execute(action, resource):  # type: ignore[no-untyped-def]
        attempt = passes.state.attempt
        reached(action, resource)
        if attempt is not None and attempt.phase == "rolling-back":
            raise Died

    passes.host.execute = execute  # type: ignore[method-assign]
    with pytest.raises(Died):
        passes.run()
    passes.host.execute = reached  # type: ignore[method-assign]
