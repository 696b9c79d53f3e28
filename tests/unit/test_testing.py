"""The switches by which the fault tests change the product."""

from __future__ import annotations

import subprocess
import sys

import pytest

SHOWN = "import agent.testing; agent.testing.install(); {}"


@pytest.mark.parametrize(
    ("environ", "code", "said"),
    [
        ({}, "from agent.clock import at_most_patience; print(at_most_patience(30.0))", "30.0"),
        (
            {"LIMPET_TEST_PATIENCE": "6"},
            "from agent.drivers import engine; print(engine.SILENCE)",
            "6.0",
        ),
        (
            {"LIMPET_TEST_SERIAL": "1"},
            "from agent.converge import apply; print(type(apply.new_executor()).__name__)",
            "Serial",
        ),
        (
            {"LIMPET_TEST_SERIAL": ""},
            "from agent.converge import apply; print(type(apply.new_executor()).__name__)",
            "ThreadPoolExecutor",
        ),
    ],
    ids=["nothing", "patience", "serial", "not serial"],
)
def test_each_variable_changes_one_thing(environ: dict[str, str], code: str, said: str) -> None:
    """A variable that is set must change its own thing, and one that is not must change nothing."""
    done = subprocess.run(
        [sys.executable, "-c", SHOWN.format(code)], capture_output=True, text=True, check=True, env=environ
    )
    assert done.stdout.strip() == said
