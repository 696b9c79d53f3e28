"""What counts as equal when a container that somebody else made is adopted, and what does not."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from agent.kinds.container import container_resource
from agent.kinds.engine import attachments, compare
from agent.kinds.network import network_resource
from agent.kinds.volume import volume_resource
from agent.model import Resource
from tests.fakes import compose

ID = "0123456789abcdef" * 4
IMAGE = {
    "Env": ["PATH=/bin", "VERSION=1"],
    "Cmd": ["/serve"],
    "User": "app",
    "WorkingDir": "/srv",
    "ExposedPorts": {"80/tcp": {}},
    "Labels": {"org.image": "x"},
    "Volumes": {"/var/data": {}},
    "StopSignal": "SIGQUIT",
    "Healthcheck": {"Test": ["CMD", "true"], "Interval": 10**9},
}
CONFIG: dict[str, Any] = {
    "image": "web:1",
    "command": ["/serve", "-v"],
    "environment": {"A": "1", "EMPTY": "", "VERSION": None},
    "labels": {"com.example": "1"},
    "ports": [{"target": 80, "published": "8080", "protocol": "tcp"}],
    "mem_limit": "64m",
    "cap_add": ["NET_ADMIN", "SYS_TIME"],
    "restart": "on-failure:3",
    "extra_hosts": {"a": ["1.2.3.4"]},
    "tmpfs": ["/t:size=1m"],
    "volumes": [
        {"type": "bind", "source": "/apps/shop/conf", "target": "/conf", "read_only": True},
        {"type": "volume", "source": "shop_data", "target": "/data"},
    ],
    "networks": {"shop_default": {"aliases": ["www"], "ipv4_address": "10.0.0.5"}},
    "healthcheck": {"retries": 5},
    "ulimits": {"nofile": {"soft": 10, "hard": 20}, "nproc": 5},
    "logging": {"driver": "json-file", "options": {"max-size": "1m"}},
}


FIXED = {"ipam": {"config": [{"subnet": "10.0.0.0/24"}]}}


def service(config: dict[str, Any] | None = None, **more: Any) -> Resource:
    made = {**(CONFIG if config is None else config), **more}
    return container_resource(
        "shop-web-1",
        app="shop",
        service="web",
        number=1,
        config=made,
        inputs={},
        folded={},
        compose={"project": "shop", "working_dir": "/apps/shop"},
    )


def there(resource: Resource | None = None, image: dict[str, Any] | None = None) -> dict[str, Any]:
    """What the Engine says of Compose's container of the service; with an image, with what it takes from
    that.
    """
    found = deepcopy(dict(compose.found(resource or service(), ID, "shop_web_1")))
    if image is not None:
        config = found["container"]["Config"]
        found["image"] = image
        config["Env"] = [*config["Env"], *(e for e in image["Env"] if e.partition("=")[0] not in {"VERSION"})]
        config["Labels"] = {**image["Labels"], **config["Labels"]}
        config |= {key: image[key] for key in ("User", "WorkingDir", "StopSignal")}
        config["Healthcheck"] = {**image["Healthcheck"], **config["Healthcheck"]}
        anonymous = {
            "Type": "volume",
            "Name": ID,
            "Source": "/x",
            "Destination": "/var/data",
            "RW": True,
            "Mode": "",
        }
        found["container"]["Mounts"].append(anonymous)
    return found


def differences(found: dict[str, Any], resource: Resource | None = None) -> list[str]:
    return compare.container_differences(resource or service(), found, {})


def test_what_compose_makes_is_equal() -> None:
    """A container that Compose made of the same service must be equal."""
    assert differences(there()) == []


def test_what_comes_from_the_image_is_equal() -> None:
    """What the Engine took from the image must count as wanted."""
    assert differences(there(image=IMAGE)) == []


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("command", ["/other"], "command"),
        ("entrypoint", ["/bin/sh"], "entrypoint"),
        ("user", "1000", "user"),
        ("working_dir", "/other", "working_dir"),
        ("hostname", "box", "hostname"),
        ("stop_signal", "SIGINT", "stop_signal"),
        ("environment", {"A": "2", "EMPTY": "", "VERSION": None}, "environment.A"),
        ("environment", {"A": "1", "VERSION": None}, "environment.EMPTY"),
        ("environment", {"A": "1", "EMPTY": "", "VERSION": None, "NEW": ""}, "environment.NEW"),
        ("labels", {"com.example": "2"}, "labels.com.example"),
        ("labels", {}, "labels.com.example"),
        ("ports", [{"target": 80, "published": "8081", "protocol": "tcp"}], "ports.80/tcp"),
        (
            "ports",
            [{"target": 80, "published": "8080", "protocol": "tcp", "host_ip": "127.0.0.1"}],
            "ports.80/tcp",
        ),
        ("mem_limit", "65m", "mem_limit"),
        ("cpus", "0.5", "cpus"),
        ("cap_add", ["NET_ADMIN"], "cap_add"),
        ("restart", "on-failure:4", "restart"),
        ("restart", "always", "restart"),
        ("extra_hosts", {}, "extra_hosts"),
        ("tmpfs", ["/t:size=2m"], "volumes./t.options"),
        ("privileged", True, "privileged"),
        ("read_only", True, "read_only"),
        ("shm_size", "128m", "shm_size"),
        ("ipc", "host", "ipc"),
        ("pid", "host", "pid"),
        ("dns", ["1.1.1.1"], "dns"),
        ("security_opt", ["no-new-privileges:true"], "security_opt"),
        ("security_opt", ["systempaths=unconfined"], "systempaths"),
        ("sysctls", {"net.core.somaxconn": 1}, "sysctls"),
        ("devices", ["/dev/null:/dev/x:r"], "devices"),
        ("init", True, "init"),
        ("ulimits", {"nofile": 10}, "ulimits"),
        ("stop_grace_period", "3s", "stop_grace_period"),
        ("healthcheck", {"retries": 4}, "healthcheck.Retries"),
        ("healthcheck", {"disable": True}, "healthcheck"),
        ("logging", {"driver": "journald"}, "logging.driver"),
        ("blkio_config", {"weight": 10}, "blkio_config.weight"),
        ("logging", {"driver": "json-file", "options": {"max-size": "2m"}}, "logging.options.max-size"),
        (
            "networks",
            {"shop_default": {"aliases": ["www", "api"], "ipv4_address": "10.0.0.5"}},
            "networks.shop_default.aliases",
        ),
        ("networks", {"shop_default": {"aliases": ["www"]}}, "networks.shop_default.address"),
        ("networks", {"shop_default": CONFIG["networks"]["shop_default"], "other": {}}, "networks.other"),
        (
            "volumes",
            [CONFIG["volumes"][0] | {"read_only": False}, CONFIG["volumes"][1]],
            "volumes./conf.read_only",
        ),
        (
            "volumes",
            [CONFIG["volumes"][0], CONFIG["volumes"][1] | {"source": "shop_other"}],
            "volumes./data.source",
        ),
        ("volumes", [CONFIG["volumes"][1]], "volumes./conf"),
        ("mac_address", "02:42:ac:11:65:43", "networks.shop_default.mac_address"),
    ],
)
def test_each_difference_is_named(key: str, value: Any, named: str) -> None:
    """Whatever the file says otherwise must be found, and named in the file's words without its value."""
    found = differences(there(), service(**{key: value}))
    assert any(name == named or name.startswith(f"{named}.") for name in found), found


