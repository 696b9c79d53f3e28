"""Small file systems of their own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def small_disk(place: Path, mib: int, inodes: int = 0) -> Iterator[Path]:
    """A file system of so many MiB, and of so many inodes when given, at `place`, which is made."""
    place.mkdir(parents=True, exist_ok=True)
    options = f"size={mib}m,nr_inodes={inodes or 65536},mode=0755"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
