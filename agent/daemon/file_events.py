"""RESIDENT: changes of managed files, told by inotify.

Rules:
1. The directories of the files are watched, not the files: an editor puts a new file in the place of the old
   one.
2. A directory that is missing is not watched: its files are missing, and a look has said so. Where the kernel
   allows no more watches, `complete` is false, and polls look.
"""

from __future__ import annotations

import contextlib
import selectors
from collections.abc import Callable, Iterable
from pathlib import Path

from inotify_simple import INotify, flags

CHANGES = (
    flags.CLOSE_WRITE
    | flags.CREATE
    | flags.DELETE
    | flags.MOVED_FROM
    | flags.MOVED_TO
    | flags.ATTRIB
    | flags.DELETE_SELF
    | flags.MOVE_SELF
)
ITSELF = flags.DELETE_SELF | flags.MOVE_SELF | flags.Q_OVERFLOW | flags.UNMOUNT


class FileEvents:
    """The watched files of one root."""

    def __init__(self, selector: selectors.BaseSelector, noticed: Callable[[str], None], root: Path) -> None:
        """
        selector: of the loop; what it finds readable is read here
        noticed: called with what has happened, for the log
        root: where the host paths begin
        """
        self._selector, self._noticed, self._root = selector, noticed, root
        self._watches: dict[int, str] = {}
        self._names: dict[str, set[str]] = {}
        self._inotify: INotify | None = None
        self.complete = False

    def follow(self, paths: Iterable[str]) -> None:
        """Watches these host paths from now on."""
        names: dict[str, set[str]] = {}
        for path in paths:
            directory, _, name = path.rpartition("/")
            names.setdefault(directory, set()).add(name)
        try:
            inotify = self._opened()
        except OSError:
            self.complete = False
            return
        for watch, directory in list(self._watches.items()):
            if directory not in names:
                del self._watches[watch]
                with contextlib.suppress(OSError):
                    inotify.rm_watch(watch)
        self._names, self.complete = names, True
        for directory in names.keys() - self._watches.values():
            self._watch(inotify, directory)

    def close(self) -> None:
        if self._inotify is not None:
            self._selector.unregister(self._inotify)
            self._inotify.close()
            self._inotify = None
            self._watches.clear()

    def _opened(self) -> INotify:
        if self._inotify is None:
            self._inotify = INotify(nonblocking=True)
            self._selector.register(self._inotify, selectors.EVENT_READ, lambda mask: self._read())
        return self._inotify

    def _watch(self, inotify: INotify, directory: str) -> None:
        try:
            self._watches[inotify.add_watch(self._root / directory.lstrip("/"), CHANGES)] = directory
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError:
            self.complete = False

    def _read(self) -> None:
        assert self._inotify is not None
        for event in self._inotify.read(timeout=0):
            directory = self._watches.get(event.wd)
            if event.mask & flags.IGNORED:
                self._watches.pop(event.wd, None)
            elif event.mask & ITSELF or (directory is not None and event.name in self._names[directory]):
                self._noticed(f"{directory or ''}/{event.name}")
