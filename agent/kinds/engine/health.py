"""What a health check says of itself, as the Engine shows it. Pure and light: a pass with nothing to do looks
too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NANOSECONDS = 1e9
DEFAULT = 30e9  # nanoseconds, of an interval and a timeout that say nothing


def start_patience(healthcheck: Mapping[str, Any] | None) -> float:
    """Seconds that a container may take to become healthy by its own word: its start period, and one probe
    more; 0 when it has no start period.
    """
    check = healthcheck or {}
    start = check.get("StartPeriod") or 0
    return (
        (start + sum(check.get(key) or DEFAULT for key in ("Interval", "Timeout"))) / NANOSECONDS
        if start
        else 0.0
    )
