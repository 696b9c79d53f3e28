"""Checks, as a person runs them."""

from __future__ import annotations

import pytest

from agent.kinds.checks import describe_check
from agent.model import Check


@pytest.mark.parametrize(
    ("check", "words"),
    [
        (Check("a", http="http://x/", status=204), "curl -i http://x/ (wants status 204)"),
        (Check("a", tcp="127.0.0.1:5432"), "nc -vz 127.0.0.1 5432"),
        (Check("a", exec=("/bin/check", "-v")), "/bin/check -v"),
    ],
)
def test_check_can_be_run_by_hand(check: Check, words: str) -> None:
    """A check must be described as the command that a person runs."""
    assert describe_check(check) == words
