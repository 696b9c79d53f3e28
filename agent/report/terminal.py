"""Progress on a terminal: steps stay as lines; pulls and waits are a live block below them that vanishes."""

from __future__ import annotations

import threading

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)


class Terminal:
    """The `Progress` of a person at a terminal, until `close`."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._waits = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        self._pulls = Progress(
            TextColumn("  pulling {task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            console=self._console,
            transient=True,
        )
        self._live: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._lock = threading.RLock()

    def step(self, text: str) -> None:
        with self._lock:
            self.close()
            self._console.print(text, markup=False)

    def detail(self, text: str) -> None:
        self._console.print(f"  {text}", markup=False, style="dim")

    def wait(self, text: str) -> None:
        with self._lock:
            live = self._show(self._waits)
            if "wait" in self._tasks:
                live.update(self._tasks["wait"], description=text)
            else:
                self._tasks["wait"] = live.add_task(text, total=None)

    def pull(self, reference: str, done: int, total: int) -> None:
        with self._lock:
            live = self._show(self._pulls)
            if reference not in self._tasks:
                self._tasks[reference] = live.add_task(reference, total=total or None)
            live.update(self._tasks[reference], completed=done, total=total or None)

    def close(self) -> None:
        """Ends the live block; the next wait or pull begins another."""
        with self._lock:
            if self._live:
                self._live.stop()
                for task in self._tasks.values():
                    self._live.remove_task(task)
            self._live = None
            self._tasks.clear()

    def _show(self, display: Progress) -> Progress:
        if self._live is not display:
            self.close()
            display.start()
            self._live = display
        return display
