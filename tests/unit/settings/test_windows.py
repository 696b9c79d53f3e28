"""Windows: when a release may start."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.settings.values import Window
from agent.settings.windows import check, closed

HOUR = 3600.0


def at(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def allow(expression: str, hours: float = 2, tz: str = "UTC") -> Window:
    return Window(allow=expression, duration=hours * HOUR, tz=tz)


def deny(expression: str, hours: float = 2, tz: str = "UTC") -> Window:
    return Window(deny=expression, duration=hours * HOUR, tz=tz)


@pytest.mark.parametrize(
    ("moment", "open_"),
    [
        ("2026-11-23 01:59:59", False),
        ("2026-11-23 02:00:00", True),
        ("2026-11-23 03:59:59", True),
        ("2026-11-23 04:00:00", False),
    ],
)
def test_an_allow_window_opens_and_closes(moment: str, open_: bool) -> None:
    """A window must be open from its beginning up to, and without, its end."""
    assert (closed([allow("0 2 * * *")], at(moment)) is None) == open_


def test_without_windows_everything_may_start() -> None:
    """No window, and only deny windows that are not open, must hold nothing back."""
    assert closed([], at("2026-11-23 12:00")) is None
    assert closed([deny("0 2 * * *")], at("2026-11-23 12:00")) is None


def test_deny_wins() -> None:
    """In a deny window nothing may start, also when an allow window is open; the end is said."""
    found = closed([allow("0 0 * * *", 24), deny("0 12 * * *", 1)], at("2026-11-23 12:30"))
    assert found and found.again_in == 0.5 * HOUR
    assert found.reason == "in a window that denies changes until 2026-11-23 13:00 UTC"


def test_the_next_opening_is_said() -> None:
    """Outside of all allow windows the time until the next one must be known."""
    found = closed([allow("0 2 * * 6"), allow("0 22 * * *")], at("2026-11-23 12:00"))
    assert found and found.again_in == 10 * HOUR
    assert "opens at 2026-11-23 22:00 UTC" in found.reason


@pytest.mark.parametrize(
    ("field", "days"),
    [
        ("0", "Sun"),
        ("7", "Sun"),
        ("1-5", "Mon Tue Wed Thu Fri"),
        ("sat,sun", "Sun Sat"),
        ("5-7", "Sun Fri Sat"),
        ("MON", "Mon"),
        ("fri-mon", "Sun Mon Fri Sat"),
        ("*/2", "Sun Tue Thu Sat"),
        ("1-5/2", "Mon Wed Fri"),
        ("*", "Sun Mon Tue Wed Thu Fri Sat"),
    ],
)
def test_days_of_the_week_are_those_of_cron(field: str, days: str) -> None:
    """Numbers must count from Sunday, as in crontab(5), and names, ranges and steps must work."""
    week = [f"2026-11-{day}" for day in range(22, 29)]  # from a Sunday
    found = [
        datetime.fromisoformat(day).strftime("%a")
        for day in week
        if closed([allow(f"0 2 * * {field}")], at(f"{day} 03:00")) is None
    ]
    assert found == days.split()


def test_either_day_is_enough_when_both_are_restricted() -> None:
    """A day of the month and a day of the week must be joined by or, as in crontab(5)."""
    window = [allow("0 2 13 * 5")]
    assert closed(window, at("2026-11-13 03:00")) is None  # Friday the 13th
    assert closed(window, at("2026-11-20 03:00")) is None  # a Friday
    assert closed(window, at("2026-10-13 03:00")) is None  # a 13th
    assert closed(window, at("2026-11-19 03:00")) is not None


def test_the_zone_of_the_window_counts() -> None:
    """A window must follow the clock of its own zone through the year."""
    window = [allow("0 2 * * *", 1, tz="Europe/Berlin")]
    assert closed(window, at("2026-01-10 01:30")) is None  # 02:30 in winter
    assert closed(window, at("2026-07-10 00:30")) is None  # 02:30 in summer
    assert closed(window, at("2026-07-10 01:30")) is not None


def test_a_window_lasts_its_elapsed_time_when_the_clock_changes() -> None:
    """Over the change of the clock a window must last as long as it says."""
    window = [allow("0 1 * * *", 4, tz="Europe/Berlin")]
    begin = at("2026-10-25 01:00", "Europe/Berlin")  # an hour comes twice
    assert closed(window, begin + 4 * HOUR - 1) is None
    assert closed(window, begin + 4 * HOUR) is not None


@given(
    st.floats(at("2026-01-01"), at("2027-01-01")),
    st.sampled_from(["0 2 * * *", "30 */6 * * 1-5", "0 0 1 * *", "15 3 * 2,8 sun"]),
    st.floats(0.1, 200),
)
def test_what_is_promised_comes(now: float, expression: str, hours: float) -> None:
    """When a closed allow window says when it opens, it must be open then, and not a moment before."""
    found = closed([allow(expression, hours)], now)
    if found:
        assert found.again_in > 0
        assert closed([allow(expression, hours)], now + found.again_in + 1e-3) is None
        assert closed([allow(expression, hours)], now + found.again_in - 1) is not None or found.again_in <= 1


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "0 2 * *",
        "0 2 * * * *",
        "60 2 * * *",
        "0 25 * * *",
        "0 2 * * 8",
        "0 2 * * xyz",
        "0 2 * * 1-5/0",
        "a 2 * * *",
        "0 2 32 * *",
    ],
)
def test_wrong_expressions_are_refused(expression: str) -> None:
    """What is not a cron expression must raise ValueError, never mean something else."""
    with pytest.raises(ValueError):
        check(expression)
