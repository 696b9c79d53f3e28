"""What may be used of what was fetched."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from agent.decide.commit import Verified, verify
from agent.errors import Stalled

PIN, TIP = "1" * 40, "2" * 40
SOURCE = SimpleNamespace(verify="none", ref_name="main")


def _answer(descends: bool | None, commit: str = TIP) -> dict[str, object]:
    return {"commit": commit, "descends": descends}


def test_a_commit_that_descends_from_the_pin_is_used() -> None:
    """A fast-forward or a revert must pass."""
    assert verify(_answer(True), PIN, SOURCE) == Verified("none", "none")


def test_the_first_commit_of_a_new_pin_is_used() -> None:
    """Without a pin there is nothing to descend from."""
    assert verify(_answer(None), "", SOURCE).mode == "none"


def test_the_pin_itself_is_used() -> None:
    """The pinned commit must pass, whatever else was not looked at."""
    assert verify(_answer(None, PIN), PIN, SOURCE).result == "none"


@pytest.mark.parametrize("descends", [False, None])
def test_a_rewritten_history_is_refused_with_both_remedies(descends: bool | None) -> None:
    """What does not descend, or is not known to, must stall; the hint names the fleet's remedy and the
    host's.
    """
    with pytest.raises(Stalled) as caught:
        verify(_answer(descends), PIN, SOURCE)
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
        verify({"commit": TIP}, PIN, SOURCE)


@pytest.mark.parametrize("mode", ["tip", "history"])
def test_signatures_that_cannot_be_checked_yet_are_refused(mode: str) -> None:
    """A mode that asks for signatures must not silently mean none."""
    with pytest.raises(Stalled) as caught:
        verify(_answer(True), PIN, SimpleNamespace(verify=mode, ref_name="main"))
    assert caught.value.code == "VerifyUnsupported" and mode in caught.value.message
