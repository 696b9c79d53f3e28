"""Who uses the machine's Engine for tests: any number of processes at once, of one run or of several."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.harness import images
from tests.harness.engine import Engine, clear_stale, end_stale
from tests.harness.hostimage import cache_directory


@contextmanager
def session(engine: Engine) -> Iterator[None]:
    """One user. The first to come clears away what a killed run left, the last to go the test images."""
    with (cache_directory() / "sessions.lock").open("w") as users:
        with suppress(BlockingIOError):
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            end_stale()
            clear_stale(engine)
        fcntl.flock(users, fcntl.LOCK_SH)
        yield
        with suppress(BlockingIOError):
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            engine.remove_all(f"{images.REPOSITORY}/")
