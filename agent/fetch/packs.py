"""Keeps the number of packs small: every fetch brings one, and a host lives for thousands of commits.

Rule: packs are joined as they are. Deltas point back by distance or by id, so the bodies of several packs,
one after another, are a pack again. Nothing is unpacked; the new index holds the entries of the old ones with
moved offsets. Large packs are left alone.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from dulwich.object_format import DEFAULT_OBJECT_FORMAT
from dulwich.pack import load_pack_index, write_pack_index

from agent.fetch.cache import CacheDamaged
from agent.store.durable import sync_directory

MANY = 24  # packs; from then on they are joined
LARGE = 64 * 1024 * 1024  # bytes; larger ones are not copied
HEADER, TRAILER = 12, 20  # bytes of a pack before and after its body
CHUNK = 1 << 20


PackEntry = tuple[bytes, int, int | None]  # id, offset, checksum


def join_packs(directory: Path) -> None:
    """Makes one pack of the small ones in `objects/pack` when there are many. Errors: OSError,
    CacheDamaged.
    """
    small = [path for path in directory.glob("pack-*.pack") if path.stat().st_size <= LARGE]
    if len(small) < MANY:
        return
    try:
        indexed = sorted(
            ((path, _entries(path)) for path in small), key=lambda item: (-len(item[1]), item[0].name)
        )
        _join(directory, list(_useful(indexed)))
    except (OSError, CacheDamaged):
        raise
    except Exception as error:  # whatever a damaged index makes the library say
        raise CacheDamaged(f"a pack cannot be read ({type(error).__name__})") from None
    sync_directory(directory)
    for path in small:
        path.with_suffix(".idx").unlink()
        path.unlink()


def _entries(path: Path) -> list[PackEntry]:
    index = load_pack_index(str(path.with_suffix(".idx")), DEFAULT_OBJECT_FORMAT)
    try:
        index.check()
        return list(index.iterentries())
    finally:
        index.close()


def _useful(indexed: list[tuple[Path, list[PackEntry]]]) -> Iterator[tuple[Path, list[PackEntry]]]:
    """The packs with an object that no larger one has: full bundles bring the same objects every time."""
    seen: set[bytes] = set()
    for path, entries in indexed:
        if not all(name in seen for name, _, _ in entries):
            seen.update(name for name, _, _ in entries)
            yield path, entries


def _join(directory: Path, indexed: list[tuple[Path, list[PackEntry]]]) -> None:
    temporary = directory / "tmp_joined.pack"
    joined: list[PackEntry] = []
    digest = hashlib.sha1()
    with temporary.open("wb") as out:

        def put(data: bytes) -> None:
            digest.update(data)
            out.write(data)

        put(b"PACK" + (2).to_bytes(4, "big") + sum(len(entries) for _, entries in indexed).to_bytes(4, "big"))
        for path, entries in indexed:
            start = out.tell()
            joined += [(name, offset - HEADER + start, checksum) for name, offset, checksum in entries]
            for chunk in _body(path):
                put(chunk)
        out.write(digest.digest())
        out.flush()
        os.fsync(out.fileno())
    _finish(directory / f"pack-{digest.hexdigest()}.pack", temporary, sorted(joined), digest.digest())


def _body(path: Path) -> Iterator[bytes]:
    """The bytes between header and trailer.

    Errors: CacheDamaged, at the end, when the trailer is not the pack's checksum.
    """
    digest = hashlib.sha1()
    left = path.stat().st_size - HEADER - TRAILER
    with path.open("rb") as file:
        digest.update(file.read(HEADER))
        while left > 0 and (chunk := file.read(min(left, CHUNK))):
            digest.update(chunk)
            yield chunk
            left -= len(chunk)
        if file.read() != digest.digest():
            raise CacheDamaged(f"the checksum of {path.name} does not fit its content")


def _finish(place: Path, temporary: Path, entries: list[PackEntry], digest: bytes) -> None:
    """Puts the pack in place, and then its index: a pack without an index does not count."""
    temporary.rename(place)
    index = place.with_name("tmp_joined.idx")
    with index.open("wb") as file:
        write_pack_index(file, entries, digest, version=2)
        file.flush()
        os.fsync(file.fileno())
    index.rename(place.with_suffix(".idx"))
