"""Coming from Docker Compose: Limpet takes over what `docker-compose up` started, and hurts nothing of it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.harness import snapshot
from tests.harness.net import free_port
from tests.harness.proxy import proxy
from tests.harness.site import Site, make_site

COMPOSE = """\
name: {app}
services:
  web:
    image: limpet-test/web:v1
    restart: unless-stopped
    ports: ["{port}:8080"]
    environment: {{A: "1", EMPTY: ""}}
    env_file: [./app.env]
    volumes: ["./conf:/etc/conf:ro", "data:/data", "./state:/state"]
    tmpfs: ["/scratch:size=1m"]
    networks: {{front: {{aliases: [www]}}, default: {{}}}}
    depends_on: [db]
    {adopt}
  db:
    image: limpet-test/idle:v1
    command: [/bin/idle]
    mem_limit: {memory}
    cap_add: [NET_ADMIN]
    labels: {{com.example.a: "1"}}
    healthcheck: {{test: ["CMD", "true"], interval: 1s}}
    volumes: ["data:/data", "/anonymous"]
    {adopt}
  migrate:
    image: limpet-test/once:v1
    {adopt_once}
volumes: {{data: {{}}}}
networks: {{front: {{}}}}
"""
ADOPT = "x-limpet: {adopt: true}"


class Shop:
    """An app below the site's root at /opt/shop, as a person has it who uses Docker Compose."""

    def __init__(self, site: Site, app: str) -> None:
        self.site, self.app, self.port = site, app, free_port()
        version = subprocess.run(
            ["docker-compose", "version", "--short"], capture_output=True, text=True, check=True
        ).stdout
        self.separator = "_" if version.startswith("1.") else "-"
        self.directory = site.root / "opt/shop"
        self.files = {"app.env": "B=from the file\n", "conf/app.conf": "x\n"}
        (self.directory / "state").mkdir(parents=True)
        (self.directory / "state/data").write_text("precious\n")

    def text(self, *, adopt: bool = True, memory: str = "64m") -> str:
        once = "x-limpet: {oneshot: true, adopt: true}" if adopt else "x-limpet: {oneshot: true}"
        return COMPOSE.format(
            app=self.app, port=self.port, memory=memory, adopt=ADOPT if adopt else "", adopt_once=once
        )

    def up(self, text: str = "", *services: str) -> None:
        """What a person did before they heard of Limpet."""
        own = (text or self.text()).partition("\n")[2]  # 1.29 knows no `name:`
        for path, content in {"docker-compose.yml": own, **self.files}.items():
            (self.directory / path).parent.mkdir(exist_ok=True)
            (self.directory / path).write_text(content)
        self.compose("up", "-d", *services)

    def compose(self, *arguments: str) -> str:
        argv = ["docker-compose", "-p", self.app, *arguments]
        done = subprocess.run(
            argv, cwd=self.directory, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def commit(self, text: str = "", directory: str = "/opt/shop", **files: str | None) -> str:
        layer = f"apps: {{{self.app}: {{directory: {directory}}}}}\n" if directory else None
        return self.site.commit(
            {"compose.yaml": text or self.text(), "layer.yaml": layer, **self.files, **files}
        )

    def containers(self) -> dict[str, tuple[Any, ...]]:
        """Service -> what must not change when a container is adopted: id, start, pid."""
        found = {}
        for container in self.site.engine.containers(self.app):
            doc = self.site.container(str(container.id))
            service = doc["Config"]["Labels"]["com.docker.compose.service"]
            found[service] = (doc["Id"], doc["State"]["StartedAt"], doc["State"]["Pid"])
        return found

    def theirs(self, service: str) -> str:
        """The name that Docker Compose gives."""
        return f"{self.app}{self.separator}{service}{self.separator}1"

    def names(self) -> set[str]:
        return {name.removeprefix(f"{self.app}-") for name in self.site.ids(self.app)}


@pytest.fixture
def shop(site: Site, prefix: str) -> Shop:
    return Shop(site, prefix)


def test_equal_containers_are_adopted_as_they_are(shop: Shop, tmp_path: Path) -> None:
    """A project that Compose started must be adopted without a container being re-created or restarted; then
    there is nothing to do.
    """
    shop.up()
    before = shop.containers()
    shop.commit()
    with proxy(shop.site.engine.socket, tmp_path / "p") as recorded:
        shop.site.configure(engine={"socket": recorded.socket})
        planned = shop.site.limpet("plan", real=True)
        assert planned.code == 2, planned
        for name in ("container", "network", "volume"):
            assert f"adopt {name}/{shop.app}" in planned.out
        assert "create" not in planned.out and "replace" not in planned.out
        recorded.assert_only_get()
        done = shop.site.sync()
        assert "6 adopted" in done.out, done
        assert shop.containers() == before
        assert shop.names() == {"web-1", "db-1", "migrate-1"}
        recorded.clear()
        assert "nothing to do" in shop.site.sync().out
        recorded.assert_only_get()
    assert shop.site.heartbeat()["state"] == "Synced"
    assert (shop.directory / "state/data").read_text() == "precious\n"


def test_a_changed_service_is_replaced_alone(shop: Shop) -> None:
    """A container that differs from the file must be replaced, and the plan must name what differs; the
    others stay. Its unnamed volume is data and goes on.
    """
    shop.up()
    before = shop.containers()
    volumes = {m["Destination"]: m["Name"] for m in shop.site.container(shop.theirs("db"))["Mounts"]}
    shop.commit(shop.text(memory="96m"))
    planned = shop.site.limpet("plan").out
    cause = "the container that was started before differs in mem_limit"
    assert f"replace container/{shop.app}-db-1: {cause}" in planned
    shop.site.sync()
    after = shop.containers()
    assert (after["web"], after["migrate"]) == (before["web"], before["migrate"])
    assert after["db"][0] != before["db"][0]
    assert {m["Destination"]: m["Name"] for m in shop.site.container(f"{shop.app}-db-1")["Mounts"]} == volumes
    assert shop.names() == {"web-1", "db-1", "migrate-1"}
    assert "nothing to do" in shop.site.sync().out


def test_a_bad_commit_after_the_adoption_returns_to_the_adopted_container(shop: Shop) -> None:
    """An adopted container must be kept like any of known good: after a bad commit it is back, the same id,
    running.
    """
    shop.up()
    shop.commit()
    shop.site.sync()
    before = shop.containers()
    shop.commit(shop.text().replace("limpet-test/web:v1", "limpet-test/crash:v1"))
    shop.site.sync(expect=4)
    after = shop.containers()
    assert (after["db"], after["web"][0]) == (before["db"], before["web"][0])
    doc = shop.site.container(f"{shop.app}-web-1")
    assert doc["State"]["Running"] and doc["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    assert set(doc["NetworkSettings"]["Networks"]) == {f"{shop.app}_front", f"{shop.app}_default"}
    assert shop.names() == {"web-1", "db-1", "migrate-1"}


def facts(shop: Shop, name: str) -> tuple[Any, ...]:
    doc = shop.site.container(name)
    policy = doc["HostConfig"]["RestartPolicy"]["Name"] or "no"
    return doc["Id"], doc["State"]["Running"], policy, sorted(doc["NetworkSettings"]["Networks"])


def networks_of(shop: Shop) -> dict[str, str | None]:
    """The networks of the project by name, with their ids."""
    found = shop.site.engine.client.networks.list()
    return {str(n.name): n.id for n in found if str(n.name).startswith(shop.app)}


def test_a_bad_first_commit_gives_back_what_was_there(shop: Shop) -> None:
    """When the very first release fails, what Compose started must be there again as it was, under its name,
    and stay so.
    """
    shop.up()
    before = {service: facts(shop, shop.theirs(service)) for service in ("web", "db", "migrate")}
    networks = networks_of(shop)
    bad = shop.text().replace("limpet-test/web:v1", "limpet-test/crash:v1")
    shop.commit(bad.replace("volumes: {data", "  edge: {image: 'limpet-test/idle:v1'}\nvolumes: {data"))
    done = shop.site.sync(expect=4)
    assert "to what was there before" in done.err, done
    for _ in range(2):
        assert {service: facts(shop, shop.theirs(service)) for service in ("web", "db", "migrate")} == before
        assert set(shop.site.ids(shop.app)) == {shop.theirs(service) for service in ("web", "db", "migrate")}
        assert networks_of(shop) == networks
        shop.site.sync(expect=4)
    assert shop.site.heartbeat()["state"] == "RolledBack"
    shop.commit()
    assert "6 adopted" in shop.site.sync().out
    assert shop.containers()["db"][0] == before["db"][0]


def test_a_bad_later_commit_that_adopts_gives_back_what_was_there(shop: Shop) -> None:
    """When a release that adopts fails on a host that has a known good one, that one and what was adopted
    must be as before.
    """
    other = f"name: {shop.app}-other\nservices: {{own: {{image: 'limpet-test/idle:v1'}}}}\n"
    shop.site.commit({"apps/other/compose.yaml": other})
    shop.site.sync()
    own = facts(shop, f"{shop.app}-other-own-1")
    shop.up(shop.text(memory="32m"))
    before = {service: facts(shop, shop.theirs(service)) for service in ("web", "db", "migrate")}
    files = {f"apps/shop/{path}": content for path, content in shop.files.items()}
    layer = f"apps: {{{shop.app}: {{directory: /opt/shop}}}}\n"
    bad = shop.text().replace("limpet-test/web:v1", "limpet-test/sick:v1")
    shop.site.commit({"apps/shop/compose.yaml": bad, "layer.yaml": layer, **files})
    shop.site.sync(expect=4)
    assert {service: facts(shop, shop.theirs(service)) for service in ("web", "db", "migrate")} == before
    assert facts(shop, f"{shop.app}-other-own-1") == own
    assert set(shop.site.ids(shop.app)) == {
        *(shop.theirs(s) for s in ("web", "db", "migrate")),
        f"{shop.app}-other-own-1",
    }
    shop.site.sync(expect=4)
    assert {service: facts(shop, shop.theirs(service)) for service in ("web", "db", "migrate")} == before


def test_a_bind_that_would_move_is_refused_with_the_remedy(shop: Shop) -> None:
    """Adoption that would make a container see another directory must be refused, and following the hint must
    work.
    """
    shop.up()
    before = shop.containers()
    shop.commit(directory="")
    done = shop.site.sync(expect=6)
    assert (
        f"would move from /opt/shop/conf to /var/lib/limpet/apps/{shop.app}/conf, and 1 more"
        in done.err + done.out
    )
    assert f"apps: {{{shop.app}: {{directory: /opt/shop}}}} in layer.yaml" in done.err + done.out
    assert shop.containers() == before
    shop.commit(directory="/opt/shop")
    shop.site.sync()
    assert shop.containers() == before and shop.names() == {"web-1", "db-1", "migrate-1"}


def test_what_is_not_to_be_adopted_is_refused(shop: Shop) -> None:
    """Without `adopt` the project must be left alone, the hint names it, and following the hint must work."""
    shop.up()
    before = shop.containers()
    shop.commit(shop.text(adopt=False))
    done = shop.site.sync(expect=6)
    assert "x-limpet: {adopt: true}" in done.err + done.out, done
    assert shop.containers() == before
    shop.commit()
    shop.site.sync()
    assert shop.containers() == before
    shop.commit(shop.text(adopt=False))
    shop.site.sync()
    assert shop.containers() == before and shop.names() == {"web-1", "db-1", "migrate-1"}


def test_a_changed_file_replaces_what_uses_it(shop: Shop) -> None:
    """A container whose mounted file is another in the repository must be replaced, and the file is the
    repository's then.
    """
    shop.up()
    before = shop.containers()
    shop.files["conf/app.conf"] = "changed\n"
    shop.commit()
    assert "differs in /opt/shop/conf/app.conf" in shop.site.limpet("plan").out
    shop.site.sync()
    after = shop.containers()
    assert after["db"] == before["db"] and after["web"][0] != before["web"][0]
    assert (shop.directory / "conf/app.conf").read_text() == "changed\n"


def test_a_stopped_project_is_adopted_and_started(shop: Shop) -> None:
    """Equal containers that are stopped must be started as they are; a one-shot that ran is not run again."""
    shop.up()
    shop.compose("stop")
    before = shop.containers()
    shop.commit()
    shop.site.sync()
    after = shop.containers()
    assert {service: facts[0] for service, facts in after.items()} == {
        service: facts[0] for service, facts in before.items()
    }
    assert after["migrate"] == before["migrate"]
    assert shop.site.container(f"{shop.app}-web-1")["State"]["Running"]


def test_after_the_adoption_they_are_ours(shop: Shop) -> None:
    """An adopted container must be repaired when it drifts, and removed with its network when the repository
    drops it; its volumes stay.
    """
    shop.up()
    shop.commit()
    shop.site.sync()
    before = shop.containers()
    shop.site.engine.client.containers.get(f"{shop.app}-web-1").stop(timeout=0)
    shop.site.engine.client.containers.get(f"{shop.app}-db-1").remove(force=True)
    shop.site.sync()
    after = shop.containers()
    assert after["web"][0] == before["web"][0] and after["db"][0] != before["db"][0]
    assert "io.limpet.instance" in shop.site.container(f"{shop.app}-db-1")["Config"]["Labels"]
    one = f"name: {shop.app}\nservices: {{one: {{image: 'limpet-test/idle:v1', network_mode: none}}}}\n"
    shop.site.commit({"compose.yaml": one, "layer.yaml": None, **dict.fromkeys(shop.files)})
    shop.site.sync()
    assert shop.names() == {"one-1"}
    assert snapshot.networks(shop.site.engine, shop.app) == {}
    assert f"{shop.app}_data" in {volume.name for volume in shop.site.engine.client.volumes.list()}
    assert (shop.directory / "state/data").read_text() == "precious\n"


def test_a_lost_inventory_adopts_anew(shop: Shop) -> None:
    """When the inventory is lost, adopted containers that are equal must be adopted again as they are."""
    shop.up()
    shop.commit()
    shop.site.sync()
    before = shop.containers()
    for path in (shop.site.root / "var/lib/limpet").glob("inventory.json*"):
        path.unlink()
    shop.site.sync()
    assert shop.containers() == before
    assert shop.site.heartbeat()["state"] == "Synced"
    assert "nothing to do" in shop.site.sync().out


def test_what_another_limpet_owns_is_not_adopted(shop: Shop, tmp_path: Path) -> None:
    """A container of another installation must never be adopted, whatever the file says."""
    shop.commit(directory="")
    shop.site.sync()
    before = shop.containers()
    other = make_site(shop.site.engine, shop.site.repo, tmp_path / "other")
    done = other.sync(expect=6)
    assert "is not ours" in done.err + done.out
    assert shop.containers() == before
    assert "nothing to do" in shop.site.sync().out


def test_orphans_of_the_project_are_not_touched(shop: Shop) -> None:
    """A container of the Compose project that is in no service of the repository must be left alone."""
    extra = shop.text().replace("volumes: {data", "  orphan: {image: 'limpet-test/idle:v1'}\nvolumes: {data")
    shop.up(extra)
    before = shop.containers()
    shop.commit()
    shop.site.sync()
    assert shop.containers() == before
    assert shop.theirs("orphan") in shop.site.ids(shop.app)
