"""A broken repository reaches a host: exit 78, the problem is told, nothing is touched, and the next good
commit is applied.
"""

from __future__ import annotations

from pathlib import Path

from tests.harness import broken, snapshot
from tests.harness.engine import Engine
from tests.harness.gitrepo import GitRepo
from tests.harness.proxy import proxy
from tests.harness.site import make_site

GOOD = {
    "compose.yaml": "name: {app}\nservices:\n  web:\n    image: limpet-test/idle:v1\n",
    "files/etc/motd": "hello\n",
}


def test_broken_commits_touch_nothing(engine: Engine, repo: GitRepo, prefix: str, tmp_path: Path) -> None:
    """Every broken commit must end in exit 78 with its file named, no request but GET and no changed file or
    container.
    """
    names = [name for name in broken.names() if not broken.arguments(name)][::3]
    assert len(names) >= 25
    good = {path: text.format(app=prefix) for path, text in GOOD.items()}
    with proxy(engine.socket, tmp_path / "engine.sock") as recorder:
        site = make_site(engine, repo, tmp_path / "site", socket=str(tmp_path / "engine.sock"))
        site.commit(good)
        site.sync(real=True)
        before = snapshot.containers(engine, prefix, ids=True), snapshot.files(site.root / "etc")
        recorder.clear()
        for name in names:
            repo.commit(broken.contents(name), name, replace=True)
            done = site.sync(expect=78)
            assert any(problem.file in done.err for problem in broken.expected(name)), f"{name}: {done}"
        recorder.assert_only_get()
        assert (snapshot.containers(engine, prefix, ids=True), snapshot.files(site.root / "etc")) == before
        repo.commit({**good, "files/etc/motd": "again\n"}, "good", replace=True)
        site.sync()
        assert (site.root / "etc/motd").read_text() == "again\n"
