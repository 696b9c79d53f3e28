"""Signals as events of a loop: they wake it, and it handles them between two turns."""

from __future__ import annotations

import contextlib
import selectors
import signal
import socket
from collections.abc import Iterator

OURS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


class Signals:
    """The signals that came since they were taken last."""

    def __init__(self) -> None:
        self._caught: set[int] = set()

    @contextlib.contextmanager
    def waking(self, selector: selectors.BaseSelector) -> Iterator[None]:
        """Within it, a signal wakes the selector and is kept until it is taken."""
        reader, writer = socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)
        before = {
            number: signal.signal(number, lambda number, frame: self._caught.add(number)) for number in OURS
        }
        wakeup = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        selector.register(reader, selectors.EVENT_READ, lambda mask: reader.recv(4096))
        try:
            yield
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)
            reader.close()
            writer.close()

    def taken(self) -> set[int]:
        caught, self._caught = self._caught, set()
        return caught
