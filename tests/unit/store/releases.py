"""Releases and pins to remember."""

from __future__ import annotations

from agent.model import Release
from agent.revision import Revision
from agent.store.verdicts import Pin


def release(number: int, at: float = 1.0) -> Release:
    return Release(f"{number:064x}", {"nginx:1": f"sha256:{number}"}, Revision("main", f"{number:040x}"), at)


def pin(number: int) -> Pin:
    return Pin("https://git.example.org/fleet.git", "refs/heads/main", f"{number:040x}")
