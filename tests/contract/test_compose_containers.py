"""Containers made by Limpet beside those that Debian's docker-compose 1.29 makes of the same file, field by field.

Every difference that is accepted is in `ACCEPTED`, with its reason. One that no longer occurs fails too.
"""

from __future__ import annotations

import re
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.host import RealHost
from agent.model import Action, Manifest
from agent.paths import APPS, Paths
from agent.render.assembly import Context
from agent.render.render import render
from agent.render.tree import MemoryTree
from agent.settings import Engine as EngineSettings
from agent.store.content import Content
from tests.harness.engine import Engine, unique

# A pattern of `field: theirs -> ours` -> why Limpet does as current Docker Compose (v2) does, or something of its own.
ACCEPTED = {
    r"Config\.Attach(Stdout|Stderr): False -> True": "as Compose v2; it has no effect on a detached container",
    r"Config\.Labels\.com\.docker\.compose\.(image|depends_on): \(absent\) -> ": "labels of Compose v2",
    r"Config\.Labels\.com\.docker\.compose\.(version|config-hash|project\.(working_dir|config_files)): ": "our own values",
    r"Config\.Labels\.io\.limpet\.\w+: \(absent\) -> ": "our own labels",
    r"Config\.Volumes": "1.29 lists mounted volumes here too; the mounts are the same",
    r"HostConfig\.(Binds|Mounts)": "1.29 writes volumes and tmpfs as Binds; what is mounted is compared in Mounts",
    r"NetworkSettings\.Networks\.[\w-]+\.Aliases: ": "Compose v2 adds the container's own name; 1.29 does not",
}
IGNORED = re.compile(
    r"Id|Created|Name|State\..*|LogPath|GraphDriver\..*|NetworkSettings\.(SandboxID|SandboxKey)|Config\.Hostname"
    r"|NetworkSettings\.Networks\.[\w-]+\.(NetworkID|EndpointID|MacAddress)"
)

SERVICES = """
services:
  plain:
    image: limpet-test/idle:v1
  commands:
    image: limpet-test/idle:v1
    command: echo "hello there" again
    entrypoint: ["/bin/sh", "-c"]
    working_dir: /tmp
    user: "1000:1000"
    hostname: myhost
    stop_signal: SIGINT
    stop_grace_period: 1m30s
    init: true
    privileged: true
    read_only: true
  environment:
    image: limpet-test/idle:v1
    env_file: [./app.env]
    environment: {B: "two words", C: "", D: "1"}
    labels: {com.example.a: "1", com.example.empty: ""}
  ports:
    image: limpet-test/idle:v1
    ports: ["18951:80", "127.0.0.1:18952:53/udp", "9000", {target: 81, published: 18953, protocol: tcp, mode: host}]
    expose: ["3000", "4000/udp"]
  volumes:
    image: limpet-test/idle:v1
    volumes:
      - ./conf:/etc/conf:ro
      - data:/data
      - /srv/lt-differential:/srv
      - {type: bind, source: ./conf, target: /again, read_only: true}
      - {type: volume, source: data, target: /nocopy, volume: {nocopy: true}}
      - {type: tmpfs, target: /scratch, tmpfs: {size: 1048576}}
    tmpfs: ["/run:size=1m", /t]
  networks:
    image: limpet-test/idle:v1
    networks:
      front: {aliases: [www, api], ipv4_address: 10.231.88.7}
  default_alias:
    image: limpet-test/idle:v1
    networks: {default: {aliases: [other]}}
  host:
    image: limpet-test/idle:v1
    network_mode: host
  none:
    image: limpet-test/idle:v1
    network_mode: none
  health:
    image: limpet-test/idle:v1
    healthcheck: {test: "true || exit 1", interval: 1m30s, timeout: 10s, retries: 4, start_period: 500ms}
  no_health:
    image: limpet-test/web:v1
    healthcheck: {disable: true}
  exec_health:
    image: limpet-test/idle:v1
    healthcheck: {test: ["CMD", "true"]}
  limits:
    image: limpet-test/idle:v1
    mem_limit: 64m
    cpus: 0.5
    cap_add: [NET_ADMIN, SYS_TIME]
    cap_drop: [ALL]
    extra_hosts: ["somehost:162.242.195.82", "other:50.31.209.229"]
    logging: {driver: json-file, options: {max-size: "10m", max-file: "3"}}
    restart: on-failure:3
  always:
    image: limpet-test/idle:v1
    restart: always
  unless:
    image: limpet-test/idle:v1
    restart: unless-stopped
    depends_on: [always]
  never:
    image: limpet-test/idle:v1
    restart: "no"
  more:
    image: limpet-test/idle:v1
    devices: ["/dev/null:/dev/mynull:r"]
    dns: [8.8.8.8, 9.9.9.9]
    dns_search: [example.org]
    dns_opt: [use-vc]
    domainname: example.org
    group_add: ["1000"]
    ipc: shareable
    mac_address: 02:42:ac:11:65:43
    mem_limit: 64m
    mem_reservation: 32m
    memswap_limit: 128m
    pids_limit: 100
    security_opt: ["no-new-privileges:true"]
    shm_size: 32m
    sysctls: {net.core.somaxconn: 1024}
    ulimits: {nproc: 65535, nofile: {soft: 20000, hard: 40000}}
    stdin_open: true
    tty: true
    cpu_shares: 73
    cpuset: "0"
    oom_score_adj: 100
    pid: host
volumes:
  data: {}
networks:
  front: {ipam: {config: [{subnet: 10.231.88.0/24}]}}
"""
FILES = {"app.env": "A=from the file\nB=lost\n", "conf/app.conf": "x\n"}
NAMES = re.findall(r"^  (\w+):$", SERVICES.partition("volumes:\n  data:")[0], re.MULTILINE)


