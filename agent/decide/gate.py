"""Observations over time -> healthy | wait | rejected. Pure; time is an argument, in seconds of a monotonic
clock.

Rules:
1. All containers of the manifest are judged, not only the changed ones. Healthy means: good for `settle`
   seconds without a break.
2. A failure that cannot get better is rejected at once: an exited container that is not a one-shot, a failed
   one-shot, an unhealthy health check, a restart loop. Anything else has time until the deadline, which is
   never before a container that is seen to start may be healthy by its own word (`start_period`). A run of a
   container that was unhealthy before the release was applied has that time, too: its health check may not
   have seen the change yet, and the change may be what heals it. So has a run that was unhealthy when known
   good was about to come back: it may have been so because of the release that is undone.
3. Contrast: a subject that failed already before the release was applied, and was not changed by it, cannot
   condemn the release.
4. The source must answer after the change when it answered before (commit-confirmed). Where it does not,
   known good is asked the same after the rollback: a source that is down for everybody condemns nothing.
5. A container that somebody stopped says nothing about the release: Docker would restart it if it had exited
   by itself. dockerd stops all containers before it stops answering. (Of other containers, `transaction` asks
   the host whether Docker is steady.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from agent.check import Check
from agent.errors import LimpetError
from agent.kinds.health import FINE, health_word, was_stopped
from agent.model import Key, Manifest, Resource
from agent.observed import ObservedContainer

LEAST_LEFT = 30.0  # seconds that a resumed gate has at least, besides `settle`
RESTARTS = 3  # so many restarts since the release was applied are a loop
Decision = Literal["healthy", "wait", "rejected"]
Grade = Literal["good", "wait", "bad"]
SOURCE = "source"


@dataclass(frozen=True, slots=True)
class Terms:
    """`settle` and `deadline` in seconds. `allowed_to_fail`: subjects ("check/x") that failed before apply
    and were not changed by it, and the runs of containers that were unhealthy before it.
    """

    settle: float
    deadline: float
    allowed_to_fail: frozenset[str] = frozenset()
    source_required: bool = False


@dataclass(frozen=True, slots=True)
class Sample:
    """One observation.

    at: monotonic seconds
    containers: all containers of the host
    checks: name -> empty when green, else the problem
    source: empty when it answers, else the problem; None when it was not asked
    """

    at: float
    containers: tuple[ObservedContainer, ...]
    checks: Mapping[str, str] = field(default_factory=dict)
    source: str | None = None


@dataclass(frozen=True, slots=True)
class GateMemory:
    """The gate's memory between two samples. Times are monotonic seconds.

    started: when the gate began
    first: the first sample of this process, when an earlier process began the gate
    patience: seconds from `first` that the slowest starting container may take
    good_since: since when everything is good; None when something is not
    restarts: container name -> its id, and its restart count when it was first seen
    last: container name -> its restart count in the previous sample
    """

    started: float
    first: float | None = None
    patience: float = 0.0
    good_since: float | None = None
    restarts: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    last: Mapping[str, int] = field(default_factory=dict)

    @property
    def begun(self) -> float:
        """When this process began to look."""
        return self.started if self.first is None else self.first


@dataclass(frozen=True, slots=True)
class Finding:
    """One subject that is not good. `hint` tells a person what to do."""

    subject: str
    grade: Grade
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`findings`: all subjects that are not good, the bad ones first. `wait_s`: seconds until a healthy
    verdict is possible; `left_s`: seconds until the deadline.
    """

    decision: Decision
    findings: tuple[Finding, ...] = ()
    wait_s: float = 0.0
    left_s: float = field(default=0.0, compare=False)

    @property
    def reason(self) -> str:
        return "; ".join(f"{f.subject}: {f.message}" for f in self.findings)

    @property
    def blames_source(self) -> bool:
        """Whether the source no longer answered: then known good is asked the same."""
        return any(finding.subject == SOURCE for finding in self.findings)

    @property
    def hint(self) -> str:
        """The first remedy among the findings."""
        return next((finding.hint for finding in self.findings if finding.hint), "")


