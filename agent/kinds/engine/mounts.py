"""The volumes of a service as the Engine's Binds and Mounts. Pure; a part of `request`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from agent.kinds.engine.amounts import byte_count
from agent.kinds.engine.resources import Body
from agent.model import Spec

Mapped = Callable[[str], str]  # a host path -> the path that the Engine sees, below `--root`
UNNAMED = re.compile("[0-9a-f]{64}")  # what the Engine calls a volume that nobody named


def volumes(config: Spec, mapped: Mapped = str) -> tuple[list[str], list[Body]]:
    """Binds and Mounts. A bind mount that may be created on the host is a Bind, since a Mount cannot say so
    before API 1.42.
    """
    by_target = {volume["target"]: volume for volume in config.get("volumes") or ()}
    binds: list[str] = []
    mounts: list[Body] = []
    for volume in by_target.values():
        if volume["type"] != "bind":
            mounts.append(_mount(volume))
            continue
        bind = volume.get("bind") or {}
        source = mapped(volume["source"])
        advanced = bind.get("create_host_path") is False or bind.get("recursive")
        if advanced or ":" in source or ":" in volume["target"]:
            mounts.append(_mount(volume | {"source": source}))
        else:
            more = [bind[key] for key in ("selinux", "propagation") if bind.get(key)]
            options = ["ro" if volume.get("read_only") else "rw", *more]
            binds.append(f"{source}:{volume['target']}:{','.join(options)}")
    return binds, mounts


def inherit(config: Spec, declared: Iterable[str], mounts: Iterable[Mapping[str, Any]]) -> Spec:
    """The service with the unnamed volumes of the container that it replaces, as Compose does: they are data,
    and go on.

    `declared`: targets of VOLUME in the new image; `mounts`: as the inspection of the old container lists
    them. A target that the service uses for something else, and one that nobody wants any more, is not
    inherited.
    """
    volumes = {volume["target"]: volume for volume in config.get("volumes") or ()}
    wanted = {*declared} - {*volumes} - {entry.partition(":")[0] for entry in config.get("tmpfs") or ()}
    wanted |= {
        target
        for target, volume in volumes.items()
        if volume["type"] == "volume" and not volume.get("source")
    }
    for mount in mounts:
        name, target = mount.get("Name") or "", mount.get("Destination", "")
        if mount.get("Type") == "volume" and target in wanted and UNNAMED.fullmatch(name):
            volumes[target] = (
                {"type": "volume", "target": target} | dict(volumes.get(target, {})) | {"source": name}
            )
    return config if not volumes else dict(config) | {"volumes": list(volumes.values())}


def _mount(volume: Mapping[str, Any]) -> Body:
    mount: Body = {"Type": volume["type"], "Target": volume["target"]}
    if volume.get("source"):
        mount["Source"] = volume["source"]
    if volume.get("read_only"):
        mount["ReadOnly"] = True
    if (volume.get("image") or {}).get("subpath"):
        mount["ImageOptions"] = {"Subpath": volume["image"]["subpath"]}
    bind, named, tmpfs = volume.get("bind") or {}, volume.get("volume") or {}, volume.get("tmpfs") or {}
    if bind and volume["type"] == "bind":
        flags = {
            "disabled": "NonRecursive",
            "writable": "ReadOnlyNonRecursive",
            "readonly": "ReadOnlyForceRecursive",
        }
        mount["BindOptions"] = {"Propagation": bind["propagation"]} if bind.get("propagation") else {}
        mount["BindOptions"] |= {flag: True for word, flag in flags.items() if bind.get("recursive") == word}
    if named and volume["type"] == "volume":
        fields = {
            "NoCopy": named.get("nocopy"),
            "Subpath": named.get("subpath"),
            "Labels": named.get("labels"),
        }
        mount["VolumeOptions"] = {key: value for key, value in fields.items() if value}
    if tmpfs and volume["type"] == "tmpfs":
        fields = {
            "SizeBytes": byte_count(tmpfs["size"]) if tmpfs.get("size") else None,
            "Mode": _octal(tmpfs.get("mode")),
        }
        mount["TmpfsOptions"] = {key: value for key, value in fields.items() if value is not None}
    return mount


def _octal(mode: Any) -> int | None:
    return int(mode, 8) if isinstance(mode, str) else mode
