"""Waiting for a condition, never for a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(check: Callable[[], T], timeout: float = 30.0, what: str = "", interval: float = 0.05) -> T:
    """The first true value of `check`, called every `interval` s. AssertionError after `timeout` s, with the
    last value or exception; exceptions of `check` before that count as "not yet".
    """
    deadline = time.monotonic() + timeout
    last: object = None
    while True:
        try:
            value = check()
            if value:
                return value
            last = value
        except Exception as error:
            last = error
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {timeout:g} s: {what or check}; last seen: {last!r}")
        time.sleep(interval)
