"""Checks objects before they are trusted: they must be there, must have the content that their id says, and
the names in a tree must be names.

Rules: every walk is bounded, remembers what it has seen (a tree bomb costs its objects, not its paths) and
does not recurse. A name that Git forbids is the repository's fault (Stalled); an object that is missing or
wrong is the cache's fault (CacheDamaged).
"""

from __future__ import annotations

import hashlib
import heapq
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dulwich.objects import Commit, ObjectID, ShaFile, Tag, parse_tree

from agent.errors import LimpetError, Stalled
from agent.fetch.cache import CacheDamaged

if TYPE_CHECKING:
    from dulwich.object_store import DiskObjectStore

COMMIT, TREE, BLOB, TAG = 1, 2, 3, 4
NAMES = {COMMIT: b"commit", TREE: b"tree", BLOB: b"blob", TAG: b"tag"}
OBJECTS = 300_000  # of one revision
COMMITS = 1_000_000  # of a history
TAGS = 10  # tags of tags
DIRECTORY, SUBMODULE, TYPE = 0o040000, 0o160000, 0o170000
_GIT_DIRECTORY = re.compile(rb"(\.git|git~1)[. ]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class CommitHead:
    """The part of a commit that the walks need."""

    tree: ObjectID
    parents: tuple[ObjectID, ...]
    time: int


def raw(store: DiskObjectStore, oid: ObjectID, kind: int, rehash: bool = False) -> bytes:
    """The content of an object of this kind. Errors: CacheDamaged."""
    short = oid[:12].decode()
    try:
        found, data = store.get_raw(oid)
    except KeyError:
        raise CacheDamaged(f"object {short} is missing") from None
    except LimpetError:
        raise
    except Exception as error:  # whatever a damaged file makes the library say
        raise CacheDamaged(f"object {short} cannot be read ({type(error).__name__})") from None
    if found != kind:
        raise CacheDamaged(f"object {short} is not a {NAMES[kind].decode()}")
    if rehash and hashlib.sha1(b"%s %d\0" % (NAMES[kind], len(data)) + data).hexdigest() != oid.decode():
        raise CacheDamaged(f"object {short} does not have the content that its id says")
    return data


def head(store: DiskObjectStore, oid: ObjectID, rehash: bool = False) -> CommitHead:
    """Tree, parents and time of a commit. Errors: CacheDamaged."""
    tree, parents, time = b"", [], 0
    for line in raw(store, oid, COMMIT, rehash).split(b"\n\n", 1)[0].split(b"\n"):
        word, _, rest = line.partition(b" ")
        if word == b"tree":
            tree = rest
        elif word == b"parent":
            parents.append(ObjectID(rest))
        elif word == b"committer":
            stamp = rest.rpartition(b"> ")[2].split(b" ")[0]
            time = int(stamp) if stamp.isdigit() else 0
    if len(tree) != 40:
        raise CacheDamaged(f"commit {oid[:12].decode()} has no tree")
    return CommitHead(ObjectID(tree), tuple(parents), time)


def peel(store: DiskObjectStore, oid: ObjectID) -> ObjectID:
    """The commit behind a tag, or the commit itself. Errors: CacheDamaged; Stalled when the tag does not
    lead to a commit.
    """
    for _ in range(TAGS):
        try:
            kind, data = store.get_raw(oid)
        except KeyError:
            raise CacheDamaged(f"object {oid[:12].decode()} is missing") from None
        except Exception as error:
            raise CacheDamaged(
                f"object {oid[:12].decode()} cannot be read ({type(error).__name__})"
            ) from None
        if kind == COMMIT:
            return oid
        if kind != TAG:
            break
        tag = ShaFile.from_raw_string(TAG, data)
        assert isinstance(tag, Tag)
        oid = tag.object[1]
    raise Stalled(f"{oid[:12].decode()} is not a commit", "point the tag at a commit", code="SourceRef")


def inspect(store: DiskObjectStore, commit: ObjectID, rehash: bool = False) -> None:
    """Reads every tree of the commit and makes sure that every blob is there; with `rehash`, reads all
    content and compares it with its id.

    Errors: CacheDamaged; Stalled `BadTree` for names that Git forbids, `TooLarge`.
    """
    for blob in _blobs(store, commit, rehash):
        if rehash:
            raw(store, blob, BLOB, rehash)
        elif blob not in store:
            raise CacheDamaged(f"object {blob[:12].decode()} is missing")


def _blobs(store: DiskObjectStore, commit: ObjectID, rehash: bool) -> Iterator[ObjectID]:
    """The files of a commit, each object once."""
    root = head(store, commit, rehash).tree
    seen, todo = {root}, [(root, b"")]
    while todo:
        tree, path = todo.pop()
        for name, mode, oid in _entries(tree, raw(store, tree, TREE, rehash)):
            _check_name(name, path + name, commit)
            if oid in seen or mode & TYPE == SUBMODULE:
                continue
            seen.add(oid)
            _check_number(len(seen), commit)
            if mode & TYPE == DIRECTORY:
                todo.append((oid, path + name + b"/"))
            else:
                yield oid


def _check_number(objects: int, commit: ObjectID) -> None:
    if objects > OBJECTS:
        raise Stalled(
            f"the revision {commit[:12].decode()} holds more than {OBJECTS} files and directories",
            "split the repository",
            code="TooLarge",
        )


def _entries(tree: ObjectID, data: bytes) -> Iterator[tuple[bytes, int, ObjectID]]:
    names = set()
    try:
        entries = list(parse_tree(data, 20))
    except Exception as error:
        raise CacheDamaged(f"tree {tree[:12].decode()} cannot be read ({type(error).__name__})") from None
    for name, mode, oid in entries:
        if name in names:
            raise Stalled(
                f"the tree {tree[:12].decode()} holds {_text(name)} twice",
                "make the commit anew with git",
                code="BadTree",
            )
        names.add(name)
        yield name, mode, ObjectID(oid)


def _check_name(name: bytes, place: bytes, commit: ObjectID) -> None:
    if name in (b"", b".", b"..") or b"/" in name or _GIT_DIRECTORY.fullmatch(name):
        raise Stalled(
            f"the revision {commit[:12].decode()} holds an entry named {_text(name)} ({_text(place)})",
            "such names are used for attacks; remove the entry from the repository",
            code="BadTree",
        )


def _text(name: bytes) -> str:
    return repr(name.decode("utf-8", "replace"))[:120]


def descends(store: DiskObjectStore, commit: ObjectID, ancestor: ObjectID) -> bool:
    """Whether `ancestor` is `commit` or in its history.

    The newest commits are looked at first, so a recent ancestor is found early. Errors: CacheDamaged,
    Stalled.
    """
    seen = {commit}
    queue = [(0, commit)]
    while queue:
        _, oid = heapq.heappop(queue)
        if oid == ancestor:
            return True
        if len(seen) > COMMITS:
            raise Stalled(
                f"the history is longer than {COMMITS} commits", "use a younger repository", code="TooLarge"
            )
        parents = head(store, oid).parents
        if ancestor in parents:
            return True
        for parent in parents:
            if parent not in seen:
                seen.add(parent)
                heapq.heappush(queue, (-head(store, parent).time, parent))
    return False


def commit_details(store: DiskObjectStore, oid: ObjectID) -> dict[str, str | int]:
    """Message (at most 16 KiB), author and time of a commit, for people and for trailers."""
    commit = Commit.from_string(raw(store, oid, COMMIT))
    encoding = (commit.encoding or b"utf-8").decode("ascii", "replace")
    try:
        message = commit.message.decode(encoding, "replace")
    except LookupError:
        message = commit.message.decode("utf-8", "replace")
    return {
        "message": message[: 16 * 1024],
        "author": commit.author.decode("utf-8", "replace")[:256],
        "author_time": commit.author_time,
    }
