"""Access to a project's files: a protocol over POSIX paths relative to a virtual root, and an implementation
in memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class ProjectFiles(Protocol):
    """Read access below a virtual root. Paths are normalised, relative, and never leave the root; "." is the
    root.
    """

    def read(self, path: str) -> bytes | None:
        """The content of a file, or None if it does not exist."""

    def exists(self, path: str) -> bool:
        """Whether a file or directory exists."""

    def is_dir(self, path: str) -> bool:
        """Whether a directory exists."""


class MemoryFiles:
    """Files from a mapping of path to content; directories are implied."""

    def __init__(self, content: Mapping[str, bytes]) -> None:
        self._content = dict(content)
        self._directories = {"."}
        for path in self._content:
            parts = path.split("/")
            self._directories.update("/".join(parts[:end]) for end in range(1, len(parts)))

    def read(self, path: str) -> bytes | None:
        return self._content.get(path)

    def exists(self, path: str) -> bool:
        return path in self._content or path in self._directories

    def is_dir(self, path: str) -> bool:
        return path in self._directories