def judge(
    manifest: Manifest, sample: Sample, progress: GateMemory, terms: Terms
) -> tuple[Verdict, GateMemory]:
    """The decision at this sample, and the memory for the next one."""
    found = _findings(manifest, sample, progress, terms)
    judged = {r.key.name for r in manifest.of_kind("container") if str(r.key) not in terms.allowed_to_fail}
    memory = _remembered(sample, progress, judged, clean=not found)
    bad = tuple(sorted((f for f in found if f.grade == "bad"), key=lambda f: f.subject))
    waiting = tuple(f for f in found if f.grade == "wait")
    if bad:
        return Verdict("rejected", bad + waiting), memory
    good_for = 0.0 if memory.good_since is None else sample.at - memory.good_since
    if memory.good_since is not None and good_for >= terms.settle:
        return Verdict("healthy"), memory
    deadline = _deadline(memory, terms)
    if sample.at >= deadline:
        return _too_late(waiting, terms, deadline - progress.started), memory
    return Verdict("wait", waiting, terms.settle - good_for, deadline - sample.at), memory


def _findings(manifest: Manifest, sample: Sample, progress: GateMemory, terms: Terms) -> list[Finding]:
    found = [
        *_containers(manifest, sample, progress, terms.allowed_to_fail),
        *_checks(manifest, sample, progress),
    ]
    if terms.source_required and sample.source:
        found.append(_silent_source(sample.source))
    return [finding for finding in found if finding.subject not in terms.allowed_to_fail]


def _remembered(sample: Sample, progress: GateMemory, judged: set[str], *, clean: bool) -> GateMemory:
    """The memory after a sample. `judged`: the names of the containers that count; `clean`: nothing is found
    to be wrong.
    """
    counts = _restart_counts(sample)
    restarted = any(
        count != progress.last.get(name, count) for name, count in counts.items() if name in judged
    )
    starting = (c.patience for c in sample.containers if c.health == "starting" and c.name in judged)
    since = sample.at if progress.good_since is None else progress.good_since
    return replace(
        progress,
        patience=max([progress.patience, *starting]),
        good_since=since if clean and not restarted else None,
        restarts=_first_counts(sample, progress),
        last=counts,
    )


def _deadline(memory: GateMemory, terms: Terms) -> float:
    slowest = memory.begun + memory.patience + terms.settle if memory.patience else 0.0
    return max(memory.started + terms.deadline, slowest)


def _silent_source(problem: str) -> Finding:
    return Finding(
        SOURCE,
        "wait",
        f"no longer answers: {problem}",
        "the change may have cut the host off; look at routes, DNS and firewall in this commit",
    )


def _too_late(waiting: tuple[Finding, ...], terms: Terms, took: float) -> Verdict:
    """The verdict at the deadline. `took`: seconds since the gate began."""
    within = f"{took:.0f} s"
    late = tuple(Finding(f.subject, "bad", f"{f.message} after {within}", f.hint) for f in waiting)
    unsteady = Finding("gate", "bad", f"not steady for {terms.settle:.0f} s within {within}")
    return Verdict("rejected", late or (unsteady,))


def condemned(failure: LimpetError) -> Verdict:
    """The verdict on a release that could not be applied."""
    return Verdict("rejected", (Finding(failure.resource, "bad", failure.message, failure.hint),))


def allowed_to_fail(manifest: Manifest, sample: Sample, changed: set[Key]) -> frozenset[str]:
    """Subjects that fail now, before anything is touched, and are not about to change: they cannot condemn a
    release. And the runs of containers that are unhealthy now.
    """
    progress = GateMemory(sample.at)
    found = [*_containers(manifest, sample, progress, frozenset()), *_checks(manifest, sample, progress)]
    return unhealthy_runs(sample.containers).union(
        f.subject for f in found if f.subject.startswith("check/") or Key.parse(f.subject) not in changed
    )


def unhealthy_runs(containers: Iterable[ObservedContainer]) -> frozenset[str]:
    """The runs of our containers that are unhealthy now: what is done next may be what heals them."""
    return frozenset(_run(c) for c in containers if c.owned and c.health == "unhealthy")


def _run(instance: ObservedContainer) -> str:
    return f"unhealthy/{instance.id}/{instance.started_at}"


def _restart_counts(sample: Sample) -> dict[str, int]:
    return {c.name: c.restart_count for c in sample.containers if c.restart_count is not None}