@pytest.mark.parametrize(
    ("part", "key", "value", "named"),
    [
        ("HostConfig", "AutoRemove", True, "--rm"),
        ("HostConfig", "PublishAllPorts", True, "--publish-all"),
        ("HostConfig", "Privileged", True, "privileged"),
        ("Config", "NetworkDisabled", True, "network_disabled"),
        ("Config", "Hostname", "box", "hostname"),
        ("HostConfig", "Runtime", "kata", "runtime"),
        ("HostConfig", "IpcMode", "host", "ipc"),
        ("HostConfig", "NanoCpus", 5, "cpus"),
        ("HostConfig", "PidsLimit", 5, "pids_limit"),
    ],
)
def test_what_nobody_asked_for_is_a_difference(part: str, key: str, value: Any, named: str) -> None:
    """What a container has that the file does not say must be found."""
    found = there()
    found["container"][part][key] = value
    assert differences(found) == [named]


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("HostConfig", "CgroupnsMode", "private"),
        ("HostConfig", "IpcMode", "shareable"),
        ("HostConfig", "MemorySwap", 2 * 64 * 2**20),
        ("HostConfig", "PidsLimit", None),
        ("HostConfig", "OomKillDisable", False),
        ("HostConfig", "MemorySwappiness", None),
        ("HostConfig", "CapAdd", ["CAP_SYS_TIME", "CAP_NET_ADMIN"]),
        ("HostConfig", "ExtraHosts", ["a=1.2.3.4"]),
        ("HostConfig", "LogConfig", {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "3"}}),
        ("HostConfig", "SecurityOpt", ["label=disable"]),
        ("Config", "AttachStdout", False),
        ("Config", "Volumes", {"/data": {}}),
        (
            "HostConfig",
            "Ulimits",
            [{"Name": "nproc", "Hard": 5, "Soft": 5}, {"Name": "nofile", "Hard": 20, "Soft": 10}],
        ),
    ],
)
def test_what_the_engine_or_an_older_compose_adds_is_equal(part: str, key: str, value: Any) -> None:
    """Defaults of the Engine and habits of Docker Compose v1 must make no difference."""
    found = there()
    found["container"][part][key] = value
    assert differences(found) == []


