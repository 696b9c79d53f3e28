"""Rollbacks where it is hard: what was removed, a way back that is barred, one-shots, and what cannot be
undone.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from docker.errors import APIError

from tests.harness.engine import Engine
from tests.harness.site import Site, facts

ALL = """\
name: {app}
services:
  web:
    image: limpet-test/web:v1
    restart: always
    networks: {{back: {{ipv4_address: {base}.9, aliases: [shop]}}, front: {{}}}}
    depends_on: [db]
  db:
    image: limpet-test/idle:v1
    restart: unless-stopped
    ports: ['127.0.0.1:{port}:8080']
    networks: {{back: {{aliases: [database]}}}}
networks:
  front: {{ipam: {{config: [{{subnet: {base}.128/25}}]}}}}
  back: {{ipam: {{config: [{{subnet: {base}.0/25}}]}}}}
"""
OTHER = """\
name: {app}
services:
  other: {{image: 'limpet-test/sick:v1', ports: ['127.0.0.1:{port}:8080'], networks: [new]}}
networks:
  new: {{ipam: {{config: [{{subnet: {base}.0/25}}]}}}}
"""


def test_all_that_was_removed_comes_back(site: Site, prefix: str, free_port: int) -> None:
    """Services, a network with static addresses and aliases, and a file, that a release removed at once
    because it took their port, subnet and path, must all be back after its rollback: the same containers,
    with names, policies and endpoints.
    """
    words = {"app": prefix, "port": free_port, "base": f"10.234.{secrets.randbelow(250)}"}
    names = [f"{prefix}-web-1", f"{prefix}-db-1"]
    site.commit({"compose.yaml": ALL.format(**words), "files/etc/shop.conf": "known good\n"})
    site.sync(real=True)
    before = {name: facts(site, name) for name in names}
    site.commit(
        {
            "compose.yaml": OTHER.format(**words),
            "files/etc/shop.conf": None,
            "files/etc/shop.conf/d/part": "new\n",
        }
    )
    done = site.sync(expect=4)
    assert f"container/{prefix}-other-1: its health check fails" in done.err
    after = {name: facts(site, name) for name in names}
    for one in (*before.values(), *after.values()):
        one["networks"] = {
            network: aliases for network, (_, aliases) in one["networks"].items()
        }  # `back` was made anew
    assert after == before
    address = site.container(names[0])["NetworkSettings"]["Networks"][f"{prefix}_back"]["IPAddress"]
    assert address == f"{words['base']}.9"
    assert (site.root / "etc/shop.conf").read_text() == "known good\n"
    assert set(site.ids(prefix)) == set(names)
    assert {n.name for n in site.engine.client.networks.list(names=[prefix])} == {
        f"{prefix}_front",
        f"{prefix}_back",
    }
    assert "rejected" in site.sync(expect=4).err and {name: site.ids(prefix)[name] for name in names} == {
        name: before[name]["Id"] for name in names
    }


@contextmanager
def thief(engine: Engine, name: str, port: int) -> Iterator[None]:
    """A foreign container that takes a port as soon as it is free, and holds it."""
    container = engine.client.containers.create(
        "limpet-test/idle:v1", name=name, ports={"8080/tcp": ("127.0.0.1", port)}
    )
    ended = threading.Event()

    def take() -> None:
        while not ended.wait(0.05):
            try:
                container.start()
                return
            except APIError:
                pass  # it is not free yet

    thread = threading.Thread(target=take)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        container.remove(force=True)


def test_a_rollback_that_fails_is_not_called_done(site: Site, prefix: str, free_port: int) -> None:
    """While a foreign container has known good's port, every pass must say that the rollback failed, exit 5,
    why and what to do; when it is gone, the next one ends it with the reason it began for, and the same old
    container.
    """
    network = (
        f"networks: {{default: {{ipam: {{config: [{{subnet: 10.235.{secrets.randbelow(250)}.0/24}}]}}}}}}\n"
    )
    good = f"name: {prefix}\nservices:\n  web:\n    image: limpet-test/web:v1\n    restart: always\n"
    good += f"    ports: ['127.0.0.1:{free_port}:8080']\n"
    site.commit({"compose.yaml": good + network})
    site.sync()
    before = facts(site, f"{prefix}-web-1")
    site.commit(
        {"compose.yaml": f"name: {prefix}\nservices:\n  web: {{image: 'limpet-test/sick:v1'}}\n{network}"}
    )
    with thief(site.engine, f"{prefix}-thief", free_port):
        for _ in range(2):
            done = site.sync(expect=5)
            assert (
                "rolling back failed" in done.err
                and f"{prefix}-thief" in done.err
                and "docker stop" in done.err
            )
            heartbeat = site.heartbeat()
            assert (heartbeat["outcome"], heartbeat["state"]) == ("RollbackFailed", "Degraded")
        status = site.limpet("status")
        assert status.code == 1 and "rolling back failed" in status.out
    done = site.sync(expect=4)
    assert "rolled back" in done.err and "its health check fails" in done.err
    assert facts(site, f"{prefix}-web-1") == before and site.heartbeat()["state"] == "RolledBack"


MIGRATED = """\
name: {app}
services:
  migrate:
    image: limpet-test/idle:v1
    command: [sh, -c, 'echo {step} >> /data/log']
    volumes: ['./data:/data']
    x-limpet: {{irreversible: true}}
  web:
    image: limpet-test/{image}
    depends_on: {{migrate: {{condition: service_completed_successfully}}}}
