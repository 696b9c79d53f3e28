"""RESIDENT: what the daemon writes of the heartbeat. One that cannot be written is said in the log, and ends
nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Protocol

from agent.errors import LimpetError
from agent.report.log import logger


class DaemonReporter(Protocol):
    """The heartbeat, as far as the daemon writes it."""

    def alive(
        self,
        *,
        poll_at: float | None = None,
        backoff: Mapping[str, int] | None = None,
        watching: bool | None = None,
        unseen: bool = False,
        retry_at: float | None = None,
        waits_for: str = "",
    ) -> None: ...
    def source(self, *, commit: str = "", error: LimpetError | None = None, failures: int = 0) -> None: ...
    def crashed(self, error: LimpetError) -> None: ...


@contextlib.contextmanager
def heartbeat_may_fail() -> Iterator[None]:
    try:
        yield
    except (LimpetError, OSError) as error:
        logger.error("the heartbeat cannot be written: %s", error)
