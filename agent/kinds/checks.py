"""The checks of the gate, as a person runs them. `render/checks.py` reads them, `drivers/checks.py` runs
them.
"""

from __future__ import annotations

from agent.model import Check


def describe_check(check: Check) -> str:
    """The command by which a person runs a check by hand."""
    if check.http:
        return f"curl -i {check.http} (wants status {check.status})"
    return f"nc -vz {check.tcp.replace(':', ' ')}" if check.tcp else " ".join(check.exec)
