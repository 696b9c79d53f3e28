"""A commit in a bare repository as a tree. Objects are read from the Git database one by one; nothing is
checked out.
"""

from __future__ import annotations

import contextlib
import hashlib
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dulwich.errors import ObjectFormatException
from dulwich.object_store import DiskObjectStore
from dulwich.objects import ObjectID, ShaFile

from agent.errors import Stalled, Transient
from agent.render.tree import MAX_FILE, BaseTree, EntryRefused, TreeEntry, child_path


class GitTree(BaseTree):
    """A commit in a bare repository, read object by object."""

    def __init__(self, git_dir: str | Path, commit: str, name: str = "", max_file: int = MAX_FILE) -> None:
        own = Path(git_dir).name.removesuffix(".git") or Path(git_dir).absolute().parent.name
        super().__init__(name or own, max_file)
        self._store = DiskObjectStore(str(Path(git_dir) / "objects"))
        try:
            self._trees: dict[str, bytes] = {"": self._object(commit.encode(), b"commit").tree}
        except ObjectFormatException:
            raise Stalled(
                f"{commit[:12]} is not a valid Git commit", "create the commit again with Git"
            ) from None

    def close(self) -> None:
        # the error of a damaged object still refers to the mapped pack
        with contextlib.suppress(BufferError):
            self._store.close()

    def _object(self, sha: bytes, kind: bytes) -> Any:
        """An object of a kind, whose id is checked against its content. Raises Transient if it is damaged:
        the cache is to blame.
        """
        try:
            number, data = self._store.get_raw(ObjectID(sha))
            found = ShaFile.from_raw_string(number, data)
        except MemoryError:
            raise
        except Exception as error:
            # damaged objects raise anything: zlib, struct, assertion and dulwich errors
            raise self._damaged(sha, f"cannot be read ({type(error).__name__})") from error
        make = hashlib.sha1 if len(sha) == 40 else hashlib.sha256
        if make(b"%s %d\0" % (found.type_name, len(data)) + data).hexdigest().encode() != sha:
            raise self._damaged(sha, "does not match its id")
        if found.type_name != kind:
            raise self._damaged(sha, f"is a {found.type_name.decode()}, not a {kind.decode()}")
        return found

    def _damaged(self, sha: bytes, what: str) -> Transient:
        return Transient(
            f"object {sha.decode()[:12]} of the Git cache {what}",
            "the cache is fetched again",
            code="CacheDamaged",
        )

    def _list(self, directory: str) -> Mapping[str, TreeEntry]:
        entries: dict[str, TreeEntry] = {}
        try:
            items = self._object(self._trees[directory], b"tree").items()
        except ObjectFormatException:
            raise EntryRefused(
                directory, "is not a valid Git tree", "create the commit again with Git"
            ) from None
        for raw, mode, sha in items:
            name = raw.decode(errors="surrogateescape")
            entries[name] = _git_entry(mode, sha)
            if stat.S_ISDIR(mode):
                self._trees[child_path(directory, name)] = sha
        return entries

    def _content(self, path: str, entry: TreeEntry) -> bytes:
        try:
            return bytes(self._object(entry.ref, b"blob").data)
        except MemoryError:
            raise EntryRefused(path, "is too large to be read", "put large files into images") from None


def _git_entry(mode: int, sha: bytes) -> TreeEntry:
    if stat.S_ISDIR(mode):
        return TreeEntry("directory", sha)
    if stat.S_ISLNK(mode):
        return TreeEntry("link", sha)
    if stat.S_ISREG(mode):
        return TreeEntry("file", sha, bool(mode & 0o100))
    return TreeEntry("submodule", sha)
