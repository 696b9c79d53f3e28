#!/usr/bin/env python3
"""Whether the fast tests take enough of the branches of the code that decides.

Usage: python tools/branches.py [FILE], after `pytest --cov --cov-report=json:FILE` over the fast tests; FILE
is build/coverage/coverage.json unless you say otherwise. Fails when a part of the code has less than FLOOR
percent of its branches taken, and shows the lines where the others begin.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

FLOOR = 95.0  # percent, of each part
PARTS = ("agent/decide/", "agent/kinds/", "agent/compose/", "agent/model.py")


def main(path: str) -> int:
    measured: dict[str, Any] = json.loads(Path(path).read_bytes())["files"]
    parts: dict[str, list[str]] = defaultdict(list)
    for name in sorted(measured):
        parts[next(part for part in PARTS if name.startswith(part))].append(name)
    low = [part for part in PARTS if show(part, [(name, measured[name]) for name in parts[part]]) < FLOOR]
    if low:
        print(f"fewer than {FLOOR:g} % of the branches are taken: {', '.join(low)}", file=sys.stderr)
    return 1 if low else 0


def show(part: str, files: list[tuple[str, dict[str, Any]]]) -> float:
    """Prints the share of a part's branches that are taken, and what is missing when that is too little."""
    total = sum(file["summary"]["num_branches"] for _, file in files)
    share = 100.0 * sum(file["summary"]["covered_branches"] for _, file in files) / total if total else 0.0
    print(f"{part:16} {share:5.1f} % of {total} branches")
    for name, file in files if share < FLOOR else ():
        if lines := sorted({start for start, _ in file["missing_branches"]}):
            print(f"    {name}: {', '.join(map(str, lines))}")
    return share


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:] or ["build/coverage/coverage.json"]))