@pytest.fixture(scope="module")
def both(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[dict[str, Any], dict[str, Any]]]]:
    """Service -> what `docker inspect` says of 1.29's container and of ours. The name of the project is the same."""
    directory = tmp_path_factory.mktemp("differential")
    project = unique("ltdiff").replace("-", "")
    text = SERVICES.replace("10.231.88.", f"10.231.{100 + secrets.randbelow(100)}.")
    try:
        theirs = made_by_compose(engine, directory, project, text)
        ours = made_by_limpet(engine, directory / "root", project, text)
        yield {name: (theirs[name], ours[name]) for name in NAMES}
    finally:
        engine.remove_all(project)


def made_by_compose(engine: Engine, directory: Path, project: str, text: str) -> dict[str, dict[str, Any]]:
    for path, content in {"docker-compose.yml": text, **FILES}.items():
        place = directory / project / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content)
    argv = ["docker-compose", "--project-name", project, "--file", str(directory / project / "docker-compose.yml")]
    done = subprocess.run([*argv, "up", "--no-start"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    found = inspected(engine, project, str(directory / project))
    subprocess.run([*argv, "down", "--volumes"], check=True, capture_output=True, stdin=subprocess.DEVNULL)
    return found


def made_by_limpet(engine: Engine, root: Path, project: str, text: str) -> dict[str, dict[str, Any]]:
    paths = Paths(root)
    paths.content.mkdir(parents=True)
    manifest = render(MemoryTree({"docker-compose.yml": text, **FILES}), Context("host", repo_name=project)).manifest
    host = RealHost(paths, EngineSettings(socket=engine.socket), Content(paths.content), project)
    create_all(host, manifest)
    host.close()
    return inspected(engine, project, str(root) + f"{APPS}/{project}", str(root))


def create_all(host: RealHost, manifest: Manifest) -> None:
    for kind in ("network", "volume", "container"):
        for resource in manifest.of_kind(kind):
            args: dict[str, Any] = {}
            if kind == "container":
                args = {"name": resource.key.name, "image": host.image_id(resource.spec["image"])}
            host.execute(Action(1, "create", resource.key, "test", args), resource)


def inspected(engine: Engine, project: str, *places: str) -> dict[str, dict[str, Any]]:
    """Service -> flat inspection; paths of the project's directory and of the root are made equal."""
    found = {}
    for container in engine.containers(project):
        inspection = engine.client.api.inspect_container(str(container.id))
        flat = dict(flattened(inspection, ""))
        for place, word in zip(places, ("DIR", ""), strict=False):
            flat = {key: _replaced(value, place, word) for key, value in flat.items()}
        flat["Mounts"] = sorted(mount_of(m, places) for m in inspection["Mounts"])
        found[container.labels["com.docker.compose.service"]] = flat
    return found


def _replaced(value: Any, place: str, word: str) -> Any:
    return value.replace(place, word) if isinstance(value, str) else value


def mount_of(mount: dict[str, Any], places: tuple[str, ...]) -> str:
    source = mount.get("Name") or mount.get("Source", "")
    for place, word in zip(places, ("DIR", ""), strict=False):
        source = source.replace(place, word)
    return f"{mount['Type']} {source} -> {mount['Destination']} {'rw' if mount['RW'] else 'ro'}"


def flattened(value: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """Dotted keys to leaves; lists are leaves, sorted where their order says nothing."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            if prefix or key != "Mounts":
                yield from flattened(inner, f"{prefix}.{key}" if prefix else key)
    else:
        unordered = prefix.endswith(("Env", "ExtraHosts", "Aliases", "CapAdd", "Ulimits")) and value
        yield prefix, sorted(value, key=str) if unordered else value


def differences(theirs: dict[str, Any], ours: dict[str, Any]) -> list[str]:
    found = []
    for key in sorted({*theirs, *ours}):
        before, after = theirs.get(key, "(absent)"), ours.get(key, "(absent)")
        same = before == after or (before in (None, [], {}) and after in (None, [], {}))
        if not same and not IGNORED.fullmatch(key):
            found.append(
                f"{key}: {before if before == '(absent)' else repr(before)} -> {after if after == '(absent)' else repr(after)}"
            )
    return found


@pytest.mark.parametrize("service", NAMES)
def test_a_container_is_what_compose_makes(both: dict[str, tuple[dict[str, Any], dict[str, Any]]], service: str) -> None:
    """A container of ours must be the one that Compose makes, but for differences that are listed with their reason."""
    found = differences(*both[service])
    assert [each for each in found if not any(re.match(pattern, each) for pattern in ACCEPTED)] == []


def test_every_accepted_difference_occurs(both: dict[str, tuple[dict[str, Any], dict[str, Any]]]) -> None:
    """A reason for a difference that is not there any more must be taken out of the table."""
    found = [each for pair in both.values() for each in differences(*pair)]
    assert [pattern for pattern in ACCEPTED if not any(re.match(pattern, each) for each in found)] == []
