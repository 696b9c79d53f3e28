"""Git, the registry or Docker do not answer: exit 75, nothing touched, and the pass after recovery
converges.
"""

from __future__ import annotations

from pathlib import Path

from tests.harness import images, snapshot
from tests.harness.engine import Engine, private_engine
from tests.harness.gitrepo import GitRepo
from tests.harness.gitserver import HttpsRemote
from tests.harness.proxy import proxy
from tests.harness.registry import registry
from tests.harness.site import Site, make_site

COMPOSE = "name: {app}\nservices:\n  web:\n    image: {image}\n"


def seen(site: Site, prefix: str) -> dict[str, object]:
    """All of the app on the Engine, with ids."""
    return dict(snapshot.containers(site.engine, prefix, ids=True))


def test_registry_down(site: Site, prefix: str, tmp_path: Path) -> None:
    """While the registry is down a new image must not disturb what runs; when it is back, the pass must
    converge.
    """
    with registry(tmp_path / "registry") as server:
        ref = server.push(images.image("web", "v2"), f"{prefix}/web:2")
        site.commit({"compose.yaml": COMPOSE.format(app=prefix, image="limpet-test/web:v1")})
        site.sync(real=True)
        before = seen(site, prefix)
        site.commit({"compose.yaml": COMPOSE.format(app=prefix, image=ref)})
        server.stop()
        done = site.sync(expect=75)
        assert ref.partition("/")[0] in done.err
        assert seen(site, prefix) == before
        server.start()
        site.sync()
        assert site.engine.said(f"{prefix}-web-1", "cat", "/version") == "v2"
        assert site.heartbeat()["rejected"] == []


def test_git_server_down(engine: Engine, repo: GitRepo, prefix: str, tmp_path: Path) -> None:
    """While the Git server is down what runs must be kept and its drift repaired; when it is back, the pass
    must converge.
    """
    with HttpsRemote(repo, tmp_path / "https") as git:
        site = make_site(engine, repo, tmp_path / "site", remote=git)
        site.commit({"compose.yaml": COMPOSE.format(app=prefix, image="limpet-test/web:v1")})
        site.sync()
        before = seen(site, prefix)
        site.commit({"compose.yaml": COMPOSE.format(app=prefix, image="limpet-test/web:v2")})
        git.stop()
        site.sync(expect=75)
        assert seen(site, prefix) == before
        engine.client.containers.get(f"{prefix}-web-1").stop(timeout=1)
        site.sync(expect=75)
        assert engine.client.containers.get(f"{prefix}-web-1").status == "running"
        git.start()
        site.sync()
        assert engine.said(f"{prefix}-web-1", "cat", "/version") == "v2"


def test_docker_stopped(repo: GitRepo, tmp_path: Path) -> None:
    """While Docker is stopped the pass must exit 75, touch no file and condemn nothing; after it is back,
    converge.
    """
    (tmp_path / "engine").mkdir()
    with private_engine(tmp_path / "engine") as private:
        images.load(private.client, images.image("web", "v1"))
        images.load(private.client, images.image("web", "v2"))
        site = make_site(private.engine, repo, tmp_path / "site")
        files = {"files/etc/app.conf": "one\n"}
        site.commit({"compose.yaml": COMPOSE.format(app="shop", image="limpet-test/web:v1"), **files})
        site.sync()
        site.commit(
            {
                "compose.yaml": COMPOSE.format(app="shop", image="limpet-test/web:v2"),
                "files/etc/app.conf": "two\n",
            }
        )
        private.stop()
        done = site.sync(expect=75)
        assert "hint: " in done.err and "docker" in done.err
        assert (site.root / "etc/app.conf").read_text() == "one\n"
        private.start()
        site.sync()
        assert (site.root / "etc/app.conf").read_text() == "two\n"
        assert site.heartbeat()["rejected"] == []


def test_docker_api_cut_is_not_an_empty_host(
    engine: Engine, repo: GitRepo, prefix: str, tmp_path: Path
) -> None:
    """An answer of the Engine that is cut short must never be read as "no containers"."""
    with proxy(engine.socket, tmp_path / "s") as recorder:
        site = make_site(engine, repo, tmp_path / "site", socket=str(recorder.socket))
        site.commit({"compose.yaml": COMPOSE.format(app=prefix, image="limpet-test/web:v1")})
        site.sync()
        before = seen(site, prefix)
        recorder.cut_after(700)
        recorder.clear()
        site.sync(expect=75)
        recorder.assert_only_get()
        recorder.resume()
        assert seen(site, prefix) == before
        assert "nothing to do" in site.sync().out


def test_missing_image_keeps_all_else(site: Site, prefix: str) -> None:
    """An image that does not exist must be named, and what runs must stay as it is."""
    site.commit({"compose.yaml": COMPOSE.format(app=prefix, image="limpet-test/web:v1")})
    site.sync()
    before = seen(site, prefix)
    site.commit({"compose.yaml": COMPOSE.format(app=prefix, image="127.0.0.1:1/nowhere/web:9")})
    done = site.sync(expect=75)
    assert "127.0.0.1:1/nowhere/web:9" in done.err
    assert seen(site, prefix) == before
