"""Lifecycle hooks of Compose services: what becomes of them in the manifest."""

from __future__ import annotations

import pytest

from agent.compose import canonical, load_project
from agent.errors import BadInput
from agent.kinds.engine.endpoints import endpoint
from agent.kinds.engine.labels import container_labels
from agent.model import Key, Manifest, Resource
from agent.render.apps import ComposeFiles
from agent.render.layers import Overlay
from tests.fakes.tree import MemoryTree
from tests.unit.render.rendering import container, manifest, needs

INHERITING = """\
services:
  web:
    image: app:1
    user: app
    entrypoint: [tini]
    command: [serve]
    working_dir: /srv
    restart: always
    ports: ["80:80"]
    labels: {traefik.enable: "true"}
    mem_limit: 64m
    healthcheck: {test: [CMD, probe]}
    environment: {A: service, B: service}
    volumes: ["data:/data", "./conf:/conf"]
    networks: {front: {aliases: [shop], ipv4_address: 10.9.0.5, priority: 3}}
    post_start: [{command: warm}]
    depends_on: {db: {condition: service_healthy}}
    pre_start:
      - {command: [migrate], environment: {B: hook}}
      - {command: [chown], image: "busybox:1", user: root, privileged: true, working_dir: /}
  db: {image: db}
volumes: {data: {}}
networks: {front: {ipam: {config: [{subnet: 10.9.0.0/24}]}}}
"""


def changed(before: Manifest, after: Manifest) -> list[str]:
    return [
        key.name for key in before.resources if before.resources[key].digest != after.resources[key].digest
    ]


def test_commands_of_hooks_are_part_of_the_service() -> None:
    """post_start and pre_stop must be in the digest of their service, in their order, without extensions."""
    text = """\
services:
  a:
    image: x
    post_start: [{command: ./warm up, user: root, environment: [A=1], x-mine: 1}, {command: [go]}]
    pre_stop: [{command: [drain], privileged: true, working_dir: /w}]
"""
    one, two = (
        container(manifest({"compose.yaml": t}), "fleet-a-1") for t in (text, text.replace("drain", "halt"))
    )
    assert one.spec["config"]["post_start"] == [
        {"command": ["./warm", "up"], "user": "root", "environment": {"A": "1"}},
        {"command": ["go"]},
    ]
    assert one.spec["config"]["pre_stop"] == [{"command": ["drain"], "privileged": True, "working_dir": "/w"}]
    assert one.digest != two.digest


def test_a_deadline_recreates_nothing() -> None:
    """`x-limpet.hook_timeout` must be the seconds of a command, 60 unless said, and be in no digest."""
    text = "services: {a: {image: x, pre_stop: [{command: drain}]%s}}\n"
    one, two = (
        container(manifest({"compose.yaml": text % more}), "fleet-a-1")
        for more in ("", ", x-limpet: {hook_timeout: 5m}")
    )
    assert (one.spec["hook_timeout"], two.spec["hook_timeout"]) == (60.0, 300.0)
    assert one.digest == two.digest


def test_what_is_done_when_it_is_unhealthy_recreates_nothing() -> None:
    """`x-limpet.on_unhealthy` must be known, be in no digest, and concern no `pre_start`."""
    text = "services: {a: {image: x, pre_start: [{command: prepare}]%s}}\n"
    plain, none, restart = (
        manifest({"compose.yaml": text % more})
        for more in ("", ", x-limpet: {on_unhealthy: none}", ", x-limpet: {on_unhealthy: restart}")
    )
    assert plain == none and plain.digest == restart.digest
    assert container(restart, "fleet-a-1").spec["on_unhealthy"] == "restart"
    assert "on_unhealthy" not in container(restart, "fleet-a-pre_start-1").spec
    with pytest.raises(BadInput, match="on_unhealthy must be restart or none, not 'recreate'"):
        manifest({"compose.yaml": text % ", x-limpet: {on_unhealthy: recreate}"})


def first_and_second(found: Manifest) -> tuple[Resource, Resource, Resource]:
    return (
        container(found, "fleet-web-pre_start-1"),
        container(found, "fleet-web-pre_start-2"),
        container(found, "fleet-web-1"),
    )


def test_pre_start_inherits_its_service() -> None:
    """A pre_start must be a one-shot with all that its service says of a container, and nothing by which
    others find it.
    """
    one, two, web = first_and_second(manifest({"compose.yaml": INHERITING, "conf/x": "1"}))
    shared = {key: web.spec["config"][key] for key in ("mem_limit", "volumes")}
    network = {"networks": {"fleet_front": {"priority": 3}}}
    assert one.spec["config"] == shared | network | {
        "image": "app:1",
        "user": "app",
        "entrypoint": ["tini"],
        "command": ["migrate"],
        "working_dir": "/srv",
        "environment": {"A": "service", "B": "hook"},
    }
    assert two.spec["config"] == shared | network | {
        "image": "busybox:1",
        "user": "root",
        "privileged": True,
        "command": ["chown"],
        "working_dir": "/",
        "environment": {"A": "service", "B": "service"},
    }
    assert (
        one.spec["oneshot"]
        and one.spec["inputs"] == web.spec["inputs"]
        and one.claims == ("name/fleet-web-pre_start-1",)
    )
    assert container_labels(one, "i", "id")["com.docker.compose.oneoff"] == "True"
    assert container_labels(web, "i", "id")["com.docker.compose.oneoff"] == "False"
    assert endpoint(one.spec, "fleet_front")["Aliases"] == ["fleet-web-pre_start-1"]


