"""The heartbeat as a file for the textfile collector of Prometheus' node exporter. Replaced atomically, mode
0644.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

from agent.model import Json
from agent.report.heartbeat import STATES
from agent.store import durable

NAME = "limpet.prom"

Metric = tuple[Mapping[str, str], float]


def write_metrics(directory: Path, doc: Mapping[str, Json]) -> None:
    """Writes limpet.prom into `directory`. Errors: Transient, Stalled."""
    durable.remove_temporaries(directory, NAME)
    durable.write_file(directory / NAME, text(doc).encode(), mode=0o644, durable=False)


def text(doc: Mapping[str, Json]) -> str:
    """The metrics, in the text format."""
    lines = []
    for name, kind, about, samples in _metrics(doc):
        lines += [f"# HELP limpet_{name} {about}", f"# TYPE limpet_{name} {kind}"]
        lines += [f"limpet_{name}{_labels(labels)} {value:.15g}" for labels, value in samples]
    return "\n".join(lines) + "\n"


def _metrics(doc: Mapping[str, Json]) -> Iterator[tuple[str, str, str, list[Metric]]]:
    """(name, type, help, samples) of every metric."""
    yield "info", "gauge", "What is applied.", [(_info(doc), 1)]
    states: list[Metric] = [({"state": s}, float(s == doc["state"])) for s in STATES]
    yield "state", "gauge", "1 for the state that the host is in.", states
    for name, about, value in _times(doc):
        yield name, "gauge", about, [({}, _seconds(value))]
    yield "source_failures", "gauge", "Failed polls in a row.", [({}, float(doc["source"]["failures"]))]
    health: list[Metric] = [
        ({"health": h}, float(count)) for h, count in sorted(doc["resources"]["by_health"].items())
    ]
    yield "resources", "gauge", "Resources by health.", health
    drifted = float(len(doc["drift"]["now"]))
    yield "drifted", "gauge", "Resources that differ and are not repaired.", [({}, drifted)]
    corrected = float(doc["drift"]["corrected_total"])
    yield "drift_corrected_total", "counter", "Resources repaired.", [({}, corrected)]
    yield "rejected", "gauge", "Releases that failed their gate.", [({}, float(len(doc["rejected"])))]
    conditions: list[Metric] = [
        ({"type": c["type"], "reason": c["reason"]}, float(c["status"] == "True")) for c in doc["conditions"]
    ]
    yield "condition", "gauge", "1 while the condition is true.", conditions
    if doc["last_pass"]:
        duration = float(doc["last_pass"]["duration_s"])
        yield "last_pass_duration_seconds", "gauge", "Of the last pass.", [({}, duration)]
    events: list[Metric] = [({"event": n}, float(count)) for n, count in sorted(doc["counters"].items())]
    yield "events_total", "counter", "Passes, rollbacks and the like.", events


def _info(doc: Mapping[str, Json]) -> dict[str, str]:
    return {
        "version": doc["agent_version"],
        "branch": doc["source"]["branch"],
        "applied": doc["revision"]["applied"],
        "observed": doc["revision"]["observed"],
        "release": doc["release"],
    }


def _times(doc: Mapping[str, Json]) -> list[tuple[str, str, str]]:
    """(name, help, RFC 3339) of the metrics that are times."""
    last = doc["source"]["last_success_at"]
    return [
        ("heartbeat_timestamp_seconds", "When the heartbeat was written.", doc["written_at"]),
        ("heartbeat_due_timestamp_seconds", "When the next one is due.", doc["due_by"]),
        ("source_success_timestamp_seconds", "When the source answered last.", last),
        ("health_timestamp_seconds", "Of when health and drift are.", doc["health"]["at"]),
    ]


def _seconds(time: str) -> float:
    return datetime.fromisoformat(time).timestamp() if time else 0.0


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    escaped = {k: v.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for k, v in labels.items()}
    return "{" + ",".join(f'{name}="{value}"' for name, value in escaped.items()) + "}"
