"""Writes files that survive a power cut: whole or not at all.

Rules:
1. A file is replaced by a temporary one in the same directory: created with its final mode, written, fsync,
   rename, fsync of the directory. A reader sees the old or the new bytes, never a mix.
2. `remove_temporaries` finds by its name a temporary file that a kill left; no other file has such a name.
3. OSError is translated here: a full disk is `Transient`, a read-only or forbidden place is `Stalled`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from agent.errors import LimpetError, Stalled, Transient

MARK = ".limpet-new-"
_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
}


def write_file(path: Path, data: bytes, *, mode: int = 0o600, durable: bool = True) -> None:
    """Replaces `path` by `data`. `durable=False` leaves out the fsyncs (for tmpfs and caches); it is still
    atomic. Errors: Transient, Stalled.
    """
    with file_errors(path, "write"):
        replace_file(path, data, mode=mode, durable=durable)


def replace_file(path: Path, data: bytes, *, mode: int = 0o600, durable: bool = True) -> None:
    """`write_file` for callers that have their own words for an OSError."""
    temporary = write_beside(path, data, mode=mode)
    try:
        if durable:
            sync_file(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        sync_directory(path.parent)


def write_beside(path: Path, data: bytes, *, mode: int) -> Path:
    """A new temporary file beside `path` that holds `data`; not yet synced. The caller renames or removes
    it.
    """
    temporary = path.with_name(f".{path.name}{MARK}{os.urandom(6).hex()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        os.fchmod(descriptor, mode)  # whatever the umask says
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    return temporary


def sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_directory(path: Path) -> None:
    """Makes the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: Path, mode: int = 0o700) -> None:
    """Makes a directory and its parents, durably; the directory itself gets `mode`."""
    if path.is_dir():
        return
    with file_errors(path, "make the directory"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=mode, exist_ok=True)
        sync_directory(path.parent)


def remove_temporaries(directory: Path, name: str = "") -> int:
    """Removes the temporary files that a kill left in `directory`, those of the file `name` or of all files.
    Only for the single writer.
    """
    removed = 0
    with suppress(FileNotFoundError, NotADirectoryError):
        for entry in os.scandir(directory):
            if entry.name.startswith(f".{name}{MARK}" if name else ".") and MARK in entry.name:
                with suppress(FileNotFoundError):
                    Path(entry.path).unlink()
                    removed += 1
    return removed


@contextmanager
def file_errors(path: Path, doing: str) -> Iterator[None]:
    """Turns an OSError about our own files into a Limpet error with a remedy."""
    try:
        yield
    except OSError as error:
        raise translate(error, path, doing) from error


@contextmanager
def unless_full() -> Iterator[None]:
    """Lets a write inside be lost when the disk is full."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise


def translate(error: OSError, path: Path, doing: str) -> LimpetError:
    why = f"cannot {doing} {path}: {error.strerror or error}"
    if error.errno in _FULL:
        return Transient(why, f"free space or quota on the file system of {path.parent}", code="DiskFull")
    if error.errno in _FORBIDDEN:
        return Stalled(
            why,
            f"make {path.parent} writable for Limpet, which usually runs as root",
            code="StateNotWritable",
        )
    return Transient(why, f"check the file system of {path.parent} (dmesg, df)", code="StateNotWritable")
