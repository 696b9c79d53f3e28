"""A clock that tests turn by hand."""

from __future__ import annotations

import threading


class FakeClock:
    """Stands still until `sleep` or `advance` moves it;

    `jump` moves only the wall clock, `reboot` starts another boot.
    """

    def __init__(self, wall: float = 1_700_000_000.0, monotonic: float = 1_000.0) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._boot = 1
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self._monotonic

    def wall(self) -> float:
        return self._wall

    def sleep(self, seconds: float, wake: threading.Event | None = None) -> bool:
        self.slept.append(seconds)
        if wake is not None and wake.is_set():
            return True
        self.advance(max(0.0, seconds))
        return False

    def boot_id(self) -> str:
        return f"boot-{self._boot}"

    def advance(self, seconds: float) -> None:
        self._monotonic += seconds
        self._wall += seconds

    def jump(self, seconds: float) -> None:
        self._wall += seconds

    def reboot(self) -> None:
        self._boot += 1
        self._monotonic = 1.0
