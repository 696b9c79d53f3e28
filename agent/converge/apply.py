"""Plan -> outcomes. Decides nothing: runs each action when those before it are done, in parallel where there
is no order.

Rules:
1. Every action is journalled before and after.
2. After the first failure nothing new is started; what runs is awaited. An action that is not required may
   fail: it is said, and what comes after it goes on.
3. Only `LimpetError` is an outcome. Anything else is a bug and ends the process.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from graphlib import TopologicalSorter

from agent.drivers.host import Host
from agent.errors import LimpetError
from agent.kinds.hooks import POST_START, PRE_STOP
from agent.model import Action, Manifest, Outcome
from agent.report.progress import Progress
from agent.store.journal import Journal

WORKERS = 4
# verbs that may take long because they are meant to
PATIENT = ("await", "watch", "delay", POST_START, PRE_STOP)
SAID_EVERY = 10.0  # seconds


def _pool() -> Executor:
    return ThreadPoolExecutor(WORKERS, thread_name_prefix="apply")


new_executor: Callable[[], Executor] = _pool  # only the fault tests put another one here


def apply(
    actions: Iterable[Action],
    manifest: Manifest,
    host: Host,
    journal: Journal,
    progress: Progress,
    stop: threading.Event,
) -> list[Outcome]:
    """Executes actions in dependency order.

    actions: those of one stage; an `after` that names none of them counts as done.
    manifest: where the resources of the actions are found.
    host, journal, progress: what is acted on, and where it is said.
    stop: when it is set, the actions at hand are finished and the rest is skipped.
    """
    work = _Work(list(actions))

    def run(action: Action) -> Outcome:
        return _run(action, manifest, host, journal, progress)

    with new_executor() as pool:
        while True:
            if not stop.is_set() and not work.failed:
                work.start(pool, run)
            if not work.running:
                return work.results()
            if not work.finish() and (waiting := work.patient()):
                progress.wait(waiting)


class _Work:
    """The actions of one call: which are ready, which run, what came of the others."""

    def __init__(self, actions: list[Action]) -> None:
        self.todo = {action.id: action for action in actions}
        self.order = TopologicalSorter(
            {id: [i for i in action.after if i in self.todo] for id, action in self.todo.items()}
        )
        self.order.prepare()
        self.outcomes: dict[int, Outcome] = {}
        self.running: dict[Future[Outcome], int] = {}
        self._since: dict[int, float] = {}

    @property
    def failed(self) -> bool:
        return any(outcome.result == "failed" for outcome in self.outcomes.values())

    def start(self, pool: Executor, run: Callable[[Action], Outcome]) -> None:
        """Starts all that is ready, by number."""
        for number in sorted(self.order.get_ready()):
            self._since[number] = time.monotonic()
            self.running[pool.submit(run, self.todo[number])] = number

    def finish(self) -> bool:
        """Waits for a while until something has ended; whether it has."""
        finished, _ = wait(self.running, SAID_EVERY, FIRST_COMPLETED)
        for future in finished:
            number = self.running.pop(future)
            self.outcomes[number] = future.result()
            self.order.done(number)
        return bool(finished)

    def patient(self) -> str:
        """What is meant to take long and is waited for; empty when nothing is."""
        for number in self.running.values():
            if self.todo[number].verb in PATIENT:
                return _patience(self.todo[number], time.monotonic() - self._since[number])
        return ""

    def results(self) -> list[Outcome]:
        """An outcome for each action; one that was never started is skipped."""
        return [self.outcomes.get(id) or Outcome(action, "skipped") for id, action in self.todo.items()]


def _patience(action: Action, passed: float) -> str:
    limit = action.args.get("timeout", action.args.get("seconds"))
    at_most = f" of {limit:.0f} s" if limit else ""
    return f"{action.verb} {action.key}: {action.cause}; {passed:.0f} s{at_most} have passed"


def _run(action: Action, manifest: Manifest, host: Host, journal: Journal, progress: Progress) -> Outcome:
    started = time.monotonic()
    journal.begin(action)
    try:
        host.execute(action, manifest.resources.get(action.key))
    except LimpetError as error:
        error.resource = error.resource or str(action.key)
        journal.end(action, "failed")
        if not action.required:
            progress.step(f"{action.verb} {action.key}: {error.message}; going on without it")
        return Outcome(action, "failed" if action.required else "excused", error, time.monotonic() - started)
    journal.end(action, "done")
    progress.step(f"{action.verb} {action.key}: {action.cause}")
    return Outcome(action, "done", None, time.monotonic() - started)
