"""A bad commit is undone, stays undone, and a good one after it is applied."""

from __future__ import annotations

import secrets

import pytest

from tests.harness.site import STEADY, Site, facts

GOOD = """\
name: {app}
services:
  web:
    image: {image}
    restart: unless-stopped
    networks:
      front:
        aliases: [shop]
      back: {{}}
  db:
    image: limpet-test/idle:v1
    networks: [back]
networks:
  front: {{}}
  back: {{}}
"""


@pytest.fixture
def good(site: Site, prefix: str) -> Site:
    """A good release with two services on two networks."""
    site.commit({"compose.yaml": GOOD.format(app=prefix, image="limpet-test/web:v1")})
    site.sync()
    return site


@pytest.mark.parametrize("kind", ["sick", "crash"])
def test_bad_commit_is_rolled_back_to_the_old_container(good: Site, prefix: str, kind: str) -> None:
    """After a commit that never gets healthy (or is in a restart loop), the old container must be back as it
    was, exit 4.
    """
    before, known_good = facts(good, f"{prefix}-web-1"), good.repo.head()
    bad = good.commit({"compose.yaml": GOOD.format(app=prefix, image=f"limpet-test/{kind}:v1")})
    done = good.sync(expect=4, real=True)
    assert "rolled back" in done.err and f"container/{prefix}-web-1" in done.err
    assert facts(good, f"{prefix}-web-1") == before
    assert set(good.ids(prefix)) == {f"{prefix}-web-1", f"{prefix}-db-1"}
    heartbeat = good.heartbeat()
    assert heartbeat["state"] == "RolledBack"
    assert heartbeat["revision"]["known_good"] == f"main@sha1:{known_good}"
    assert heartbeat["rejected"][0]["revision"] == f"main@sha1:{bad}"


def test_rolled_back_stays_rolled_back(good: Site, prefix: str) -> None:
    """The rejected release must not be tried a second time, pass after pass, while drift is still
    repaired.
    """
    good.commit({"compose.yaml": GOOD.format(app=prefix, image="limpet-test/sick:v1")})
    good.sync(expect=4)
    before, started = facts(good, f"{prefix}-web-1"), good.container(f"{prefix}-web-1")["State"]["StartedAt"]
    for _ in range(3):
        good.sync(expect=4)
        assert facts(good, f"{prefix}-web-1") == before
        assert good.container(f"{prefix}-web-1")["State"]["StartedAt"] == started
    good.engine.client.containers.get(f"{prefix}-db-1").remove(force=True)
    good.sync(expect=4)
    assert facts(good, f"{prefix}-db-1")["running"]
    assert good.heartbeat()["state"] == "RolledBack"


def test_next_good_commit_is_applied(good: Site, prefix: str) -> None:
    """After a rollback the next good commit, and equally a revert, must be applied."""
    good.commit({"compose.yaml": GOOD.format(app=prefix, image="limpet-test/sick:v1")})
    good.sync(expect=4)
    good.commit({"compose.yaml": GOOD.format(app=prefix, image="limpet-test/web:v2")})
    good.sync()
    assert good.engine.said(f"{prefix}-web-1", "cat", "/version") == "v2"
    assert good.heartbeat()["state"] == "Synced"
    assert good.heartbeat()["rolled_back"] is None


def test_revert_of_a_rejected_commit_is_quiet(good: Site, prefix: str) -> None:
    """A `git revert` of the rejected commit must end the state RolledBack without touching anything."""
    before = facts(good, f"{prefix}-web-1")
    good.commit({"compose.yaml": GOOD.format(app=prefix, image="limpet-test/sick:v1")})
    good.sync(expect=4)
    good.repo.revert()
    assert "nothing to do" in good.sync().out
    assert facts(good, f"{prefix}-web-1") == before
    assert good.heartbeat()["state"] == "Synced"


def test_retry_tries_again(good: Site, prefix: str) -> None:
    """`limpet retry` must make the next pass try the rejected release once more."""
    good.commit({"compose.yaml": GOOD.format(app=prefix, image="limpet-test/sick:v1")})
    good.sync(expect=4)
    assert good.limpet("retry").code == 0
    assert "rolled back" in good.sync(expect=4).err


