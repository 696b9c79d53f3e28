"""The Engine's request bodies from a service's canonical form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from agent.compose import ComposeErrors, MemoryFiles, Project, load_project
from agent.kinds import container, network, volume
from agent.kinds.engine.amounts import byte_count, microseconds, nanoseconds
from agent.kinds.engine.endpoints import endpoint, primary_network
from agent.kinds.engine.mounts import inherit, volumes
from agent.kinds.engine.objects import network_request, volume_request
from agent.kinds.engine.request import (
    SUPPORTED,
    create_request,
    environment,
    extra_hosts,
    healthcheck,
    host_config,
    port_bindings,
)
from agent.kinds.engine.resources import restart_policy
from agent.model import Resource
from tests.compose.strategies import projects

CASES = Path(__file__).resolve().parents[3] / "compose/cases"

COMPOSE = {
    "project": "shop",
    "working_dir": "/var/lib/limpet/apps/shop",
    "config_files": "/var/lib/limpet/apps/shop/compose.yaml",
    "depends_on": {
        "db": {"condition": "service_healthy", "restart": True, "required": True},
        "a": {"condition": "service_started"},
    },
}


def service(on_change: dict[str, str] | None = None, **config: Any) -> Resource:
    return container.container_resource(
        "shop-web-1",
        app="shop",
        service="web",
        number=1,
        config={"image": "nginx:1", **config},
        inputs={},
        folded={},
        on_change=on_change,
        compose=COMPOSE,
    )


def body(**config: Any) -> dict[str, Any]:
    return create_request(service(**config), "nginx:1", instance="me", image_id="sha256:abc")


def test_compose_lists_our_containers() -> None:
    """Every label by which Compose and dashboards group containers must be there, and ours beside them."""
    web = service()
    labels = body()["Labels"]
    assert labels.pop("com.docker.compose.version").startswith("limpet-")
    assert labels == {
        "com.docker.compose.project": "shop",
        "com.docker.compose.service": "web",
        "com.docker.compose.container-number": "1",
        "com.docker.compose.oneoff": "False",
        "com.docker.compose.project.working_dir": "/var/lib/limpet/apps/shop",
        "com.docker.compose.project.config_files": "/var/lib/limpet/apps/shop/compose.yaml",
        "com.docker.compose.depends_on": "a:service_started:false,db:service_healthy:true",
        "com.docker.compose.image": "sha256:abc",
        "com.docker.compose.config-hash": web.digest,
        "io.limpet.instance": "me",
        "io.limpet.digest": web.digest,
        "io.limpet.app": "shop",
        "io.limpet.name": "shop-web-1",
    }


def test_user_labels_are_kept() -> None:
    """A user's label must never be overwritten, but ownership is not the user's to say."""
    labels = body(labels={"com.docker.compose.project": "mine", "a": "1", "io.limpet.instance": "other"})[
        "Labels"
    ]
    assert (labels["com.docker.compose.project"], labels["a"], labels["io.limpet.instance"]) == (
        "mine",
        "1",
        "me",
    )


def test_plain_keys_become_plain_fields() -> None:
    """Keys with a field of the same meaning must be passed on as they are, and unset ones not at all."""
    made = body(
        command=["a", "b c"],
        entrypoint=[],
        user="app:app",
        working_dir="/w",
        hostname="h",
        domainname="d",
        tty=True,
        stdin_open=True,
        stop_signal="SIGINT",
        stop_grace_period="1m30s",
        init=False,
        read_only=True,
        privileged=True,
        cap_add=["NET_ADMIN"],
        cap_drop=["ALL"],
        dns=["8.8.8.8"],
        shm_size=1048576,
        sysctls={"net.core.somaxconn": 1024},
        group_add=[10, "x"],
        security_opt=["no-new-privileges:true", "systempaths=unconfined"],
        tmpfs=["/run", "/t:size=1m"],
    )
    config = {
        k: made[k]
        for k in ("Cmd", "Entrypoint", "User", "WorkingDir", "Hostname", "Domainname", "Tty", "OpenStdin")
    }
    assert config == {
        "Cmd": ["a", "b c"],
        "Entrypoint": [],
        "User": "app:app",
        "WorkingDir": "/w",
        "Hostname": "h",
        "Domainname": "d",
        "Tty": True,
        "OpenStdin": True,
    }
    assert (made["StopSignal"], made["StopTimeout"]) == ("SIGINT", 90)
    assert made["HostConfig"] == {
        "Init": False,
        "ReadonlyRootfs": True,
        "Privileged": True,
        "CapAdd": ["NET_ADMIN"],
        "CapDrop": ["ALL"],
        "Dns": ["8.8.8.8"],
        "ShmSize": 1048576,
        "Sysctls": {"net.core.somaxconn": "1024"},
        "GroupAdd": ["10", "x"],
        "SecurityOpt": ["no-new-privileges:true"],
        "MaskedPaths": [],
        "ReadonlyPaths": [],
        "Tmpfs": {"/run": "", "/t": "size=1m"},
    }
    assert "Cmd" not in body() and body()["HostConfig"] == {}


def test_environment() -> None:
    """A value must be passed as text, a name without one as the name alone."""
    assert environment({"environment": {"B": "1=2", "A": None, "C": "", "D": True, "E": 1}}) == [
        "A",
        "B=1=2",
        "C=",
        "D=true",
        "E=1",
    ]


def test_ports() -> None:
    """Each published port must be bound where it says, several on one target kept, and every target
    exposed.
    """
    config = {
        "ports": [
            {"mode": "ingress", "target": 80, "published": "8080", "protocol": "tcp"},
            {"mode": "ingress", "target": 80, "published": "8081", "protocol": "tcp", "host_ip": "127.0.0.1"},
            {"mode": "ingress", "target": 53, "protocol": "udp"},
        ],
        "expose": ["9000", "9001-9002/udp"],
    }
    assert port_bindings(config) == {
        "80/tcp": [{"HostIp": "", "HostPort": "8080"}, {"HostIp": "127.0.0.1", "HostPort": "8081"}],
        "53/udp": [{"HostIp": "", "HostPort": ""}],
    }
    assert list(body(**config)["ExposedPorts"]) == ["80/tcp", "53/udp", "9000/tcp", "9001/udp", "9002/udp"]


def test_volumes() -> None:
    """A bind that may be created on the host must be a Bind, everything else a Mount; sources are mapped
    below the root.
    """
    binds, mounts = volumes(
        {
            "volumes": [
                {
                    "type": "bind",
                    "source": "/srv/a",
                    "target": "/a",
                    "read_only": True,
                    "bind": {"selinux": "z"},
                },
                {"type": "bind", "source": "/srv/b", "target": "/b"},
                {"type": "bind", "source": "/srv/p", "target": "/p", "bind": {"propagation": "rslave"}},
                {
                    "type": "bind",
                    "source": "/srv/c",
                    "target": "/c",
                    "bind": {"create_host_path": False, "propagation": "rshared"},
                },
                {"type": "bind", "source": "/srv/d:e", "target": "/d"},
                {
                    "type": "volume",
                    "source": "shop_data",
                    "target": "/v",
                    "read_only": True,
                    "volume": {"nocopy": True},
                },
                {"type": "volume", "target": "/anonymous"},
                {"type": "tmpfs", "target": "/t", "tmpfs": {"size": 1048576, "mode": "1770"}},
            ]
        },
        lambda path: f"/root{path}",
    )
    assert binds == ["/root/srv/a:/a:ro,z", "/root/srv/b:/b:rw", "/root/srv/p:/p:rw,rslave"]
    assert mounts == [
        {"Type": "bind", "Source": "/root/srv/c", "Target": "/c", "BindOptions": {"Propagation": "rshared"}},
        {"Type": "bind", "Source": "/root/srv/d:e", "Target": "/d"},
        {
            "Type": "volume",
            "Source": "shop_data",
            "Target": "/v",
            "ReadOnly": True,
            "VolumeOptions": {"NoCopy": True},
        },
        {"Type": "volume", "Target": "/anonymous"},
        {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 1048576, "Mode": 0o1770}},
    ]


def test_networks() -> None:
    """The network of the highest priority must be joined at create, with the names and addresses by which
    others find it.
    """
    networks = {
        "shop_back": {
            "priority": 10,
            "aliases": ["db", "web"],
            "ipv4_address": "10.0.0.5",
            "driver_opts": {"a": 1},
        },
        "shop_front": None,
    }
    made = body(networks=networks, mac_address="02:42:ac:11:65:43")
    assert made["HostConfig"]["NetworkMode"] == "shop_back"
    assert made["NetworkingConfig"]["EndpointsConfig"] == {
        "shop_back": {
            "Aliases": ["shop-web-1", "web", "db"],
            "IPAMConfig": {"IPv4Address": "10.0.0.5"},
            "DriverOpts": {"a": "1"},
        }
    }
    assert made["MacAddress"] == "02:42:ac:11:65:43"
    newer = create_request(
        service(networks=networks, mac_address="02:42:ac:11:65:43"), "x", instance="me", api=(1, 44)
    )
    assert newer["NetworkingConfig"]["EndpointsConfig"]["shop_back"]["MacAddress"] == "02:42:ac:11:65:43"
    assert "MacAddress" not in newer
    assert set(newer["NetworkingConfig"]["EndpointsConfig"]) == {"shop_back", "shop_front"}
    assert endpoint(service(networks=networks).spec, "shop_front") == {"Aliases": ["shop-web-1", "web"]}
    named = endpoint(service(networks={"shop_front": {"interface_name": "lan0"}}).spec, "shop_front")
    assert named["DriverOpts"] == {"com.docker.network.endpoint.ifname": "lan0"}


@pytest.mark.parametrize("mode", ["host", "none", "bridge", "container:shop-db-1"])
def test_network_mode(mode: str) -> None:
    """With network_mode no network must be joined."""
    made = body(network_mode=mode)
    assert made["HostConfig"]["NetworkMode"] == mode and "NetworkingConfig" not in made
    assert primary_network(service(network_mode=mode).spec) is None


def test_links() -> None:
    """A linked container must be found by its alias and by its own names, as with Compose; a foreign one by
    what is written.
    """
    config = {"links": ["shop-db-1:database"], "external_links": ["outside", "outside:legacy"]}
    found = [
        "shop-db-1:database",
        "shop-db-1:db-1",
        "shop-db-1:shop-db-1",
        "outside:outside",
        "outside:legacy",
    ]
    assert body(**config, network_mode="bridge")["HostConfig"]["Links"] == found
    made = body(**config, networks={"shop_default": None})
    assert made["NetworkingConfig"]["EndpointsConfig"]["shop_default"]["Links"] == found
    assert "Links" not in made["HostConfig"]


def test_healthcheck() -> None:
    """Times must be nanoseconds, `disable` must silence the image's check, what is not set must be
    inherited.
    """
    assert healthcheck(
        {
            "test": ["CMD", "x"],
            "interval": "1m30s",
            "timeout": "500ms",
            "retries": "3",
            "start_interval": "1s",
        }
    ) == {
        "Test": ["CMD", "x"],
        "Interval": 90 * 10**9,
        "Timeout": 5 * 10**8,
        "Retries": 3,
    }
    assert healthcheck({"start_interval": "1s"}, (1, 44)) == {"StartInterval": 10**9}
    assert healthcheck({"disable": True}) == {"Test": ["NONE"]}


@pytest.mark.parametrize(
    ("config", "policy"),
    [
        ({}, ("", 0)),
        ({"restart": "no"}, ("no", 0)),
        ({"restart": "on-failure:3"}, ("on-failure", 3)),
        ({"restart": "always", "deploy": {"restart_policy": {"condition": "none"}}}, ("no", 0)),
        ({"deploy": {"restart_policy": {"condition": "on-failure", "max_attempts": 2}}}, ("on-failure", 2)),
        ({"deploy": {"restart_policy": {"delay": "1s"}}}, ("always", 0)),
    ],
)
def test_restart_policy(config: dict[str, Any], policy: tuple[str, int]) -> None:
    """deploy.restart_policy must win over restart, with the Engine's own words."""
    assert restart_policy(config) == {"Name": policy[0], "MaximumRetryCount": policy[1]}


