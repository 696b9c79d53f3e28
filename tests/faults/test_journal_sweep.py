"""A pass is killed after each line of its journal: at the beginning of each phase, before and after each
action.
"""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from tests.faults.ground import Ground
from tests.faults.scenarios import SCENARIOS

SAMPLE = 4  # points of each scenario in `make test`


@pytest.mark.parametrize("name", SCENARIOS)
def test_killed_at_every_step(
    name: str,
    make_ground: Callable[[str], Ground],
    most: Callable[[int], int | None],
    report: Callable[[str, str, int, int], None],
) -> None:
    """After a kill at any step, one clean pass must end in the same host as an uninterrupted pass."""
    ground = make_ground(name)
    told = ground.measure(ground.steps)
    points = [[(line, step) for line, step in enumerate(steps, 1)] for steps in told]
    for number, (line, step) in ground.visits(points, most(SAMPLE)):
        where = f"killed at line {line} of {len(told[number])} ({step}) of move {number}"
        killed = ground.killed_at(line)
        assert killed.code == -signal.SIGKILL, f"{where}: not reached: {killed}"
        ground.recover(number, where)
    report("journal step", name, ground.visited, ground.all)
