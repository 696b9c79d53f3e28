"""How long the tests took: by part, and the slowest."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Protocol

SLOWEST = 50


class Report(Protocol):
    nodeid: str
    when: str | None
    duration: float


def part(nodeid: str) -> str:
    """The folder below tests/, or the module."""
    return PurePosixPath(nodeid.partition("::")[0]).parts[1]


def table(reports: Iterable[Report]) -> str:
    """Seconds and tests of each part, then the slowest phases of tests. Seconds are sums of the tests' own
    times: several run at once.
    """
    seconds: defaultdict[str, float] = defaultdict(float)
    tests: Counter[str] = Counter()
    reports = list(reports)
    for report in reports:
        seconds[part(report.nodeid)] += report.duration
        tests[part(report.nodeid)] += report.when == "call"
    parts = sorted(seconds, key=lambda name: -seconds[name])
    lines = [f"{seconds[name]:9.1f} s  {tests[name]:5}  {name}" for name in parts]
    slowest = sorted(reports, key=lambda report: -report.duration)[:SLOWEST]
    lines += ["", *(f"{each.duration:9.1f} s  {each.when:8}  {each.nodeid}" for each in slowest)]
    return "\n".join(lines) + "\n"
