"""When the host is looked at between two passes. Pure: monotonic seconds are arguments.

Rules:
1. What happens together is looked at together: a look waits a moment for more.
2. However much happens, at most three looks begin within a minute.
3. A pass looks too. What happened after its last look is looked at when it has ended; what it did itself was
   before.
"""

from __future__ import annotations

from collections import deque

MOMENT = 0.3  # seconds
MOST, WINDOW = 3, 60.0  # looks, seconds
NEVER = float("inf")


class Looks:
    """The times of one daemon. `every`: seconds between two looks when nothing happens, 0 for none."""

    def __init__(self) -> None:
        self.every = 0.0
        self._running = False
        self._first = NEVER  # when something happened first that was not looked at yet
        self._last = -NEVER  # when something happened last
        self._looked_at = -NEVER
        self._begun: deque[float] = deque(maxlen=MOST)

    @property
    def unseen(self) -> bool:
        """Whether something has happened that was not looked at yet."""
        return self._last > self._looked_at

    @property
    def at(self) -> float:
        """When the next look is due."""
        if self._running:
            return NEVER
        quiet = self._looked_at + self.every if self.every else NEVER
        return min(quiet, max(self._first + MOMENT, self._allowed()) if self.unseen else NEVER)

    def happened(self, now: float) -> None:
        self._first = min(self._first, now)
        self._last = now

    def pass_begun(self) -> None:
        """A pass has begun, for whatever reason."""
        self._running = True

    def begun(self, now: float) -> None:
        """A look has begun."""
        self._running = True
        self._begun.append(now)

    def ended(self, looked_at: float | None) -> None:
        """It has ended. `looked_at`: when it looked last; None when it did not come to that: then another
        pass follows, and looks.
        """
        self._running = False
        if looked_at is not None:
            self._looked_at = looked_at
        self._first = self._last if looked_at is not None and self.unseen else NEVER

    def _allowed(self) -> float:
        """When the next look may begin."""
        return self._begun[0] + WINDOW if len(self._begun) == MOST else -NEVER
