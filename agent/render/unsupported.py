"""The parts of a Compose service that this version cannot do, or that contradict each other.

Rules:
1. A key is never ignored silently: one that is not supported is an error.
2. A service without an image cannot be drafted. After any other problem the checks continue.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.compose.tree import Map
from agent.kinds.engine.request import SUPPORTED
from agent.references import image_problem
from agent.render.assembly import ChangeEffect
from agent.render.mounts import AppFiles

TAKEN_OUT = frozenset(
    {
        "depends_on",
        "scale",
        "profiles",
        "build",
        "develop",
        "pull_policy",
        "pull_refresh_after",
        "env_file",
        "label_file",
        "attach",
        "configs",
        "secrets",
        "container_name",
        "extends",
        "pre_start",
    }
)  # other steps handle these
DEPLOY = ("resources", "restart_policy")  # the parts of `deploy` that concern one container
DEPLOY_ELSEWHERE = ("replicas", "update_config", "rollback_config")
DEPLOY_IGNORED = ("mode", "endpoint_mode", "labels", "placement")
RESERVED = "io.limpet."
NAMESPACES = ("network_mode", "ipc", "pid")


def check_service(name: str, service: Map, files: AppFiles) -> None:
    """Reports the problems of a service. Raises Wrong if it has no usable image."""
    _check_keys(name, service, files)
    for label in service.get("labels") or {}:
        if label.startswith(RESERVED):
            files.error(
                f"services.{name}.labels: {label} is reserved for Limpet",
                f"use a label that does not start with {RESERVED}",
                *("services", name, "labels", label),
                of_key=True,
            )
    mode = str(service.get("network_mode", ""))
    if service.get("ports") and mode.startswith(("service:", "container:")):
        files.error(
            f"services.{name} has no network of its own to publish ports from",
            f"publish them on the owner of its network: {mode}",
            *("services", name, "ports"),
        )
    if not service.get("image") and "build" in service:
        raise files.wrong(
            f"services.{name} has no image, and Limpet does not build",
            "build and push the image elsewhere, and name it with `image:`",
            *("services", name, "build"),
        )
    if not service.get("image"):
        raise files.wrong(f"services.{name} has no image", "add `image:`", "services", name, "image")
    if problem := image_problem(service["image"]):
        raise files.wrong(f"services.{name}: {problem[0]}", problem[1], "services", name, "image")


def _check_keys(name: str, service: Map, files: AppFiles) -> None:
    for key in service:
        if key not in SUPPORTED and key not in TAKEN_OUT and not key.startswith("x-"):
            files.error(
                f"services.{name}.{key} is not supported by this version of Limpet",
                "remove it; a key is never ignored silently",
                *("services", name, key),
                of_key=True,
            )
    for key in service.get("deploy") or {}:
        if key not in (*DEPLOY, *DEPLOY_ELSEWHERE, *DEPLOY_IGNORED) and not key.startswith("x-"):
            message = f"services.{name}.deploy.{key} is not supported by Limpet"
            files.error(message, "remove it", "services", name, "deploy", key, of_key=True)


def check_signals(
    name: str, config: Mapping[str, Any], changes: Mapping[str, ChangeEffect], files: AppFiles
) -> None:
    """Reports signals for a file that is mounted as a single file: the container would still see the file of
    its start.
    """
    for mount in config.get("volumes") or ():
        how, at = changes.get(mount.get("source"), ("", ("", 0)))
        if how.startswith("signal:"):
            files.work.problems.add(
                *at,
                f"services.{name}: {mount['target']} is mounted as a single file, so a container that is "
                "signalled would keep the old file",
                "mount its directory instead, or use restart",
            )


def check_restarts(
    name: str, changes: Mapping[str, ChangeEffect], on_unhealthy: str, files: AppFiles
) -> None:
    """Reports restarts of a service whose namespace another service shares: it does not survive a restart."""
    sharing = [
        other
        for other, service in files.project.services.items()
        if any(service.get(key) == f"service:{name}" for key in NAMESPACES)
    ]
    restarts = [at for how, at in changes.values() if how == "restart"]
    if on_unhealthy:
        restarts.append(files.where("services", name, "x-limpet", "on_unhealthy"))
    for at in restarts if sharing else ():
        files.work.problems.add(
            *at,
            f"services.{name}: a restart would leave services.{sharing[0]} without the namespace that "
            "they share",
            "use recreate, which re-creates both",
        )
