"""Each field of the Engine's inspection of a container of many keys: changed alone, it is told in Compose's
words.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from agent.kinds.container import container_resource
from agent.kinds.engine import compare
from agent.kinds.network import network_resource
from agent.model import Resource
from tests.fakes import compose

ID = "0123456789abcdef" * 4
OTHER = "f" * 64
NAMES = {ID: "shop-web-1", OTHER: "shop-db-1"}
MAC = "02:42:ac:11:65:43"
CONFIG: dict[str, Any] = {
    "image": "web:1",
    "command": ["/serve"],
    "environment": {"A": "1"},
    "labels": {"com.example": "1"},
    "ports": [{"target": 80, "published": "8080"}, {"target": 81}],
    "mem_limit": "64m",
    "cap_add": ["NET_ADMIN"],
    "cap_drop": ["all"],
    "restart": "on-failure:3",
    "extra_hosts": ["a=1.2.3.4"],
    "group_add": [5, 4],
    "tmpfs": ["/t:size=1m,mode=700", "/u"],
    "pid": f"container:{NAMES[OTHER]}",
    "ipc": "shareable",
    "volumes_from": [f"{NAMES[OTHER]}:ro", "container:outside"],
    "volumes": [
        {"type": "bind", "source": "/conf", "target": "/conf/", "read_only": True},
        {"type": "bind", "source": "/a", "target": "/a", "bind": {"selinux": "z", "propagation": "rslave"}},
        {"type": "volume", "source": "data", "target": "/data", "volume": {"subpath": "sub"}},
        {"type": "volume", "target": "/unnamed"},
        {"type": "tmpfs", "target": "/tmp", "tmpfs": {"size": 4096, "mode": 448}},
    ],
    "networks": {
        "back": {"mac_address": MAC, "driver_opts": {"a": "b"}, "gw_priority": 5},
        "front": {"aliases": ["www"], "ipv4_address": "10.0.0.5", "link_local_ips": ["169.254.8.8"]},
    },
    "links": ["shop-db-1:db"],
    "healthcheck": {"retries": 5, "start_interval": "1s"},
    "logging": {"driver": "json-file", "options": {"max-size": "1m"}},
    "stop_grace_period": "90s",
    "security_opt": ["systempaths=unconfined", "no-new-privileges"],
}
Place = tuple[str | int, ...]
HOST, SAID = "HostConfig", "Config"
NETWORKS = ("NetworkSettings", "Networks")
FRONT, BACK = ((*NETWORKS, name) for name in ("front", "back"))


def service(config: dict[str, Any] | None = None) -> Resource:
    return container_resource(
        "shop-web-1",
        app="shop",
        service="web",
        number=1,
        config=CONFIG if config is None else {"image": "web:1"} | config,
        inputs={},
        folded={},
    )


def there(resource: Resource, image: dict[str, Any] | None = None) -> dict[str, Any]:
    """What the Engine says of the container that Compose made, at the newest API."""
    found = deepcopy(dict(compose.found(resource, ID, "shop_web_1", image)))
    for name, endpoint in (resource.spec["config"].get("networks") or {}).items():
        if endpoint.get("mac_address"):
            found["container"]["NetworkSettings"]["Networks"][name]["MacAddress"] = endpoint["mac_address"]
            del found["container"]["Config"]["MacAddress"]
    if "healthcheck" in resource.spec["config"]:
        found["container"]["Config"]["Healthcheck"]["StartInterval"] = 10**9
    return found


def differences(resource: Resource, changes: dict[Place, Any], image: dict[str, Any] | None = None) -> Any:
    """What is told when the inspection has these values at these places."""
    found = there(resource, image)
    for place, value in changes.items():
        at = found["container"]
        for part in place[:-1]:
            at = at[part]
        at[place[-1]] = value
    return compare.container_differences(resource, found, NAMES)


def test_what_compose_makes_of_many_keys_is_equal() -> None:
    """A container that Compose made of the same keys must be equal."""
    assert differences(service(), {}) == []


@pytest.mark.parametrize(
    ("place", "value", "told"),
    [
        ((SAID, "User"), "app", "user"),
        ((SAID, "Hostname"), "box", "hostname"),
        ((SAID, "Domainname"), "example.org", "domainname"),
        ((SAID, "Tty"), True, "tty"),
        ((SAID, "OpenStdin"), True, "stdin_open"),
        ((SAID, "WorkingDir"), "/srv", "working_dir"),
        ((SAID, "StopSignal"), "SIGINT", "stop_signal"),
        ((SAID, "Cmd"), ["/serve", "-v"], "command"),
        ((SAID, "Entrypoint"), ["/bin/sh"], "entrypoint"),
        ((SAID, "Env"), ["A=2"], "environment.A"),
        ((SAID, "Env"), ["A=1", "B="], "environment.B"),
        ((SAID, "Env"), ["A"], "environment.A"),
        ((SAID, "Labels"), {"com.example": "1", "b": ""}, "labels.b"),
        ((SAID, "ExposedPorts"), {"80/tcp": {}, "81/tcp": {}, "82/tcp": {}}, "expose"),
        ((SAID, "Healthcheck", "Retries"), 4, "healthcheck.Retries"),
        ((SAID, "Healthcheck", "StartInterval"), 2 * 10**9, "healthcheck.StartInterval"),
        ((SAID, "StopTimeout"), 9, "stop_grace_period"),
        ((SAID, "StopTimeout"), None, "stop_grace_period"),
        ((SAID, "NetworkDisabled"), True, "network_disabled"),
        ((HOST, "Memory"), 2**20, "mem_limit"),
        ((HOST, "MemorySwap"), 65 * 2**20, "memswap_limit"),
        ((HOST, "CapAdd"), ["CAP_NET_ADMIN", "CAP_CHOWN"], "cap_add"),
        ((HOST, "CapDrop"), ["CHOWN"], "cap_drop"),
        ((HOST, "GroupAdd"), ["5"], "group_add"),
        ((HOST, "ExtraHosts"), ["a:1.2.3.5"], "extra_hosts"),
        ((HOST, "SecurityOpt"), ["apparmor=x", "no-new-privileges"], "security_opt"),
        ((HOST, "MaskedPaths"), ["/proc/kcore"], "systempaths"),
        ((HOST, "MaskedPaths"), None, "systempaths"),
        ((HOST, "PortBindings", "80/tcp", 0, "HostIp"), "127.0.0.1", "ports.80/tcp"),
        ((HOST, "PortBindings", "80/tcp", 0, "HostPort"), "8081", "ports.80/tcp"),
        ((HOST, "PortBindings", "81/tcp", 0, "HostPort"), "8081", "ports.81/tcp"),
        ((HOST, "IpcMode"), "private", "ipc"),
        ((HOST, "PidMode"), f"container:{ID}", "pid"),
        ((HOST, "PidMode"), "host", "pid"),
        ((HOST, "UTSMode"), "host", "uts"),
        ((HOST, "VolumesFrom"), [f"{OTHER}:rw", "outside:rw"], "volumes_from"),
        ((HOST, "VolumesFrom"), [f"{OTHER}:ro", "outside:ro"], "volumes_from"),
        ((HOST, "RestartPolicy", "Name"), "always", "restart"),
        ((HOST, "RestartPolicy", "MaximumRetryCount"), 4, "restart"),
        ((HOST, "NetworkMode"), "host", "network_mode"),
        ((HOST, "NetworkMode"), "none", "network_mode"),
        ((HOST, "NetworkMode"), f"container:{OTHER}", "network_mode"),
        ((HOST, "LogConfig", "Type"), "journald", "logging.driver"),
        ((HOST, "LogConfig", "Config"), {}, "logging.options"),
        ((HOST, "Runtime"), "kata", "runtime"),
        ((HOST, "Dns"), ["1.1.1.1"], "dns"),
        ((HOST, "CpusetMems"), "0", "--cpuset-mems"),
        ((HOST, "NanoCpus"), 5, "cpus"),
        ((HOST, "Links"), ["/x:/shop_web_1/x"], "links"),
        ((HOST, "Tmpfs"), {"/t": "mode=700,size=1m", "/u": "ro"}, "volumes./u.options"),
        ((HOST, "Tmpfs"), {"/t": "mode=700,size=1m"}, "volumes./u"),
        ((HOST, "Mounts", 2, "TmpfsOptions", "SizeBytes"), 1, "volumes./tmp.size"),
        ((HOST, "Mounts", 2, "TmpfsOptions", "Mode"), 1, "volumes./tmp.mode"),
        ((HOST, "Mounts", 0, "VolumeOptions", "Subpath"), "other", "volumes./data.subpath"),
        (("Mounts", 0, "Source"), "/etc", "volumes./conf.source"),
        (("Mounts", 0, "RW"), True, "volumes./conf.read_only"),
        (("Mounts", 0, "Propagation"), "rshared", "volumes./conf.propagation"),
        (("Mounts", 0, "Mode"), "ro,Z", "volumes./conf.selinux"),
        (("Mounts", 1, "Propagation"), "rprivate", "volumes./a.propagation"),
        (("Mounts", 1, "Mode"), "Z,rslave", "volumes./a.selinux"),
        (("Mounts", 1, "Mode"), "rw", "volumes./a.selinux"),
        (("Mounts", 2, "Name"), "other", "volumes./data.source"),
        (("Mounts", 3, "Name"), "named", "volumes./unnamed.source"),
        (("Mounts", 4, "Type"), "volume", "volumes./tmp.type"),
        ((*FRONT, "Aliases"), ["www", "api"], "networks.front.aliases"),
        ((*FRONT, "IPAMConfig"), {"IPv4Address": "10.0.0.5"}, "networks.front.address.LinkLocalIPs"),
        ((*FRONT, "IPAMConfig", "IPv4Address"), "10.0.0.6", "networks.front.address.IPv4Address"),
        ((*FRONT, "Links"), ["shop-db-1:database"], "networks.front.links"),
        ((*FRONT, "GwPriority"), 5, "networks.front.gw_priority"),
        ((*FRONT, "DriverOpts"), {"c": "d"}, "networks.front.driver_opts"),
        ((*BACK, "DriverOpts"), {"a": "c"}, "networks.back.driver_opts.a"),
        ((*BACK, "MacAddress"), "02:42:ac:11:65:44", "networks.back.mac_address"),
        ((*BACK, "GwPriority"), None, "networks.back.gw_priority"),
        (("NetworkSettings", "Networks", "bridge"), {}, "networks.bridge"),
        (("NetworkSettings", "Networks", "more"), None, "networks.more"),
    ],
)
def test_each_changed_field_is_told(place: Place, value: Any, told: str) -> None:
    """One value that differs must be told by its one name."""
    assert differences(service(), {place: value}) == [told]


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ((SAID, "WorkingDir"), "/"),
        ((SAID, "Labels"), {"com.example": "1", "com.docker.compose.x": "1", "io.limpet.y": "1"}),
        ((SAID, "Hostname"), ID[:12]),
        ((HOST, "MemorySwap"), -1),
        ((HOST, "CapDrop"), ["CAP_ALL"]),
        ((HOST, "GroupAdd"), ["4", "5"]),
        ((HOST, "ExtraHosts"), ["a=1.2.3.4"]),
        ((HOST, "SecurityOpt"), ["no-new-privileges", "label=disable"]),
        ((HOST, "PortBindings", "81/tcp", 0, "HostPort"), "0"),
        ((HOST, "PortBindings", "81/tcp", 0, "HostIp"), None),
        ((HOST, "PidMode"), f"container:{OTHER}"),
        ((HOST, "VolumesFrom"), ["outside", f"container:{OTHER}:ro"]),
        ((HOST, "NetworkMode"), "front"),
        ((HOST, "Tmpfs"), {"/t/": "mode=700,size=1m", "/u": ""}),
        (("Mounts", 0, "Propagation"), ""),
        (("Mounts", 0, "Propagation"), None),
        (("Mounts", 2, "Mode"), "z"),
        (("Mounts", 2, "Propagation"), "rslave"),
        (("Mounts", 3, "Name"), OTHER),
        (("Mounts", 4, "Source"), "/somewhere"),
        ((*FRONT, "Aliases"), ["www", ID[:12], "shop_web_1", "shop-web-1", "web"]),
        ((*FRONT, "MacAddress"), "02:42:ac:11:00:02"),
        ((*FRONT, "Links"), ["shop-db-1:db", "shop-db-1:shop-db-1", "shop-db-1:db_1"]),
    ],
)
def test_what_says_the_same_is_equal(place: Place, value: Any) -> None:
    """What the Engine writes otherwise, or adds of its own accord, must make no difference."""
    assert differences(service(), {place: value}) == []


@pytest.mark.parametrize(
    ("config", "changes", "told"),
    [
        ({}, {(SAID, "Entrypoint"): None, (SAID, "Cmd"): None}, []),
        ({}, {(SAID, "Cmd"): ["other"]}, ["command"]),
        ({"entrypoint": ["x"]}, {}, []),
        ({"entrypoint": []}, {}, []),
        ({"entrypoint": []}, {(SAID, "Entrypoint"): ["/init"]}, ["entrypoint"]),
        ({"command": ["y"]}, {(SAID, "Cmd"): ["serve"]}, ["command"]),
        ({"hostname": "box"}, {(SAID, "Hostname"): ID[:12]}, ["hostname"]),
        ({"hostname": "box"}, {}, []),
        ({"ipc": "container:shop-db-1"}, {(HOST, "IpcMode"): f"container:{OTHER}"}, []),
        ({"uts": "host"}, {(HOST, "UTSMode"): "", (SAID, "Hostname"): ID[:12]}, ["uts"]),
        ({"volumes_from": ["shop-db-1"]}, {(HOST, "VolumesFrom"): [f"{OTHER}:rw"]}, []),
        ({"volumes_from": ["shop-db-1"]}, {(HOST, "VolumesFrom"): [f"{OTHER}:ro"]}, ["volumes_from"]),
        ({"hostname": "box", "network_mode": "host"}, {(SAID, "Hostname"): "machine"}, ["hostname"]),
        ({"network_mode": "host"}, {(SAID, "Hostname"): "machine"}, []),
        ({"network_mode": "host", "mac_address": MAC}, {(SAID, "Hostname"): "machine"}, []),
        ({"network_mode": "none"}, {("NetworkSettings", "Networks"): {"none": {}}}, []),
        ({"network_mode": "none"}, {(SAID, "Hostname"): "machine"}, ["hostname"]),
        ({"networks": {"host_net": {}}}, {(SAID, "Hostname"): "box"}, ["hostname"]),
        ({"networks": {"hosting": {}}}, {}, []),
        (
            {"network_mode": "container:shop-db-1"},
            {(HOST, "NetworkMode"): f"container:{OTHER}", (SAID, "Hostname"): "db"},
            [],
        ),
        (
            {"network_mode": "container:shop-db-1"},
            {("NetworkSettings", "Networks"): {"x": {}}, (SAID, "Hostname"): "db"},
            [],
        ),
        ({"network_mode": "bridge"}, {("NetworkSettings", "Networks"): {"bridge": {}}}, []),
        (
            {"network_mode": "host", "networks": {"x": {}}},
            {("NetworkSettings", "Networks"): {"host": {}}},
            [],
        ),
        ({}, {("NetworkSettings", "Networks"): {"bridge": {}, "x": {}}}, ["networks.x"]),
        ({"networks": {"n": {}}, "mac_address": MAC}, {(SAID, "MacAddress"): MAC}, []),
        (
            {"networks": {"n": {}}, "mac_address": MAC},
            {("NetworkSettings", "Networks", "n", "MacAddress"): MAC, (SAID, "MacAddress"): None},
            [],
        ),
        ({"networks": {"n": {}}}, {(SAID, "MacAddress"): MAC}, ["networks.n.mac_address"]),
        ({"networks": {"m": {}, "n": {}}}, {(SAID, "MacAddress"): MAC}, ["networks.m.mac_address"]),
        ({"networks": {"m": {}, "n": {}}, "mac_address": MAC}, {}, []),
        ({"networks": {"m": {}, "n": {"priority": 1}}, "mac_address": MAC}, {}, []),
        (
            {"networks": {"m": {}, "n": {}}, "mac_address": MAC},
            {(*NETWORKS, "m", "MacAddress"): MAC, (*NETWORKS, "n", "MacAddress"): "02:42:ac:12:00:02"},
            [],
        ),
        (
            {"networks": {"m": {}, "n": {}}, "mac_address": MAC},
            {(SAID, "MacAddress"): None, (*NETWORKS, "n", "MacAddress"): MAC},
            ["networks.m.mac_address"],
        ),
        (
            {"networks": {"m": {}, "n": {}}, "mac_address": MAC},
            {(SAID, "MacAddress"): "02:42:ac:11:65:44", (*NETWORKS, "m", "MacAddress"): "02:42:ac:11:65:44"},
            ["networks.m.mac_address"],
        ),
        ({"uts": "host"}, {(SAID, "Hostname"): "machine"}, []),
        ({"privileged": True}, {(HOST, "MaskedPaths"): [], (HOST, "SecurityOpt"): ["label=disable"]}, []),
        ({}, {(HOST, "MaskedPaths"): []}, ["systempaths"]),
        ({}, {(HOST, "LogConfig"): {"Type": "journald", "Config": {"a": "b"}}}, []),
        ({"logging": {"options": {"a": "b"}}}, {(HOST, "LogConfig", "Type"): "local"}, []),
        ({"logging": {"driver": "local"}}, {(HOST, "LogConfig", "Config"): {"a": "b"}}, []),
        ({}, {(HOST, "RestartPolicy"): {"Name": "no", "MaximumRetryCount": 0}}, []),
        ({}, {(HOST, "RestartPolicy"): {"Name": "always"}}, ["restart"]),
        ({}, {(HOST, "MemorySwap"): 0, (HOST, "ShmSize"): 2**26}, []),
        ({}, {(HOST, "ShmSize"): 1}, ["shm_size"]),
        ({"shm_size": 1}, {(HOST, "ShmSize"): 2**26}, ["shm_size"]),
        ({}, {(HOST, "Annotations"): {"a": "b"}}, ["annotations.a"]),
        ({"volumes_from": ["shop-db-1"]}, {("Mounts",): [{"Type": "volume", "Destination": "/theirs"}]}, []),
        ({}, {("Mounts",): [{"Type": "volume", "Destination": "/more"}]}, ["volumes./more"]),
        (
            {"tmpfs": ["/t:size=1m"]},
            {(HOST, "Tmpfs"): {}, ("Mounts",): [{"Type": "tmpfs", "Destination": "/t", "RW": True}]},
            ["volumes./t.options"],
        ),
    ],
)
def test_what_a_service_of_one_key_is_told(
    config: dict[str, Any], changes: dict[Place, Any], told: list[str]
) -> None:
    """Defaults and values of the image must count where the service says nothing, and not where it does."""
    assert differences(service(config), changes) == told


IMAGE: dict[str, Any] = {
    "Entrypoint": ["/init"],
    "Cmd": ["serve"],
    "Env": ["PATH=/bin", "LEVEL=info"],
    "ExposedPorts": {"80/tcp": {}},
    "StopSignal": "SIGQUIT",
    "Healthcheck": {"Test": ["CMD", "true"], "Retries": 2},
    "Volumes": {"/var/data/": {}},
    "Labels": {"org.image": "x"},
}
KEPT = {"Type": "volume", "Name": OTHER, "Source": "/x", "Destination": "/var/data", "RW": True}


@pytest.mark.parametrize(
    ("config", "changes", "told"),
    [
        ({}, {}, []),
        ({}, {("Mounts",): []}, ["volumes./var/data"]),
        ({}, {("Mounts",): [KEPT | {"Name": "named"}]}, ["volumes./var/data.source"]),
        ({"entrypoint": ["/x"]}, {(SAID, "Cmd"): None}, []),
        ({"entrypoint": ["/x"]}, {(SAID, "Cmd"): ["serve"]}, ["command"]),
        ({"entrypoint": []}, {(SAID, "Entrypoint"): None}, []),
        ({"command": ["y"]}, {}, []),
        ({"environment": {"LEVEL": None}}, {(SAID, "Env"): ["PATH=/bin", "LEVEL"]}, []),
        ({"environment": {"LEVEL": None}}, {(SAID, "Env"): ["PATH=/bin"]}, []),
        ({"environment": {"LEVEL": None}}, {(SAID, "Env"): IMAGE["Env"]}, ["environment.LEVEL"]),
        ({"environment": {"LEVEL": "x"}}, {(SAID, "Env"): ["PATH=/bin", "LEVEL=x"]}, []),
        ({}, {(SAID, "Env"): ["PATH=/bin"]}, ["environment.LEVEL"]),
        ({}, {(SAID, "ExposedPorts"): {}}, ["expose"]),
        ({}, {(SAID, "Healthcheck"): {"Test": ["CMD", "true"], "Retries": 3}}, ["healthcheck.Retries"]),
        (
            {"healthcheck": {"timeout": "1s"}},
            {(SAID, "Healthcheck"): {**IMAGE["Healthcheck"], "Timeout": 10**9}},
            [],
        ),
        ({}, {(SAID, "StopSignal"): "SIGTERM"}, ["stop_signal"]),
        ({}, {(SAID, "Labels"): {}}, ["labels.org.image"]),
    ],
)
def test_what_the_image_says_is_wanted(
    config: dict[str, Any], changes: dict[Place, Any], told: list[str]
) -> None:
    """What the image says must count as wanted where the service does not say otherwise."""
    taken: dict[Place, Any] = {(SAID, key): value for key, value in IMAGE.items() if key not in _said(config)}
    assert differences(service(config), {("Mounts",): [KEPT], **taken, **changes}, IMAGE) == told


def _said(config: dict[str, Any]) -> set[str]:
    """The fields that the service says itself."""
    names = {"entrypoint": {"Entrypoint", "Cmd"}, "command": {"Cmd"}}
    return set().union(*(names.get(key, set()) for key in config))


def test_a_stop_signal_is_spelled_out_for_who_is_signalled() -> None:
    """A service that is signalled states the image's stop signal, or the usual one: that must be equal."""
    config = {"image": "web:1"}
    resource = container_resource(
        "w",
        app="a",
        service="w",
        number=1,
        config=config,
        inputs={},
        folded={},
        on_change={"/f": "signal:HUP"},
    )
    for image, signal in (({"StopSignal": "SIGQUIT"}, "SIGQUIT"), ({}, "SIGTERM")):
        found = there(resource, image)
        found["container"]["Config"]["StopSignal"] = signal
        assert compare.container_differences(resource, found, {}) == []


