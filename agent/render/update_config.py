"""`deploy.update_config` and `deploy.rollback_config` of a service: how its containers are changed.

Rules:
1. Only what was written counts; with either of them given, one container at a time is changed, as Swarm does
   it.
2. `start-first` needs that two containers of the service can run at once; where they cannot, a warning says
   why, and the old one goes first.
3. A failed update is undone as a whole, so `pause` is taken as `rollback`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.compose.tree import Map
from agent.kinds import claims
from agent.kinds.engine.amounts import nanoseconds
from agent.render.mounts import AppFiles
from agent.render.problems import did_you_mean

ACTIONS = ("rollback", "continue", "pause")
SHARED = ("host", "service:", "container:")  # network modes whose ports two containers would both want


def manners(service: Map, name: str, config: Mapping[str, Any], files: AppFiles) -> dict[str, dict[str, Any]]:
    """`update` and `rollback`, as `kinds/changing.py` reads them; what is wrong is noted."""
    deploy = service.get("deploy") or {}
    found = {}
    for key, section in (("update", "update_config"), ("rollback", "rollback_config")):
        if deploy.get(section) is not None:
            found[key] = _manner(deploy[section], config, files, ("services", name, "deploy", section))
    return found


def _manner(
    said: Mapping[str, Any], config: Mapping[str, Any], files: AppFiles, at: tuple[str, ...]
) -> dict[str, Any]:
    shown = f"services.{at[1]}.deploy.{at[3]}"

    def wrong(key: str, what: str, hint: str) -> None:
        files.work.problems.add(*files.where(*at, key), f"{shown}.{key} {what}", hint)

    found: dict[str, Any] = {
        "parallelism": 1 if said.get("parallelism") is None else int(said["parallelism"])
    }
    for key in ("delay", "monitor"):
        if said.get(key) is not None:
            found[key] = _seconds(said[key])
            if found[key] is None:
                wrong(key, f"must be a duration, not {said[key]!r}", "write number and unit: 10s, 1m30s")
    action = str(said.get("failure_action") or "rollback")
    if action not in ACTIONS:
        wrong("failure_action", f"is {action!r}", did_you_mean(action, ACTIONS))
    elif action == "pause":
        files.work.problems.warn(
            *files.where(*at, "failure_action"),
            f"{shown}.failure_action: pause would leave the host half "
            "updated, so a failed update is rolled back",
            "write rollback or continue",
        )
    elif action == "continue":
        found["failure_action"] = action
    ratio = float(said.get("max_failure_ratio") or 0)
    if not 0 <= ratio <= 1:
        wrong("max_failure_ratio", f"is {ratio:g}", "write a share from 0 to 1")
    elif ratio:
        found["max_failure_ratio"] = ratio
    if said.get("order") == "start-first":
        reason = _alone(config)
        if reason:
            files.work.problems.warn(
                *files.where(*at, "order"),
                f"{shown}.order: start-first cannot be: {reason}; the old container stops first",
                "remove what only one can hold, or write stop-first",
            )
        else:
            found["order"] = "start-first"
    return {key: value for key, value in found.items() if value is not None}


def _seconds(value: Any) -> float | None:
    try:
        seconds = nanoseconds(value) / 1e9
    except ValueError:
        return None
    return seconds if seconds >= 0 else None


def _alone(config: Mapping[str, Any]) -> str:
    """Why two containers of a service cannot run at once, empty when they can."""
    for claim in claims.of_service("", config):
        kind, *parts = claim.split("/")
        if kind == "port":
            return f"both would hold the host port {parts[-1]}"
        if kind == "address":
            return f"both would hold the address {parts[-1]}"
    mode = str(config.get("network_mode") or "")
    if mode.startswith(SHARED):
        return f"both would listen in the same network (network_mode: {mode})"
    macs = [config, *(endpoint or {} for endpoint in (config.get("networks") or {}).values())]
    mac = next((where["mac_address"] for where in macs if where.get("mac_address")), "")
    return f"both would have the MAC address {mac}" if mac else ""
