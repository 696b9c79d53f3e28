"""Random histories on the fake host: commits good and bad, crashes, reboots, drift, intrusions, outages,
time, people; lenders, names that change, and what others take, bring and free.

`make test` lives a sample, always the same; `make sweep` two thousand, others each time. A history that
breaks a rule is made as short as possible, told line by line, and printed as a literal that `replay` takes.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.histories.rules import Rules
from tests.histories.steps import Round, histories
from tests.histories.story import Broken, shortest
from tests.histories.world import World

SAMPLE, ALL = 60, 2000


@pytest.fixture(scope="module")
def red_port() -> Iterator[int]:
    """A port of loopback that is taken and refuses all connections."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


def replay(rounds: list[Round], red_port: int) -> None:
    """Lives one history. Errors: Broken, with its story, at the first broken rule."""
    fast = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    root = Path(tempfile.mkdtemp(prefix="limpet-history-", dir=fast))
    world = World(root / "one", red_port)
    try:
        rules = Rules(world)
        for number, one in enumerate(rounds, 1):
            world.say(f"round {number}")
            rules.live(one)
        world.say("the end")
        rules.end(Rules(World(root / "fresh", red_port)))
    except Exception as error:
        raise Broken(f"{type(error).__name__}: {error}", rounds, world.story) from error
    finally:
        shutil.rmtree(root)


def test_random_histories(red_port: int, request: pytest.FixtureRequest) -> None:
    """The rules of a pass must hold in every history, and its end must be that of a fresh host."""
    asked = request.config.getoption("--sweep")
    count = SAMPLE if asked == "sample" else ALL if asked == "all" else int(asked)

    @settings(
        max_examples=count,
        deadline=None,
        derandomize=asked == "sample",
        database=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate,),
    )
    @given(histories())
    def live(rounds: list[Round]) -> None:
        replay(rounds, red_port)

    shortest(live, lambda rounds: replay(rounds, red_port))
