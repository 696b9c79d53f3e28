"""RESIDENT: the daemon's loop. It starts polls and passes as fresh children, times them out, and backs off.

Rules:
1. One thread, one `select`. Nothing in the loop waits for anything else: a fed watchdog means that the loop
   turns.
2. It decides when, never what: a wrong revision, and what to do about it, is the business of the pass.
3. At most one poll and one pass run at a time. Polls go on while a pass runs, so a pass can notice a newer
   revision.
4. A child that fails, hangs, or crashes costs a retry, never the loop.
5. Only the standard library, systemd's `notify`, and modules of ours that keep to that are imported.
"""

from __future__ import annotations

import contextlib
import logging
import selectors
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

from agent.clock import Clock
from agent.converge.desired import request
from agent.daemon import systemd
from agent.daemon.child import Child, ChildEnd, TimeLimits
from agent.daemon.clients import Clients
from agent.daemon.control import Client, Listener
from agent.daemon.heartbeats import DaemonReporter, heartbeat_may_fail
from agent.daemon.schedule import Cadence, Schedule
from agent.daemon.signals import Signals
from agent.daemon.stamp import stamp
from agent.daemon.waits import Waits, end_waits
from agent.daemon.watcher import Watcher
from agent.errors import EXIT_HELD_BACK, EXIT_OK, EXIT_TEMPORARY, LimpetError, Transient
from agent.installation import Paths
from agent.report.log import logger
from agent.report.progress import Event
from agent.settings.values import Settings
from agent.store.locks import Lock

ALIVE = 1.5  # poll intervals between two heartbeats at most, however long a poll takes
STOP_WITHIN = 80.0  # seconds; below TimeoutStopSec of the service
POLL_LIMITS = TimeLimits(silence=660.0, total=660.0, grace=5.0)  # a fetch that still moves has ten minutes
PASS_SILENCE = 900.0  # seconds beyond the gate's deadline: hooks, slow stops, a pull that stands still
PASS_TOTAL = 4 * 3600.0
PASS_GRACE = 60.0  # between TERM and KILL

STOPPING: Event = {"result": {"exit_code": EXIT_TEMPORARY, "sentence": "the daemon is stopping"}}

Command = Callable[..., list[str]]  # (verb, *arguments) -> argv


