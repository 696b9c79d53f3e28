"""Loads Compose projects as the Compose Specification's reference loader does. The README describes the
interface.
"""

from __future__ import annotations

from .canonical import canonical
from .errors import ComposeError, ComposeErrors, Place, Warning
from .files import MemoryFiles, ProjectFiles
from .load import load_project
from .project import Project
from .scalars import duration_ns, parse_bytes

__all__ = [
    "ComposeError",
    "ComposeErrors",
    "MemoryFiles",
    "Place",
    "Project",
    "ProjectFiles",
    "Warning",
    "canonical",
    "duration_ns",
    "load_project",
    "parse_bytes",
]
