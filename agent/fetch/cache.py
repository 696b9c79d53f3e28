"""The bare cache: holds the objects, knows which commit was seen last, and notices when its files have
changed.

Rules:
1. It is an ordinary bare repository that `git --git-dir` can read; its only ref is `refs/limpet/observed`.
2. Whoever changes it holds the lock. So locks and temporary files that are found then are left over from a
   killed fetch, and are removed.
3. Objects are synced before the ref that names them, and the ref before the stamp. The stamp holds the last
   answer, and size and times of every object file: while these match, nothing needs to be read again. The
   stamp does not outlive a boot, because a power cut may leave a file with the right size and the wrong
   content.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.clock import boot_id
from agent.errors import Transient
from agent.store import durable, locks

if TYPE_CHECKING:
    from dulwich.object_store import DiskObjectStore

OBSERVED = "refs/limpet/observed"
STAMP = "limpet.json"
SCHEMA = 1
CONFIG = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n"
_COMMIT = re.compile(r"[0-9a-f]{40}")


class CacheDamaged(Exception):
    """The cache holds something that Git did not write; the text says what."""


class Cache:
    """One bare repository. Only `store` loads a Git library."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._store: DiskObjectStore | None = None

    @classmethod
    def create(cls, beside: Path) -> Cache:
        """An empty cache next to `beside`, under a name of its own."""
        cache = cls(beside.with_name(f"{beside.name}.new-{os.urandom(4).hex()}"))
        for directory in ("objects/info", "objects/pack", "refs/heads", "refs/limpet"):
            (cache.path / directory).mkdir(parents=True)
        (cache.path / "config").write_text(CONFIG, encoding="ascii")
        (cache.path / "HEAD").write_text("ref: refs/heads/none\n", encoding="ascii")
        return cache

    def exists(self) -> bool:
        return self.path.is_dir() and any(self.path.iterdir())

    def whole(self) -> bool:
        """Whether the frame of a repository is there."""
        return (
            all((self.path / name).is_dir() for name in ("objects/pack", "refs"))
            and (self.path / "HEAD").is_file()
        )

    def observed(self) -> str:
        """The commit that was seen last; empty when there is none."""
        try:
            text = (self.path / OBSERVED).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            return ""
        return text if _COMMIT.fullmatch(text) else ""

    def stamp(self) -> dict[str, Any]:
        """The stamp of the last fetch. Empty when it cannot be read or is of another boot, or when the ref or
        the files have changed since.
        """
        try:
            stamp = json.loads((self.path / STAMP).read_bytes())
        except (OSError, ValueError):
            return {}
        if not isinstance(stamp, dict) or stamp.get("schema") != SCHEMA or stamp.get("boot_id") != boot_id():
            return {}
        same = (
            self.whole() and stamp["answer"]["commit"] == self.observed() and stamp["files"] == self._files()
        )
        return stamp if same else {}

    def _files(self) -> dict[str, list[int]]:
        """Size, times and inode of each object file."""
        found = {}
        for directory, _, names in os.walk(self.path / "objects"):
            for name in names:
                file = Path(directory, name)
                status = file.lstat()
                found[str(file.relative_to(self.path))] = [
                    status.st_size,
                    status.st_mtime_ns,
                    status.st_ctime_ns,
                    status.st_ino,
                ]
        return found

    def settle(self, commit: str) -> None:
        """Makes the objects durable, then the ref."""
        self.close()
        durable.sync_directory(self.path / "objects" / "pack")
        (self.path / OBSERVED).parent.mkdir(parents=True, exist_ok=True)
        durable.replace_file(self.path / OBSERVED, f"{commit}\n".encode())

    def remember(
        self, answer: dict[str, Any], ancestry: dict[str, bool], offers: dict[str, list[str]]
    ) -> None:
        """Writes the stamp. This is the very last step: after a kill before it, the next fetch looks for
        leftovers.
        """
        stamp = {
            "schema": SCHEMA,
            "boot_id": boot_id(),
            "files": self._files(),
            "ancestry": ancestry,
            "answer": answer,
            "offers": offers,
        }
        durable.replace_file(self.path / STAMP, json.dumps(stamp).encode())

    def store(self) -> DiskObjectStore:
        """The objects; kept open until `close`."""
        if self._store is None:
            from dulwich.object_store import DiskObjectStore

            self._store = DiskObjectStore(str(self.path / "objects"), fsync_object_files=True)
        return self._store

    def close(self) -> None:
        if self._store is not None:
            # The error about a damaged object may still hold a piece of the mapped pack.
            with contextlib.suppress(BufferError):
                self._store.close()
            self._store = None

    def tidy(self) -> None:
        """Removes what a killed fetch left: locks, temporary files, packs without an index, and caches that
        were being made.
        """
        for pattern in (f"{self.path.name}.new-*", f"{self.path.name}.old-*"):
            for leftover in self.path.parent.glob(pattern):
                _remove(leftover)
        for lock in (
            *self.path.glob("*.lock"),
            *self.path.glob("refs/**/*.lock"),
            *self.path.glob("objects/**/*.lock"),
        ):
            lock.unlink(missing_ok=True)
        for directory in (self.path, self.path / Path(OBSERVED).parent):
            durable.remove_temporaries(directory)
        for file in (*self.path.glob("objects/tmp*"), *self.path.glob("objects/pack/tmp*")):
            file.unlink(missing_ok=True)
        for file in self.path.glob("objects/pack/*.pack"):
            if not file.with_suffix(".idx").exists():
                file.unlink(missing_ok=True)

    def swap(self, place: Path) -> None:
        """Moves this cache to `place` and removes the one that was there."""
        self.close()
        old = place.with_name(f"{place.name}.old-{os.urandom(4).hex()}")
        with contextlib.suppress(FileNotFoundError):
            place.rename(old)
        self.path.rename(place)
        self.path = place
        durable.sync_directory(place.parent)
        _remove(old)

    def discard(self) -> None:
        self.close()
        _remove(self.path)


@contextlib.contextmanager
def hold(lock: Path, wait: float) -> Iterator[None]:
    """Only one fetch at a time; waits up to `wait` seconds.

    Errors: Transient `Locked`, which names the holder's process id; OSError.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = locks.take(lock, wait)
    except locks.Taken as taken:
        raise Transient(
            f"another fetch holds {lock} (process {taken.pid or 'unknown'})",
            "it is tried again",
            code="Locked",
        ) from None
    try:
        yield
    finally:
        os.close(descriptor)


def _remove(directory: Path) -> None:
    import shutil  # a poll with nothing new has nothing to remove

    shutil.rmtree(directory, ignore_errors=True)
