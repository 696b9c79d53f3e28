"""Time as an argument.

Rules: every interval is measured with `monotonic`; `wall` is for people and for windows; `boot_id` tells one
boot from another.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Protocol

patience = float("inf")  # seconds


def at_most_patience(seconds: float) -> float:
    """The time to wait for something outside the agent: at most `patience`, which only fault tests change."""
    return min(seconds, patience)


class Clock(Protocol):
    """All that the agent may know about time. Seconds everywhere."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary point of this boot; never jumps."""

    def wall(self) -> float:
        """Seconds since the epoch; may jump."""

    def sleep(self, seconds: float, wake: threading.Event | None = None) -> bool:
        """Waits, or returns True early as soon as `wake` is set."""

    def boot_id(self) -> str:
        """Differs after every boot; empty where the kernel does not say."""


class SystemClock:
    """The machine's own clock."""

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    def sleep(self, seconds: float, wake: threading.Event | None = None) -> bool:
        if wake is not None:
            return wake.wait(max(0.0, seconds))
        time.sleep(max(0.0, seconds))
        return False

    def boot_id(self) -> str:
        return boot_id()


def boot_id() -> str:
    """The kernel's name for this boot; empty where it gives none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
