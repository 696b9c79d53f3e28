"""The file system of a place, as the host shows it. Sizes in bytes."""

from __future__ import annotations

from dataclasses import dataclass

# Places that are not host paths: where the state is, and where the Engine keeps its images.
STATE, IMAGES = "state", "images"


@dataclass(frozen=True, slots=True)
class Disk:
    """One file system.

    device: tells disks apart
    free: bytes that Limpet may write
    total: its size
    at: a directory on it, for people
    inodes: how many are free; None when they have no limit
    """

    device: int
    free: int
    total: int
    at: str
    inodes: int | None = None
