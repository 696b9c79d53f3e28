"""Reaches host paths below a root through directory descriptors, and never through a link that somebody could
have planted.

Rules:
1. Every component is opened with `O_NOFOLLOW` from the descriptor of its parent.
2. A symbolic link among the parents is followed only when it belongs to root (or to the user of this process)
   and lies in a directory that does so too and is not world-writable: links of the distribution (`/var/run`,
   `/lib`) work, planted ones are refused.
3. A followed link stays below the root: absolute targets start at the root, `..` stops there.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from agent.errors import Stalled

LINKS = 40  # followed in one path, as the kernel allows
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Beneath:
    """The host's file system below `root`."""

    def __init__(self, root: str) -> None:
        self.root = root

    @contextmanager
    def parent(self, path: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
        """The open parent directory of an absolute host path, and the last component.

        With `make`, missing parents are made (0755). Errors: FileNotFoundError, NotADirectoryError, OSError;
        Stalled for a link that is not trusted.
        """
        parts = _parts(path)
        if not parts:
            raise Stalled(f"{path} is the root of the host", "manage what is in it")
        walk = _Walk(self.root, path, make)
        try:
            walk.enter(parts[:-1])
            yield walk.stack[-1], parts[-1]
        finally:
            walk.close()


class _Walk:
    """The descriptors from the root to the directory at hand."""

    def __init__(self, root: str, path: str, make: bool) -> None:
        self.path = path
        self.make = make
        self.links = 0
        self.stack = [os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)]

    def close(self) -> None:
        for descriptor in self.stack:
            os.close(descriptor)

    def enter(self, parts: list[str]) -> None:
        todo = list(reversed(parts))
        while todo:
            part = todo.pop()
            if part == "..":
                self._leave(len(self.stack) - 1)
                continue
            target = self._step(part)
            if target.startswith("/"):
                self._leave(1)
            todo.extend(reversed(_parts(target, dots=True)))

    def _leave(self, depth: int) -> None:
        """Goes back to the directory that lies `depth` deep; the root is 1, and is never left."""
        while len(self.stack) > max(depth, 1):
            os.close(self.stack.pop())

    def _step(self, part: str) -> str:
        """Goes into a directory and gives an empty text; stays at a trusted link and gives its target."""
        try:
            self.stack.append(self._open(part))
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                raise
            return self._link(part, error)
        return ""

    def _open(self, part: str) -> int:
        here = self.stack[-1]
        try:
            return os.open(part, _OPEN, dir_fd=here)
        except FileNotFoundError:
            if not self.make:
                raise
        try:
            os.mkdir(part, 0o755, dir_fd=here)
        except FileExistsError:
            return os.open(part, _OPEN, dir_fd=here)  # another thread made it
        made = os.open(part, _OPEN, dir_fd=here)
        os.fchmod(made, 0o755)  # whatever the umask
        os.fsync(here)
        return made

    def _link(self, part: str, error: OSError) -> str:
        """The target of a trusted link. Errors: NotADirectoryError when `part` is not a link, Stalled when it
        is not trusted.
        """
        here = self.stack[-1]
        status = os.stat(part, dir_fd=here, follow_symlinks=False)
        if not stat.S_ISLNK(status.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, f"{part} is not a directory", self.path) from error
        directory = os.fstat(here)
        trusted = {0, os.geteuid()}
        self.links += 1
        if self.links > LINKS:
            raise Stalled(
                f"{self.path}: more than {LINKS} symbolic links",
                "look for a loop of links",
                code="UnsafePath",
            )
        if (
            status.st_uid not in trusted
            or directory.st_uid not in trusted
            or directory.st_mode & stat.S_IWOTH
        ):
            raise Stalled(
                f"{self.path}: {part} is a symbolic link that uid {status.st_uid} could have planted",
                f"look where it points (ls -l), then remove the link {part}",
                code="UnsafePath",
            )
        return os.readlink(part, dir_fd=here)


def _parts(path: str, *, dots: bool = False) -> list[str]:
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not dots and (".." in parts or not path.startswith("/") or "\0" in path):
        raise Stalled(
            f"{path!r} is not an absolute path without ..",
            "write the path as the host sees it",
            code="UnsafePath",
        )
    return parts
