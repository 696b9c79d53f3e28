"""The textfile for the node exporter."""

from __future__ import annotations

from pathlib import Path

from agent.report import prometheus
from agent.settings.values import HeartbeatSettings
from tests.unit.report.site import Site, proved


def test_prometheus(tmp_path: Path) -> None:
    """The textfile must be replaced as a whole, readable by all, with escaped labels and one line per
    sample.
    """
    site = Site(tmp_path, heartbeat=HeartbeatSettings(prometheus="/metrics"))
    (tmp_path / "metrics").mkdir()
    site.finish(proved(), fetched=True)
    path = tmp_path / "metrics/limpet.prom"
    lines = path.read_text().splitlines()
    assert path.stat().st_mode & 0o777 == 0o644 and len(list(path.parent.iterdir())) == 1
    assert 'limpet_state{state="Synced"} 1' in lines and 'limpet_state{state="Degraded"} 0' in lines
    assert "limpet_heartbeat_timestamp_seconds 1700000000" in lines
    assert "limpet_source_success_timestamp_seconds 1700000000" in lines
    assert 'limpet_resources{health="healthy"} 1' in lines
    assert 'x="a\\"b\\\\c\\nd"' in prometheus._labels({"x": 'a"b\\c\nd'})
    names = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(names) == len(set(names))
