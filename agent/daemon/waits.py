"""What a backoff waits for, and whether that is there: probes between passes, cheap enough for every few
seconds.

Rules:
1. The code of the error says what is waited for: free space, Docker, the network. Anything else has no probe,
   and waits for its time.
2. A probe never blocks: a number of the kernel about a local file system, a connect to Docker's socket, two
   small files of the kernel about the network. File systems of other machines are not asked.
3. Only what was seen to come ends a wait: space that grew, a network that got something new. Docker that
   answers ends one wait, and must then have been away before it ends another one: what answers and cannot
   work costs one pass, not one at every probe.
"""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.daemon.schedule import Schedule
from agent.report.log import logger

PROBE = 3.0  # seconds between two probes
NETWORK = ("Network", "Dns", "Timeout", "ConnectionRefused", "Disconnected", "RegistryUnavailable", "Proxy")
KINDS = {"DiskFull": "space", "RuntimeUnavailable": "docker", **dict.fromkeys(NETWORK, "network")}
TEXTS = {"space": "free space{at}", "docker": "Docker to answer", "network": "the network"}
STEP = 16 * 2**20  # bytes that must have become free; on a small disk a twentieth of it
INODES = 64
ELSEWHERE = (
    "nfs",
    "cifs",
    "smb",
    "fuse",
    "9p",
    "ceph",
    "gluster",
    "afs",
    "virtiofs",
)  # kinds of file systems


@dataclass(slots=True)
class Wait:
    """What one job waits for: `kind` of KINDS, or empty. `before`: what was seen when the wait began."""

    kind: str = ""
    place: str = ""
    before: Any = None

    @property
    def text(self) -> str:
        return (
            TEXTS[self.kind].format(at=f" where {self.place} is" if self.place else "") if self.kind else ""
        )


@dataclass(slots=True)
class Waits:
    """The waits of the poll and of the pass. `docker`: Docker's socket; `places`: where space may lack when
    the error does not say it; `proc`, `resolver`: what the kernel and the resolver say of the network.
    """

    docker: Path
    places: tuple[str, ...]
    proc: Path = Path("/proc")
    resolver: Path = Path("/etc/resolv.conf")
    due: float = math.inf
    _jobs: dict[str, Wait] = field(default_factory=dict)
    _away: bool = True  # Docker was, since it last ended a wait

    def ended(self, job: str, error: Mapping[str, Any] | None, now: float) -> None:
        """A job has ended: with a temporary error (its code, perhaps its place), or without one."""
        kind = KINDS.get(str((error or {}).get("code", "")), "")
        if error is None and job == "pass":
            self._away = True
        self._jobs[job] = Wait(kind, str((error or {}).get("place", "")))
        self._jobs[job].before = self._seen(self._jobs[job])
        self._plan(now)

    def text(self, job: str) -> str:
        """What a job waits for, for people; empty when only time is waited for."""
        return self._jobs[job].text if job in self._jobs else ""

    def source_answered(self, now: float) -> set[str]:
        """The source answers again after it did not: the jobs that waited for the network."""
        found = {job for job, wait in self._jobs.items() if wait.kind == "network"}
        self._jobs |= {job: Wait() for job in found}
        self._plan(now)
        return found

    def probe(self, now: float) -> set[str]:
        """The jobs whose wait is over, because what they waited for is there."""
        if now < self.due:
            return set()
        found = {job for job, wait in self._jobs.items() if wait.kind and self._there(wait)}
        for job in found:
            self._jobs[job] = Wait()
        self.due = math.inf
        self._plan(now)
        return found

    def _plan(self, now: float) -> None:
        """A probe that is due already stays due: a poll that ends twice a second puts none off."""
        awaited = any(wait.kind for wait in self._jobs.values())
        self.due = min(self.due, now + PROBE) if awaited else math.inf

    # --- probes ---

    def _seen(self, wait: Wait) -> Any:
        if wait.kind == "space":
            return {place: _free(place) for place in ((wait.place,) if wait.place else self.places)}
        return _network(self.proc, self.resolver) if wait.kind == "network" else None

    def _there(self, wait: Wait) -> bool:
        if wait.kind == "docker":
            return self._docker_is_back()
        now, before = self._seen(wait), wait.before
        if wait.kind == "network":
            return bool(now - before)
        return any(_grew(before[place], now[place]) for place in now)

    def _docker_is_back(self) -> bool:
        there, away = _listens(self.docker), self._away
        self._away = not there
        return there and away


def end_waits(jobs: Collection[str], schedule: Schedule, now: float) -> None:
    """What these jobs waited for is there: they need not wait any longer."""
    if jobs:
        logger.info("what was waited for is there; trying again")
    if "poll" in jobs:
        schedule.poll_soon(now)
    if "pass" in jobs:
        schedule.end_wait(now)


def _listens(path: Path) -> bool:
    """Whether somebody takes connections at a socket."""
    with suppress(OSError):
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
                probe.connect(f"/proc/self/fd/{directory}/{path.name}")
                return True
        finally:
            os.close(directory)
    return False


def _free(place: str) -> tuple[int, int, int] | None:
    """Free bytes, all bytes, and free inodes of a local file system; None when it is not asked."""
    with suppress(OSError):
        if _kind_of(place).startswith(ELSEWHERE):
            return None
        found = os.statvfs(place)
        return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize, found.f_favail
    return None


def _kind_of(place: str) -> str:
    """The kind of the file system at a path. Errors: OSError."""
    best, kind = "", ""
    for line in Path("/proc/self/mounts").read_text(errors="replace").splitlines():
        at, found = line.split(" ")[1:3]
        if (place == at or place.startswith(at.rstrip("/") + "/")) and len(at) >= len(best):
            best, kind = at, found
    return kind


def _grew(before: tuple[int, int, int] | None, now: tuple[int, int, int] | None) -> bool:
    if before is None or now is None:
        return False
    step = min(STEP, now[1] // 20)
    return now[0] - before[0] >= max(step, 1) or now[2] - before[2] >= INODES


def _network(proc: Path, resolver: Path) -> set[tuple[str, ...]]:
    """The routes and addresses of this host, and the version of its resolver's settings."""
    found: set[tuple[str, ...]] = set()
    for name, columns in (("net/route", 3), ("net/if_inet6", 1)):
        with suppress(OSError):
            lines = (proc / name).read_text().splitlines()
            found |= {(name, *line.split()[:columns]) for line in lines}
    with suppress(OSError):
        status = resolver.stat()
        found.add(("resolver", str(status.st_mtime_ns), str(status.st_ino)))
    return found
