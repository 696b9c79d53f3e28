"""Reads `deploy.update_config` and `deploy.rollback_config` of a service: how its containers are updated.

Rules:
1. Only what is written counts. If either section is present, one container is updated at a time, as in a
   Swarm.
2. `start-first` requires that two containers of the service can run at once. If they cannot, a warning says
   why, and the old container is stopped first.
3. A failed update is undone as a whole, so `pause` is taken as `rollback`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.compose.tree import Map
from agent.kinds import claims
from agent.kinds.engine.amounts import nanoseconds
from agent.render.mounts import AppFiles
from agent.render.problems import did_you_mean

ACTIONS = ("rollback", "continue", "pause")
SHARED = ("host", "service", "container")  # network modes in which both containers would use the same ports


def update_policies(
    service: Map, name: str, config: Mapping[str, Any], files: AppFiles
) -> dict[str, dict[str, Any]]:
    """`update` and `rollback` in the form that `kinds/update_policy.py` reads. Problems are collected."""
    deploy = service.get("deploy") or {}
    found = {}
    for key, section in (("update", "update_config"), ("rollback", "rollback_config")):
        if deploy.get(section) is not None:
            found[key] = _Reader(deploy[section], files, name, section).policy(config)
    return found


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads one of the two sections. A value that is not set or not valid is None."""

    written: Mapping[str, Any]
    files: AppFiles
    service: str
    section: str

    def policy(self, config: Mapping[str, Any]) -> dict[str, Any]:
        parallelism = self.written.get("parallelism")
        found = {
            "parallelism": 1 if parallelism is None else int(parallelism),
            "delay": self.seconds("delay"),
            "monitor": self.seconds("monitor"),
            "failure_action": self.failure_action(),
            "max_failure_ratio": self.ratio(),
            "order": self.order(config),
        }
        return {key: value for key, value in found.items() if value is not None}

    def at(self, key: str) -> tuple[str, ...]:
        return "services", self.service, "deploy", self.section, key

    def wrong(self, key: str, what: str, hint: str) -> None:
        self.files.error(f"{'.'.join(self.at(key))} {what}", hint, *self.at(key))

    def warn(self, key: str, what: str, hint: str) -> None:
        self.files.warn(f"{'.'.join(self.at(key))}: {what}", hint, *self.at(key))

    def seconds(self, key: str) -> float | None:
        value = self.written.get(key)
        seconds = None if value is None else _seconds(value)
        if value is not None and seconds is None:
            self.wrong(key, f"must be a duration, not {value!r}", "write a number and a unit: 10s, 1m30s")
        return seconds

    def failure_action(self) -> str | None:
        action = str(self.written.get("failure_action") or "rollback")
        if action not in ACTIONS:
            self.wrong(
                "failure_action",
                f"must be rollback, continue or pause, not {action!r}",
                did_you_mean(action, ACTIONS),
            )
        if action == "pause":
            self.warn(
                "failure_action",
                "pause would leave the host half updated, so a failed update is rolled back",
                "write rollback or continue",
            )
        return action if action == "continue" else None

    def ratio(self) -> float | None:
        ratio = float(self.written.get("max_failure_ratio") or 0)
        if not 0 <= ratio <= 1:
            self.wrong(
                "max_failure_ratio", f"must be from 0 to 1, not {ratio:g}", "write a fraction, such as 0.5"
            )
            return None
        return ratio or None

    def order(self, config: Mapping[str, Any]) -> str | None:
        if self.written.get("order") != "start-first":
            return None
        if reason := _alone(config):
            self.warn(
                "order",
                f"start-first is not possible: {reason}; the old container is stopped first",
                "remove what only one container can hold, or write stop-first",
            )
            return None
        return "start-first"


def _seconds(value: Any) -> float | None:
    try:
        seconds = nanoseconds(value) / 1e9
    except ValueError:
        return None
    return seconds if seconds >= 0 else None


def _alone(config: Mapping[str, Any]) -> str:
    """The reason why two containers of a service cannot run at once; empty if they can."""
    for claim in claims.of_service("", config):
        kind, *parts = claim.split("/")
        if kind == "port":
            return f"both would hold the host port {parts[-1]}"
        if kind == "address":
            return f"both would hold the address {parts[-1]}"
    mode = str(config.get("network_mode") or "")
    if mode.partition(":")[0] in SHARED:
        return f"both would listen in the same network (network_mode: {mode})"
    macs = [config, *(endpoint or {} for endpoint in (config.get("networks") or {}).values())]
    mac = next((where["mac_address"] for where in macs if where.get("mac_address")), "")
    return f"both would have the MAC address {mac}" if mac else ""