def _first_counts(sample: Sample, progress: GateMemory) -> dict[str, tuple[str, int]]:
    first = dict(progress.restarts)
    for c in sample.containers:
        if not c.owned or c.restart_count is None:
            continue
        known = first.get(c.name)
        if known is None or known[0] != c.id or known[1] > c.restart_count:
            first[c.name] = (c.id, c.restart_count)
    return first


def _containers(
    manifest: Manifest, sample: Sample, progress: GateMemory, excused: frozenset[str]
) -> list[Finding]:
    by_name = {c.name: c for c in sample.containers if c.owned}
    found = []
    for resource in manifest.of_kind("container"):
        instance = by_name.get(resource.key.name)
        finding = (
            _one_shot(resource, instance)
            if resource.spec["oneshot"]
            else _service(resource, instance, progress, excused)
        )
        if finding:
            found.append(finding)
    return found


def _one_shot(resource: Resource, instance: ObservedContainer | None) -> Finding | None:
    subject, word = str(resource.key), health_word(resource, instance)
    if instance is None or word == "completed":
        return None
    if word == "failed":
        return Finding(
            subject, "bad", f"one-shot exited with code {instance.exit_code}", f"docker logs {instance.name}"
        )
    return Finding(subject, "wait", f"one-shot is {word}")


def _service(
    resource: Resource, instance: ObservedContainer | None, progress: GateMemory, excused: frozenset[str]
) -> Finding | None:
    subject, logs = str(resource.key), f"docker logs {resource.key.name}"
    if instance is None:
        return Finding(subject, "wait", "is missing")
    word = health_word(resource, instance)
    if looping := _restart_loop(instance, progress):
        return Finding(subject, "bad", looping, logs)
    if word in ("exited", "dead"):
        return _ended(resource, instance)
    if word == "unhealthy":
        before = _run(instance) in excused
        return Finding(subject, "wait" if before else "bad", "its health check fails", probes(instance.name))
    if word == "starting":
        return Finding(subject, "wait", "its health check has not passed yet", logs)
    return None if word in FINE else Finding(subject, "wait", f"is {word}", logs)


def _restart_loop(instance: ObservedContainer, progress: GateMemory) -> str:
    """The message about a container that was restarted too often since the gate began; else empty."""
    first = progress.restarts.get(instance.name)
    restarts = (instance.restart_count or 0) - first[1] if first and first[0] == instance.id else 0
    if restarts < RESTARTS:
        return ""
    code = "" if instance.exit_code is None else f", last exit code {instance.exit_code}"
    return f"is in a restart loop: {restarts} restarts{code}"


def _ended(resource: Resource, instance: ObservedContainer) -> Finding:
    subject, code = str(resource.key), instance.exit_code
    restart = str(resource.spec.get("config", {}).get("restart") or "")
    if was_stopped(instance.state, instance.error, restart):
        return Finding(
            subject,
            "wait",
            f"was stopped with exit code {code}, by a person or with Docker",
            f"docker start {instance.name}",
        )
    detail = f"; {instance.error}" if instance.error else ""
    return Finding(
        subject,
        "bad",
        f"exited with code {code}{detail}",
        f"docker logs {instance.name}; if it is meant to run once, mark the service with "
        "`x-limpet: {oneshot: true}`",
    )


def probes(name: str) -> str:
    """The command that shows a person the output of a health check."""
    return f"docker inspect -f '{{{{json .State.Health}}}}' {name}"


def _checks(manifest: Manifest, sample: Sample, progress: GateMemory) -> list[Finding]:
    return [
        _red(check, problem, sample, progress)
        for check in manifest.checks
        if (problem := sample.checks.get(check.name, "has not run"))
    ]


def _red(check: Check, problem: str, sample: Sample, progress: GateMemory) -> Finding:
    """The finding of a check that is not green."""
    late = check.within and sample.at >= max(
        progress.started + check.within, progress.begun + min(check.within, LEAST_LEFT)
    )
    subject, hint = f"check/{check.name}", check.by_hand
    if late:
        return Finding(subject, "bad", f"{problem} after {check.within:.0f} s", hint)
    return Finding(subject, "wait", problem, hint)
