"""The registry or the Git server in trouble, for whole passes: what runs is left alone, nothing is condemned,
and it heals.
"""

from __future__ import annotations

from pathlib import Path

from tests.harness import images, snapshot
from tests.harness.engine import Engine
from tests.harness.front import front
from tests.harness.gitrepo import GitRepo
from tests.harness.gitserver import HttpsRemote
from tests.harness.hosts import Result
from tests.harness.registry import registry
from tests.harness.site import Site, make_site

COMPOSE = "name: {app}\nservices:\n  web: {{image: '{image}'}}\n"


def unharmed(site: Site, app: str, expect: int) -> Result:
    """A pass in trouble: exit code, the same containers, drift repaired, nothing rejected."""
    before = snapshot.containers(site.engine, app, ids=True)
    (site.root / "etc/app.conf").write_text("edited\n")
    done = site.sync(expect=expect)
    assert "hint: " in done.err, done
    assert snapshot.containers(site.engine, app, ids=True) == before, done
    assert (site.root / "etc/app.conf").read_text() == "one\n", done
    assert site.heartbeat()["rejected"] == []
    return done


def test_a_registry_in_trouble(site: Site, prefix: str, tmp_path: Path) -> None:
    """Whatever a registry answers, and however it breaks off, what runs must stay, drift be repaired and
    nothing be condemned; a slow one must do, one that breaks off in a blob and goes on, and one that is well
    again.
    """
    site.commit(
        {
            "compose.yaml": COMPOSE.format(app=prefix, image="limpet-test/web:v1"),
            "files/etc/app.conf": "one\n",
        }
    )
    site.sync()
    with registry(tmp_path / "registry") as server, front(server.port) as between:
        for number, (status, cut, code) in enumerate(
            [(401, None, 78), (404, None, 78), (429, None, 75), (500, None, 75), (None, 100, 75)]
        ):
            name = server.push(images.image("web", f"v{number + 10}"), f"{prefix}/web:{number}").partition(
                "/"
            )[2]
            site.commit({"compose.yaml": COMPOSE.format(app=prefix, image=f"{between.address}/{name}")})
            between.status, between.cut, between.only = status, cut, "/manifests/" if cut else ""
            done = unharmed(site, prefix, code)
            assert name in done.err, done
        between.heal()
        between.pause, between.only, between.cut, between.cuts = 0.01, "/blobs/", 100, 1
        site.sync()
        assert between.cuts == 0
        assert site.engine.said(f"{prefix}-web-1", "cat", "/version") == "v14"


def test_a_git_server_in_trouble(engine: Engine, repo: GitRepo, prefix: str, tmp_path: Path) -> None:
    """Whatever a Git server answers, and however it breaks off, what runs must stay, drift be repaired and
    nothing be condemned; a slow one must do, and so must one that is well again.
    """
    with HttpsRemote(repo, tmp_path / "https") as git, front(git.port, git.authority) as between:
        site = make_site(engine, repo, tmp_path / "site", remote=git)
        site.configure(source={"url": f"https://{between.address}/{repo.path.name}", "timeout": "2s"})
        site.commit(
            {
                "compose.yaml": COMPOSE.format(app=prefix, image="limpet-test/web:v1"),
                "files/etc/app.conf": "one\n",
            }
        )
        site.sync()
        site.commit({"compose.yaml": COMPOSE.format(app=prefix, image="limpet-test/web:v2")})
        for status, cut, code in [
            (401, None, 78),
            (404, None, 78),
            (429, None, 75),
            (500, None, 75),
            (None, 150, 75),
        ]:
            between.status, between.cut = status, cut
            unharmed(site, prefix, code)
        between.heal()
        between.pause = 0.05
        site.sync()
        assert engine.said(f"{prefix}-web-1", "cat", "/version") == "v2"


def test_the_branch_is_deleted_or_rewritten(site: Site, prefix: str) -> None:
    """A branch that is gone, and one whose history was rewritten, must stall with the remedy while what runs
    is kept in order; the remedies must work.
    """
    first = site.commit(
        {
            "compose.yaml": COMPOSE.format(app=prefix, image="limpet-test/web:v1"),
            "files/etc/app.conf": "one\n",
        }
    )
    site.sync()
    site.repo.set_branch("elsewhere", first)
    site.repo.delete_branch("main")
    assert "main" in unharmed(site, prefix, 78).err
    site.repo.set_branch("main", first)
    site.sync()
    site.repo.commit(
        {
            "compose.yaml": COMPOSE.format(app=prefix, image="limpet-test/web:v2"),
            "files/etc/app.conf": "two\n",
        },
        "rewritten",
        parent="",
    )
    assert f"git merge -s ours {first[:7]}" in unharmed(site, prefix, 78).err
    site.repo.set_branch("main", first)
    assert "nothing to do" in site.sync().out
