"""A check, as `layer.yaml` has it: a value. No I/O, no clock, no foreign import."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

CHECKED_EVERY = 30.0  # seconds


@dataclass(frozen=True, slots=True)
class Check:
    """A probe that is part of the gate, and asked `every` so often after it. Exactly one of `http`, `tcp`,
    `exec` is set. Times in seconds.
    """

    name: str
    http: str = ""
    status: int = 200
    tcp: str = ""
    exec: tuple[str, ...] = ()
    timeout: float = 10.0
    within: float = 0.0  # 0: the gate's deadline
    origin: str = ""
    every: float = CHECKED_EVERY

    def to_json(self) -> dict[str, Any]:
        doc = asdict(self) | {"exec": list(self.exec)}
        return doc if self.every != CHECKED_EVERY else _without(doc, "every")

    def identity(self) -> dict[str, Any]:
        """What makes it another check: neither its place nor how often it is asked."""
        return _without(asdict(self), "origin", "every")

    @property
    def by_hand(self) -> str:
        """The command by which a person runs it."""
        if self.http:
            return f"curl -i {self.http} (wants status {self.status})"
        return f"nc -vz {self.tcp.replace(':', ' ')}" if self.tcp else " ".join(self.exec)


def _without(doc: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in doc.items() if name not in names}
