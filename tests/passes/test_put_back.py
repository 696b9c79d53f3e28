"""Files that somebody edited are put back, and their readers are told."""

from __future__ import annotations

from typing import Any

import pytest

from agent.kinds import files
from agent.model import Need, Resource
from tests.fakes.passes import Passes, service
from tests.passes.moves import proved, with_images

WEB, PATH = "shop-web-1", "/apps/conf/app.conf"


@pytest.fixture
def passes(tmp_path: Any) -> Passes:
    return with_images(tmp_path, ("shop/web:1", "web"))


def release(passes: Passes, **more: Any) -> list[Resource]:
    """A service that mounts the directory in which a file of its app lies."""
    file = files.file(PATH, content=passes.host.content.put(b"ours"), size=4)
    mount = {"type": "bind", "source": "/apps/conf", "target": "/conf"}
    inputs = {} if more.get("on_change") else {PATH: file.spec["content"]}
    needs = (Need(file.key, "present"),)
    return [file, service("shop/web:1", WEB, volumes=[mount], inputs=inputs, needs=needs, **more)]


def edited(passes: Passes) -> None:
    """Somebody edits the file and starts the container again."""
    passes.host.files.put(PATH, b"a person's")
    passes.host._container_restart(None, WEB)


@pytest.mark.parametrize("killed", [False, True])
def test_the_reader_of_a_mounted_directory_is_restarted(passes: Passes, killed: bool) -> None:
    """A container that has read an edited file of its app must be restarted when that is put back, once, also
    when a pass is killed in between.
    """
    proved(passes, *release(passes))
    edited(passes)
    at = passes.host._find(WEB)
    before = at.started_at
    if killed:
        passes.host.errors[f"restart container/{WEB}"] = KeyboardInterrupt()  # type: ignore[assignment]
        with pytest.raises(KeyboardInterrupt):
            passes.run()
        passes.host.errors.clear()
        assert passes.host.files.read(PATH) == b"ours" and at.started_at == before
    assert passes.run().exit_code == 0
    restarted = at.started_at
    assert passes.host.files.read(PATH) == b"ours" and restarted != before
    assert passes.run().exit_code == 0 and at.started_at == restarted


def test_a_signal_is_enough_where_the_service_says_so(passes: Passes) -> None:
    """`on_change` must count for a file that is put back, too."""
    more = {"on_change": {PATH: "signal:HUP"}}
    proved(passes, *release(passes, **more))
    edited(passes)
    before = passes.host._find(WEB).started_at
    assert passes.run().exit_code == 0
    assert passes.host._find(WEB).signals == ["HUP"] and passes.host._find(WEB).started_at == before
