"""The fault table of docs/reliability.md: nothing that was promised is missing, and each line is shown by a
test that exists.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROMISED = (
    "Power cut in a state file",
    "Full disk, at each step",
    "Read-only disk",
    "Docker killed, at each step",
    "Docker restarted or updated while a release is applied or judged",
    "Docker API cut after n bytes",
    "Registry answers 401",
    "Registry answers 404",
    "Registry answers 429 or 500",
    "Registry is slow, cut, down or hangs",
    "Git answers 401, 404, 429 or 500",
    "Git is slow, cut, down or hangs",
    "Deleted branch",
    "Rewritten branch",
    "Hung exec check",
    "Hung hook",
    "Hung stop",
    "Clock ±10 years, also while it works",
    "Memory limit hit in render",
    "Stale locks",
    "Copied machine-id: the state of another machine",
    "Network lost by the commit itself",
    "Git server rebooted right after a push",
)
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def rows() -> dict[str, list[str]]:
    """Fault -> the other cells of its line."""
    text = (ROOT / "docs/reliability.md").read_text().partition("## Faults")[2]
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("| ")
    ]
    return {fault: rest for fault, *rest in cells[1:]}


def test_every_promised_fault_has_a_line() -> None:
    """Each fault that Limpet promises to survive must be in the table, once, with what it does and what a
    person sees.
    """
    table = rows()
    assert [fault for fault in PROMISED if fault not in table] == []
    assert [fault for fault, cells in table.items() if len(cells) != 3 or not all(cells)] == []


def test_every_line_is_shown_by_tests_that_exist() -> None:
    """Each line must name at least one test, and every name in it must be that of a test."""
    missing = []
    for fault, cells in rows().items():
        named = NAMED.findall(cells[-1])
        assert named and not NAMED.sub("", cells[-1]).strip(), f"{fault}: {cells[-1]}"
        for path, name in named:
            tree = ast.parse((ROOT / path).read_text()) if (ROOT / path).exists() else ast.Module([], [])
            if name not in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}:
                missing.append(f"{fault}: {path}::{name}")
    assert missing == []
