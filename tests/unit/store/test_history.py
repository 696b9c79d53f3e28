"""The history: bounded, and whole but for a torn line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.store.history import History, HistoryEntry


def entry(number: int) -> HistoryEntry:
    return HistoryEntry(
        float(number + 1), f"main@sha1:{number:040x}", f"{number:016x}", "Converged", created=number
    )


def test_history_newest_first(tmp_path: Path) -> None:
    """The tail must be newest first, entries equal to what was appended."""
    history = History(tmp_path / "state" / "history.jsonl")
    for number in range(5):
        history.append(entry(number))
    assert history.tail(2) == [entry(4), entry(3)]
    assert history.tail(0) == [] and len(history.tail(99)) == 5


def test_history_is_bounded(tmp_path: Path) -> None:
    """The history must not grow for ever, and keep the newest."""
    history = History(tmp_path / "history.jsonl", keep=20)
    for number in range(200):
        history.append(entry(number))
    assert 20 <= len(history.read()) <= 70
    assert history.tail(1) == [entry(199)]


@given(cut=st.integers(1, 200))
@settings(max_examples=30, deadline=None)
def test_torn_line_costs_only_itself(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    """A line that a power cut tore must be left out, and neither the lines before nor the next one may
    suffer.
    """
    path = tmp_path_factory.mktemp("torn") / "history.jsonl"
    history = History(path)
    history.append(entry(1))
    first = path.stat().st_size
    history.append(entry(2))
    with path.open("r+b") as file:
        file.truncate(max(first, path.stat().st_size - cut))
    history.append(entry(3))
    found = history.read()
    assert found[0] == entry(1) and found[-1] == entry(3)
    assert found in ([entry(1), entry(3)], [entry(1), entry(2), entry(3)])


def test_history_of_another_version(tmp_path: Path) -> None:
    """Keys of a newer or an older Limpet must be left out, not lose the line."""
    path = tmp_path / "history.jsonl"
    path.write_text(
        json.dumps(
            {"at": 1.0, "revision": "r", "release": "x", "outcome": "Converged", "code": "x", "colour": "red"}
        )
        + "\n"
    )
    assert History(path).read() == [HistoryEntry(1.0, "r", "x", "Converged")]
