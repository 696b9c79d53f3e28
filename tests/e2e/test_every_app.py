"""Every app of the contract suite (tests/contract/apps), synced by the real command: what is done once is not
done again.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.contract import composed
from tests.harness.engine import Engine
from tests.harness.gitrepo import Content, GitRepo
from tests.harness.proxy import proxy
from tests.harness.site import make_site

GROUPS = 4
ENDS_BADLY = {"unhealthy"}
APPS = [
    name
    for name, app in composed.apps().items()
    if app.case.get("syncs", True) and "too_new" not in app.case and name not in ENDS_BADLY
]


@pytest.fixture
def loaded(roomy: Engine) -> Engine:
    """The Engine with the images of the apps."""
    composed.load_images(roomy.client)
    return roomy


@contextmanager
def cleaned(engine: Engine) -> Iterator[str]:
    """A prefix for projects. What carries it is gone afterwards: health checks would go on."""
    with engine.prefix() as prefix:
        yield prefix
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda c: c.remove(force=True, v=True), engine.containers(prefix)))


def synced_twice(engine: Engine, repo: GitRepo, directory: Path, names: list[str], code: int) -> str:
    """A sync of these apps that ends with `code`, and another one that ends so and only looks; what that one
    says.
    """
    with cleaned(engine) as prefix, proxy(engine.socket, directory / "s") as recorder:
        site = make_site(engine, repo, directory / "site", socket=str(recorder.socket))
        site.configure(gate={"settle": "0.2s", "deadline": "120s"})
        files: dict[str, Content] = {}
        for name in names:
            project = f"{prefix}-{name}"
            app = composed.apps()[name].placed(project, composed.place())
            composed.surround(engine, app)
            files |= {f"apps/{project}/{path}": text for path, text in app.files.items()}
        site.commit(files)
        site.sync(expect=code, timeout=600)
        recorder.clear()
        second = site.sync(expect=code, timeout=120, real=True)
        recorder.assert_only_get()
        return second.out + second.err


@pytest.mark.parametrize("group", range(GROUPS))
def test_the_second_sync_does_nothing(loaded: Engine, repo: GitRepo, tmp_path: Path, group: int) -> None:
    """A second sync of any app must ask the Engine for nothing but what is there."""
    assert "nothing to do" in synced_twice(loaded, repo, tmp_path, APPS[group::GROUPS], 0)


@pytest.mark.parametrize("name", sorted(ENDS_BADLY))
def test_what_ends_badly_is_left_alone(loaded: Engine, repo: GitRepo, tmp_path: Path, name: str) -> None:
    """With nothing to go back to, an app that fails its gate must stay as it is, and be judged again without
    being touched.
    """
    assert "its health check" in synced_twice(loaded, repo, tmp_path, [name], 1)
