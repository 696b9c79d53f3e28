"""File contents by digest: those that releases need, and the originals that were on the host before us.

Rules:
1. A name is the SHA-256 of the bytes; `get` hashes again, so damage is noticed and never delivered to the
   host.
2. `put` returns only when the content is durable; putting a damaged content again heals it.
3. Only `collect` deletes contents, all but those that it is told to keep; and `get` deletes damaged ones.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

from agent.errors import Stalled, Transient
from agent.model import sha256
from agent.store import durable

_DIGEST = r"[0-9a-f]{64}"


class Content:
    """A directory of contents, 0700, its files 0600."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, digest: str) -> Path:
        """The file of a content. Errors: ValueError when `digest` is not a digest (a bug, or an attempt to
        leave the directory).
        """
        if not re.fullmatch(_DIGEST, digest):
            raise ValueError(f"not a content digest: {digest!r}")
        return self.directory / digest

    def put(self, data: bytes) -> str:
        """Stores one content, durably; its digest."""
        return self.put_many([data])[0]

    def put_many(self, contents: Iterable[bytes]) -> list[str]:
        """Stores contents, durably, with one wait for the disk instead of one for each file. Their digests,
        in order.
        """
        durable.make_directory(self.directory)
        digests: list[str] = []
        new: dict[Path, Path] = {}
        with durable.file_errors(self.directory, "write"):
            try:
                for data in contents:
                    digest = sha256(data)
                    digests.append(digest)
                    path = self.path(digest)
                    if path not in new and not self._holds(path, data):
                        new[path] = durable.write_beside(path, data, mode=0o600)
                for temporary in new.values():
                    durable.sync_file(temporary)
                for path, temporary in new.items():
                    temporary.replace(path)
            except BaseException:
                for temporary in new.values():
                    temporary.unlink(missing_ok=True)
                raise
            if new:
                durable.sync_directory(self.directory)
        return digests

    def get(self, digest: str) -> bytes:
        """The content. Errors: Stalled when it is missing; Transient when it was damaged, and is removed."""
        path = self.path(digest)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise self._lost(path, "is missing", "ContentMissing") from None
        except OSError as error:
            raise self._lost(path, f"cannot be read ({error.strerror})", "ContentUnreadable") from error
        if sha256(data) != digest:
            path.unlink(missing_ok=True)
            raise Transient(
                f"stored content {digest[:12]} was damaged: its {len(data)} bytes did not match their digest",
                "the next pass stores it again from the branch's revision; check the disk",
                code="ContentDamaged",
            )
        return data

    def has(self, digest: str) -> bool:
        """Whether it is there; `get` says whether it is whole."""
        return self.path(digest).is_file()

    def stamp(self) -> str:
        """A text that changes whenever other contents are there, or when a killed writer left half of one."""
        with suppress(FileNotFoundError):
            return sha256("\n".join(sorted(entry.name for entry in os.scandir(self.directory))).encode())
        return ""

    def collect(self, keep: Collection[str]) -> int:
        """Deletes all contents but those in `keep`, and leftovers of killed writers. The number deleted."""
        keep = frozenset(keep)
        removed = durable.remove_temporaries(self.directory)
        with suppress(FileNotFoundError):
            for entry in os.scandir(self.directory):
                if re.fullmatch(_DIGEST, entry.name) and entry.name not in keep:
                    Path(entry.path).unlink(missing_ok=True)
                    removed += 1
        return removed

    @staticmethod
    def _holds(path: Path, data: bytes) -> bool:
        try:
            return path.read_bytes() == data
        except OSError:
            return False

    @staticmethod
    def _lost(path: Path, what: str, code: str) -> Stalled:
        return Stalled(
            f"stored content {path.name[:12]} {what}",
            "run `limpet sync`: contents of the branch's revision are stored again; for an older release "
            "push the commit again",
            code=code,
        )
