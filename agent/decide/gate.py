"""Observations over time -> healthy | wait | rejected. Pure; time is an argument, in seconds of a monotonic
clock.

Rules:
1. All of the manifest's containers are judged, not only the changed ones. Healthy means: good for `settle`
   seconds without a break.
2. What cannot get better is rejected at once: an exited container that is no one-shot, a failed one-shot, an
   unhealthy health check, a restart loop. The rest waits until the deadline, which is never before a
   container that is seen to start may be healthy by its own word (`start_period`).
3. Contrast: what failed already before the release was applied, and was not changed by it, cannot condemn it.
4. The source must answer after the change when it answered before (commit-confirmed). What it condemns is
   tried on known good too, after the rollback: a source that is down for everybody condemns nothing.
5. What somebody stopped says nothing about the release: a container that Docker would restart if it had
   exited by itself. dockerd stops all containers before it stops answering. (Of others, `transaction` asks
   the host whether Docker is steady.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from agent.errors import LimpetError
from agent.kinds.health import FINE, health_word, was_stopped
from agent.model import Check, Key, Manifest, ObservedContainer, Resource

LEAST_LEFT = 30.0  # seconds that a resumed gate has at least, besides `settle`
RESTARTS = 3  # so many restarts since the release was applied are a loop
Decision = Literal["healthy", "wait", "rejected"]
Grade = Literal["good", "wait", "bad"]
SOURCE = "source"


@dataclass(frozen=True, slots=True)
class Terms:
    """`settle` and `deadline` in seconds. `allowed_to_fail`: subjects ("check/x") that failed before apply
    and were not changed by it.
    """

    settle: float
    deadline: float
    allowed_to_fail: frozenset[str] = frozenset()
    source_required: bool = False


@dataclass(frozen=True, slots=True)
class Sample:
    """What was seen at one moment. `checks`: name -> empty when green, else what is wrong. `source`: None
    when not asked.
    """

    at: float
    containers: tuple[ObservedContainer, ...]
    checks: Mapping[str, str] = field(default_factory=dict)
    source: str | None = None  # empty: it answers; else what is wrong


@dataclass(frozen=True, slots=True)
class GateMemory:
    """What the gate remembers between samples. `first`: the first look of this process, when an earlier one
    has begun it; `patience`: seconds from there that the slowest starter may take.
    """

    started: float
    first: float | None = None
    patience: float = 0.0
    good_since: float | None = None
    restarts: Mapping[str, tuple[str, int]] = field(
        default_factory=dict
    )  # container name -> (id, count at first sight)
    last: Mapping[str, int] = field(
        default_factory=dict
    )  # container name -> restart count of the previous sample


@dataclass(frozen=True, slots=True)
class Finding:
    """One subject that is not good. `hint` says what a person can do."""

    subject: str
    grade: Grade
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`findings`: all that is not good, the bad first. `wait_s`: seconds until a healthy verdict is possible,
    `left_s`: until one must be.
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
    """The decision at this sample, and what to remember for the next."""
    found = [*_containers(manifest, sample, progress), *_checks(manifest, sample, progress, terms)]
    if terms.source_required and sample.source:
        found.append(
            Finding(
                SOURCE,
                "wait",
                f"does not answer any more: {sample.source}",
                "the change may have cut the host off; look at routes, DNS and firewall in this commit",
            )
        )
    found = [finding for finding in found if finding.subject not in terms.allowed_to_fail]
    judged = {r.key.name for r in manifest.of_kind("container") if str(r.key) not in terms.allowed_to_fail}
    restarted = any(
        count != progress.last.get(name, count) for name, count in _counts(sample).items() if name in judged
    )
    good = not found and not restarted
    first = progress.started if progress.first is None else progress.first
    patience = max(
        [
            progress.patience,
            *(c.patience for c in sample.containers if c.health == "starting" and c.name in judged),
        ]
    )
    deadline = max(progress.started + terms.deadline, first + patience + terms.settle if patience else 0.0)
    since = (progress.good_since if progress.good_since is not None else sample.at) if good else None
    remembered = GateMemory(
        progress.started, progress.first, patience, since, _first_counts(sample, progress), _counts(sample)
    )
    bad = tuple(sorted((f for f in found if f.grade == "bad"), key=lambda f: f.subject))
    waiting = tuple(f for f in found if f.grade == "wait")
    if bad:
        return Verdict("rejected", bad + waiting), remembered
    if since is not None and sample.at - since >= terms.settle:
        return Verdict("healthy"), remembered
    if sample.at >= deadline:
        within = f"{deadline - progress.started:.0f} s"
        late = tuple(Finding(f.subject, "bad", f"{f.message} after {within}", f.hint) for f in waiting)
        unsteady = Finding("gate", "bad", f"not steady for {terms.settle:.0f} s within {within}")
        return Verdict("rejected", late or (unsteady,)), remembered
    wait = terms.settle - (sample.at - since) if since is not None else terms.settle
    return Verdict("wait", waiting, wait, deadline - sample.at), remembered


def condemned(failure: LimpetError) -> Verdict:
    """The verdict on a release that could not be applied."""
    return Verdict("rejected", (Finding(failure.resource, "bad", failure.message, failure.hint),))


def allowed_to_fail(manifest: Manifest, sample: Sample, changed: set[Key]) -> frozenset[str]:
    """Subjects that fail now, before anything is touched, and are not about to change: they can condemn no
    release.
    """
    progress = GateMemory(sample.at)
    found = [*_containers(manifest, sample, progress), *_checks(manifest, sample, progress, Terms(0, 0))]
    return frozenset(
        f.subject for f in found if f.subject.startswith("check/") or Key.parse(f.subject) not in changed
    )


def _counts(sample: Sample) -> dict[str, int]:
    return {c.name: c.restart_count for c in sample.containers if c.restart_count is not None}


def _first_counts(sample: Sample, progress: GateMemory) -> dict[str, tuple[str, int]]:
    first = dict(progress.restarts)
    for c in sample.containers:
        known = first.get(c.name)
        if (
            c.owned
            and c.restart_count is not None
            and (known is None or known[0] != c.id or known[1] > c.restart_count)
        ):
            first[c.name] = (c.id, c.restart_count)
    return first


def _containers(manifest: Manifest, sample: Sample, progress: GateMemory) -> list[Finding]:
    by_name = {c.name: c for c in sample.containers if c.owned}
    found = []
    for resource in manifest.of_kind("container"):
        instance = by_name.get(resource.key.name)
        finding = (
            _one_shot(resource, instance)
            if resource.spec["oneshot"]
            else _service(resource, instance, progress)
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


def _service(resource: Resource, instance: ObservedContainer | None, progress: GateMemory) -> Finding | None:
    subject, logs = str(resource.key), f"docker logs {resource.key.name}"
    if instance is None:
        return Finding(subject, "wait", "is missing")
    word = health_word(resource, instance)
    if looping := _restart_loop(instance, progress):
        return Finding(subject, "bad", looping, logs)
    if word in ("exited", "dead"):
        return _ended(resource, instance)
    if word == "unhealthy":
        return Finding(subject, "bad", "its health check fails", probes(instance.name))
    if word == "starting":
        return Finding(subject, "wait", "its health check has not passed yet", logs)
    return None if word in FINE else Finding(subject, "wait", f"is {word}", logs)


def _restart_loop(instance: ObservedContainer, progress: GateMemory) -> str:
    """What is said of a container that was restarted too often since the gate began; else empty."""
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
    """How a person sees what a health check said."""
    return f"docker inspect -f '{{{{json .State.Health}}}}' {name}"


def _checks(manifest: Manifest, sample: Sample, progress: GateMemory, terms: Terms) -> list[Finding]:
    found = []
    for check in manifest.checks:
        wrong = sample.checks.get(check.name, "has not run")
        if wrong:
            first = progress.started if progress.first is None else progress.first
            late = check.within and sample.at >= max(
                progress.started + check.within, first + min(check.within, LEAST_LEFT)
            )
            message = f"{wrong} after {check.within:.0f} s" if late else wrong
            found.append(
                Finding(f"check/{check.name}", "bad" if late else "wait", message, describe_check(check))
            )
    return found


def describe_check(check: Check) -> str:
    """How a person can run a check by hand."""
    if check.http:
        return f"curl -i {check.http} (wants status {check.status})"
    return f"nc -vz {check.tcp.replace(':', ' ')}" if check.tcp else " ".join(check.exec)
