"""A key that this host's Engine does not know stops the release before anything is touched."""

from __future__ import annotations

from pathlib import Path

from tests.harness import snapshot
from tests.harness.engine import Engine
from tests.harness.gitrepo import GitRepo
from tests.harness.proxy import proxy
from tests.harness.site import make_site

PLAIN = """\
name: {app}
services:
  web:
    image: limpet-test/idle:v1
    networks: {{front: {{}}}}
networks: {{front: {{}}}}
"""
NEWER = PLAIN.replace("front: {{}}}}\nnetworks", "front: {{interface_name: lan0}}}}\nnetworks")


def test_a_key_of_a_newer_engine(engine: Engine, repo: GitRepo, prefix: str, tmp_path: Path) -> None:
    """`interface_name` needs Engine 28.1: an older one must be named beside it, by `plan` and by `sync`, with
    only GET requests; a newer one must do as it is told.
    """
    version = engine.client.version()["ApiVersion"]
    with proxy(engine.socket, tmp_path / "engine.sock") as recorder:
        site = make_site(engine, repo, tmp_path / "site", socket=str(tmp_path / "engine.sock"))
        site.commit({"compose.yaml": PLAIN.format(app=prefix)})
        site.sync(real=True)
        before = snapshot.containers(engine, prefix, ids=True)
        site.commit({"compose.yaml": NEWER.format(app=prefix)})
        if tuple(map(int, version.split("."))) >= (1, 49):
            site.sync()
            return
        recorder.clear()
        planned, done = site.limpet("plan"), site.sync(expect=78)
        recorder.assert_only_get()
    for said in (planned.err, done.err):
        assert (
            f"container/{prefix}-web-1: networks.{prefix}_front.interface_name needs Docker Engine 28.1 "
            "(API 1.49)" in said
        )
        assert f"(API {version})" in said and "compose.yaml:3" in said
    assert planned.code == 1 and snapshot.containers(engine, prefix, ids=True) == before
