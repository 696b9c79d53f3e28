"""What was lost is rebuilt from what can be proved, and from nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.installation import Paths
from agent.kinds import files
from agent.model import Resource
from agent.store.content import Content
from tests.fakes.host import Died, FakeHost
from tests.fakes.passes import Passes, service

TEXT = b"the same"


@pytest.fixture
def passes(tmp_path: Path) -> Passes:
    content: Any = Content(Paths(tmp_path).content)  # one store, as on a host
    made = Passes(tmp_path, host=FakeHost(content))
    made.host.add_image("shop/web:1", "web")
    return made


def motd(passes: Passes) -> Resource:
    return files.file("/etc/motd", content=passes.host.content.put(TEXT), size=len(TEXT))


def dies(*_: Any) -> Any:
    raise Died


@pytest.mark.parametrize("at", ["render", "own"])
def test_a_first_pass_that_was_killed_lost_nothing(
    passes: Passes, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of a person that is just as wanted must be theirs, though the first pass was killed after it had
    stored its manifest, or its attempt: it stays when the repository drops it.
    """
    passes.host.files.put("/etc/motd", TEXT)
    passes.branch.push(service("shop/web:1"), motd(passes))
    with monkeypatch.context() as patch, pytest.raises(Died):
        if at == "render":
            render = passes.branch.render
            patch.setattr(passes.branch, "render", lambda *given: (render(*given), dies()))
        else:
            patch.setattr(passes.host, "save_original", dies)
        passes.run()
    assert passes.run().outcome == "Converged" and passes.heartbeat()["damaged"] == []
    passes.branch.push(service("shop/web:1"))
    assert passes.run().outcome == "Converged"
    assert passes.host.files.read("/etc/motd") == TEXT


@pytest.mark.parametrize("also", [(), ("state",)])
def test_a_file_that_is_as_a_release_had_it_is_ours(passes: Passes, also: tuple[str, ...]) -> None:
    """After the loss, a file that is as a remembered release had it must go when the branch drops it; with
    any other mode it is somebody else's and stays.
    """
    other = files.file("/etc/mode", content=passes.host.content.put(b"m"), size=1)
    passes.branch.push(service("shop/web:1"), motd(passes), other)
    assert passes.run().outcome == "Converged"
    passes.host.files.put("/etc/mode", b"m", mode=0o600)
    for path in (path for name in ("inventory", *also) for path in passes.paths.state.glob(f"{name}.json*")):
        path.write_bytes(b"rot")
    passes.branch.push(service("shop/web:1"))
    assert passes.run().outcome == "Converged"
    assert "1 of 2 paths" in " ".join(passes.heartbeat()["damaged"])
    assert "/etc/motd" not in passes.host.files.there and "/etc/mode" in passes.host.files.there
