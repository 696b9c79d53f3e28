"""The history of this host: what was applied, when, from which commit, by whom, with which result. Its lines
are append-only, and bounded in number.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields
from itertools import islice
from pathlib import Path

from agent.model import Json, canonical_json
from agent.store import durable

KEEP = 500
_SLACK = 50  # lines over KEEP before the file is written anew


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One pass that changed something or tried to.

    at: wall time at its start, seconds
    subject: first line of the commit's message
    by: author of the commit
    """

    at: float
    revision: str
    release: str
    outcome: str
    trigger: str = ""
    subject: str = ""
    by: str = ""
    duration_s: float = 0.0
    created: int = 0
    replaced: int = 0
    deleted: int = 0
    corrective: int = 0
    failed: int = 0
    message: str = ""

    def to_json(self) -> dict[str, Json]:
        return {key: value for key, value in asdict(self).items() if value not in ("", 0)}

    @classmethod
    def from_json(cls, doc: dict[str, Json]) -> HistoryEntry:
        """Keys that this version does not know are left out. Errors: TypeError."""
        known = {f.name for f in fields(cls)}
        required: dict[str, Json] = {"at": 0.0, "revision": "", "release": "", "outcome": ""}
        return cls(**(required | {key: value for key, value in doc.items() if key in known}))


class History:
    """The lines at `path`. A line that a power cut tore is left out when they are read."""

    def __init__(self, path: Path, keep: int = KEEP) -> None:
        self.path = path
        self.keep = keep

    def append(self, entry: HistoryEntry) -> None:
        """Adds one entry, durably."""
        durable.make_directory(self.path.parent)
        line = canonical_json(entry.to_json()).encode() + b"\n"
        with durable.file_errors(self.path, "append to"):
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                size = os.fstat(descriptor).st_size
                torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
                os.write(descriptor, b"\n" + line if torn else line)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        if size == 0:
            durable.sync_directory(self.path.parent)
        self._bound()

    def read(self) -> list[HistoryEntry]:
        """All entries, oldest first."""
        return [entry for entry in map(_parse, self._lines()) if entry is not None]

    def tail(self, count: int) -> list[HistoryEntry]:
        """The newest `count` entries, newest first."""
        found = (entry for entry in map(_parse, reversed(self._lines())) if entry is not None)
        return list(islice(found, count))

    def _lines(self) -> list[bytes]:
        try:
            return self.path.read_bytes().splitlines()
        except FileNotFoundError:
            return []

    def _bound(self) -> None:
        durable.remove_temporaries(self.path.parent, self.path.name)
        lines = self._lines()
        if len(lines) > self.keep + _SLACK:
            durable.write_file(self.path, b"\n".join(lines[-self.keep :]) + b"\n")


def _parse(line: bytes) -> HistoryEntry | None:
    try:
        return HistoryEntry.from_json(json.loads(line))
    except (ValueError, TypeError, AttributeError):
        return None
