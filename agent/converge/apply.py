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
PATIENT = (
    "await",
    "watch",
    "delay",
    POST_START,
    PRE_STOP,
)  # verbs that may take long because they are meant to
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
    """Execute actions in dependency order. When `stop` is set, the actions at hand are finished and the rest
    is skipped.
    """
    todo = {action.id: action for action in actions}
    order = TopologicalSorter({id: [i for i in action.after if i in todo] for id, action in todo.items()})
    order.prepare()
    outcomes: dict[int, Outcome] = {}
    running: dict[Future[Outcome], int] = {}
    since: dict[int, float] = {}
    with new_executor() as pool:
        while True:
            if not stop.is_set() and not any(outcome.result == "failed" for outcome in outcomes.values()):
                for number in sorted(order.get_ready()):
                    since[number] = time.monotonic()
                    running[pool.submit(_run, todo[number], manifest, host, journal, progress)] = number
            if not running:
                break
            finished, _ = wait(running, SAID_EVERY, FIRST_COMPLETED)
            if not finished and (
                patient := [a for number in running.values() if (a := todo[number]).verb in PATIENT]
            ):
                progress.wait(_patience(patient[0], time.monotonic() - since[patient[0].id]))
            for future in finished:
                number = running.pop(future)
                outcomes[number] = future.result()
                order.done(number)
    return [outcomes.get(number) or Outcome(action, "skipped") for number, action in todo.items()]


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
