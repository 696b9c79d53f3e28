"""Forms of values that no app of the golden requests has: short ones, texts, and what is left out."""

from __future__ import annotations

from typing import Any

import pytest

from agent.kinds.container import container_resource
from agent.kinds.engine.amounts import microseconds, nanoseconds
from agent.kinds.engine.endpoints import endpoint, mac_address, primary_network
from agent.kinds.engine.mounts import inherit, volumes
from agent.kinds.engine.objects import network_request, volume_request
from agent.kinds.engine.request import create_request
from agent.kinds.network import network_resource
from agent.kinds.volume import volume_resource
from agent.model import Resource, canonical_json

MAC, OTHER_MAC = "02:42:ac:11:65:43", "02:42:ac:11:65:44"


def service(config: dict[str, Any], compose: dict[str, Any] | None = None, **handling: Any) -> Resource:
    return container_resource(
        "shop-web-1",
        app="shop",
        service="web",
        number=1,
        config={"image": "web:1", **config},
        inputs={},
        folded={},
        compose=compose,
        **handling,
    )


def device(path: str, inside: str, permissions: str = "rwm") -> dict[str, str]:
    return {"PathOnHost": path, "PathInContainer": inside, "CgroupPermissions": permissions}


def gpu(count: int, ids: list[str], *capabilities: str, driver: str = "") -> dict[str, Any]:
    return {
        "Driver": driver,
        "Count": count,
        "DeviceIDs": ids,
        "Capabilities": [list(capabilities)],
        "Options": {},
    }


def reserved(*devices: dict[str, Any]) -> dict[str, Any]:
    return {"deploy": {"resources": {"reservations": {"devices": list(devices)}}}}


CDI = {"Driver": "cdi", "DeviceIDs": ["vendor.com/class=dev"]}


@pytest.mark.parametrize(
    ("config", "host"),
    [
        ({"ulimits": {"nofile": "5"}}, {"Ulimits": [{"Name": "nofile", "Soft": 5, "Hard": 5}]}),
        ({"ulimits": {"nofile": {"soft": 5}}}, {"Ulimits": [{"Name": "nofile", "Soft": 5, "Hard": 0}]}),
        ({"ulimits": {"nofile": {"hard": 5}}}, {"Ulimits": [{"Name": "nofile", "Soft": 0, "Hard": 5}]}),
        ({"cpu_period": "100ms"}, {"CpuPeriod": 100000}),
        ({"cpu_percent": "12.5"}, {"CpuPercent": 1250}),
        ({"devices": ["/dev/a"]}, {"Devices": [device("/dev/a", "/dev/a")]}),
        ({"devices": ["/dev/a:/dev/b"]}, {"Devices": [device("/dev/a", "/dev/b")]}),
        ({"devices": ["/dev/a:/dev/b:r"]}, {"Devices": [device("/dev/a", "/dev/b", "r")]}),
        ({"devices": ["/dev/a=1:/dev/b"]}, {"Devices": [device("/dev/a=1", "/dev/b")]}),
        ({"devices": [{"source": "/dev/a"}]}, {"Devices": [device("/dev/a", "/dev/a")]}),
        ({"devices": [{"source": "vendor.com/class=dev"}]}, {"DeviceRequests": [CDI]}),
        ({"gpus": "all"}, {"DeviceRequests": [gpu(-1, [], "gpu")]}),
        ({"gpus": [{"count": "all"}]}, {"DeviceRequests": [gpu(-1, [], "gpu")]}),
        ({"gpus": [{"count": "2", "driver": "x"}]}, {"DeviceRequests": [gpu(2, [], "gpu", driver="x")]}),
        ({"gpus": [{"device_ids": ["1"]}]}, {"DeviceRequests": [gpu(0, ["1"], "gpu")]}),
        (reserved({}), {"DeviceRequests": [gpu(-1, [])]}),
        (reserved({"capabilities": ["tpu"], "count": 1}), {"DeviceRequests": [gpu(1, [], "tpu")]}),
        ({"deploy": {"resources": {}}}, {}),
        ({"deploy": {"resources": {"limits": {"cpus": 0.25}}}}, {"NanoCpus": 250000000}),
        ({"blkio_config": {"weight_device": [{}]}}, {"BlkioWeightDevice": [{"Path": "", "Weight": 0}]}),
        ({"blkio_config": {"device_read_bps": [{}]}}, {"BlkioDeviceReadBps": [{"Path": "", "Rate": 0}]}),
        ({"blkio_config": {"weight": 0}}, {"BlkioWeight": 0}),
        ({"logging": {"options": {"a": 1, "b": None}}}, {"LogConfig": {"Type": "", "Config": {"a": "1"}}}),
        ({"logging": {"driver": "none"}}, {"LogConfig": {"Type": "none", "Config": {}}}),
        ({"volumes_from": ["container:db:ro"]}, {"VolumesFrom": ["db:ro"]}),
        ({"sysctls": {"a": 1}, "group_add": [5]}, {"Sysctls": {"a": "1"}, "GroupAdd": ["5"]}),
        ({"tmpfs": ["/a", "/b:size=1m:x"]}, {"Tmpfs": {"/a": "", "/b": "size=1m:x"}}),
        ({"extra_hosts": ["a=::1", "b:1.2.3.4"]}, {"ExtraHosts": ["a:::1", "b:1.2.3.4"]}),
        ({"shm_size": 0, "init": False}, {"ShmSize": 0, "Init": False}),
        ({"security_opt": ["systempaths=unconfined"]}, {"MaskedPaths": [], "ReadonlyPaths": []}),
        ({"restart": "on-failure"}, {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 0}}),
    ],
)
def test_what_the_host_is_asked_for(config: dict[str, Any], host: dict[str, Any]) -> None:
    """Each form must become the Engine's, to the letter and to the type, and nothing else be asked for."""
    asked = create_request(service(config), "web:1", instance="me")["HostConfig"]
    assert canonical_json(asked) == canonical_json(host)


