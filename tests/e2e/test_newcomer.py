"""A Compose repository as people have it, with nothing but compose.yaml, on a host with three lines of
settings.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.site import Site

COMPOSE = """\
name: {app}
services:
  web:
    image: limpet-test/web:v1
    environment:
      GREETING: hello
    volumes:
      - ./conf:/www:ro
      - ./data:/data
  worker:
    image: limpet-test/idle:v1
    depends_on:
      web:
        condition: service_healthy
    volumes:
      - cache:/var/cache
volumes:
  cache:
"""


@pytest.fixture
def shop(site: Site, prefix: str) -> Site:
    """The newcomer's repository, converged once."""
    site.commit(
        {"compose.yaml": COMPOSE.format(app=prefix), "conf/index.html": "first\n", "README.md": "shop\n"}
    )
    site.sync()
    return site


def page(site: Site, name: str) -> str:
    """What a container serves."""
    return site.engine.said(name, "wget", "-q", "-O", "-", "http://127.0.0.1:8080/")


def data(site: Site, prefix: str) -> Path:
    return site.root / f"var/lib/limpet/apps/{prefix}/data"


def test_three_lines_of_settings_suffice(site: Site, prefix: str) -> None:
    """A repository that holds nothing but compose.yaml must converge with [source], url and branch alone."""
    site.commit({"compose.yaml": COMPOSE.format(app=prefix), "conf/index.html": "first\n"})
    path = site.root / "etc/limpet/limpet.toml"
    path.write_text(f'[source]\nurl = "file://{site.repo.path}"\nbranch = "main"\n')
    done = site.sync(env={"LIMPET_GATE__SETTLE": "1s"}, real=True)
    assert "converged at main@" in done.out
    assert page(site, f"{prefix}-web-1") == "first\n"
    assert site.heartbeat()["state"] == "Synced"


def test_second_sync_does_nothing(shop: Site, prefix: str) -> None:
    """A second sync must change nothing and say so."""
    before = shop.ids(prefix)
    assert "nothing to do" in shop.sync().out
    assert shop.ids(prefix) == before


def test_changed_file_replaces_only_its_service(shop: Site, prefix: str) -> None:
    """An edited tracked file must replace the service that mounts it, and nothing else."""
    before = shop.ids(prefix)
    shop.commit({"conf/index.html": "second\n"})
    shop.sync()
    after = shop.ids(prefix)
    assert page(shop, f"{prefix}-web-1") == "second\n"
    assert after[f"{prefix}-worker-1"] == before[f"{prefix}-worker-1"]
    assert after[f"{prefix}-web-1"] != before[f"{prefix}-web-1"]
    assert set(after) == set(before)


def test_data_survives_changes_rollback_and_prune(shop: Site, prefix: str) -> None:
    """What Git does not track in the app's directory, and named volumes, must survive changes, rollback and
    prune.
    """
    (data(shop, prefix) / "precious").write_text("gold")
    worker = shop.engine.client.containers.get(f"{prefix}-worker-1")
    assert worker.exec_run(["sh", "-c", "echo gold > /var/cache/precious"]).exit_code == 0
    shop.commit({"compose.yaml": COMPOSE.format(app=prefix).replace("hello", "world")})
    shop.sync()
    shop.commit(
        {"compose.yaml": COMPOSE.format(app=prefix).replace("limpet-test/web:v1", "limpet-test/sick:v1")}
    )
    shop.sync(expect=4)
    assert (data(shop, prefix) / "precious").read_text() == "gold"
    shop.commit({"compose.yaml": f"name: {prefix}\nservices:\n  other:\n    image: limpet-test/idle:v1\n"})
    shop.sync()
    assert set(shop.ids(prefix)) == {f"{prefix}-other-1"}
    assert (data(shop, prefix) / "precious").read_text() == "gold"
    shop.commit({"compose.yaml": COMPOSE.format(app=prefix)})
    shop.sync()
    assert shop.engine.said(f"{prefix}-worker-1", "cat", "/var/cache/precious") == "gold\n"


def test_commit_without_content_does_nothing(shop: Site, prefix: str) -> None:
    """A commit that touches only README must cause no action, and become the applied revision."""
    before = shop.ids(prefix)
    commit = shop.commit({"README.md": "better words\n"})
    assert "nothing to do" in shop.sync().out
    assert shop.ids(prefix) == before
    assert shop.heartbeat()["revision"]["applied"] == f"main@sha1:{commit}"
