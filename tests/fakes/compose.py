"""What the Engine says of a container that Docker Compose made of a service: no label of ours, the defaults
filled in.
"""

from __future__ import annotations

from typing import Any

from agent.kinds.engine import endpoints, objects, request
from agent.model import Resource, Spec

OURS = ("io.limpet.", "com.docker.compose.image", "com.docker.compose.depends_on")


def body(resource: Resource, image: str, mapped: Any = str, api: tuple[int, int] = (1, 41)) -> dict[str, Any]:
    """The create request that Compose would send."""
    asked = request.create_request(resource, image, instance="", mapped=mapped, api=api)
    asked["Labels"] = {key: value for key, value in asked["Labels"].items() if not key.startswith(OURS)}
    return asked


def found(resource: Resource, id: str, name: str, image_config: Spec | None = None) -> Spec:
    """What `compare` compares, of a container that is just what `resource` says."""
    asked, image, config = body(resource, "image"), image_config or {}, resource.spec["config"]
    host = {
        "IpcMode": "private",
        "CgroupnsMode": "host",
        "ShmSize": 2**26,
        "Runtime": "runc",
        "MaskedPaths": ["/proc/kcore"],
        "NetworkMode": "default",
        "LogConfig": {"Type": "json-file", "Config": {}},
        "RestartPolicy": {"Name": ""},
    } | asked["HostConfig"]
    said = {key: value for key, value in asked.items() if key not in ("HostConfig", "NetworkingConfig")}
    networks = {
        network: {**endpoint, "Aliases": [*endpoint["Aliases"][1:], id[:12]]}
        for network in config.get("networks") or ()
        for endpoint in [endpoints.endpoint(resource.spec, network)]
    }
    mounts = [
        {
            "Type": v["type"],
            "Name": v.get("source", "") if v["type"] == "volume" else "",
            "Source": v.get("source", ""),
            "Destination": v["target"],
            "RW": not v.get("read_only"),
            "Mode": (v.get("bind") or {}).get("selinux") or "",
            "Propagation": ((v.get("bind") or {}).get("propagation") or "rprivate") * (v["type"] == "bind"),
        }
        for v in config.get("volumes") or ()
    ]
    inspection = {
        "Id": id,
        "Name": f"/{name}",
        "Config": {"Hostname": id[:12], **image, **said},
        "HostConfig": host,
        "Mounts": mounts,
        "NetworkSettings": {"Networks": networks},
    }
    return {"container": inspection, "image": image}


def network(resource: Resource) -> Spec:
    """What the Engine says of a network that Compose made."""
    asked = objects.network_request(resource, "")
    labels = {key: value for key, value in asked["Labels"].items() if not key.startswith(OURS)}
    pools = {"Config": [{"Subnet": "172.18.0.0/16", "Gateway": "172.18.0.1"}], "Driver": "default"}
    return {
        "Driver": "bridge",
        "Scope": "local",
        "Attachable": True,
        "IPAM": pools,
        **asked,
        "Labels": labels,
    }


def volume(resource: Resource) -> Spec:
    """What the Engine says of a volume that Compose made."""
    asked = objects.volume_request(resource, "")
    labels = {key: value for key, value in asked["Labels"].items() if not key.startswith(OURS)}
    return {"Driver": "local", "Options": asked.get("DriverOpts"), "Labels": labels}