@pytest.mark.parametrize(
    ("config", "asked"),
    [
        (
            {"expose": ["80", 81, "90-92/udp"]},
            {"ExposedPorts": ["80/tcp", "81/tcp", "90/udp", "91/udp", "92/udp"]},
        ),
        ({"ports": [{"target": 80}], "expose": ["80"]}, {"ExposedPorts": ["80/tcp"]}),
        ({"healthcheck": {"test": "true"}}, {"Healthcheck": {"Test": ["CMD-SHELL", "true"]}}),
        ({"healthcheck": {"retries": 0}}, {"Healthcheck": {"Retries": 0}}),
        ({"stop_grace_period": "1m30s"}, {"StopTimeout": 90}),
        ({"stop_grace_period": "1500ms"}, {"StopTimeout": 1}),
        ({"stop_grace_period": 0}, {"StopTimeout": 0}),
        ({"environment": {"B": True, "A": None, "C": ""}}, {"Env": ["A", "B=true", "C="]}),
        ({"mac_address": MAC}, {"MacAddress": MAC}),
        ({"network_mode": "bridge", "mac_address": MAC}, {"MacAddress": MAC}),
        ({"command": [], "entrypoint": []}, {"Cmd": [], "Entrypoint": []}),
    ],
)
def test_what_the_container_is_asked_for(config: dict[str, Any], asked: dict[str, Any]) -> None:
    """Each form must become the Engine's, to the letter and to the type, beside what is always asked for."""
    body = create_request(service(config), "web:1", instance="me")
    body = {key: [*body[key]] if key == "ExposedPorts" else body[key] for key in asked}
    assert canonical_json(body) == canonical_json(asked)


def test_what_is_always_asked_for() -> None:
    """Of a service that says nothing, only the image, its output, labels and an environment are said."""
    body = create_request(service({}), "web:1", instance="me")
    labels = body.pop("Labels")
    assert body == {"Image": "web:1", "AttachStdout": True, "AttachStderr": True, "Env": [], "HostConfig": {}}
    compose = "com.docker.compose"
    said = {name.removeprefix(f"{compose}."): value for name, value in labels.items() if compose in name}
    assert said.pop("version").startswith("limpet-") and said.pop("config-hash")
    assert said == {
        "project": "shop",
        "service": "web",
        "container-number": "1",
        "oneoff": "False",
        "project.working_dir": "",
        "project.config_files": "",
        "depends_on": "",
        "image": "web:1",
    }