@pytest.mark.parametrize(
    ("config", "said", "told"),
    [
        ({}, {"Scope": "swarm", "Driver": "overlay"}, ["attachable", "driver"]),
        ({"attachable": True}, {"Scope": "swarm"}, []),
        ({"attachable": True}, {"Scope": "swarm", "Attachable": False}, ["attachable"]),
        ({"driver": "macvlan"}, {}, []),
        ({}, {"IPAM": {"Driver": "other"}}, ["ipam.driver"]),
        ({}, {"IPAM": None}, []),
        ({}, {"IPAM": {"Options": {"a": "b"}}}, ["ipam.options"]),
        ({"ipam": {"driver": "other", "options": {"a": "b"}}}, {}, []),
        ({"ipam": {"config": [{"subnet": "10.0.0.0/24"}]}}, {"IPAM": {"Config": []}}, ["ipam.config"]),
        (
            {"ipam": {"config": [{"subnet": "10.0.0.0/24"}]}},
            {"IPAM": {"Config": [{"Subnet": "10.0.0.0/24"}, {"Subnet": "fd00::/64"}]}},
            ["ipam.config"],
        ),
        ({}, {"Labels": {"io.limpet.x": "1", "com.docker.compose.y": "1", "a": ""}}, ["labels.a"]),
    ],
)
def test_each_field_of_a_network(config: dict[str, Any], said: dict[str, Any], told: list[str]) -> None:
    """Scope, driver, address management and labels of a network must be told by their names."""
    resource = network_resource("shop_default", app="shop", config=config)
    assert compare.network_differences(resource, {**compose.network(resource), **said}) == told
