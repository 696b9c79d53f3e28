"""A disk whose power is cut: what may lie on it after any call of a writer.

The model, which is what POSIX promises and no more: bytes are on the disk after fsync of their file, before
that they may be there or not; names (create, link, rename, unlink) are there after fsync of their directory,
before that any first part of them may be, in order. One flat directory.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fakes.dying import patched


@dataclass
class _File:
    """One inode."""

    written: bytes = b""
    on_disk: bytes = b""


@dataclass
class _Disk:
    directory: Path
    names: dict[str, _File] = field(default_factory=dict)  # on the disk
    pending: list[tuple[str, str, _File | None]] = field(
        default_factory=list
    )  # not yet: (operation, name, file)
    open_files: dict[int, _File | None] = field(default_factory=dict)  # None: the directory

    def now(self, count: int | None = None) -> dict[str, _File]:
        """The names with the first `count` pending changes (default: all)."""
        found = dict(self.names)
        for operation, name, file in self.pending[:count]:
            if operation == "remove":
                found.pop(name, None)
            elif file is not None:
                found[name] = file
        return found

    def images(self) -> Iterator[dict[str, bytes]]:
        """What may lie on the disk if the power is cut now."""
        for count in range(len(self.pending) + 1):
            names = self.now(count)
            yield {name: file.on_disk for name, file in names.items()}
            yield {name: file.written for name, file in names.items()}


def cuts(action: Callable[[], object], directory: Path, scratch: Path) -> Iterator[Path]:
    """Runs `action`, which writes in `directory`, and yields `scratch` filled with every disk that a power
    cut could leave.

    The last one is what a cut after the end leaves at least.
    """
    disk = _Disk(
        directory, {path.name: _File(path.read_bytes(), path.read_bytes()) for path in directory.iterdir()}
    )
    found: list[dict[str, bytes]] = list(disk.images())

    def around(name: str, call: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        result = call(*args, **kwargs)
        _follow(disk, name, args, result)
        found.extend(image for image in disk.images() if image not in found)
        return result

    patched(around, action)
    for image in [*found, next(disk.images())]:
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        for name, data in image.items():
            (scratch / name).write_bytes(data)
        yield scratch


def _follow(disk: _Disk, call: str, args: Any, result: Any) -> None:
    """Takes one call into the model. Calls on other directories are left out."""
    if call in ("fsync", "write", "fchmod"):
        file = disk.open_files.get(args[0], _OTHER)
        if call == "fsync" and file is None:
            disk.names, disk.pending = disk.now(), []
        elif file is not None and file is not _OTHER:
            if call == "write":
                file.written += bytes(args[1][:result])
            elif call == "fsync":
                file.on_disk = file.written
        return
    path = Path(args[0])
    if call == "open":
        if path == disk.directory:
            disk.open_files[result] = None
        elif path.parent == disk.directory:
            if path.name not in disk.now() and args[1] & os.O_CREAT:
                disk.pending.append(("add", path.name, _File()))
            disk.open_files[result] = disk.now()[path.name]
        else:
            disk.open_files[result] = _OTHER
    elif path.parent == disk.directory:
        file = disk.now().get(path.name)
        if call in ("link", "replace", "rename"):
            target = Path(args[1]).name
            same = disk.now().get(target) is file
            if not (same and call != "link"):
                disk.pending.append(("add", target, file))
        if call == "unlink" or (call in ("replace", "rename") and not same):
            disk.pending.append(("remove", path.name, None))


_OTHER = _File()
