"""Test hosts must be what they claim: machines with systemd and their own Engine, which reach the tests'
servers.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import hosts, images, snapshot
from tests.harness.engine import Engine
from tests.harness.gitrepo import GitRepo
from tests.harness.gitserver import HttpsRemote, SshRemote
from tests.harness.hostimage import RELEASES
from tests.harness.hosts import Host, HostNetwork, host
from tests.harness.registry import registry
from tests.harness.wait import eventually


@pytest.fixture(scope="module", params=RELEASES)
def web(engine: Engine, host_net: HostNetwork, request: pytest.FixtureRequest) -> Iterator[Host]:
    with host(engine, host_net, "web-01", release=request.param) as made:
        yield made


def test_a_host_runs_systemd_and_its_own_engine(web: Host, engine: Engine) -> None:
    """PID 1 must be systemd, the host name ours, the release as asked for, and the Engine not the
    machine's.
    """
    assert web.read("/proc/1/comm") == "systemd\n"
    assert web.read("/etc/hostname") == "web-01\n"
    assert f"VERSION_CODENAME={web.release}" in web.read("/etc/os-release")
    assert web.engine.client.info()["ID"] != engine.client.info()["ID"]


def test_its_engine_runs_containers_with_networks_and_ports(web: Host) -> None:
    """A container on the host must get healthy on a network of its own and answer on a published port."""
    web.load_image(images.image("web"))
    with web.engine.prefix() as prefix:
        net = web.engine.client.networks.create(f"{prefix}-net").name
        web.engine.client.containers.run(
            images.image("web").ref, name=f"{prefix}-web", network=net, ports={"8080/tcp": 8080}, detach=True
        )
        fetch = (
            "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8080/').read().decode(), end='')"
        )
        assert eventually(lambda: web.run(["python3", "-c", fetch]).out, 60, "an answer") == "v1\n"


def test_commands_report_all_that_happened(web: Host) -> None:
    """Exit code, both outputs, and a time limit must be told."""
    result = web.run(["sh", "-c", "echo out; echo err >&2; exit 3"], check=False)
    assert (result.code, result.out, result.err) == (3, "out\n", "err\n")
    assert web.run(["sleep", "30"], check=False, timeout=0.5).code == 124
    with pytest.raises(AssertionError, match="web-01: false: exit 1"):
        web.run(["false"])


def test_files_can_be_put_anywhere(web: Host) -> None:
    """A file must arrive with its mode, also below /run and /tmp, and snapshots must see it."""
    for path in ("/etc/limpet-test/a", "/run/limpet-test/a", "/tmp/limpet-test/a"):
        web.put(path, b"\0\xff", 0o600)
        state = web.files(str(Path(path).parent))
        assert list(state) == ["a"] and state["a"].mode == "0600", path
    before = web.files("/etc", ["resolv.conf"])
    web.put("/etc/limpet-test/a", "changed", 0o600)
    report = snapshot.difference(before, web.files("/etc", ["resolv.conf"]))
    assert report.startswith("changed: limpet-test/a: ") and "\n" not in report


def test_a_restart_of_docker_keeps_the_host_usable(web: Host) -> None:
    """After `restart("docker")` the Engine must answer with its containers."""
    web.load_image(images.image("idle"))
    with web.engine.prefix() as prefix:
        web.engine.client.containers.run(
            images.image("idle").ref, name=prefix, detach=True, restart_policy={"Name": "always"}
        )
        web.restart("docker")
        containers = web.engine.client.containers
        eventually(lambda: containers.get(prefix).status == "running", 60, "the container to be back")


@pytest.mark.parametrize("off", ["kill", "shut_down"])
def test_a_host_survives_power_off(web: Host, off: str) -> None:
    """After a power cut as after a shut-down, files and containers must be there, and /run must be empty."""
    web.load_image(images.image("idle"))
    machine_id, boot_time = web.read("/etc/machine-id"), web.read("/proc/1/stat").split()[21]
    web.put("/var/lib/kept", "kept")
    web.put("/run/lost", "lost")
    with web.engine.prefix() as prefix:
        web.engine.client.containers.run(
            images.image("idle").ref, name=prefix, detach=True, restart_policy={"Name": "always"}
        )
        getattr(web, off)()
        web.boot()
        assert web.read("/var/lib/kept") == "kept" and not web.exists("/run/lost")
        assert web.read("/etc/machine-id") == machine_id
        assert web.read("/proc/1/stat").split()[21] != boot_time
        eventually(
            lambda: web.engine.client.containers.get(prefix).status == "running",
            60,
            "the container to be back",
        )


def test_a_host_reaches_git_and_the_registry(web: Host, host_net: HostNetwork, tmp_path: Path) -> None:
    """The servers of the tests must be reachable at the gateway, with the settings that `configure`
    writes.
    """
    repo = GitRepo(tmp_path / "fleet.git")
    repo.commit({"compose.yaml": "services: {}\n"})
    probe = (
        "import base64,ssl,sys,tomllib,urllib.request as u\n"
        "s = tomllib.load(open('/etc/limpet/limpet.toml','rb'))['source']\n"
        "token = "
        "base64.b64encode(f\"{s['username']}:{open(s['token_file']).read().strip()}\".encode()).decode()\n"
        "r = u.Request(s['url'] + '/info/refs?service=git-upload-pack', headers={'Authorization': 'Basic ' "
        "+ token})\n"
        "print(u.urlopen(r, context=ssl.create_default_context(cafile=s['ca_file'])).status)\n"
    )
    with HttpsRemote(repo, tmp_path / "https", bind=host_net.gateway) as git:
        web.configure(git, branch="edge", host={"labels": {"role": "web"}}, converge={"windows": []})
        settings = tomllib.loads(web.read("/etc/limpet/limpet.toml"))
        assert settings["host"] == {"name": "web-01", "labels": {"role": "web"}}
        assert settings["source"]["branch"] == "edge"
        assert web.run(["python3", "-c", probe]).out == "200\n"
    with SshRemote(repo, tmp_path / "ssh", bind=host_net.gateway) as git:
        web.configure(git)
        source = tomllib.loads(web.read("/etc/limpet/limpet.toml"))["source"]
        assert web.run(["bash", "-c", f"head -c 4 < /dev/tcp/{git.bind}/{git.port}"]).out == "SSH-"
        assert web.run(["stat", "-c", "%a", source["ssh_key"]]).out == "600\n"
    with registry(tmp_path / "registry", bind=host_net.gateway) as reg:
        ref = reg.push(images.image("idle"), "team/idle:1")
        assert web.engine.client.images.pull(ref).id == images.image("idle").id


def test_the_checkout_installs_as_a_service(web: Host) -> None:
    """The installed layout must run without the network: the command, the units, the user, the state
    directories.
    """
    web.install_limpet()
    version = web.limpet("--version")
    assert version.code == 0 and version.out.startswith("limpet "), version
    assert web.systemctl("show", "--property=LoadState", "--value", "limpet").out == "loaded\n"
    assert web.run(["systemd-analyze", "verify", "limpet.service"], check=False).err == ""
    assert web.run(["id", "-un", "limpet"]).out == "limpet\n"
    assert web.run(["stat", "-c", "%a", "/etc/limpet"]).out == "700\n"
    compiled = "/usr/lib/limpet/venv/lib/python3*/site-packages/agent/__pycache__/model.*.pyc"
    assert web.run(["sh", "-c", f"ls {compiled}"]).out.count("\n") == 1
    web.install_limpet()
    assert web.limpet("--version") == version


def test_a_failure_keeps_what_tells_its_story(web: Host, tmp_path: Path) -> None:
    """The artifacts of a host must hold its journal and its containers."""
    web.keep_artifacts(tmp_path / "a")
    assert "systemd" in (tmp_path / "a/journal.txt").read_text()
    assert (tmp_path / "a/containers.json").exists()
    assert web in hosts.RUNNING
