"""RESIDENT: everything that wakes a look at the host between two passes, in one place.

Where something cannot be watched (no events of the Engine, no inotify), `watching` is false, and each poll
looks.
"""

from __future__ import annotations

import selectors
from collections.abc import Callable

from agent.daemon.engine_events import EngineEvents
from agent.daemon.file_events import FileEvents
from agent.daemon.looks import Looks
from agent.installation import Paths, instance
from agent.report.log import logger
from agent.settings.values import Settings
from agent.store.watch_list import read_watch_list


class Watcher:
    """The eyes of one daemon."""

    def __init__(self, selector: selectors.BaseSelector, paths: Paths, clock: Callable[[], float]) -> None:
        self._paths, self._clock = paths, clock
        self._looks = Looks()
        self._engine = EngineEvents(selector, self.happened, clock)
        self._files = FileEvents(selector, self.happened, paths.root)

    def follow(self, settings: Settings) -> None:
        """Watches what the last pass has found to be ours."""
        watched = read_watch_list(self._paths.run)
        self._looks.every = watched.checks_every
        socket_path = settings.engine.socket.removeprefix("unix://")
        self._engine.follow(socket_path, instance(self._paths), watched)
        self._files.follow(watched.paths)

    def close(self) -> None:
        self._engine.close()
        self._files.close()

    @property
    def watching(self) -> bool:
        """Whether everything that happens is heard."""
        return self._engine.flowing and self._files.complete

    @property
    def unseen(self) -> bool:
        """Whether something has happened that was not looked at yet."""
        return self._looks.unseen

    @property
    def look_at(self) -> float:
        return self._looks.at

    @property
    def due(self) -> float:
        """When `turn` has something to do."""
        return self._engine.retry_at

    @property
    def arguments(self) -> list[str]:
        """What a look is told: which of our containers somebody stopped, where that is known."""
        return ["--stopped", *sorted(self._engine.stopped)] if self._engine.flowing else []

    def turn(self) -> None:
        self._engine.turn()

    def happened(self, what: str) -> None:
        logger.debug("%s", what)
        self._looks.happened(self._clock())

    def polled(self) -> None:
        """A poll has ended; it has to look where nothing is heard."""
        if not self.watching:
            self._looks.happened(self._clock())

    def begun(self, *, look: bool) -> None:
        """A pass, or only a look, has begun."""
        if look:
            self._looks.begun(self._clock())
        else:
            self._looks.pass_begun()

    def ended(self, looked_at: float | None, settings: Settings) -> None:
        """A pass has ended. `looked_at`: when it looked last, monotonic seconds."""
        self._looks.ended(looked_at)
        self.follow(settings)