def test_service_renamed_on_the_same_port(site: Site, prefix: str, free_port: int) -> None:
    """A service that is renamed while it publishes the same host port must go through."""
    compose = (
        "name: {app}\nservices:\n  {name}:\n    image: limpet-test/web:v1\n    ports: "
        "['127.0.0.1:{port}:8080']\n"
    )
    site.commit({"compose.yaml": compose.format(app=prefix, name="old", port=free_port)})
    site.sync()
    site.commit({"compose.yaml": compose.format(app=prefix, name="new", port=free_port)})
    site.sync()
    assert set(site.ids(prefix)) == {f"{prefix}-new-1"}


def test_first_release_that_fails_stays_degraded(site: Site, prefix: str) -> None:
    """With no known good there is nothing to go back to: it must stay, be said to be degraded, and recover by
    a good commit.
    """
    site.commit({"compose.yaml": f"name: {prefix}\nservices:\n  web:\n    image: limpet-test/sick:v1\n"})
    site.sync(expect=1)
    assert site.heartbeat()["state"] == "Degraded"
    site.commit({"compose.yaml": f"name: {prefix}\nservices:\n  web:\n    image: limpet-test/web:v1\n"})
    site.sync()
    assert site.heartbeat()["state"] == "Synced"


def test_changed_network_comes_back(good: Site, prefix: str) -> None:
    """A bad release that also changed a network must be undone with the network's old content and the old
    containers.
    """
    before = facts(good, f"{prefix}-web-1")
    bad = GOOD.format(app=prefix, image="limpet-test/sick:v1").replace(
        "  front: {}\n  back", "  front: {labels: {a: b}}\n  back"
    )
    good.commit({"compose.yaml": bad})
    good.sync(expect=4)
    after = facts(good, f"{prefix}-web-1")
    assert {k: after[k] for k in (*STEADY, "policy", "running")} == {
        k: before[k] for k in (*STEADY, "policy", "running")
    }
    assert {n: a for n, (_, a) in after["networks"].items()} == {
        n: a for n, (_, a) in before["networks"].items()
    }
    assert set(good.ids(prefix)) == {f"{prefix}-web-1", f"{prefix}-db-1"}


SUBNET = """\
name: {app}
services:
  web: {{image: "limpet-test/{kind}:v1", restart: always, networks: {{{net}: {{ipv4_address: {base}.9}}}}}}
networks:
  {net}: {{ipam: {{config: [{{subnet: {base}.0/24}}]}}}}
"""


def test_network_renamed_with_its_subnet(site: Site, prefix: str) -> None:
    """A network that is renamed while it keeps its subnet must go through, and come back with its container
    when that fails.
    """
    base = f"10.232.{secrets.randbelow(250)}"
    site.commit({"compose.yaml": SUBNET.format(app=prefix, kind="web", net="old", base=base)})
    site.sync()
    before = facts(site, f"{prefix}-web-1")
    site.commit({"compose.yaml": SUBNET.format(app=prefix, kind="sick", net="new", base=base)})
    site.sync(expect=4)
    after = facts(site, f"{prefix}-web-1")
    assert {k: after[k] for k in (*STEADY, "policy", "running")} == {
        k: before[k] for k in (*STEADY, "policy", "running")
    }
    address = site.container(f"{prefix}-web-1")["NetworkSettings"]["Networks"][f"{prefix}_old"]["IPAddress"]
    assert address == f"{base}.9"
    assert [n.name for n in site.engine.client.networks.list(names=[prefix])] == [f"{prefix}_old"]
    site.commit({"compose.yaml": SUBNET.format(app=prefix, kind="web", net="new", base=base)})
    site.sync()
    assert [n.name for n in site.engine.client.networks.list(names=[prefix])] == [f"{prefix}_new"]
    assert (
        site.container(f"{prefix}-web-1")["NetworkSettings"]["Networks"][f"{prefix}_new"]["IPAddress"]
        == f"{base}.9"
    )


def test_app_renamed_with_its_subnet(site: Site, prefix: str) -> None:
    """An app that is renamed while its network keeps its subnet must go through: the old containers give way
    first.
    """
    base = f"10.233.{secrets.randbelow(250)}"
    site.commit({"compose.yaml": SUBNET.format(app=f"{prefix}a", kind="web", net="n", base=base)})
    site.sync()
    site.commit({"compose.yaml": SUBNET.format(app=f"{prefix}b", kind="web", net="n", base=base)})
    site.sync()
    assert set(site.ids(prefix)) == {f"{prefix}b-web-1"}
    assert [n.name for n in site.engine.client.networks.list(names=[prefix])] == [f"{prefix}b_n"]
