"""Durations, sizes and numbers of a Compose service, as the Engine wants them. Pure.

A value is a number, or text in the form of the Compose Specification. Errors: ValueError.
"""

from __future__ import annotations

from typing import Any

# `agent.compose` and `decimal` are imported when something has to be read: a pass with nothing to do must not
# pay for them.


def nanoseconds(value: Any) -> int:
    """A duration: a number of seconds, or text as Go prints it (`1m30s`)."""
    if not isinstance(value, str):
        return nano(value)
    from agent.compose.scalars import duration_ns

    return duration_ns(value.strip(), days=False)


def microseconds(value: Any) -> int:
    """A number of microseconds, or a duration as text."""
    return nanoseconds(value) // 1000 if isinstance(value, str) and value.endswith("s") else whole(value)


def byte_count(value: Any) -> int:
    """A number of bytes, also as text with a unit of 1024 (`64m`, `1.5gb`)."""
    if not isinstance(value, str):
        return int(value)
    if value.strip().isdecimal():
        return int(value)
    from agent.compose.scalars import parse_bytes

    return parse_bytes(value.strip())


def nano(cpus: Any) -> int:
    """Billionths of a CPU."""
    from decimal import Decimal

    return int(Decimal(str(cpus)) * 10**9)


def whole(value: Any) -> int:
    """A whole number, also from text."""
    from decimal import Decimal

    return int(Decimal(str(value)))
