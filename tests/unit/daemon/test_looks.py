"""When the daemon looks at the host between two passes."""

from __future__ import annotations

from random import Random

from agent.daemon.looks import MOMENT, MOST, NEVER, WINDOW, Looks


def test_nothing_happens() -> None:
    """While nothing happens there must be no look."""
    looks = Looks()
    assert looks.at == NEVER and not looks.unseen


def test_what_happens_together_is_looked_at_together() -> None:
    """A look must come a moment after the first of several events, however many follow."""
    looks = Looks()
    for at in (10.0, 10.1, 10.2):
        looks.happened(at)
        assert looks.at == 10.0 + MOMENT and looks.unseen
    looks.begun(10.3)
    assert looks.at == NEVER
    looks.ended(10.5)
    assert looks.at == NEVER and not looks.unseen


def test_what_a_pass_did_itself_is_not_looked_at() -> None:
    """Events before the last look of a pass must wake nobody; one after it must."""
    looks = Looks()
    looks.begun(10.0)
    looks.happened(10.5)
    assert looks.at == NEVER
    looks.ended(11.0)
    assert looks.at == NEVER
    looks.begun(20.0)
    looks.happened(20.5)
    looks.happened(21.5)
    looks.ended(21.0)
    assert looks.at == 21.5 + MOMENT


def test_a_pass_that_did_not_look() -> None:
    """After a pass that failed before it looked, what happened must wait for the next pass, and only a new
    event wake a look before.
    """
    looks = Looks()
    looks.happened(10.0)
    looks.begun(10.1)
    looks.ended(None)
    assert looks.at == NEVER and looks.unseen
    looks.happened(12.0)
    assert looks.at == 12.0 + MOMENT


def test_the_cadence_of_checks() -> None:
    """With checks the host must be looked at so often, counted from the last look."""
    looks = Looks()
    looks.every = 30.0
    looks.begun(0.0)
    looks.ended(1.0)
    assert looks.at == 31.0
    looks.happened(5.0)
    assert looks.at == 5.0 + MOMENT


def test_a_storm() -> None:
    """However much happens, at most three looks may begin within any minute, and the last event is seen."""
    looks, random, now, begun = Looks(), Random(1), 0.0, list[float]()
    while now < 600.0:
        now += random.uniform(0.0, 0.2)
        looks.happened(now)
        if now >= looks.at:
            begun.append(now)
            looks.begun(now)
            looks.ended(now + 0.1)
    assert all(later - earlier >= WINDOW for earlier, later in zip(begun, begun[MOST:], strict=False))
    assert len(begun) >= 3 * 9
    assert looks.unseen and looks.at <= now + WINDOW
