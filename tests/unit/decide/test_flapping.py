"""What was corrected lately, and what is left alone for it: numbers in, numbers out."""

from __future__ import annotations

from agent.decide.flapping import MOST, WITHIN, Flapping


def corrected(times: int, *names: str, every: float = 60.0) -> Flapping:
    it = Flapping()
    for number in range(times):
        it.note(names, number * every, "b1")
    return it


def test_what_is_corrected_too_often_is_wanting() -> None:
    """The correction after the last that is allowed must wait, and not one before."""
    assert corrected(MOST - 1, "a").wanting(600.0, "b1") == {}
    assert corrected(MOST, "a").wanting(600.0, "b1") == {"a": MOST}
    assert corrected(MOST, "a", "b").wanting(600.0, "b1") == {"a": MOST, "b": MOST}


def test_old_corrections_and_those_of_another_boot_do_not_count() -> None:
    """What is longer ago than the span, or was before a reboot, must count no more."""
    it = corrected(MOST, "a", every=0.0)
    assert it.wanting(WITHIN - 1.0, "b1") == {"a": MOST}
    assert it.wanting(WITHIN + 1.0, "b1") == {}
    assert it.wanting(1.0, "b2") == {}
    it.note(["b"], 2.0, "b2")
    assert (it.corrected, it.boot_id) == ({"b": [2.0]}, "b2")


def test_a_correction_that_failed_is_taken_back() -> None:
    """Only the one at that time must be taken back, and a resource with none left must be forgotten."""
    it = corrected(2, "a", "b")
    it.withdraw(["a", "unknown"], 60.0)
    assert it.corrected == {"a": [0.0], "b": [0.0, 60.0]}
    it.withdraw(["a"], 0.0)
    assert it.corrected == {"b": [0.0, 60.0]}
    it.withdraw(["b"], 1.0)
    assert it.corrected == {"b": [0.0, 60.0]}
