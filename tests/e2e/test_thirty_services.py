"""Thirty services: created once, left alone after, and only what a commit concerns is replaced."""

from __future__ import annotations

from pathlib import Path

from tests.harness import snapshot
from tests.harness.engine import Engine
from tests.harness.gitrepo import GitRepo
from tests.harness.proxy import proxy
from tests.harness.site import make_site

COUNT = 30


def compose(app: str) -> str:
    """Thirty services; each third mounts the shared configuration."""
    lines = [f"name: {app}", "services:"]
    for number in range(COUNT):
        lines += [
            f"  s{number:02}:",
            "    image: limpet-test/idle:v1",
            f"    environment: {{NUMBER: '{number}'}}",
        ]
        if number % 3 == 0:
            lines.append("    volumes: ['./conf/shared.conf:/etc/shared.conf:ro']")
    return "\n".join(lines) + "\n"


def test_thirty_services(engine: Engine, repo: GitRepo, prefix: str, tmp_path: Path) -> None:
    """The first sync must create, the second only read, a README change nothing, a shared file exactly its
    users.
    """
    with proxy(engine.socket, tmp_path / "s") as recorder:
        site = make_site(engine, repo, tmp_path / "site", socket=str(recorder.socket))
        site.commit({"compose.yaml": compose(prefix), "conf/shared.conf": "a\n", "README.md": "one\n"})
        site.sync(real=True)
        first = site.ids(prefix)
        assert len(first) == COUNT

        files = snapshot.files(site.root, ignore=["var/lib/limpet", "run/limpet"])
        recorder.clear()
        assert "nothing to do" in site.sync().out
        recorder.assert_only_get()

        site.commit({"README.md": "two\n"})
        recorder.clear()
        assert "nothing to do" in site.sync().out
        recorder.assert_only_get()
        assert site.ids(prefix) == first
        assert (
            snapshot.difference(files, snapshot.files(site.root, ignore=["var/lib/limpet", "run/limpet"]))
            == ""
        )

        recorder.clear()
        site.commit({"conf/shared.conf": "b\n"})
        planned = site.limpet("plan")
        assert planned.code == 2
        recorder.assert_only_get()
        site.sync()
        second = site.ids(prefix)
        replaced = {name for name in first if first[name] != second.get(name)}
        assert replaced == {f"{prefix}-s{number:02}-1" for number in range(0, COUNT, 3)}
        for name in replaced:
            assert name in planned.out
        assert site.heartbeat()["last_pass"]["replaced"] == len(replaced) + 1
