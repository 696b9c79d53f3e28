"""What happens to a container when one of its files changes, on the real Engine."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness.site import Site

COMPOSE = """\
name: {app}
services:
  web:
    image: limpet-test/{kind}:v1
    restart: always
    volumes: ["./conf:/conf", "./alone:/alone"]
    configs: [{{source: app, target: /app}}]
    network_mode: none
    x-limpet:
      on_change:
        {{./conf/signal: CONT, ./conf/restart: restart, ./alone: restart, ./app: restart,
         ./conf/new: recreate}}
  other: {{image: "limpet-test/{other}:v1", network_mode: none}}
configs: {{app: {{file: ./app}}}}
"""
FILES = {"conf/signal": "1", "conf/restart": "1", "conf/new": "1", "alone": "1", "app": "1"}


@pytest.fixture
def web(site: Site, prefix: str) -> Site:
    """A service that uses a file in each way."""
    site.commit({"compose.yaml": compose(prefix), **FILES})
    site.sync()
    return site


def compose(prefix: str, *, kind: str = "web", other: str = "idle") -> str:
    return COMPOSE.format(app=prefix, kind=kind, other=other)


def read(site: Site, prefix: str, path: str) -> str:
    """What the container sees."""
    return site.engine.said(f"{prefix}-web-1", "cat", path)


def life(site: Site, prefix: str) -> tuple[Any, Any]:
    """The id, and when it was started."""
    doc = site.container(f"{prefix}-web-1")
    return doc["Id"], doc["State"]["StartedAt"]


def test_signal_neither_restarts_nor_recreates(web: Site, prefix: str) -> None:
    """A changed file with a signal must be seen by the same process."""
    before = life(web, prefix)
    web.commit({"conf/signal": "2"})
    web.sync(real=True)
    assert life(web, prefix) == before
    assert read(web, prefix, "/conf/signal") == "2"
    assert "nothing to do" in web.sync().out


@pytest.mark.parametrize(
    ("path", "inside"), [("conf/restart", "/conf/restart"), ("alone", "/alone"), ("app", "/app")]
)
def test_restart_keeps_the_container_and_shows_the_new_file(
    web: Site, prefix: str, path: str, inside: str
) -> None:
    """A changed file with `restart` must be seen by the same container, restarted once: in a directory,
    mounted by itself, and as a config.
    """
    id, started = life(web, prefix)
    web.commit({path: "2"})
    web.sync()
    after = life(web, prefix)
    assert after[0] == id and after[1] != started
    assert read(web, prefix, inside) == "2"
    assert web.container(f"{prefix}-web-1")["HostConfig"]["RestartPolicy"]["Name"] == "always"
    assert "nothing to do" in web.sync().out
    assert life(web, prefix) == after


def test_recreate_makes_a_new_container(web: Site, prefix: str) -> None:
    """A changed file with `recreate` must make a new container, also when another changed file says
    restart.
    """
    id, _ = life(web, prefix)
    web.commit({"conf/new": "2", "alone": "2"})
    web.sync()
    assert life(web, prefix)[0] != id
    assert (read(web, prefix, "/conf/new"), read(web, prefix, "/alone")) == ("2", "2")


def test_rollback_brings_the_old_file_back_into_the_container(web: Site, prefix: str) -> None:
    """When the release fails, a container that was restarted must be restarted again and see the old file,
    the same container.
    """
    id, _ = life(web, prefix)
    web.commit({"compose.yaml": compose(prefix, other="crash"), "alone": "2", "app": "2", "conf/signal": "2"})
    web.sync(expect=4)
    assert life(web, prefix)[0] == id
    assert [read(web, prefix, path) for path in ("/alone", "/app", "/conf/signal")] == ["1", "1", "1"]
    after = life(web, prefix)
    web.sync(expect=4)
    assert life(web, prefix) == after


def test_edited_file_is_put_back_into_the_container(web: Site, prefix: str) -> None:
    """A file that is mounted by itself and was edited on the host must be put back, also in the eyes of the
    container.
    """
    id, _ = life(web, prefix)
    path = web.root / f"var/lib/limpet/apps/{prefix}/alone"
    path.write_text("edited")
    assert read(web, prefix, "/alone") == "edited"
    web.sync()
    assert path.read_text() == "1"
    assert life(web, prefix)[0] == id
    assert read(web, prefix, "/alone") == "1"
    assert "nothing to do" in web.sync().out


def test_host_file_restarts_the_service_it_names(site: Site, prefix: str) -> None:
    """`on_change: restart app/service` of a host file must restart that container and keep it."""
    web = "{image: 'limpet-test/web:v1', network_mode: none, volumes: ['/etc/x.conf:/x']}"
    compose = f"name: {prefix}\nservices: {{web: {web}}}\n"
    layer = f"files:\n  /etc/x.conf: {{on_change: restart {prefix}/web}}\n"
    site.commit({"compose.yaml": compose, "layer.yaml": layer, "files/etc/x.conf": "1"})
    site.sync()
    id, started = life(site, prefix)
    site.commit({"files/etc/x.conf": "2"})
    site.sync()
    after = life(site, prefix)
    assert after[0] == id and after[1] != started
    assert read(site, prefix, "/x") == "2"