def test_limits() -> None:
    """Limits of the service and of `deploy` must reach the Engine in its units."""
    made = host_config(
        {
            "mem_limit": 67108864,
            "mem_reservation": "32m",
            "memswap_limit": -1,
            "cpus": 0.5,
            "cpu_shares": 512,
            "cpu_period": "100ms",
            "cpu_quota": 50000,
            "pids_limit": 100,
            "ulimits": {"nofile": {"soft": 1, "hard": 2}, "nproc": 5},
            "cpuset": "0,1",
            "blkio_config": {"weight": 300, "device_read_bps": [{"path": "/dev/sda", "rate": "12mb"}]},
            "devices": [{"source": "/dev/a", "target": "/dev/b", "permissions": "r"}, "vendor.com/class=dev"],
            "deploy": {
                "resources": {
                    "limits": {"pids": 7},
                    "reservations": {"devices": [{"capabilities": ["gpu"], "count": "all"}]},
                }
            },
        }
    )
    assert made == {
        "Memory": 67108864,
        "MemoryReservation": 33554432,
        "MemorySwap": -1,
        "NanoCpus": 500000000,
        "CpuShares": 512,
        "CpuPeriod": 100000,
        "CpuQuota": 50000,
        "PidsLimit": 7,
        "CpusetCpus": "0,1",
        "BlkioWeight": 300,
        "BlkioDeviceReadBps": [{"Path": "/dev/sda", "Rate": 12582912}],
        "Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 2}, {"Name": "nproc", "Soft": 5, "Hard": 5}],
        "Devices": [{"PathOnHost": "/dev/a", "PathInContainer": "/dev/b", "CgroupPermissions": "r"}],
        "DeviceRequests": [
            {"Driver": "cdi", "DeviceIDs": ["vendor.com/class=dev"]},
            {"Driver": "", "Count": -1, "DeviceIDs": [], "Capabilities": [["gpu"]], "Options": {}},
        ],
    }


