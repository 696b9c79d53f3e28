"""Durations and sizes as people read and write them, in the settings, the commands and our messages.

What a Compose file says has another dialect: Go's durations (`1m30s`, `500ms`), read by
`agent.compose.scalars`. There a number has no fraction of a day, and zero needs no unit.
"""

from __future__ import annotations

import re

SIZE_HINT = 'write it like "64MiB" or "512KiB"'
DURATION_HINT = 'write it like "60s", "5m" or "2h30m"'
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
DURATION = r"(?:[0-9]+(?:\.[0-9]+)?[smhd])+"
SIZE = r"([0-9]{1,12}) ?([KMGT]iB|B)"
_SIZES = (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))


def parse_duration(text: str) -> float:
    """Seconds of "60s", "5m", "2h30m", "1d". Errors: ValueError with message and hint."""
    if not re.fullmatch(DURATION, text):
        raise ValueError(f"{text!r} is not a duration", DURATION_HINT)
    return float(
        sum(float(number) * _SECONDS[unit] for number, unit in re.findall(r"([\d.]+)([smhd])", text))
    )


def format_duration(seconds: float) -> str:
    """The inverse of `parse_duration`, in hours, minutes or seconds: the largest that divides it."""
    for unit in ("h", "m"):
        if seconds and seconds % _SECONDS[unit] == 0:
            return f"{seconds / _SECONDS[unit]:.0f}{unit}"
    return f"{seconds:.15g}s"


def parse_size(text: str) -> int:
    """Bytes of "512KiB", "64 MiB", "1GiB". Errors: ValueError with message and hint."""
    found = re.fullmatch(SIZE, text)
    if found is None:
        raise ValueError(f"{text!r} is not a size", SIZE_HINT)
    return int(found[1]) * dict(_SIZES, B=1)[found[2]]


def format_size(count: int) -> str:
    """The inverse of `parse_size`, in the largest unit that divides it."""
    for unit, size in _SIZES:
        if count and count % size == 0:
            return f"{count // size}{unit}"
    return f"{count}B"


def shown_bytes(count: int) -> str:
    """A number of bytes for people, in powers of 1024: `812 B`, `4.2 MiB`."""
    for unit, size in _SIZES:
        if abs(count) >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"
