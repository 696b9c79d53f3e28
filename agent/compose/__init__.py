"""Compose projects, loaded as the Compose Specification's reference loader does. The README describes the
interface.
"""

from __future__ import annotations

from .canonical import canonical
from .errors import ComposeError, ComposeErrors, Place, Warning
from .files import Files, MemoryFiles
from .load import load
from .project import Project
from .scalars import duration_ns, parse_bytes

__all__ = [
    "ComposeError",
    "ComposeErrors",
    "Files",
    "MemoryFiles",
    "Place",
    "Project",
    "Warning",
    "canonical",
    "duration_ns",
    "load",
    "parse_bytes",
]