"""


def test_what_cannot_be_undone(site: Site, prefix: str) -> None:
    """A release that has run an irreversible migration and fails must stay, degraded, exit 1; a commit goes
    on from there; and no way back or forth between releases runs a migration twice.
    """

    def commit(step: int, image: str) -> None:
        site.commit({"compose.yaml": MIGRATED.format(app=prefix, step=step, image=image)})

    def log() -> str:
        return (site.root / f"var/lib/limpet/apps/{prefix}/data/log").read_text()

    commit(1, "web:v1")
    site.sync()
    commit(2, "sick:v1")
    for _ in range(2):
        done = site.sync(expect=1)
        assert (
            f"container/{prefix}-migrate-1 was started and cannot be undone" in done.err
            and "limpet rollback" in done.err
        )
        assert (site.heartbeat()["state"], site.heartbeat()["rejected"]) == ("Degraded", [])
    assert site.container(f"{prefix}-web-1")["Config"]["Image"] == "limpet-test/sick:v1"
    commit(2, "web:v2")
    site.sync()
    assert site.limpet("rollback").code == 4
    assert site.container(f"{prefix}-web-1")["Config"]["Image"] == "limpet-test/web:v1"
    assert site.limpet("retry").code == 0
    site.sync()
    assert site.container(f"{prefix}-web-1")["Config"]["Image"] == "limpet-test/web:v2"
    assert log() == "1\n2\n"


SLOW = """\
name: {app}
services:
  slow:
    image: limpet-test/idle:v1
    command: [sh, -c, 'sleep 6; touch /tmp/ready; exec sleep 1000']
    stop_grace_period: 0s
    healthcheck:
      {{test: [CMD, test, -e, /tmp/ready], start_period: 8s, interval: 500ms, timeout: 1s, retries: 1}}
  app:
    image: limpet-test/idle:v1
    depends_on: {{slow: {{condition: {condition}}}}}
"""


def test_slow_starters(site: Site, prefix: str) -> None:
    """A container within its own start period must be waited for beyond the gate's deadline: by what depends
    on it, and by the gate.
    """
    site.configure(gate={"settle": "0.5s", "deadline": "2s"})
    for condition in ("service_healthy", "service_started"):
        site.commit({"compose.yaml": SLOW.format(app=f"{prefix}{condition[-1]}", condition=condition)})
        site.sync()
        assert site.heartbeat()["state"] == "Synced"