def test_what_a_pre_start_leaves_empty_is_the_services() -> None:
    """An empty image, user or directory of a pre_start must be that of its service, as Compose takes it."""
    text = """\
services:
  a:
    {image: x, user: app, working_dir: /srv,
     pre_start: [{command: go, image: '', user: '', working_dir: ''}]}
"""
    found = container(manifest({"compose.yaml": text}), "fleet-a-pre_start-1")
    assert found.images() == ["x"]
    assert (found.spec["config"]["user"], found.spec["config"]["working_dir"]) == ("app", "/srv")


def test_pre_start_runs_in_order_before_its_service() -> None:
    """Each must wait for the one before it and for what the service waits for, and the service for the last
    one.
    """
    one, two, web = first_and_second(manifest({"compose.yaml": INHERITING, "conf/x": "1"}))
    assert needs(one)["container/fleet-db-1"] == needs(two)["container/fleet-db-1"] == "healthy"
    assert not [need for need in needs(one) if "pre_start" in need]
    assert needs(two)["container/fleet-web-pre_start-1"] == "completed"
    assert needs(web)["container/fleet-web-pre_start-2"] == "completed"


def test_pre_start_runs_again_when_its_service_or_a_hook_changes() -> None:
    """A change of the service, of a file it uses, or of any of its hooks must re-create all of them, and
    nothing else.
    """
    tree = {"compose.yaml": INHERITING, "conf/x": "1"}
    before = manifest(tree)
    all_of_it = ["fleet-web-1", "fleet-web-pre_start-1", "fleet-web-pre_start-2"]
    for old, new in (
        ("probe", "other"),
        ("migrate", "up"),
        ("[chown]", "[id]"),
        ('"80:80"', '"81:80"'),
        ("warm", "heat"),
    ):
        assert (
            sorted(changed(before, manifest({**tree, "compose.yaml": INHERITING.replace(old, new)})))
            == all_of_it
        ), old
    assert set(all_of_it) < set(changed(before, manifest({**tree, "conf/x": "2"})))
    assert changed(
        before, manifest({**tree, "compose.yaml": INHERITING.replace("image: db", "image: db2")})
    ) == ["fleet-db-1"]


def test_pre_start_for_each_replica() -> None:
    """`per_replica: true` must run once for each container and before that container only, else once for all
    of them.
    """
    text = """\
services:
  a:
    image: x
    scale: 2
    pre_start:
    - {command: one}
    - {command: each, per_replica: true}
    - {command: each2, per_replica: true}
    - {command: last}
"""
    found = manifest({"compose.yaml": text})
    assert sorted(key.name for key in found.resources if "pre_start" in key.name) == [
        "fleet-a-1-pre_start-2",
        "fleet-a-1-pre_start-3",
        "fleet-a-2-pre_start-2",
        "fleet-a-2-pre_start-3",
        "fleet-a-pre_start-1",
        "fleet-a-pre_start-4",
    ]

    def waits(name: str) -> list[str]:
        """What it waits for to be completed."""
        found_needs = needs(container(found, f"fleet-a-{name}")).items()
        return sorted(
            need.removeprefix("container/fleet-a-") for need, how in found_needs if how == "completed"
        )

    assert waits("1") == waits("2") == ["pre_start-4"]
    assert waits("pre_start-4") == ["1-pre_start-3", "2-pre_start-3"]
    assert waits("2-pre_start-3") == ["2-pre_start-2"]
    assert waits("2-pre_start-2") == ["pre_start-1"]
    assert not [
        key
        for key in manifest({"compose.yaml": text.replace("scale: 2", "scale: 0")}).resources
        if key.kind == "container"
    ]


def test_services_without_hooks_keep_their_digests() -> None:
    """A service without hooks must have the digest that it had before there were any."""
    found = manifest({"compose.yaml": "services: {a: {image: x, environment: {A: '1'}}}\n"})
    assert container(found, "fleet-a-1").digest == (
        "63f0d72e523640d48582b2733a37ceb4d9270de2292f4a279d485e079117bd80"
    )


def test_canonical_form_keeps_the_hooks() -> None:
    """`render --compose` must print all three kinds of hooks, and what it prints must mean the same."""
    tree = {"compose.yaml": INHERITING, "conf/x": "1"}
    overlay = Overlay(MemoryTree(tree), ("",), lambda path, data: data)
    text = canonical(load_project(ComposeFiles(overlay), working_dir=".", default_name="fleet"))
    again = manifest({**tree, "compose.yaml": text})
    assert changed(manifest(tree), again) == []
    assert Key("container", "fleet-web-pre_start-2") in again.resources
