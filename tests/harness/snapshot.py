"""What a host looks like, as values that compare: "the same as before"."""

from __future__ import annotations

from typing import Any

from tests.harness.engine import Engine
from tests.harness.filestate import FileState, files

__all__ = ["FileState", "containers", "difference", "files", "networks", "volumes"]


def containers(engine: Engine, prefix: str, ids: bool = False) -> dict[str, dict[str, Any]]:
    """The containers that carry a prefix, by name: image, command, labels, state, restart policy, ports,
    mounts and networks. `ids` adds the container id, for "the very same container".
    """
    return {str(c.name): _container(c.attrs, ids) for c in engine.containers(prefix)}


def _container(attrs: dict[str, Any], ids: bool) -> dict[str, Any]:
    config, host, state = attrs["Config"], attrs["HostConfig"], attrs["State"]
    identity = {"id": attrs["Id"]} if ids else {}
    return {
        **identity,
        "image": attrs["Image"],
        "command": [config.get("Entrypoint"), config.get("Cmd")],
        "environment": sorted(config.get("Env") or []),
        "labels": config.get("Labels") or {},
        "status": state["Status"],
        "exit_code": state["ExitCode"] if state["Status"] == "exited" else None,
        "health": (state.get("Health") or {}).get("Status"),
        "restart": host["RestartPolicy"],
        "ports": host.get("PortBindings") or {},
        "mounts": sorted(
            (m["Type"], m.get("Name") or m["Source"], m["Destination"], m["RW"]) for m in attrs["Mounts"]
        ),
        "networks": {
            name: sorted(a for a in net.get("Aliases") or [] if a != attrs["Id"][:12])
            for name, net in attrs["NetworkSettings"]["Networks"].items()
        },
    }


def networks(engine: Engine, prefix: str) -> dict[str, dict[str, Any]]:
    """The networks whose name starts with a prefix: driver, addresses, options, labels."""
    return {
        str(n.name): {
            "driver": n.attrs["Driver"],
            "internal": n.attrs["Internal"],
            "options": n.attrs["Options"],
            "labels": n.attrs["Labels"],
        }
        for n in engine.client.networks.list()
        if str(n.name).startswith(prefix)
    }


def volumes(engine: Engine, prefix: str) -> set[str]:
    """The names of the volumes that start with a prefix."""
    return {v.name for v in engine.client.volumes.list() if v.name.startswith(prefix)}


def difference(before: dict[str, Any], after: dict[str, Any]) -> str:
    """What differs between two snapshots, a line for each; "" when they are the same."""
    lines = [f"gone: {name}" for name in sorted(before.keys() - after.keys())]
    lines += [f"new: {name}: {after[name]}" for name in sorted(after.keys() - before.keys())]
    for name in sorted(before.keys() & after.keys()):
        if before[name] != after[name]:
            lines.append(f"changed: {name}: {before[name]} -> {after[name]}")
    return "\n".join(lines)
