"""What may be used of what was fetched."""

from __future__ import annotations

import pytest

from agent.decide.descent import check_descent
from agent.errors import Stalled

PIN, TIP = "1" * 40, "2" * 40


def _answer(descends: bool | None, commit: str = TIP) -> dict[str, object]:
    return {"commit": commit, "descends": descends}


def test_a_commit_that_descends_from_the_pin_is_used() -> None:
    """A fast-forward or a revert must pass."""
    check_descent(_answer(True), PIN, "main")


def test_the_first_commit_of_a_new_pin_is_used() -> None:
    """Without a pin there is nothing to descend from."""
    check_descent(_answer(None), "", "main")


def test_the_pin_itself_is_used() -> None:
    """The pinned commit must pass, whatever else was not looked at."""
    check_descent(_answer(None, PIN), PIN, "main")


@pytest.mark.parametrize("descends", [False, None])
def test_a_rewritten_history_is_refused_with_both_remedies(descends: bool | None) -> None:
    """What does not descend, or is not known to, must stall; the hint names the fleet's remedy and the
    host's.
    """
    with pytest.raises(Stalled) as caught:
        check_descent(_answer(descends), PIN, "main")
    error = caught.value
    assert (
        error.code == "NotDescended"
        and "main@sha1:222222222222" in error.message
        and "111111111111" in error.message
    )
    assert f"git merge -s ours {PIN}" in error.hint and f"limpet accept reset {TIP}" in error.hint


def test_an_answer_that_does_not_say_is_refused() -> None:
    """A missing statement must not be read as yes."""
    with pytest.raises(Stalled):
        check_descent({"commit": TIP}, PIN, "main")
