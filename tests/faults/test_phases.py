"""The table (phase x {error, kill, hang}): whatever happens in a phase, the pass ends in time and says what
to do.

The pass stops itself at the phase (LIMPET_TEST_KILL_BY=SIGSTOP), what it needs there is broken, and it goes
on. Time limits of Limpet's own are shortened by LIMPET_TEST_PATIENCE.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.faults.ground import Ground, end
from tests.harness.gitserver import HttpsRemote
from tests.harness.proxy import Answer, Proxy, Request, proxy
from tests.harness.wait import eventually

FAULTS = ("error", "kill", "hang")
PATIENCE = 6.0  # seconds that Limpet waits for something outside of it, in these tests
# seconds, for a pass that hangs: far more than its time limits add up to, far less than without them
ENDS_WITHIN = 90.0
TEMPORARY_WORDS = "context deadline exceeded"  # an Engine that is overloaded


@dataclass(frozen=True)
class Phase:
    """`at`: the journal line where it begins; `codes`: how the pass may end after an error or a hang."""

    at: str
    scenario: str
    codes: tuple[int, ...] = (75,)


PHASES = {
    "fetch": Phase("step fetch", "change"),
    "render": Phase("step render", "change", (0, 75)),  # a cache that is lost is fetched again
    "prefetch": Phase("step prefetch", "rollback"),
    "apply": Phase("begin create", "change"),
    "gate": Phase("step gate", "change"),
    "rollback": Phase("step rollback", "rollback", (5, 75)),
    "prune": Phase("begin remove", "change"),
}


class Table:
    """One phase on one ground: the servers that can fail."""

    def __init__(self, ground: Ground, between: Proxy) -> None:
        self.ground, self.between = ground, between
        self.answering = False
        between.on_request("before", self._met)

    def _met(self, _: int, request: Request) -> None:
        if self.answering:
            raise Answer(500, TEMPORARY_WORDS)

    @contextmanager
    def fault(self, phase: str, fault: str, process: subprocess.Popen[str]) -> Iterator[None]:
        """What the phase needs fails or hangs while the pass goes on."""
        git, registry = self.ground.site.remote, self.ground.registry
        assert isinstance(git, HttpsRemote)
        hangs = fault != "error"
        if phase == "fetch":
            git.hang() if hangs else git.stop()
        elif phase == "prefetch":
            assert registry is not None
            registry.hang() if hangs else registry.stop()
        elif phase == "render" and not hangs:
            shutil.rmtree(self.ground.site.root / "var/lib/limpet/git/objects")
        elif phase != "render":
            self.answering = not hangs
            if hangs:
                self.between.hang()
        os.kill(process.pid, signal.SIGCONT)
        if phase == "render" and fault == "hang":
            os.kill(
                eventually(lambda: child(process.pid, "_render"), 30, "the render child", interval=0.001),
                signal.SIGSTOP,
            )
        yield
        self.answering = False
        self.between.resume()
        if phase == "fetch":
            git.resume() if hangs else git.start()
        elif phase == "prefetch" and registry is not None:
            registry.resume() if hangs else registry.start()


def child(parent: int, verb: str) -> int:
    """The pid of a child process with this argument; 0 when there is none."""
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            ours = (entry / "stat").read_text().rpartition(")")[2].split()[1] == str(parent)
            if ours and verb.encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                return int(entry.name)
    return 0


def ended(pid: int) -> bool:
    return not pid or not Path(f"/proc/{pid}/exe").exists()


def stopped(process: subprocess.Popen[str]) -> bool:
    assert process.poll() is None, "the pass ended before the phase"
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


@pytest.mark.parametrize("name", PHASES)
def test_phase(
    name: str,
    make_ground: Callable[..., Ground],
    most: Callable[[int], int | None],
    report: Callable[[str, str, int, int], None],
    tmp_path: Path,
) -> None:
    """After an error, a kill or a hang in a phase, the pass must end in time, say what to do and condemn
    nothing; one clean pass must end in the same host as an uninterrupted pass.
    """
    phase = PHASES[name]
    ground = make_ground(phase.scenario, https=True)
    turn = list(PHASES).index(name) % len(FAULTS)
    faults = [*FAULTS[turn:], *FAULTS[:turn]]  # so that the sample has some of each
    with proxy(ground.site.engine.socket, tmp_path / "p") as between:
        ground.site.configure(gate=ground.GATE, engine={"socket": between.socket})
        told = ground.measure(ground.steps)
        table = Table(ground, between)
        points = [faults[number :: len(told)] for number in range(len(told))]
        for number, fault in ground.visits(points, most(1), whole=True):
            where = f"{fault} in {name} of move {number}"
            process = ground.spawn(
                {
                    "LIMPET_TEST_KILL_AT": phase.at,
                    "LIMPET_TEST_KILL_BY": "SIGSTOP",
                    "LIMPET_TEST_PATIENCE": str(PATIENCE),
                }
            )
            eventually(partial(stopped, process), 60, "the phase")
            with table.fault(name, fault, process):
                started = time.monotonic()
                if fault == "kill":
                    busy = {"fetch": "_fetch", "render": "_render"}.get(name)
                    worker = eventually(partial(child, process.pid, busy), 30, "the child") if busy else 0
                    os.killpg(process.pid, signal.SIGKILL)
                    result = end(process)
                    eventually(partial(ended, worker), 30, "the child to end")
                else:
                    result = end(process, ENDS_WITHIN)
                    assert result.code in phase.codes, f"{where}\n{result}"
                    assert "hint: " in result.err or result.code == 0, f"{where}\n{result}"
                    assert time.monotonic() - started < ENDS_WITHIN
                    ground.condemned_nothing(number, result, where)
            ground.recover(number, where)
    report("phase", name, ground.visited, ground.all)
