"""A pass loses the Engine at each request that changes something: before the request gets there, and after it
was carried out.

In two manners: the agent is killed at that moment, or only the connection is cut. A request whose answer
streams (a pull) is carried out when its answer has ended.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from tests.faults.ground import Ground, end
from tests.faults.scenarios import SCENARIOS
from tests.harness.hosts import Result
from tests.harness.proxy import CutWhenDone, Proxy, Request, When, proxy

SAMPLE = {"change": 8, "rollback": 8}  # points in `make test`; the other scenarios are left to `make sweep`
MANNERS = ("killed", "cut")


class Striker:
    """Strikes a pass at its n-th changing request."""

    def __init__(self, between: Proxy) -> None:
        self.between = between
        self.process: subprocess.Popen[str] | None = None
        self._seen: list[Request] = []
        self._number, self._when, self._kills = 0, "", False
        between.on_request("before", lambda _, request: self._met("before", request))
        between.on_request("after", lambda _, request: self._met("after", request))

    def arm(self, number: int, when: When, manner: str) -> None:
        """For the next pass; the number counts from 1, 0 disarms."""
        self._seen, self._number, self._when, self._kills = [], number, when, manner == "killed"

    def _met(self, when: str, request: Request) -> None:
        if request.method in ("GET", "HEAD"):
            return
        if when == "before":
            self._seen.append(request)
        if (
            when == self._when
            and 0 < self._number <= len(self._seen)
            and self._seen[self._number - 1] is request
        ):
            if self._kills and self.process:
                os.killpg(self.process.pid, signal.SIGKILL)
            raise CutWhenDone

    @property
    def reached(self) -> bool:
        return len(self._seen) >= self._number

    def changes(self) -> list[str]:
        """The changing requests since the last call, in order."""
        found = [f"{r.method} {r.path}" for r in self.between.requests if r.method not in ("GET", "HEAD")]
        self.between.clear()
        return found


def strike(ground: Ground, striker: Striker, number: int, when: When, manner: str) -> Result:
    striker.arm(number, when, manner)
    striker.process = ground.spawn()
    result = end(striker.process)
    assert striker.reached, f"request {number} was not made: {result}"
    striker.arm(0, when, manner)
    return result


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The sample takes two scenarios, a sweep all."""
    metafunc.parametrize("name", SAMPLE if metafunc.config.getoption("--sweep") == "sample" else SCENARIOS)


def test_struck_at_every_request(
    name: str,
    make_ground: Callable[[str], Ground],
    most: Callable[[int], int | None],
    report: Callable[[str, str, int, int], None],
    tmp_path: Path,
) -> None:
    """When a request is cut before or after the Engine carried it out, and the agent killed or not, no
    release must be condemned, and one clean pass must end in the same host as an uninterrupted pass.
    """
    ground = make_ground(name)
    with proxy(ground.site.engine.socket, tmp_path / "p") as between:
        ground.site.configure(gate=ground.GATE, engine={"socket": between.socket})
        striker = Striker(between)
        told = ground.measure(striker.changes)
        whens: tuple[When, ...] = ("before", "after")
        points = [list(product(range(1, len(requests) + 1), whens, MANNERS)) for requests in told]
        for number, (request, when, manner) in ground.visits(points, most(SAMPLE.get(name, 0))):
            where = (
                f"{manner} {when} request {request} of {len(told[number])} "
                f"({told[number][request - 1]}) of move {number}"
            )
            struck = strike(ground, striker, request, when, manner)
            if manner == "killed":
                assert struck.code == -signal.SIGKILL, f"{where}\n{struck}"
            else:
                ground.condemned_nothing(number, struck, where)
            ground.recover(number, where)
    report("Docker request", name, ground.visited, ground.all)
