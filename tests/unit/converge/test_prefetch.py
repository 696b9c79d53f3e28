"""What the heartbeat shows of pulls while they run."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from agent.converge import prefetch
from agent.errors import Transient
from agent.report.progress import Silent
from tests.unit.report.site import Site


def test_pulls_are_written_once_a_second_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However fast a pull tells its progress, the heartbeat must be written about once a second, and its
    trouble end no pull.
    """
    site = Site(tmp_path)
    now, written = [0.0], []
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(site.reporter, "pulls", lambda pulls: written.append(dict(pulls)))
    meter = prefetch.PullMeter(Silent(), site.reporter)
    for step in range(1, 1000):
        now[0] = step / 200
        meter.pull("a:1", step, 1000)
    assert [round(pulls["a:1"][0] / 200) for pulls in written] == [1, 2, 3, 4]

    def full(pulls: object) -> None:
        raise Transient("no space left on device", "free space")

    now[0] = 9.0
    monkeypatch.setattr(site.reporter, "pulls", full)
    meter.pull("a:1", 1000, 1000)