def test_what_a_service_depends_on_is_a_label() -> None:
    """Conditions and restarts of dependencies must be as Compose writes them, sorted."""
    compose = {
        "project": "mine",
        "depends_on": {"db": {"restart": True}, "a": {"condition": "service_healthy"}},
    }
    labels = create_request(service({}, compose), "web:1", instance="me")["Labels"]
    assert labels["com.docker.compose.depends_on"] == "a:service_healthy:false,db:service_started:true"
    assert labels["com.docker.compose.project"] == "mine"


def test_a_container_that_prepares_its_service_has_not_its_name() -> None:
    """Neither must it be found as the service, nor be taken for one of its containers."""
    prepares = service({"networks": {"n": {"aliases": ["x"]}}}, oneoff=True)
    body = create_request(prepares, "web:1", instance="me")
    assert body["Labels"]["com.docker.compose.oneoff"] == "True"
    assert body["NetworkingConfig"]["EndpointsConfig"]["n"] == {"Aliases": ["shop-web-1", "x"]}


def test_which_network_is_joined_first() -> None:
    """The highest priority must come first, then the name; with network_mode there is none."""
    found = {"b": {"priority": 1}, "a": None, "c": {"priority": "1"}}
    assert primary_network(service({"networks": found}).spec) == "b"
    assert primary_network(service({"networks": {"b": {}, "a": None, "c": {"priority": -1}}}).spec) == "a"
    assert primary_network(service({"networks": found, "network_mode": "host"}).spec) is None
    assert primary_network(service({"networks": {"a": {"priority": 1}, "b": {}}}).spec) == "a"


def test_the_address_of_the_service_is_that_of_its_first_network() -> None:
    """A network's own address must win, and the service's count in the first network only."""
    config = {"mac_address": MAC, "networks": {"a": None, "b": {"mac_address": OTHER_MAC}, "c": {}}}
    spec = service(config).spec
    newest = [endpoint(spec, name, (1, 44)).get("MacAddress") for name in "abc"]
    assert newest == [MAC, OTHER_MAC, None]
    assert [endpoint(spec, name).get("MacAddress") for name in "abc"] == [None, None, None]
    assert [mac_address(spec["config"], name) for name in ("a", "b", "c", None)] == [MAC, OTHER_MAC, MAC, MAC]
    assert mac_address({}, None) == ""


def test_what_an_endpoint_is_asked_for() -> None:
    """Options are texts, a priority is a number; what is not said is left to the Engine."""
    wanted = {"driver_opts": {"a": 1, "b": True}, "gw_priority": "0", "ipv6_address": "fd00::5"}
    assert canonical_json(endpoint(service({"networks": {"n": wanted}}).spec, "n")) == canonical_json(
        {
            "Aliases": ["shop-web-1", "web"],
            "IPAMConfig": {"IPv6Address": "fd00::5"},
            "DriverOpts": {"a": "1", "b": "true"},
            "GwPriority": 0,
        }
    )


@pytest.mark.parametrize(
    ("volume", "mount"),
    [
        ({"type": "volume"}, {}),
        ({"type": "volume", "read_only": True, "volume": {}}, {"ReadOnly": True}),
        (
            {"type": "volume", "volume": {"nocopy": False, "subpath": "s"}},
            {"VolumeOptions": {"Subpath": "s"}},
        ),
        ({"type": "tmpfs", "tmpfs": {"mode": "0700"}}, {"TmpfsOptions": {"Mode": 448}}),
        (
            {"type": "tmpfs", "tmpfs": {"size": "1k", "mode": 0}},
            {"TmpfsOptions": {"SizeBytes": 1024, "Mode": 0}},
        ),
        (
            {"type": "image", "source": "i", "image": {"subpath": "s"}},
            {"Source": "i", "ImageOptions": {"Subpath": "s"}},
        ),
        ({"type": "image", "source": "i", "image": {}}, {"Source": "i"}),
        (
            {"type": "bind", "source": "/a", "bind": {"create_host_path": False, "propagation": "rslave"}},
            {"Source": "/root/a", "BindOptions": {"Propagation": "rslave"}},
        ),
    ],
)
def test_what_a_mount_is_asked_for(volume: dict[str, Any], mount: dict[str, Any]) -> None:
    """Options must be there only where they are said, and the source of a bind be as the Engine sees it."""
    binds, mounts = volumes({"volumes": [{"target": "/t", **volume}]}, "/root{}".format)
    assert binds == [] and mounts == [{"Type": volume["type"], "Target": "/t", **mount}]


