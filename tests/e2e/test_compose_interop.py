"""What Limpet made is seen by Docker Compose and by the Docker CLI as a project of Compose's own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.harness.site import Site

COMPOSE = """\
services:
  web:
    image: limpet-test/web:v1
    depends_on: {db: {condition: service_started}}
    deploy: {replicas: 2}
  db:
    image: limpet-test/idle:v1
    command: [/bin/sh, -c, "echo it is $$GREETING; exec /bin/idle"]
    environment: {GREETING: fine}
    volumes: ["data:/data"]
volumes: {data: {}}
"""


def run(*argv: str, cwd: Path | None = None) -> str:
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def checkout(site: Site, prefix: str, tmp_path: Path) -> Path:
    """A converged app, and its Compose file where a person has it."""
    site.commit({"compose.yaml": f"name: {prefix}\n{COMPOSE}"})
    site.sync()
    (tmp_path / "checkout").mkdir()
    (tmp_path / "checkout/docker-compose.yml").write_text(COMPOSE)
    return tmp_path / "checkout"


def test_compose_lists_logs_and_runs_commands(checkout: Path, site: Site, prefix: str) -> None:
    """`docker-compose ps`, `logs`, `exec`, `top` and `port` must work on containers that Limpet made, and
    change nothing.
    """
    before = site.ids(prefix)
    compose = ["docker-compose", "-p", prefix]
    ids = run(*compose, "ps", "-q", cwd=checkout).split()
    assert sorted(ids) == sorted(before.values())
    assert f"{prefix}-db-1" in run(*compose, "ps", cwd=checkout)
    assert "it is fine" in run(*compose, "logs", "--no-color", "db", cwd=checkout)
    assert run(*compose, "exec", "-T", "db", "/bin/cat", "/version", cwd=checkout).strip() == "v1"
    assert (
        run(*compose, "exec", "-T", "--index=2", "web", "/bin/cat", "/etc/hostname", cwd=checkout).strip()
        == (before[f"{prefix}-web-2"][:12])
    )
    assert "idle" in run(*compose, "top", "db", cwd=checkout)
    assert site.ids(prefix) == before


def listed_by_compose_v2(labels: Mapping[str, str], project: str) -> bool:
    """What Docker Compose v2 asks for before it takes a container for a service's
    (`pkg/compose/containers.go`).
    """
    said = {key.removeprefix("com.docker.compose."): value for key, value in labels.items()}
    return (
        said.get("project") == project
        and said.get("oneoff") == "False"
        and {"service", "config-hash"} <= {*said}
    )


def test_labels_are_what_compose_v2_and_dashboards_group_by(checkout: Path, site: Site, prefix: str) -> None:
    """Every container, network and volume must carry the labels by which the Docker CLI's filters and Compose
    v2 find it.
    """
    containers = [dict(site.container(name)) for name in site.ids(prefix)]
    assert len(containers) == 3
    for doc in containers:
        labels: dict[str, Any] = doc["Config"]["Labels"]
        assert listed_by_compose_v2(labels, prefix)
        assert labels["com.docker.compose.container-number"] in ("1", "2")
        assert labels["com.docker.compose.project.config_files"].endswith("/compose.yaml")
    project = f"label=com.docker.compose.project={prefix}"
    named = run(
        "docker",
        "ps",
        "--filter",
        project,
        "--filter",
        "label=com.docker.compose.service=db",
        "--format",
        "{{.Names}}",
    )
    assert named.split() == [f"{prefix}-db-1"]
    networks = run(
        "docker",
        "network",
        "ls",
        "--filter",
        project,
        "--filter",
        "label=com.docker.compose.network=default",
        "-q",
    )
    assert len(networks.split()) == 1
    volumes = run(
        "docker",
        "volume",
        "ls",
        "--filter",
        project,
        "--filter",
        "label=com.docker.compose.volume=data",
        "-q",
    )
    assert volumes.split() == [f"{prefix}_data"]
    depends = json.loads(run("docker", "inspect", "-f", "{{json .Config.Labels}}", f"{prefix}-web-1"))
    assert depends["com.docker.compose.depends_on"] == "db:service_started:false"


def test_compose_stops_and_starts_what_limpet_made(checkout: Path, site: Site, prefix: str) -> None:
    """What a person stops by Docker Compose must be the same container when Limpet repairs the drift."""
    before = site.ids(prefix)
    run("docker-compose", "-p", prefix, "stop", "-t", "0", "db", cwd=checkout)
    assert not site.container(f"{prefix}-db-1")["State"]["Running"]
    site.sync(real=True)
    assert site.ids(prefix) == before
    assert site.container(f"{prefix}-db-1")["State"]["Running"]
