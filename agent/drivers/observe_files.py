"""Reads what lies at host paths, without following links. Unknown is not missing: what cannot be read is an
error.
"""

from __future__ import annotations

import errno
import functools
import grp
import hashlib
import os
import pwd
import stat
from collections.abc import Iterable, Set
from itertools import groupby

from agent.drivers.beneath import Beneath
from agent.errors import Stalled, Transient
from agent.observed import ObservedFile

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CHUNK = 1 << 20
_TYPES = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink"}


def observe_files(paths: Iterable[str], root: str) -> dict[str, ObservedFile]:
    """What lies at these paths. Each parent directory is walked to once."""
    found: dict[str, ObservedFile] = {}
    beneath, looked_at = Beneath(root), frozenset(paths)
    in_order = sorted(looked_at, key=lambda path: path.rpartition("/")[::2])
    for _, siblings in groupby(in_order, key=lambda path: path.rpartition("/")[0]):
        found |= _siblings(beneath, list(siblings), looked_at)
    return found


def _siblings(beneath: Beneath, paths: list[str], looked_at: Set[str]) -> dict[str, ObservedFile]:
    """What lies at paths of one directory. Errors: Transient."""
    try:
        with beneath.parent(paths[0]) as (parent, _):
            seen = {path: _file(parent, path, looked_at) for path in paths}
        return {path: there for path, there in seen.items() if there is not None}
    except (FileNotFoundError, NotADirectoryError):
        return {}  # nothing can lie there
    except Stalled:  # behind a link that is not trusted
        return {path: ObservedFile("other", 0, 0, 0) for path in paths}
    except OSError as error:
        raise Transient(
            f"cannot read {paths[0]}: {error.strerror}", "check the file system (dmesg)", code="FileSystem"
        ) from error


def _file(parent: int, path: str, looked_at: Set[str]) -> ObservedFile | None:
    name = path.rpartition("/")[2]
    try:
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        kind = _TYPES.get(stat.S_IFMT(status.st_mode), "other")
        empty, known = _inside(parent, path, looked_at) if kind == "directory" else (False, False)
        return ObservedFile(
            kind,
            stat.S_IMODE(status.st_mode),
            status.st_uid,
            status.st_gid,
            _user(status.st_uid),
            _group(status.st_gid),
            content=_content(parent, name) if kind == "file" else "",
            target=os.readlink(name, dir_fd=parent) if kind == "symlink" else "",
            empty=empty,
            size=status.st_size if kind == "file" else 0,
            known=known,
        )
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EINVAL, errno.ENOTDIR):
            raise Transient(
                f"{path} changed while it was read", "the next pass looks again", code="Busy"
            ) from error
        raise


def _content(parent: int, name: str) -> str:
    descriptor = os.open(name, _READ, dir_fd=parent)
    try:
        digest = hashlib.sha256()
        while chunk := os.read(descriptor, _CHUNK):
            digest.update(chunk)
        return digest.hexdigest()
    finally:
        os.close(descriptor)


def _inside(parent: int, path: str, looked_at: Set[str]) -> tuple[bool, bool]:
    """Whether a directory is empty, and whether all that is in it is looked at."""
    descriptor = os.open(path.rpartition("/")[2], _READ | os.O_DIRECTORY, dir_fd=parent)
    empty = True
    try:
        with os.scandir(descriptor) as entries:
            for entry in entries:
                empty = False
                if f"{path}/{entry.name}" not in looked_at:
                    return False, False
        return empty, True
    finally:
        os.close(descriptor)


@functools.lru_cache(maxsize=1024)
def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


@functools.lru_cache(maxsize=1024)
def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def bare_paths(paths: Iterable[str], root: str) -> frozenset[str]:
    """The host paths of data at which nothing lies, or an empty directory. What cannot be read is not bare:
    it is only looked at for a warning.
    """
    return frozenset(path for path in paths if _is_bare(f"{root.rstrip('/')}{path}"))


def _is_bare(path: str) -> bool:
    try:
        with os.scandir(path) as entries:
            return next(entries, None) is None
    except FileNotFoundError:
        return not os.path.lexists(path)
    except OSError:
        return False
