"""The volumes of a service as the Engine's Binds and Mounts. Pure; a part of `request`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from agent.kinds.engine.amounts import byte_count
from agent.kinds.engine.resources import Body
from agent.model import Spec

Mapped = Callable[[str], str]  # a host path -> the path that the Engine sees, below `--root`
UNNAMED = re.compile("[0-9a-f]{64}")  # the name that the Engine gives a volume without one


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
        source = mapped(volume["source"])
        if _needs_mount(volume, source):
            mounts.append(_mount(volume | {"source": source}))
        else:
            binds.append(_bind(volume, source))
    return binds, mounts


def _needs_mount(volume: Spec, source: str) -> bool:
    """Whether a bind cannot be written as a Bind."""
    bind = volume.get("bind") or {}
    advanced = bind.get("create_host_path") is False or bind.get("recursive")
    return bool(advanced) or ":" in source or ":" in volume["target"]


def _bind(volume: Spec, source: str) -> str:
    bind = volume.get("bind") or {}
    more = [bind[key] for key in ("selinux", "propagation") if bind.get(key)]
    options = ["ro" if volume.get("read_only") else "rw", *more]
    return f"{source}:{volume['target']}:{','.join(options)}"


def inherit(config: Spec, declared: Iterable[str], mounts: Iterable[Mapping[str, Any]]) -> Spec:
    """The service with the unnamed volumes of the container that it replaces, as Compose does it: they hold
    data.

    `declared`: targets of VOLUME in the new image; `mounts`: as the inspection of the old container lists
    them. A target that the service uses for something else is not inherited, nor one that nobody wants any
    more.
    """
    volumes = {volume["target"]: volume for volume in config.get("volumes") or ()}
    wanted = {*declared} - {*volumes} - {entry.partition(":")[0] for entry in config.get("tmpfs") or ()}
    wanted |= {
        target
        for target, volume in volumes.items()
        if volume["type"] == "volume" and not volume.get("source")
    }
    for mount in mounts:
        name, target = str(mount.get("Name")), mount["Destination"]
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
    if volume["type"] in OPTIONS and (options := volume.get(volume["type"])):
        field, of = OPTIONS[volume["type"]]
        mount[field] = of(options)
    return mount


def _bind_options(bind: Mapping[str, Any]) -> Body:
    flags = {
        "disabled": "NonRecursive",
        "writable": "ReadOnlyNonRecursive",
        "readonly": "ReadOnlyForceRecursive",
    }
    found: Body = {"Propagation": bind["propagation"]} if bind.get("propagation") else {}
    return found | {flag: True for word, flag in flags.items() if bind.get("recursive") == word}


def _volume_options(volume: Mapping[str, Any]) -> Body:
    fields = {"nocopy": "NoCopy", "subpath": "Subpath", "labels": "Labels"}
    return {field: volume[key] for key, field in fields.items() if volume.get(key)}


def _tmpfs_options(tmpfs: Mapping[str, Any]) -> Body:
    fields = {
        "SizeBytes": byte_count(tmpfs["size"]) if tmpfs.get("size") else None,
        "Mode": _octal(tmpfs.get("mode")),
    }
    return {key: value for key, value in fields.items() if value is not None}


OPTIONS: dict[str, tuple[str, Callable[[Mapping[str, Any]], Body]]] = {  # type -> field, and its content
    "bind": ("BindOptions", _bind_options),
    "volume": ("VolumeOptions", _volume_options),
    "tmpfs": ("TmpfsOptions", _tmpfs_options),
}


def _octal(mode: Any) -> int | None:
    return int(mode, 8) if isinstance(mode, str) else mode
