"""What the Engine can change of a container as it is: its restart policy, its limits, its networks. Pure.

Rules:
1. What somebody has changed of these is put back in place; the container runs on. It is seen where a look
   went into the details.
2. The Engine takes most limits, but not all, back to none in place. A container that has one of the others,
   and should have none, is re-created.
3. A limit that the host cannot keep (no swap accounting, say) is none, and not somebody's change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agent.kinds import attaching
from agent.kinds.base import Step, View
from agent.kinds.engine.resources import restart_policy, ulimits_and_limits
from agent.model import Resource
from agent.observed import ObservedContainer

# Field of the Engine's HostConfig -> key of a service, for people.
LIMITS = {
    "Memory": "mem_limit",
    "MemorySwap": "memswap_limit",
    "MemoryReservation": "mem_reservation",
    "NanoCpus": "cpus",
    "CpuShares": "cpu_shares",
    "CpuQuota": "cpu_quota",
    "CpuPeriod": "cpu_period",
    "CpusetCpus": "cpuset",
    "PidsLimit": "pids_limit",
    "BlkioWeight": "blkio_config.weight",
}
# What means none, besides 0; and what sets it.
UNSET = {"CpuShares": 1024, "CpuQuota": -1, "CpuPeriod": 100_000, "PidsLimit": -1}


def restart_text(config: Mapping[str, Any]) -> str:
    """The restart policy of a service as the Engine has it: `no`, `always`, `on-failure:3`."""
    wanted = restart_policy(config)
    count = wanted["MaximumRetryCount"]
    return f"{wanted['Name'] or 'no'}{f':{count}' if count else ''}"


def put_back(desired: Resource, keeper: ObservedContainer, view: View) -> list[Step]:
    """The steps that put back what somebody changed of a container that has its name."""
    if keeper.name != desired.key.name:
        return []
    at, steps = {"container": keeper.id}, list[Step]()
    if keeper.restart_policy not in (None, "", restart_text(desired.spec["config"])):
        steps.append(Step("start", "policy", at))
    changed = dict(_changed(desired, keeper))
    if changed:
        if "Memory" in changed or "MemorySwap" in changed:  # the Engine checks them together
            changed |= {field: _wanted(desired)[field] for field in ("Memory", "MemorySwap")}
        steps.append(Step("start", "limits", at | {"limits": changed}))
    for network in sorted(set(keeper.networks) - _networks(desired) - view.recreated):
        steps.append(Step("start", "disconnect", at | {"network": network}))
    return steps


def cannot_be_put_back(desired: Resource, instance: ObservedContainer) -> str:
    """Why an instance must be re-created instead; empty when it need not."""
    if instance.name != desired.key.name:
        return ""
    stuck = [LIMITS[field] for field, value in _changed(desired, instance) if not value]
    return (
        f"{', '.join(stuck)} was set by hand, and can only be taken back by making it anew" if stuck else ""
    )


def changes(steps: list[Step]) -> list[str]:
    """What was changed, in words, of the steps that put it back."""
    words = []
    rejoined = {step.args["network"] for step in steps if step.verb == "connect"}
    for step in steps:
        if step.verb == "policy":
            words.append("its restart policy changed by hand")
        elif step.verb == "limits":
            names = ", ".join(LIMITS[field] for field in sorted(step.args["limits"]))
            words.append(f"{names} changed by hand")
        elif step.verb == "disconnect" and step.args["network"] not in rejoined:
            words.append(f"attached to {step.args['network']} by hand")
    return words


def _changed(desired: Resource, instance: ObservedContainer) -> Iterator[tuple[str, Any]]:
    """The limits that somebody has changed, with what they are to be; 0 for what cannot be set."""
    if instance.limits is None or not (any(instance.limits.values()) or _has_limits(desired)):
        return
    wanted = _wanted(desired)
    for field in LIMITS:
        there, want = _value(field, instance.limits.get(field)), wanted.get(field, 0)
        if there == want or (not there and field != "PidsLimit"):
            continue
        yield field, want or UNSET.get(field, 0)


def _has_limits(desired: Resource) -> bool:
    return not desired.spec["config"].keys().isdisjoint(("deploy", "blkio_config", *LIMITS.values()))


def _wanted(desired: Resource) -> dict[str, Any]:
    given = ulimits_and_limits(desired.spec["config"])
    found = {field: _value(field, given.get(field)) for field in LIMITS}
    found["MemorySwap"] = found["MemorySwap"] or 2 * found["Memory"]  # as the Engine has it
    return found


def _value(field: str, value: Any) -> Any:
    """A limit; 0 for none."""
    if not value or value == UNSET.get(field) or value == -1:
        return 0
    return value


def _networks(desired: Resource) -> set[str]:
    mode = str(desired.spec["config"].get("network_mode") or "default")
    return set(attaching.networks(desired)) or {"bridge" if mode == "default" else mode}
