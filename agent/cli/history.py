"""Shows what was applied on this host: when, from which commit, with what result, how long it took, and by
whom. The newest entry is first.
"""

from __future__ import annotations

import argparse
import json
import time

from agent.installation import Paths
from agent.revision import Revision
from agent.store.history import History, HistoryEntry


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-n", type=int, default=20, metavar="COUNT", help="how many (default: 20; at most 500 are kept)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON value per line")


def run(args: argparse.Namespace) -> int:
    entries = History(Paths(args.root).history).tail(max(0, args.n))
    if args.json:
        for entry in entries:
            print(json.dumps(entry.to_json()))
        return 0
    if not entries:
        print("nothing was applied yet")
        return 0
    rows = [("WHEN", "REVISION", "RELEASE", "RESULT", "TOOK", "WHAT", "BY", "COMMIT"), *map(row, entries)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for line in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    return 0


def row(entry: HistoryEntry) -> tuple[str, ...]:
    """The cells of one entry. Times are local."""
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.at))
    result = f"{entry.outcome}: {_short(entry.message, 40)}" if entry.message else entry.outcome
    return (
        when,
        Revision.parse(entry.revision).short,
        entry.release[:8],
        result,
        f"{entry.duration_s:.1f} s",
        _counts(entry),
        _short(entry.by.partition(" <")[0], 24),
        _short(entry.subject, 40),
    )


def _counts(entry: HistoryEntry) -> str:
    counts = (
        (entry.created, "created"),
        (entry.replaced, "replaced"),
        (entry.deleted, "deleted"),
        (entry.corrective, "repaired"),
        (entry.failed, "failed"),
    )
    return ", ".join(f"{count} {word}" for count, word in counts if count) or "no change"


def _short(text: str, length: int) -> str:
    line = text.partition("\n")[0]
    return line if len(line) <= length else line[: length - 1] + "…"
