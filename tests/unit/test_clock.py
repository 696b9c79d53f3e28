"""The clocks."""

from __future__ import annotations

import threading
import time

from agent.clock import Clock, SystemClock
from tests.fakes.clock import FakeClock


def test_the_system_clock_is_the_machines() -> None:
    """Monotonic and wall time must be the machine's, and the boot must have a name."""
    clock: Clock = SystemClock()
    assert abs(clock.wall() - time.time()) < 5 and abs(clock.monotonic() - time.monotonic()) < 5
    assert clock.boot_id() == SystemClock().boot_id() != ""


def test_a_sleep_can_be_ended() -> None:
    """A set event must end a sleep at once, and say so; a past time is no sleep."""
    wake = threading.Event()
    wake.set()
    assert SystemClock().sleep(60, wake) is True
    assert SystemClock().sleep(-1) is False
    fake = FakeClock()
    before = fake.monotonic()
    assert fake.sleep(60, wake) is True and fake.monotonic() == before


def test_the_fake_clock_moves_only_by_hand() -> None:
    """Sleeping and advancing move both times, a jump only the wall, a reboot changes the boot."""
    clock = FakeClock(wall=100, monotonic=10)
    assert clock.sleep(5) is False and clock.slept == [5]
    clock.advance(5)
    clock.jump(-50)
    assert (clock.monotonic(), clock.wall(), clock.boot_id()) == (20, 60, "boot-1")
    clock.reboot()
    assert clock.boot_id() == "boot-2" and clock.monotonic() < 20
