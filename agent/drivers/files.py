"""Writes files, directories and symbolic links of the host, below `--root`.

Rules:
1. Paths are walked by descriptors (`beneath`); a link that could have been planted is refused, never
   followed.
2. A file is replaced whole: a temporary file in the same directory gets owner and mode before any content,
   then fsync, rename, fsync of the directory. When anything fails, the temporary file is removed; a kill may
   leave one, which the next write in that directory removes.
3. A directory is removed only when it is empty. Nothing is removed recursively, ever.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import re
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from agent.drivers.beneath import Beneath
from agent.errors import Failed, LimpetError, Stalled, Transient
from agent.model import Resource, Spec

TEMPORARY = re.compile(r"\.limpet-[0-9a-f]{16}\.tmp")
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Blobs(Protocol):
    """The part of the content store that is needed here."""

    def get(self, digest: str) -> bytes: ...
    def put(self, data: bytes) -> str: ...


class HostFiles:
    """The host's files below `root`. Contents come from `content`, and saved originals go there."""

    def __init__(self, root: str, content: Blobs) -> None:
        self._beneath = Beneath(root)
        self._content = content
        self._lock = threading.Lock()
        # Directories without stale temporary files, each by device and inode.
        self._cleaned: set[tuple[int, int]] = set()

    # --- verbs ---

    def write(self, resource: Resource) -> None:
        """Puts the file of a resource in place, with content, mode, owner and group."""
        spec = resource.spec
        uid, gid = owner_ids(spec)
        self._put_file(spec["path"], self._content.get(spec["content"]), int(spec["mode"], 8), uid, gid)

    def mkdir(self, resource: Resource) -> None:
        """Makes the directory of a resource and missing parents (0755). An existing directory only gets its
        mode and owner.
        """
        path = resource.spec["path"]
        with self._at(path, make=True) as (parent, name):
            with suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=parent)
                os.fsync(parent)
        self.attributes(resource)

    def attributes(self, resource: Resource) -> None:
        """Sets mode, owner and group of an existing file or directory."""
        spec = resource.spec
        uid, gid = owner_ids(spec)
        directory = resource.key.kind == "directory"
        with self._at(spec["path"]) as (parent, name):
            descriptor = os.open(name, _READ | (os.O_DIRECTORY if directory else 0), dir_fd=parent)
            try:
                if not directory and not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise IsADirectoryError(errno.EISDIR, "is not a file")
                _set_attributes(descriptor, int(spec["mode"], 8), uid, gid)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def link(self, resource: Resource) -> None:
        """Puts the symbolic link of a resource in place."""
        self._put_link(resource.spec["path"], resource.spec["target"])

    def remove(self, path: str) -> None:
        """Removes a file or a link, if there is one. Errors: Stalled for a directory."""
        with suppress(Missing), self._at(path) as (parent, name):
            os.unlink(name, dir_fd=parent)
            os.fsync(parent)

    def rmdir(self, path: str) -> None:
        """Removes an empty directory, if there is one. Errors: Transient when something is in it."""
        with suppress(Missing), self._at(path) as (parent, name):
            os.rmdir(name, dir_fd=parent)
            os.fsync(parent)

    def save_original(self, path: str) -> Spec:
        """Describes what lies at `path`: type (file, directory, symlink, absent), mode, uid, gid, target. Its
        content goes to the store.
        """
        try:
            with self._at(path) as (parent, name):
                status = os.stat(name, dir_fd=parent, follow_symlinks=False)
                saved: dict[str, Any] = {
                    "mode": stat.S_IMODE(status.st_mode),
                    "uid": status.st_uid,
                    "gid": status.st_gid,
                }
                if stat.S_ISLNK(status.st_mode):
                    return saved | {"type": "symlink", "target": os.readlink(name, dir_fd=parent)}
                if stat.S_ISDIR(status.st_mode):
                    return saved | {"type": "directory"}
                if not stat.S_ISREG(status.st_mode):
                    raise Stalled(
                        f"{path} is neither file, directory nor link", f"look at {path}, then move it away"
                    )
                return saved | {"type": "file", "content": self._content.put(_read(name, parent))}
        except Missing:
            return {"type": "absent"}
        except Stalled as error:
            if error.code != "Blocked":
                raise
            return {"type": "absent"}  # it is below something that is not a directory

    def restore(self, path: str, original: Spec) -> None:
        """Puts back the original that `save_original` described."""
        kind = original["type"]
        if kind == "absent":
            self.remove(path)
        elif kind == "symlink":
            self._put_link(path, original["target"])
        elif kind == "file":
            data = self._content.get(original["content"])
            self._put_file(path, data, original["mode"], original["uid"], original["gid"])
        else:
            raise Stalled(f"cannot bring back a {kind} at {path}", f"make {path} by hand")

    # --- how ---

    def _put_file(self, path: str, data: bytes, mode: int, uid: int, gid: int) -> None:
        with (
            self._at(path, make=True, needed=len(data)) as (parent, name),
            self._temporary(parent) as temporary,
        ):
            descriptor = os.open(temporary, _NEW, 0o600, dir_fd=parent)
            try:
                _set_attributes(descriptor, mode, uid, gid)
                view = memoryview(data)
                while view:
                    view = view[os.write(descriptor, view) :]
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
            os.fsync(parent)

    def _put_link(self, path: str, target: str) -> None:
        with self._at(path, make=True) as (parent, name), self._temporary(parent) as temporary:
            os.symlink(target, temporary, dir_fd=parent)
            os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
            os.fsync(parent)

    @contextmanager
    def _temporary(self, parent: int) -> Iterator[str]:
        """A free name for a temporary file in `parent`. When the body fails, the file with this name is
        removed.
        """
        self._clean(parent)
        name = f".limpet-{os.urandom(8).hex()}.tmp"
        try:
            yield name
        except BaseException:
            with suppress(OSError):
                os.unlink(name, dir_fd=parent)
            raise

    def _clean(self, parent: int) -> None:
        """Removes the temporary files of killed writes from a directory, once for each process and directory:
        no other process writes meanwhile.
        """
        status = os.fstat(parent)
        with self._lock:
            if (status.st_dev, status.st_ino) in self._cleaned:
                return
            with os.scandir(parent) as entries:
                stale = [entry.name for entry in entries if TEMPORARY.fullmatch(entry.name)]
            for name in stale:
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=parent)
            self._cleaned.add((status.st_dev, status.st_ino))

    @contextmanager
    def _at(self, path: str, *, make: bool = False, needed: int = 0) -> Iterator[tuple[int, str]]:
        """The open parent of `path` and its name. Every OSError inside becomes an error with a remedy."""
        try:
            with self._beneath.parent(path, make=make) as (parent, name):
                yield parent, name
        except FileNotFoundError as error:
            raise Missing(f"{path} is not there", "the next pass looks again", code="Missing") from error
        except OSError as error:
            raise _translated(error, path, needed) from error