def test_a_shared_namespace_is_known_by_the_name_that_the_other_will_have() -> None:
    """`network_mode: service:x` must be equal when the Engine has the id of the container that is adopted for
    x.
    """
    resource = service(
        {"image": "a:1", "network_mode": "container:shop-vpn-1", "volumes_from": ["shop-vpn-1:ro"]}
    )
    found = there(resource)
    found["container"]["HostConfig"] |= {"NetworkMode": f"container:{ID}", "VolumesFrom": [f"{ID}:ro"]}
    found["container"]["Config"]["Hostname"] = "vpn"
    assert compare.container_differences(resource, found, {ID: "shop-vpn-1"}) == []
    assert compare.container_differences(resource, found, {ID: "shop-other-1"}) == [
        "network_mode",
        "volumes_from",
    ]


def test_links_that_compose_v1_adds_are_left_out() -> None:
    """A link has several names in Compose v1; the one of the file must be equal, and one to a renamed
    container is not.
    """
    resource = service({"image": "a:1", "networks": {"net": {}}, "links": ["shop_db_1:db"]})
    found = there(resource)
    links = ["shop_db_1:db", "shop_db_1:db_1", "shop_db_1:shop_db_1"]
    found["container"]["NetworkSettings"]["Networks"]["net"]["Links"] = links
    assert differences(found, resource) == []
    renamed = service({"image": "a:1", "networks": {"net": {}}, "links": ["shop-db-1:db"]})
    assert differences(found, renamed) == ["networks.net.links"]


def test_a_bind_that_moves_names_the_directory_that_keeps_it() -> None:
    """The same target with another source below the app's directory must be found, and the directory that
    would keep it.
    """
    resource, found = service(), there()
    found["container"]["Mounts"][0]["Source"] = "/opt/shop/conf"
    assert attachments.moved(resource, found) == [("/conf", "/opt/shop/conf", "/apps/shop/conf")]
    assert attachments.directory_for(resource, "/opt/shop/conf", "/apps/shop/conf") == "/opt/shop"
    assert attachments.directory_for(resource, "/elsewhere", "/apps/shop/conf") == ""
    whole = service(volumes=[{"type": "bind", "source": "/apps/shop", "target": "/conf"}])
    assert attachments.moved(whole, found) == [("/conf", "/opt/shop/conf", "/apps/shop")]
    assert attachments.directory_for(whole, "/opt/shop/conf", "/apps/shop") == "/opt/shop/conf"


def test_a_bind_that_the_file_moves_elsewhere_is_a_difference_only() -> None:
    """An absolute source that the file changes is a change like any other."""
    mounts = [CONFIG["volumes"][0] | {"source": "/srv/conf"}, CONFIG["volumes"][1]]
    assert attachments.moved(service(volumes=mounts), there()) == []
    assert differences(there(), service(volumes=mounts)) == ["volumes./conf.source"]


@pytest.mark.parametrize(
    ("config", "said", "named"),
    [
        ({}, {}, []),
        ({}, {"Internal": True}, ["internal"]),
        ({"internal": True}, {"Internal": False}, ["internal"]),
        ({}, {"Driver": "macvlan"}, ["driver"]),
        ({}, {"Options": {"mtu": "9000"}}, ["driver_opts.mtu"]),
        ({}, {"Attachable": False}, []),
        ({}, {"EnableIPv6": True}, ["enable_ipv6"]),
        (FIXED, {"IPAM": {"Config": [{"Subnet": "10.0.0.0/24", "Gateway": "10.0.0.1"}]}}, []),
        (FIXED, {"IPAM": {"Config": [{"Subnet": "10.0.1.0/24"}]}}, ["ipam.config"]),
        ({"labels": {"a": "b"}}, {"Labels": {}}, ["labels.a"]),
    ],
)
def test_networks(config: dict[str, Any], said: dict[str, Any], named: list[str]) -> None:
    """A network must be equal when driver, options and asked-for addresses are."""
    resource = network_resource("shop_default", app="shop", config=config)
    assert compare.network_differences(resource, {**compose.network(resource), **said}) == named


@pytest.mark.parametrize(
    ("config", "said", "named"),
    [
        ({}, {}, []),
        ({}, {"Driver": "nfs"}, ["driver"]),
        ({}, {"Options": {"device": "/x"}}, ["driver_opts.device"]),
        ({"driver_opts": {"device": "/x"}}, {}, []),
        ({"labels": {"a": "b"}}, {"Labels": {}}, []),
    ],
)
def test_volumes(config: dict[str, Any], said: dict[str, Any], named: list[str]) -> None:
    """A volume must be equal when driver and options are."""
    resource = volume_resource("shop_data", app="shop", config=config)
    assert compare.volume_differences(resource, {**compose.volume(resource), **said}) == named