def test_a_container_that_is_signalled_keeps_its_restart_policy() -> None:
    """With on_change the stop signal must be spelled out: else the Engine takes any signal for a wish to stop
    for good.
    """
    web = service(on_change={"/etc/a": "signal:HUP"})
    assert create_request(web, "x", instance="me", stop_signal="SIGQUIT")["StopSignal"] == "SIGQUIT"
    assert create_request(web, "x", instance="me")["StopSignal"] == "SIGTERM"
    assert "StopSignal" not in body()
    assert "StopSignal" not in create_request(
        service(on_change={"/etc/a": "restart"}), "x", instance="me", stop_signal="SIGQUIT"
    )


def test_network_and_volume_requests() -> None:
    """Networks and volumes must carry Compose's labels, ours and the user's, and only what the user set."""
    front = network.network_resource(
        "shop_front",
        app="shop",
        config={
            "driver": "bridge",
            "internal": True,
            "enable_ipv6": True,
            "driver_opts": {"com.docker.network.driver.mtu": 1400},
            "ipam": {"config": [{"subnet": "10.1.0.0/24", "aux_addresses": {"h": "10.1.0.3"}}]},
            "labels": {"a": "b"},
        },
    )
    made = network_request(front, "me")
    labels = made.pop("Labels")
    assert made == {
        "Name": "shop_front",
        "CheckDuplicate": True,
        "Driver": "bridge",
        "Internal": True,
        "EnableIPv6": True,
        "Options": {"com.docker.network.driver.mtu": "1400"},
        "IPAM": {
            "Driver": "default",
            "Config": [{"Subnet": "10.1.0.0/24", "AuxiliaryAddresses": {"h": "10.1.0.3"}}],
            "Options": {},
        },
    }
    assert labels["com.docker.compose.network"] == "front" and labels["com.docker.compose.project"] == "shop"
    assert (labels["a"], labels["io.limpet.digest"], labels["io.limpet.instance"]) == (
        "b",
        front.digest,
        "me",
    )
    data = volume_request(
        volume.volume_resource("shop_data", app="shop", config={"driver_opts": {"type": "none"}}), "me"
    )
    assert data["DriverOpts"] == {"type": "none"} and data["Labels"]["com.docker.compose.volume"] == "data"


