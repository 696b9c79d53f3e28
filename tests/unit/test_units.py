"""Durations and sizes as people write and read them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.units import format_duration, format_size, parse_duration, parse_size, shown_bytes


@given(seconds=st.integers(0, 10**7))
@settings(max_examples=200, deadline=None)
def test_durations_come_back(seconds: int) -> None:
    """Every duration must be written so that it reads back the same."""
    assert parse_duration(format_duration(float(seconds))) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("60s", 60), ("5m", 300), ("2h30m", 9000), ("1h", 3600), ("1.5s", 1.5), ("1d12h", 129600)],
)
def test_durations(text: str, seconds: float) -> None:
    """Durations must be read as people write them."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "60", "s", "-5m", "5 m", "1w", "1.s", "5m30", "∞", "٣s"])
def test_no_durations(text: str) -> None:
    """What is not a duration must be refused with the remedy."""
    with pytest.raises(ValueError, match="is not a duration") as caught:
        parse_duration(text)
    assert "2h30m" in caught.value.args[1]


@given(count=st.integers(0, 10**9))
@settings(max_examples=200, deadline=None)
def test_sizes_come_back(count: int) -> None:
    """Every size must be written so that it reads back the same."""
    assert parse_size(format_size(count)) == count


@pytest.mark.parametrize(
    ("text", "count"), [("512KiB", 2**19), ("64 MiB", 2**26), ("1GiB", 2**30), ("7B", 7), ("2TiB", 2**41)]
)
def test_sizes(text: str, count: int) -> None:
    """Sizes must be read as people write them."""
    assert parse_size(text) == count


@pytest.mark.parametrize("text", ["", "64", "MiB", "-1MiB", "1.5MiB", "64MB", "64mib", "٣MiB", "1  KiB"])
def test_no_sizes(text: str) -> None:
    """What is not a size must be refused with the remedy."""
    with pytest.raises(ValueError, match="is not a size") as caught:
        parse_size(text)
    assert "64MiB" in caught.value.args[1]


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (4_400_000, "4.2 MiB"),
        (16 * 2**20, "16.0 MiB"),
        (-(3 * 2**29), "-1.5 GiB"),
        (5000 * 2**40, "5000.0 TiB"),
    ],
)
def test_sizes_are_written_for_people(count: int, text: str) -> None:
    """Bytes must be shown in the unit that fits."""
    assert shown_bytes(count) == text
