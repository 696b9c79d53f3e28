"""Free space, as the kernel says it."""

from __future__ import annotations

import os
from pathlib import Path

from agent.disk import Disk


def disk_at(path: Path) -> Disk | None:
    """The file system on which `path` is, or would be made; None when it cannot be asked."""
    for place in (path, *path.parents):
        try:
            status, found = place.stat(), os.statvfs(place)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            return None
        at = place if place.is_dir() else place.parent
        inodes = found.f_favail if found.f_files else None  # btrfs and the like make them as they need them
        return Disk(
            status.st_dev, found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize, str(at), inodes
        )
    return None
