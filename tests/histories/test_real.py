"""Random histories on the real parts: the same generator, fewer and shorter. `make test` lives two, `make
sweep` fifty.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.harness.engine import Engine
from tests.harness.gitrepo import GitRepo
from tests.harness.site import make_site
from tests.histories.real import RealWorld
from tests.histories.steps import Round, histories
from tests.histories.story import Broken

SAMPLE, ALL = 2, 50


def replay(rounds: list[Round], engine: Engine, directory: Path) -> None:
    """Lives one history. Errors: Broken, with its story, at the first broken rule."""
    with engine.prefix() as prefix:
        site = make_site(engine, GitRepo(directory / prefix / "git/fleet.git"), directory / prefix)
        world = RealWorld(site, prefix)
        try:
            for number, one in enumerate(rounds, 1):
                world.story.append(f"round {number}")
                world.live(one)
            world.story.append("the end")
            world.end()
        except Exception as error:
            raise Broken(f"{type(error).__name__}: {error}", rounds, world.story) from error
        finally:
            world.close()


def test_random_histories(engine: Engine, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """The rules of a pass must hold on the real parts, and the end must be one good commit and nothing
    else.
    """
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
    @given(histories(most=4))
    def live(rounds: list[Round]) -> None:
        replay(rounds, engine, tmp_path)

    live()
