"""A pass and all its children are killed at a random moment, as often as a run has time for; the seed is in
the message.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress

from tests.faults import scenarios
from tests.faults.ground import Ground, end

SAMPLE = 4  # rounds in `make test`
ROUNDS = 50
SEED = int(os.environ.get("LIMPET_TEST_SEED", "1125"))


def test_killed_at_random_moments(
    make_ground: Callable[[scenarios.Scenario], Ground],
    most: Callable[[int], int | None],
    report: Callable[[str, str, int, int], None],
) -> None:
    """After a kill of the whole process group at any moment, one clean pass must end in the same host as an
    undisturbed one.
    """
    ground = make_ground(scenarios.RICH)
    ground.environment = {}
    took = ground.measure(ground.duration)
    rounds = [[number] * (ROUNDS // len(took) + 1) for number in range(len(took))]
    chance = random.Random(SEED)
    for number, _ in ground.visits(rounds, most(SAMPLE)):
        delay = chance.uniform(0.0, took[number])
        process = ground.spawn()
        time.sleep(delay)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        killed = end(process)
        where = (
            f"seed {SEED}: killed {delay:.3f} s of {took[number]:.1f} s into move {number}; last step: "
            f"{ground.last()}"
        )
        assert killed.code in (-signal.SIGKILL, 0, ground.scenario.moves[number](ground.names).exit_code), (
            f"{where}\n{killed}"
        )
        ground.recover(number, where)
    report("random moment", "rich", ground.visited, ground.all)