class Missing(Transient):
    """Something that was there when the pass looked is gone."""


def _set_attributes(descriptor: int, mode: int, uid: int, gid: int) -> None:
    """Owner first: a change of owner clears the set-uid bits. Only what differs, so that it works without
    root too.
    """
    status = os.fstat(descriptor)
    if (status.st_uid, status.st_gid) != (uid, gid):
        os.fchown(descriptor, uid, gid)
    if stat.S_IMODE(os.fstat(descriptor).st_mode) != mode:
        os.fchmod(descriptor, mode)


def _read(name: str, parent: int) -> bytes:
    descriptor = os.open(name, _READ, dir_fd=parent)
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


def owner_ids(spec: Spec) -> tuple[int, int]:
    """User and group id of a spec's `owner` and `group`, names or numbers. Errors: Failed for a name the host
    does not know.
    """
    return _id(spec, "owner"), _id(spec, "group")


def _id(spec: Spec, field: str) -> int:
    name = str(spec[field])
    if name.isdigit():
        return int(name)
    try:
        return pwd.getpwnam(name).pw_uid if field == "owner" else grp.getgrnam(name).gr_gid
    except KeyError as error:
        word, tool = ("user", "useradd") if field == "owner" else ("group", "groupadd")
        raise Failed(
            f"{spec['path']}: the {word} {name} does not exist on this host",
            f"create it ({tool} --system {name}) or name another {field}",
            code="UnknownOwner",
        ) from error


def _translated(error: OSError, path: str, needed: int) -> LimpetError:
    why = f"{path}: {error.strerror or error}"
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            size = f"; {needed} bytes are needed" if needed else ""
            return Transient(
                f"{why}{size}",
                f"free space or quota on the file system of {path} (df -h, df -i)",
                code="DiskFull",
            )
        case errno.EROFS:
            return Stalled(
                why,
                f"the file system of {path} is mounted read-only: remount it, or see dmesg for its errors",
                code="ReadOnly",
            )
        case errno.EACCES | errno.EPERM:
            return Stalled(
                why,
                f"Limpet must be root; see also lsattr {path} (immutable) and the service's sandbox",
                code="Forbidden",
            )
        case errno.ELOOP:
            return Stalled(
                f"{path}: a symbolic link is in its place",
                f"look where it points (ls -l {path}), then remove it",
                code="UnsafePath",
            )
        case errno.ENOTDIR:
            return Stalled(
                f"{path}: it, or what is above it, is not a directory", f"see namei -l {path}", code="Blocked"
            )
        case errno.EISDIR:
            return Stalled(
                f"{path}: something other than a file is in its place",
                f"look at {path}, then move it away or remove it",
                code="Blocked",
            )
        case errno.ENOTEMPTY | errno.EEXIST:
            return Transient(f"{path}: the directory is not empty", f"look into {path}", code="NotEmpty")
        case errno.ENAMETOOLONG:
            return Stalled(why, "choose a shorter path", code="Blocked")
        case _:
            return Transient(why, f"check the file system of {path} (dmesg, df)", code="FileSystem")