class Supervisor:
    """One daemon."""

    def __init__(
        self,
        paths: Paths,
        *,
        load: Callable[[], Settings],
        reporter: Callable[[Settings], DaemonReporter],
        command: Command,
        clock: Clock,
        random: Random,
        phase: float,
        retry: float = 10.0,
    ) -> None:
        """
        paths: of the installation
        load: reads the settings; LimpetError when they are wrong
        reporter: makes the writer of the heartbeat
        command: gives the argv of a child
        clock: the host's
        random: for jitter and backoff
        phase: the host's place within the poll interval, 0 up to 1
        retry: bound of the first backoff of a pass, in seconds
        """
        self._paths = paths
        self._load = load
        self._make_reporter = reporter
        self._command = command
        self._clock = clock
        self._random = random
        self._phase = phase
        self._retry = retry
        self._selector = selectors.DefaultSelector()
        self._poll: Child | None = None
        self._pass: Child | None = None
        self._clients = Clients(self._selector, self._wanted)
        self._watcher = Watcher(self._selector, paths, clock.monotonic)
        self._signals = Signals()
        self._stopping = False
        self._seen = ""  # the newest revision of the source
        self._tried = ""  # the newest revision when the last pass started, or that it saw itself
        self._status = "first pass is due"
        self._ended = self._pass_ended  # what follows the pass that runs

    def run(self) -> int:
        """Runs until SIGTERM or SIGINT. Errors: Transient when a daemon holds the root already; what `load`
        raises.
        """
        with Lock(self._paths.run / "daemon.lock", "a daemon"), contextlib.ExitStack() as stack:
            self._read_settings()
            now = self._clock.monotonic()
            self._schedule = Schedule(self._cadence(), phase=self._phase, random=self._random, now=now)
            self._watchdog = systemd.Watchdog(now)
            stack.enter_context(self._signals.waking(self._selector))
            listener = Listener(self._paths.run)
            stack.callback(listener.close)
            self._clients.listen(listener)
            stack.callback(self._selector.close)
            stack.callback(self._watcher.close)
            self._watcher.follow(self._settings)
            logger.info(
                "started: polls every %g s, full check every %g s",
                self._settings.source.poll,
                self._settings.converge.resync,
            )
            systemd.notify("READY=1", f"STATUS={self._status}")
            self._alive()
            while not (self._stopping and self._poll is None and self._pass is None):
                self._turn()
            logger.info("stopped")
        return EXIT_OK

    # --- one turn of the loop ---

    def _turn(self) -> None:
        self._start_what_is_due(self._clock.monotonic())
        for key, mask in self._selector.select(self._pause(self._clock.monotonic())):
            key.data(mask)
        now = self._clock.monotonic()
        self._watchdog.feed(now)
        end_waits(self._waits.probe(now), self._schedule, now)
        if now >= self._alive_at:
            self._alive()
        self._handle_signals(now)
        for job, ended in ((self._poll, self._poll_ended), (self._pass, self._ended)):
            if job:
                job.enforce(now)
                if job.process.poll() is not None:
                    self._reap(job, ended, now)

    def _pause(self, now: float) -> float:
        """Seconds until something is due, if nothing happens before."""
        due = [self._watchdog.due, self._alive_at, self._waits.due]
        if not self._stopping:
            due += [self._schedule.poll_at, self._watcher.due]
            due += [] if self._pass else [self._schedule.pass_at, self._watcher.look_at]
        due += [job.deadline for job in (self._poll, self._pass) if job]
        return max(0.0, min(due) - now)

    def _start_what_is_due(self, now: float) -> None:
        if self._stopping:
            return
        if now >= self._schedule.poll_at:
            if stamp(self._paths.settings) != self._settings_stamp:
                self._reload(now)
            self._schedule.polling()
            self._poll = self._spawn(
                "_fetch", POLL_LIMITS, now, request=request(self._paths, self._settings, pin="")
            )
            if self._poll is None:
                self._schedule.polled(now, succeeded=False)
        self._watcher.turn()
        if self._pass is None and now >= self._schedule.pass_at:
            trigger = self._schedule.passing()
            self._tried = self._seen
            self._ended = self._pass_ended
            self._pass = self._begin_pass(now, "--trigger", trigger)
            self._clients.pass_begins()
            if self._pass is None:
                self._answered(now, EXIT_TEMPORARY, "the pass could not be started")
        elif self._pass is None and now >= self._watcher.look_at:
            self._ended = self._look_ended
            self._pass = self._begin_pass(now, "--trigger", "event", *self._watcher.arguments)

    def _begin_pass(self, now: float, *arguments: str) -> Child | None:
        self._watcher.begun(look="event" in arguments)
        limits = TimeLimits(PASS_SILENCE + self._settings.gate.deadline, PASS_TOTAL, PASS_GRACE)
        return self._spawn("_pass", limits, now, *arguments)

    # --- children ---

    def _spawn(
        self,
        verb: str,
        limits: TimeLimits,
        now: float,
        *arguments: str,
        request: Mapping[str, Any] | None = None,
    ) -> Child | None:
        try:
            job = Child(verb.lstrip("_"), self._command(verb, *arguments), limits, now, request)
        except OSError as error:
            logger.error("cannot start a child: %s", error)
            return None
        self._selector.register(job.output, selectors.EVENT_READ, lambda mask: self._heard(job))
        return job

    def _heard(self, job: Child) -> None:
        for event in job.read(self._clock.monotonic()):
            self._show(event)
        if job.silent:
            with contextlib.suppress(KeyError):
                self._selector.unregister(job.output)

    def _show(self, event: Event) -> None:
        if "step" in event:
            logger.info("%s", event["step"])
        self._clients.show(event)

    def _reap(self, job: Child, ended: Callable[[ChildEnd, float], None], now: float) -> None:
        self._heard(job)
        with contextlib.suppress(KeyError):
            self._selector.unregister(job.output)
        ending = job.ended()
        job.close()
        assert ending
        ended(ending, now)

    def _poll_ended(self, ending: ChildEnd, now: float) -> None:
        self._poll, failed = None, self._schedule.poll_failures
        error = ending.error
        if ending.result is None and not self._stopping:
            error = Transient(
                f"the poll {'was stopped: ' + ending.stopped if ending.stopped else ending}",
                "see the log",
                code="PollFailed",
            )
        locked = error is not None and error.code == "Locked"  # a pass is fetching: as good as a poll
        asked = not self._stopping and not locked
        self._schedule.polled(now, succeeded=error is None or not asked)
        self._waits.ended("poll", (ending.result or {}).get("error") if asked else None, now)
        if asked:
            self._source_answered(str((ending.result or {}).get("commit", "")), error, now)
        if failed and not self._schedule.poll_failures:
            logger.info("the source answers again")
            end_waits(self._waits.source_answered(now), self._schedule, now)
            systemd.notify(f"STATUS={self._status}")
        self._watcher.polled()
        self._alive()

    def _source_answered(self, commit: str, error: LimpetError | None, now: float) -> None:
        failures = self._schedule.poll_failures
        with heartbeat_may_fail():
            self._reporter.source(commit=commit, error=error, failures=failures)
        if error:
            status = (
                f"the source cannot be read ({failures} in a row): {error}; next try in "
                f"{self._schedule.poll_at - now:.0f} s"
            )
            logger.warning("%s", status)
            systemd.notify(f"STATUS={status}")
            return
        logger.debug("the source is at %s", commit)
        self._seen = commit
        if commit != self._tried:
            self._schedule.want("poll", now)

    def _pass_ended(self, ending: ChildEnd, now: float) -> None:
        self._pass = None
        result = ending.result or {}
        error = ending.error
        if not result:
            what = f"was stopped: {ending.stopped}" if ending.stopped else f"{ending} without a result"
            error = Transient(f"the pass {what}; it is tried again", "see the log", code="PassCrashed")
        if error and error.code != "Locked":  # another pass has the heartbeat then
            with heartbeat_may_fail():
                self._reporter.crashed(error)
        self._waits.ended("pass", result.get("waits_for") or result.get("error"), now)
        if observed := str(result.get("observed", "")):
            self._schedule.source_answered(now)
            if self._seen in (self._tried, observed):  # no poll has seen anything else meanwhile
                self._seen = observed
                self._schedule.unwant("poll")
            self._tried = observed
        self._watcher.ended(result.get("looked_at"), self._settings)
        self._answered(
            now,
            int(result.get("exit_code", EXIT_TEMPORARY)),
            str(result.get("sentence", error)),
            again_in=result.get("again_in"),
            corrected=bool(result.get("corrected")),
        )

    def _look_ended(self, ending: ChildEnd, now: float) -> None:
        """A look between two passes has ended. When it could not do what was needed, a pass follows as after
        any failure.
        """
        self._pass = None
        result = ending.result or {}
        exit_code, error = int(result.get("exit_code", EXIT_TEMPORARY)), ending.error
        self._watcher.ended(result.get("looked_at"), self._settings)
        if error and error.code == "Locked":
            self._watcher.happened("another pass runs")
        elif exit_code not in (EXIT_OK, EXIT_HELD_BACK) or result.get("corrected"):
            if exit_code or not self._watcher.watching:  # else an event says when it is needed again
                self._schedule.looked(now, exit_code)
            logger.log(logging.WARNING if exit_code else logging.INFO, "%s", result.get("sentence", ending))
        self._alive()

    def _answered(
        self,
        now: float,
        exit_code: int,
        sentence: str,
        again_in: float | None = None,
        corrected: bool = False,
    ) -> None:
        """A pass has ended.

        now: monotonic seconds
        exit_code: of the pass
        sentence: what it says for people
        again_in: seconds after which it asks for another pass
        corrected: whether it repaired drift
        """
        self._schedule.passed(now, exit_code, again_in=again_in, corrected=corrected)
        look = self._schedule.next_look(now) - now
        self._status = sentence if self._stopping else f"{sentence}, next look in {look:.0f} s"
        logger.log(logging.WARNING if exit_code else logging.INFO, "%s", self._status)
        systemd.notify(f"STATUS={self._status}")
        self._clients.pass_ends({"result": {"exit_code": exit_code, "sentence": sentence}})
        self._alive()

    # --- clients, signals and settings ---

    def _wanted(self, client: Client) -> None:
        now = self._clock.monotonic()
        if self._stopping:
            self._clients.tell(client, STOPPING)
            return
        if self._pass:
            self._clients.tell(client, {"step": "a pass is running; another one follows it"})
            self._schedule.poll_soon(now)  # a newer revision ends the running pass's wait
        self._schedule.want("sync", now)
        self._clients.waiting.append(client)

    def _handle_signals(self, now: float) -> None:
        caught = self._signals.taken()
        if caught & {signal.SIGTERM, signal.SIGINT} and not self._stopping:
            self._stop(now)
        if signal.SIGHUP in caught and not self._stopping:
            self._reload(now)

    def _stop(self, now: float) -> None:
        self._stopping = True
        logger.info("stopping%s", ": the running pass finishes the action at hand" if self._pass else "")
        systemd.notify("STOPPING=1", "STATUS=stopping")
        if self._poll:
            self._poll.stop("the daemon is stopping", now)
        if self._pass:
            self._pass.stop("the daemon is stopping", now, grace=STOP_WITHIN)
        for client in self._clients.waiting:
            self._clients.tell(client, STOPPING)

    def _reload(self, now: float) -> None:
        systemd.notify("RELOADING=1", f"MONOTONIC_USEC={systemd.monotonic_usec()}")
        try:
            self._read_settings()
        except LimpetError as error:
            logger.error("the settings cannot be read again, so the old ones stay: %s", error)
            systemd.notify("READY=1", f"STATUS=the new settings are wrong: {error}")
            return
        logger.info("read the settings again")
        self._schedule.change(self._cadence(), now)
        self._schedule.want("settings", now)
        systemd.notify("READY=1", "STATUS=settings read again")

    def _read_settings(self) -> None:
        # Before reading: a change meanwhile is noticed, and a wrong file is reported once.
        self._settings_stamp = stamp(self._paths.settings)
        self._settings = self._load()
        self._reporter = self._make_reporter(self._settings)
        state, engine = self._paths.state, Path(self._settings.engine.socket)
        self._waits = Waits(engine, (str(state), str(self._paths.root), "/var/lib/docker"))

    def _cadence(self) -> Cadence:
        return Cadence(self._settings.source.poll, self._settings.converge.resync, self._retry)

    # --- the heartbeat ---

    def _alive(self) -> None:
        now = self._clock.monotonic()
        self._alive_at, retry_at = now + ALIVE * self._settings.source.poll, self._schedule.retry_at
        with heartbeat_may_fail():
            self._reporter.alive(
                poll_at=self._clock.wall() + self._schedule.next_look(now) - now,
                backoff={"temporary": self._schedule.temporary, "drift": self._schedule.drift},
                watching=self._watcher.watching,
                unseen=self._watcher.unseen,
                retry_at=None if retry_at is None else self._clock.wall() + max(0.0, retry_at - now),
                waits_for=self._waits.text("pass") if retry_at is not None else "",
            )
