"""The daemon's messages to systemd (sd_notify), and the watchdog. Without systemd nothing is sent."""

from __future__ import annotations

import os
import time

from systemd.daemon import notify as send

from agent.daemon.schedule import NEVER
from agent.redact import redact


def notify(*assignments: str) -> None:
    """Sends assignments like `READY=1` together; each is one line."""
    send("\n".join(redact(assignment).replace("\n", " ") for assignment in assignments))


def monotonic_usec() -> int:
    """The clock by which systemd judges `RELOADING=1`, whatever clock the daemon uses."""
    return time.monotonic_ns() // 1000


class Watchdog:
    """Tells systemd that the loop turns, twice per WATCHDOG_USEC. `due`: when the loop must call it next."""

    def __init__(self, now: float) -> None:
        ours = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        interval = int(os.environ.get("WATCHDOG_USEC", "0")) if ours else 0
        self._period = interval / 2e6
        self.due = now + self._period if interval else NEVER

    def feed(self, now: float) -> None:
        """To be called in every turn of the loop."""
        if now >= self.due:
            notify("WATCHDOG=1")
            self.due = now + self._period
