"""Turns Compose's `pull_policy` and `pull_refresh_after` into two values that say when an image is pulled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.compose.scalars import duration_ns
from agent.render.mounts import AppFiles

PERIODS = {"daily": "24h", "weekly": "168h"}
SIMPLE = {
    "": "missing",
    "missing": "missing",
    "if_not_present": "missing",
    "always": "always",
    "never": "never",
    "build": "build",
}


def pulling(name: str, service: Mapping[str, Any], files: AppFiles) -> dict[str, Any]:
    """`pull_policy` (always, missing, build or never) and `pull_every` (seconds) of a service. Raises Wrong.

    `build` is `missing` with an image that somebody builds on the host: Limpet does not.

    `refresh` without an interval means `always`: the registry is asked with each new manifest, as by each
    `up` of Compose.
    """
    policy, after = str(service.get("pull_policy") or ""), service.get("pull_refresh_after")
    if after is not None and policy != "refresh":
        file, line = files.where("services", name, "pull_refresh_after")
        files.work.problems.warn(
            file,
            line,
            f"services.{name}: pull_refresh_after works only with pull_policy: refresh",
            "write pull_policy: refresh, or remove pull_refresh_after",
        )
    if policy in SIMPLE:
        return {"pull_policy": SIMPLE[policy]}
    written = str(after or "0") if policy == "refresh" else PERIODS.get(policy, policy.removeprefix("every_"))
    key = "pull_refresh_after" if policy == "refresh" else "pull_policy"
    try:
        seconds = duration_ns(written) / 1e9
        if seconds < 0:
            raise ValueError(f"{written!r} is negative")
    except ValueError as error:
        raise files.wrong(
            f"services.{name}.{key}: {error}", "write it like 12h, 2d or 1w", "services", name, key
        ) from None
    return {"pull_policy": "missing", "pull_every": seconds} if seconds else {"pull_policy": "always"}
