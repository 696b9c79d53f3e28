"""What lies below a directory, as values that compare. Standard library only: test hosts run this file,
too.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path


@dataclass(frozen=True)
class FileState:
    """Type, permission bits (octal text), owner and content (SHA-256, or a link's target) of one path."""

    type: str
    mode: str
    owner: str
    content: str = ""


def files(root: Path, ignore: Iterable[str] = ()) -> dict[str, FileState]:
    """Everything below a directory, by path relative to it. `ignore` holds globs of such paths; what lies
    below an ignored directory is ignored too. Times and inode numbers are not compared.
    """
    patterns = list(ignore)
    found: dict[str, FileState] = {}
    for directory, names, leaves in os.walk(root):
        for name in list(names) + leaves:
            path = Path(directory) / name
            relative = str(path.relative_to(root))
            if any(fnmatch(relative, pattern) for pattern in patterns):
                if name in names:
                    names.remove(name)
                continue
            found[relative] = _state(path)
    return found


def _state(path: Path) -> FileState:
    info = path.lstat()
    mode, owner = f"{stat.S_IMODE(info.st_mode):04o}", f"{info.st_uid}:{info.st_gid}"
    if stat.S_ISLNK(info.st_mode):
        return FileState("symlink", "", owner, os.readlink(path))
    if stat.S_ISDIR(info.st_mode):
        return FileState("directory", mode, owner)
    if stat.S_ISREG(info.st_mode):
        return FileState("file", mode, owner, hashlib.sha256(path.read_bytes()).hexdigest())
    return FileState("special", mode, owner, str(stat.S_IFMT(info.st_mode)))


if __name__ == "__main__":
    json.dump(
        {name: asdict(state) for name, state in files(Path(sys.argv[1]), sys.argv[2:]).items()}, sys.stdout
    )
