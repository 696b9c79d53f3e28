"""The faults of docs/reliability.md: nothing that was promised is missing, and each fault is shown by tests
that exist.
"""

from __future__ import annotations

import ast
import functools
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
    "The token for Git has expired",
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


FAULT = re.compile(
    r"#### (?P<fault>[^\n]+)\n\n- \*\*What happens:\*\* (?P<happens>.+?)\n- \*\*You see:\*\* (?P<seen>.+?)"
    r"\n- \*\*Shown by:\*\*\n(?P<tests>(?:  - [^\n]+\n)+)",
    re.DOTALL,
)


@functools.cache
def functions_in(path: str) -> frozenset[str]:
    """The names of the functions in a file; none when there is no such file."""
    if not (ROOT / path).exists():
        return frozenset()
    nodes = ast.walk(ast.parse((ROOT / path).read_text()))
    return frozenset(node.name for node in nodes if isinstance(node, ast.FunctionDef))


def faults() -> dict[str, re.Match[str]]:
    """Fault -> its parts. Fails when a fault is listed twice, or has not exactly these parts."""
    text = (ROOT / "docs/reliability.md").read_text().partition("\n## Faults\n")[2]
    blocks = re.findall(r"^#### .*?(?=^#|\Z)", text, re.DOTALL | re.MULTILINE)
    found = {block: FAULT.fullmatch(block.rstrip() + "\n") for block in blocks}
    assert [block for block, parts in found.items() if parts is None] == []
    listed = [parts["fault"] for parts in found.values() if parts]
    assert sorted(listed) == sorted(set(listed))
    return {parts["fault"]: parts for parts in found.values() if parts}


def test_every_promised_fault_is_listed() -> None:
    """Each fault that Limpet promises to survive must be listed, once, with what happens and what a person
    sees.
    """
    listed = faults()
    assert [fault for fault in PROMISED if fault not in listed] == []
    assert [fault for fault, parts in listed.items() if not parts["happens"] or not parts["seen"]] == []


def test_every_fault_is_shown_by_tests_that_exist() -> None:
    """Each fault must name at least one test, and every name in it must be that of a test."""
    missing = []
    for fault, parts in faults().items():
        named = NAMED.findall(parts["tests"])
        assert named and not NAMED.sub("", parts["tests"]).replace("  - ", "").strip(), fault
        for path, name in named:
            if name not in functions_in(path):
                missing.append(f"{fault}: {path}::{name}")
    assert missing == []