def test_of_two_volumes_at_one_target_the_last_counts() -> None:
    """A target must be asked for once, and what follows a mount not be forgotten."""
    config = {"type": "bind", "source": "/a", "target": "/t"}
    several = [
        config,
        {"type": "volume", "target": "/v"},
        {**config, "source": "/b"},
        {**config, "target": "/u"},
    ]
    binds, mounts = volumes({"volumes": several})
    assert binds == ["/b:/t:rw", "/a:/u:rw"] and mounts == [{"Type": "volume", "Target": "/v"}]


@pytest.mark.parametrize(
    "mount", [{"Type": "bind"}, {"Type": "volume", "Name": None}, {"Type": "tmpfs", "Name": ""}]
)
def test_what_is_no_unnamed_volume_is_not_inherited(mount: dict[str, Any]) -> None:
    """Only a volume with a name of the Engine's making may go on to the next container."""
    assert inherit({}, ["/data"], [{"Destination": "/data", **mount}]) == {}
    assert inherit({}, ["/data"], [{"Destination": "/data", "Type": "bind", "Name": "a" * 64}]) == {}


@pytest.mark.parametrize(
    "config",
    [
        {"volumes": [{"type": "volume", "source": "named", "target": "/data"}]},
        {"volumes": [{"type": "tmpfs", "target": "/data"}]},
        {"tmpfs": ["/data:size=1m:x"]},
    ],
)
def test_a_target_that_is_used_otherwise_inherits_nothing(config: dict[str, Any]) -> None:
    """What a service says of a target must win over the unnamed volume that was there."""
    unnamed = {"Destination": "/data", "Type": "volume", "Name": "a" * 64}
    assert inherit(config, ["/data"], [unnamed]) == config


@pytest.mark.parametrize(
    ("config", "asked"),
    [
        ({}, {}),
        ({"ipam": {"driver": "x"}}, {"IPAM": {"Driver": "x", "Config": [], "Options": {}}}),
        (
            {"ipam": {"options": {"a": 1}}},
            {"IPAM": {"Driver": "default", "Config": [], "Options": {"a": "1"}}},
        ),
        ({"ipam": {"config": [{}]}}, {"IPAM": {"Driver": "default", "Config": [{}], "Options": {}}}),
        ({"internal": False, "enable_ipv4": False}, {"Internal": False, "EnableIPv4": False}),
        ({"driver_opts": {"a": None, "b": 1.5}}, {"Options": {"a": "", "b": "1.5"}}),
    ],
)
def test_what_a_network_is_asked_for(config: dict[str, Any], asked: dict[str, Any]) -> None:
    """Only what is said must be asked for, as texts where the Engine wants texts."""
    body = network_request(network_resource("shop_n", app="shop", config=config), "me")
    labels = body.pop("Labels")
    assert body == {"Name": "shop_n", "CheckDuplicate": True, **asked}
    assert labels["com.docker.compose.network"] == "n"


def test_names_of_objects_for_compose() -> None:
    """Compose must know an object by its key in the file, and by its name where there is no key."""
    keyed = {"project": "mine", "key": "cache"}
    made = [
        volume_request(volume_resource("shop_v", app="shop", config={}, compose=compose), "me")["Labels"]
        for compose in ({}, keyed)
    ]
    found = [(of["com.docker.compose.project"], of["com.docker.compose.volume"]) for of in made]
    assert found == [("shop", "v"), ("mine", "cache")]


def test_times_of_the_engine_have_no_days() -> None:
    """A day must be refused as Compose does it, and microseconds be whole numbers."""
    with pytest.raises(ValueError, match="duration"):
        nanoseconds("1d")
    assert [(type(n), n) for n in map(microseconds, ("50us", "7", 7))] == [(int, 50), (int, 7), (int, 7)]
