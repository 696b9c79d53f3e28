"""A health result from before a change says nothing about the change, on the real Engine."""

from __future__ import annotations

import pytest

from tests.harness.site import Site, on_both_engines
from tests.harness.wait import eventually

pytestmark = on_both_engines

COMPOSE = """\
name: {app}
services:
  db:
    image: limpet-test/idle:v1
    init: true
    network_mode: none
    volumes: ['flag:/f']
    healthcheck: {{test: '! test -e /f/bad', interval: 1s, retries: 1}}
  web:
    image: limpet-test/idle:v1
    init: true
    network_mode: none
    environment: {{E: '{mark}'}}
    depends_on: {{db: {{condition: service_healthy}}}}
  app:
    image: limpet-test/idle:v1
    init: true
    network_mode: none
    volumes: ['./app:/app']
    healthcheck: {{test: '! test -e /ill || grep -q good /app/a', interval: 1s, retries: 1}}
    x-limpet: {{on_change: {{./app/a: CONT}}}}
volumes: {{flag: {{}}}}
"""


@pytest.fixture
def ailing(site: Site, prefix: str) -> Site:
    """A database that is unhealthy, for as long as /f/bad is there."""
    site.configure(gate={"settle": "0.5s", "deadline": "12s"})
    site.commit({"compose.yaml": COMPOSE.format(app=prefix, mark="1"), "app/a": "bad"})
    site.sync()
    return site


def until_health(site: Site, name: str, word: str) -> None:
    eventually(lambda: site.container(name)["State"]["Health"]["Status"] == word, what=f"{name} {word}")


def test_a_dependency_that_is_ill_for_a_while(ailing: Site, prefix: str) -> None:
    """A commit to what waits for an unhealthy dependency must be brought in when that is well again; when
    it is not, it must be inconclusive, leave the old container alone, and be brought in later.
    """
    db = f"{prefix}-db-1"
    ailing.engine.said(db, "touch", "/f/bad")
    until_health(ailing, db, "unhealthy")
    old = ailing.ids(prefix)
    ailing.commit({"compose.yaml": COMPOSE.format(app=prefix, mark="2")})
    result = ailing.sync(expect=75)
    assert "says nothing about the release" in result.err
    assert ailing.ids(prefix) == old
    ailing.engine.said(db, "sh", "-c", "(sleep 4; rm /f/bad) >/dev/null 2>&1 &")
    ailing.sync()
    assert ailing.ids(prefix)[f"{prefix}-web-1"] != old[f"{prefix}-web-1"]
    assert "nothing to do" in ailing.sync().out


def test_a_signal_that_heals(ailing: Site, prefix: str) -> None:
    """A commit whose changed file heals an unhealthy container must get the time to: the same container is
    healthy in the end.
    """
    app = f"{prefix}-app-1"
    ailing.engine.said(app, "touch", "/ill")
    until_health(ailing, app, "unhealthy")
    old = ailing.ids(prefix)
    ailing.commit({"app/a": "good"})
    ailing.sync()
    assert ailing.ids(prefix) == old
    until_health(ailing, app, "healthy")


LINKED = """\
name: {app}
services:
  db:
    image: limpet-test/idle:v1
    init: true
    network_mode: bridge
    healthcheck: {{test: '{test}', interval: 0.5s, retries: 5}}
  web:
    image: limpet-test/idle:v1
    init: true
    network_mode: bridge
    healthcheck: {{test: 'true', interval: 1s, retries: 1}}
    links: [db]
    depends_on: {{db: {{condition: service_healthy}}}}
"""


def test_what_suffered_from_a_bad_release(site: Site, prefix: str) -> None:
    """While a container does not run, the Engine runs no probe in what is linked to it: that must not keep a
    bad release from being rejected, once, when all is well again without it.
    """
    site.commit({"compose.yaml": LINKED.format(app=prefix, test="true")})
    site.sync()
    before = site.ids(prefix)
    site.commit({"compose.yaml": LINKED.format(app=prefix, test="false")})
    site.sync(expect=4)
    assert site.ids(prefix) == before
    until_health(site, f"{prefix}-web-1", "healthy")