def test_small_conversions() -> None:
    """Durations, sizes and hosts must be read in every form that Compose writes."""
    assert [nanoseconds(v) for v in ("0s", "24h0m0s", "1.5s", "0", 2, "-5s")] == [
        0,
        86400 * 10**9,
        15 * 10**8,
        0,
        2 * 10**9,
        -5 * 10**9,
    ]
    assert [byte_count(v) for v in (10, "10", "64m", "1.5gb", "2KiB", "-1")] == [
        10,
        10,
        64 * 2**20,
        3 * 2**29,
        2048,
        -1,
    ]
    assert [microseconds(v) for v in (50, "50", "50us", "1ms", "1.5s")] == [50, 50, 50, 1000, 1_500_000]
    assert extra_hosts(["a=1.2.3.4", "b:5.6.7.8", "c=::1"]) == ["a:1.2.3.4", "b:5.6.7.8", "c:::1"]
    assert extra_hosts({"a": ["1.2.3.4", "::1"], "b": "host-gateway"}) == [
        "a:1.2.3.4",
        "a:::1",
        "b:host-gateway",
    ]
    for wrong in ("1x", "1", "s"):
        with pytest.raises(ValueError, match="duration"):
            nanoseconds(wrong)


def test_the_keys_of_the_first_version_are_supported() -> None:
    """Every service key that the first version promises must be known here."""
    promised = (
        "image command entrypoint environment env_file ports expose volumes networks network_mode "
        "healthcheck restart labels "
        "user working_dir hostname container_name init cap_add cap_drop read_only privileged tmpfs "
        "extra_hosts logging "
        "mem_limit cpus deploy stop_signal stop_grace_period pull_policy"
    )
    assert set(promised.split()) <= SUPPORTED


