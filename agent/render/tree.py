"""A revision of the repository as a read-only tree. Nothing is ever checked out.

Rules, the same for every implementation:
1. Paths are relative to the root of the repository, use `/`, and never contain `.`, `..`, `.git`, NUL or a
   backslash.
2. Symbolic links are followed inside the tree, as if they were their targets. Links that leave the tree,
   dangle or form a loop, submodules and hostile names are refused, but only when they are used.
3. `files` also lists refused entries, so that readers notice them; `read` raises EntryRefused for them.
4. Budgets limit what one rendering may list and read.
5. Content that stands for other content (`ciphertext`) is refused, unless it is encrypted and the reader asks
   for it as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from agent.render.ciphertext import ANNEX, StandIn, recognise
from agent.units import shown_bytes

MAX_FILE = 64 << 20  # bytes, unless the host's settings say otherwise
MAX_TOTAL = 128 << 20  # bytes, every file counted once; at least two of the largest
MAX_ENTRIES = 100_000
MAX_LINKS = 40  # followed to reach one file
LINK_HINT = "put the file itself in the repository"
ANNEXED = ".git/annex/objects/"  # where the link to a file of git-annex leads

EntryType = Literal["file", "directory", "link", "submodule", "refused"]


class EntryRefused(Exception):
    """An entry of the tree must not be used. `path` is its path in the repository; `line` is 0 for the file
    as a whole.
    """

    def __init__(self, path: str, message: str, hint: str = "", line: int = 0) -> None:
        super().__init__(f"{path}: {message}")
        self.path, self.message, self.hint, self.line = path, message, hint, line


class Tree(Protocol):
    """The tree that rendering reads."""

    name: str

    def files(self, prefix: str = "") -> list[str]:
        """The files below a directory (or the file itself), sorted, links to files included."""

    def read(self, path: str, encrypted: bool = False) -> bytes | None:
        """The content of a file; None if it does not exist. `encrypted`: take it also when it is encrypted.
        Raises EntryRefused.
        """

    def mode(self, path: str) -> int:
        """0o755 for an executable file, else 0o644."""

    def is_dir(self, path: str) -> bool:
        """Whether a directory exists; "" is the root. Raises EntryRefused."""

    def is_file(self, path: str) -> bool:
        """Whether something other than a directory exists. Reading it may still raise EntryRefused."""

    def children(self, path: str) -> list[str]:
        """The names directly below a directory, sorted; empty if it does not exist."""

    def note(self, path: str) -> str:
        """A note for people about a path that does not exist in the tree; usually empty."""


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """One entry of a directory. The implementation needs `ref` to read it. `reason` says why it is
    refused.
    """

    kind: EntryType
    ref: bytes = b""
    executable: bool = False
    reason: str = ""


@dataclass
class BaseTree:
    """Implements the rules above on two primitives: the entries of a real directory and the content of an
    entry.
    """

    name: str
    max_file: int = MAX_FILE
    _listed: dict[str, Mapping[str, TreeEntry]] = field(default_factory=dict, init=False)
    _read: dict[str, bytes] = field(default_factory=dict, init=False)
    _stand_ins: dict[str, StandIn | None] = field(default_factory=dict, init=False)
    _entries: int = field(default=0, init=False)
    _bytes: int = field(default=0, init=False)
    _walked: int = field(default=0, init=False)
    _resolved: dict[str, tuple[str, TreeEntry] | None] = field(default_factory=dict, init=False)
    _circles: set[str] = field(default_factory=set, init=False)

    def _list(self, directory: str) -> Mapping[str, TreeEntry]:
        raise NotImplementedError

    def _content(self, path: str, entry: TreeEntry) -> bytes:
        """The content of a file or the target of a link, at most `max_file` + 1 bytes."""
        raise NotImplementedError

    def files(self, prefix: str = "") -> list[str]:
        found = self._resolve(prefix)
        if found is None:
            return []
        real, entry = found
        if entry.kind != "directory":
            return [prefix]
        return sorted(self._walk(prefix, real, ()))

    def read(self, path: str, encrypted: bool = False) -> bytes | None:
        if path in self._circles:
            raise EntryRefused(path, "is a symbolic link to a directory that contains it", "remove the link")
        found = self._resolve(path)
        if found is None or found[1].kind == "directory":
            return None
        real, entry = found
        if entry.kind == "submodule":
            raise EntryRefused(
                path,
                "is a Git submodule, which is not fetched",
                "add its files to this repository, or remove it from the directory that is used",
            )
        if entry.kind == "refused":
            raise EntryRefused(path, entry.reason, "rename or remove it")
        if real not in self._read:
            self._read[real] = self._checked(path, self._content(real, entry))
            self._stand_ins[real] = recognise(self._read[real])
        found_out = self._stand_ins[real]
        if found_out is not None and not (found_out.encrypted and encrypted):
            raise EntryRefused(path, found_out.what, found_out.hint.format(path=path), 1)
        return self._read[real]

    def mode(self, path: str) -> int:
        found = self._resolve(path)
        return 0o755 if found is not None and found[1].executable else 0o644

    def is_dir(self, path: str) -> bool:
        found = self._resolve(path)
        return found is not None and found[1].kind == "directory"

    def is_file(self, path: str) -> bool:
        try:
            found = self._resolve(path)
        except EntryRefused:
            return True
        return found is not None and found[1].kind != "directory"

    def children(self, path: str) -> list[str]:
        found = self._resolve(path)
        if found is None or found[1].kind != "directory":
            return []
        return sorted(self._children(found[0]))

    def note(self, path: str) -> str:
        return ""

    def _checked(self, path: str, data: bytes) -> bytes:
        if len(data) > self.max_file:
            raise EntryRefused(
                path,
                f"is larger than {shown_bytes(self.max_file)}, the limit for one file",
                "put it into an image, or download it on the host; Git is for configuration. The host's "
                "owner sets the limit: source.max_file",
            )
        self._bytes += len(data)
        total = max(MAX_TOTAL, 2 * self.max_file)
        if self._bytes > total:
            raise EntryRefused(
                path,
                f"the files that this host uses add up to more than {shown_bytes(total)} together",
                "put large files into images",
            )
        return data

    def _children(self, directory: str) -> Mapping[str, TreeEntry]:
        if directory not in self._listed:
            entries = {name: _safe(name, entry) for name, entry in self._list(directory).items()}
            self._entries += len(entries)
            if self._entries > MAX_ENTRIES:
                raise self._too_many(directory)
            self._listed[directory] = entries
        return self._listed[directory]

    def _walk(self, shown: str, real: str, above: tuple[str, ...]) -> Iterator[str]:
        """The files below the real directory `real`, with paths that start with `shown`."""
        for name, entry in self._children(real).items():
            path = child_path(shown, name)
            self._walked += 1
            if self._walked > MAX_ENTRIES:
                raise self._too_many(path)
            below = self._directory_behind(path, child_path(real, name), entry)
            if below is not None and below != real and below not in above:
                yield from self._walk(path, below, (*above, real))
                continue
            if below is not None:
                self._circles.add(path)
            yield path

    def _directory_behind(self, path: str, real: str, entry: TreeEntry) -> str | None:
        """The real path of an entry that is a directory or a link to one; None for anything else."""
        if entry.kind != "link":
            return real if entry.kind == "directory" else None
        try:
            found = self._resolve(path)
        except EntryRefused:
            return None
        return found[0] if found is not None and found[1].kind == "directory" else None

    def _too_many(self, path: str) -> EntryRefused:
        return EntryRefused(
            path,
            f"the repository has more than {MAX_ENTRIES} entries in the directories that this host uses",
            "use fewer files, or set source.path to the directory that this host needs",
        )

    def _resolve(self, path: str) -> tuple[str, TreeEntry] | None:
        """The real path and entry of `path`, with links followed; None if it does not exist. Raises
        EntryRefused.
        """
        if path not in self._resolved:
            self._resolved[path] = self._follow(path)
        return self._resolved[path]

    def _follow(self, path: str) -> tuple[str, TreeEntry] | None:
        todo = _steps(path, linked=False)
        real, directory, links, target = "", TreeEntry("directory"), 0, ""
        while todo:
            part, linked = todo.pop()
            if part == "..":
                real = self._above(path, real, target)
                continue
            here = child_path(real, part)
            child = self._child(path, here, linked)
            if child is None or (todo and child.kind == "file"):
                return None
            if child.kind == "directory":
                real, directory = here, child
            elif child.kind == "link":
                links += 1
                target = self._target(path, here, child, links)
                todo += _steps(target, linked=True)
            else:
                return here, child
        return real, directory

    def _above(self, path: str, real: str, target: str) -> str:
        """The parent of a real directory, for `..` in a link to `target`. Raises EntryRefused at the root."""
        if not real:
            raise self._leaves(path, target)
        return real.rpartition("/")[0]

    def _child(self, path: str, real: str, linked: bool) -> TreeEntry | None:
        """The entry at a real path; None if it does not exist. Raises EntryRefused if a link of `path` leads
        there.
        """
        directory, _, name = real.rpartition("/")
        child = self._children(directory).get(name)
        if child is None and linked:
            raise EntryRefused(
                path,
                f"is, or is below, a symbolic link to {real}, which is not in Git",
                "add the target to Git, or remove the link",
            )
        return child

    def _leaves(self, path: str, target: str) -> EntryRefused:
        return EntryRefused(
            path, f"is, or is below, a symbolic link out of the repository, to {target}", LINK_HINT
        )

    def _target(self, path: str, link: str, entry: TreeEntry, links: int) -> str:
        """The target of a link, relative to its directory. `links`: the number of links followed for
        `path`.
        """
        if links > MAX_LINKS:
            raise EntryRefused(path, "symbolic links form a loop", "remove one of them")
        try:
            target = self._content(link, entry).decode()
        except UnicodeDecodeError:
            raise EntryRefused(path, "is a symbolic link whose target is not UTF-8", LINK_HINT) from None
        if ANNEXED in target:
            raise EntryRefused(path, ANNEX.what, ANNEX.hint.format(path=path), 1)
        if target.startswith("/"):
            raise self._leaves(path, target)
        return target


def child_path(directory: str, name: str) -> str:
    return f"{directory}/{name}" if directory else name


def _steps(path: str, linked: bool) -> list[tuple[str, bool]]:
    """The parts of a path or of a link's target, in reverse order. `linked` marks the parts of a target."""
    nothing = ("", ".") if linked else ("",)
    return [(part, linked) for part in reversed(path.split("/")) if part not in nothing]


def _safe(name: str, entry: TreeEntry) -> TreeEntry:
    """The entry, or a refused one if its name could mislead those who write or read it."""
    lowered = name.lower().rstrip(". ")
    if name in ("", ".", "..") or "/" in name or "\\" in name or lowered == ".git" or lowered == "git~1":
        return TreeEntry("refused", reason=f"has a forbidden name ({name!r})")
    if any(ord(char) < 32 or ord(char) == 127 or 0xD800 <= ord(char) < 0xE000 for char in name):
        return TreeEntry("refused", reason="has a name with control characters or bytes that are not UTF-8")
    return entry
