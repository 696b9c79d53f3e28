"""A directory as a tree, for `--repo`. In a checkout it has the files that Git tracks, with their current
content; elsewhere it has all files.
"""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from dulwich.errors import NotGitRepository
from dulwich.ignore import IgnoreFilterManager
from dulwich.index import IndexEntry
from dulwich.repo import Repo

from agent.render.ciphertext import recognise
from agent.render.tree import BaseTree, EntryRefused, TreeEntry


class DirTree(BaseTree):
    """A directory for `--repo`: the tracked files of a checkout, or all files elsewhere."""

    def __init__(self, directory: str | Path, name: str = "") -> None:
        self._root = Path(directory).resolve()
        super().__init__(name or self._root.name)
        self._committed: dict[str, bytes] = {}
        self._tracked = _tracked(self._root, self._committed)

    def note(self, path: str) -> str:
        if self._tracked is None or not os.path.lexists(self._root / path):
            return ""
        if not path:
            return "Git tracks no file here yet: git add -A" if not self._tracked[""] else ""
        return f"it exists, but Git does not track it: git add {path}"

    def remotes(self) -> list[str]:
        """The URLs from which a checkout was fetched; none elsewhere."""
        try:
            with Repo.discover(str(self._root)) as repo:
                sections = repo.get_config().sections()
                named = [section for section in sections if section[0] == b"remote"]
                found = [repo.get_config().get(section, b"url") for section in named]
        except (NotGitRepository, KeyError, OSError, ValueError):
            return []
        return [url.decode("utf-8", "replace") for url in found]

    def untracked(self, most: int = 1000) -> list[str]:
        """Files that exist, but are neither tracked nor ignored by Git, so that no host will see them; at
        most `most`.
        """
        if self._tracked is None:
            return []
        with Repo.discover(str(self._root)) as repo:
            unknown = self._unknown(self._tracked, _ignored_by(repo, self._root))
            return list(itertools.islice(unknown, most))

    def _unknown(
        self, tracked: Mapping[str, Mapping[str, int]], ignored: Callable[[str, bool], bool]
    ) -> Iterator[str]:
        for above, directories, files in os.walk(self._root):
            here = os.path.relpath(above, self._root)
            known = tracked.get("" if here == "." else here, {})
            own = (name for name in sorted(directories) if not _is_repository(Path(above), name))
            directories[:] = [name for name in own if not ignored(f"{here}/{name}", True)]
            new = (f"{here}/{name}" for name in sorted(files) if name not in known)
            yield from (os.path.normpath(path) for path in new if not ignored(path, False))

    def _list(self, directory: str) -> Mapping[str, TreeEntry]:
        there = self._root / directory
        if self._tracked is None:
            try:
                with os.scandir(there) as found:
                    return {
                        item.name: _disk_entry(item.stat(follow_symlinks=False).st_mode)
                        for item in found
                        if item.name != ".git"
                    }
            except OSError as error:
                raise EntryRefused(
                    directory, f"cannot be read: {error.strerror}", "check its permissions"
                ) from error
        entries = {}
        for name, mode in self._tracked.get(directory, {}).items():
            try:
                disk = (there / name).lstat().st_mode
            except OSError:
                continue  # tracked, but removed in the working tree
            entries[name] = (
                TreeEntry("submodule") if stat.S_IFMT(mode) == 0o160000 else _disk_entry(disk, mode)
            )
        return entries

    def _content(self, path: str, entry: TreeEntry) -> bytes:
        if entry.kind == "link":
            return os.fsencode((self._root / path).readlink())
        if path in self._committed:
            return self._committed[path]  # hosts will see this, whatever the checkout has
        try:
            descriptor = os.open(self._root / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as file:
                return file.read(self.max_file + 1)
        except OSError as error:
            raise EntryRefused(path, f"cannot be read: {error.strerror}", "check its permissions") from error


def _is_repository(above: Path, name: str) -> bool:
    """Whether a directory is a Git repository of its own, or the `.git` of this one."""
    return name == ".git" or (above / name / ".git").exists()


def _ignored_by(repo: Repo, root: Path) -> Callable[[str, bool], bool]:
    """A function that tells whether Git ignores a path below `root`; its second argument: whether that is a
    directory.
    """
    manager = IgnoreFilterManager.from_repo(repo)
    prefix = os.path.relpath(root, Path(repo.path).resolve())

    def ignored(path: str, directory: bool) -> bool:
        full = os.path.normpath(f"{prefix}/{path}")
        return bool(manager.is_ignored(f"{full}/" if directory else full))

    return ignored


def _disk_entry(mode: int, tracked: int | None = None) -> TreeEntry:
    if stat.S_ISDIR(mode):
        return TreeEntry("directory")
    if stat.S_ISLNK(mode):
        return TreeEntry("link")
    if stat.S_ISREG(mode):
        executable = mode if tracked is None or not stat.S_ISREG(tracked) else tracked
        return TreeEntry("file", executable=bool(executable & 0o100))
    return TreeEntry("refused", reason="is not a file, a directory or a link")


def _tracked(root: Path, committed: dict[str, bytes]) -> dict[str, dict[str, int]] | None:
    """The tracked entries below `root`, from the index of the checkout: directory -> name -> mode. None
    outside of a checkout.

    Adds to `committed` what stands for other content in the repository (a Git LFS pointer, a file of
    git-crypt), even if a filter of Git has put the content itself into the checkout.
    """
    try:
        repo = Repo.discover(str(root))
    except NotGitRepository:
        return None
    with repo:
        return None if repo.bare else _from_index(repo, root, committed)


def _from_index(repo: Repo, root: Path, committed: dict[str, bytes]) -> dict[str, dict[str, int]]:
    prefix = os.path.relpath(root, Path(repo.path).resolve())
    start = b"" if prefix == "." else os.fsencode(prefix) + b"/"
    directories: dict[str, dict[str, int]] = {"": {}}
    index = {raw: entry for raw, entry in repo.open_index().items() if isinstance(entry, IndexEntry)}
    filtered = any(
        _names_filter(repo, entry) for raw, entry in index.items() if raw.endswith(b".gitattributes")
    )
    for raw, entry in index.items():
        if raw.startswith(start):
            path = raw[len(start) :].decode(errors="surrogateescape")
            _add(directories, path, entry.mode)
            if filtered and stat.S_ISREG(entry.mode) and recognise(blob := _blob(repo, entry)):
                committed[path] = blob
    return directories


def _blob(repo: Repo, entry: IndexEntry) -> bytes:
    try:
        return bytes(repo.object_store.get_raw(entry.sha)[1])
    except KeyError:  # a partial clone
        return b""


def _names_filter(repo: Repo, entry: IndexEntry) -> bool:
    return b"filter=" in _blob(repo, entry)


def _add(directories: dict[str, dict[str, int]], path: str, mode: int) -> None:
    directory, _, name = path.rpartition("/")
    if directory not in directories:
        directories[directory] = {}
        _add(directories, directory, stat.S_IFDIR)
    directories[directory][name] = mode