def test_unnamed_volumes_are_inherited() -> None:
    """Only unnamed volumes must go on, at targets that the image declares or the service leaves unnamed, and
    no others.
    """
    name = "a" * 64

    def mount(target: str, volume: str = name) -> dict[str, str]:
        return {"Type": "volume", "Name": volume, "Destination": target}

    config = {
        "tmpfs": ["/tmpfs:size=1m"],
        "volumes": [
            {"type": "volume", "target": "/asked", "read_only": True},
            {"type": "bind", "source": "/s", "target": "/bound"},
        ],
    }
    declared = ["/declared", "/tmpfs", "/bound", "/named"]
    old = [mount(t) for t in ("/declared", "/asked", "/tmpfs", "/bound", "/forgotten")] + [
        mount("/named", "shop_data")
    ]
    assert inherit(config, declared, old)["volumes"] == [
        {"type": "volume", "target": "/asked", "read_only": True, "source": name},
        {"type": "bind", "source": "/s", "target": "/bound"},
        {"type": "volume", "target": "/declared", "source": name},
    ]
    assert inherit({}, ["/declared"], []) == {}


def requested(project: Project) -> None:
    """Makes every request of a loaded project, for an old and for a new Engine."""
    for name, found in project.services.items():
        config = {key: value for key, value in found.items() if not key.startswith("x-")} | {"image": "i"}
        config["networks"] = {key: endpoint or {} for key, endpoint in (config.get("networks") or {}).items()}
        web = container.container_resource(
            f"x-{name}-1", app="x", service=name, number=1, config=config, inputs={}, folded={}
        )
        for api in ((1, 41), (1, 44)):
            json.dumps(create_request(web, "i", instance="me", api=api))


def loaded(files: dict[str, bytes]) -> Project | None:
    try:
        return load_project(MemoryFiles(files), working_dir=".", default_name="x")
    except ComposeErrors:
        return None


def test_every_case_that_loads_has_a_request() -> None:
    """Whatever the loader lets through must become a request: an exception here would end a pass."""
    count = 0
    for case in sorted(CASES.iterdir()):
        files = {str(path.relative_to(case)): path.read_bytes() for path in case.rglob("*") if path.is_file()}
        project = loaded(files)
        if project is not None:
            requested(project)
            count += len(project.services)
    assert count > 300


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(projects())
def test_every_generated_project_that_loads_has_a_request(files: dict[str, bytes]) -> None:
    """The same for projects made from the schema."""
    project = loaded(files)
    if project is not None:
        requested(project)
