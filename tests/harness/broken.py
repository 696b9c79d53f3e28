"""The broken repositories of `tests/broken`: what is wrong with each, and how to make it.

NAME/repo/           the files
NAME/expected.toml   [[problem]] file, line, message, hint: all that `validate` must say, in order
                     args: more arguments · links: path = target · large: path = size · bytes: path = hex ·
                     submodules: paths
"""

from __future__ import annotations

import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dulwich import porcelain
from dulwich.index import IndexEntry
from dulwich.objects import ObjectID
from dulwich.repo import Repo

from tests.harness.gitrepo import Blob, Content, symlink

DIRECTORY = Path(__file__).parent.parent / "broken"
SUBMODULE = 0o160000


@dataclass(frozen=True)
class Expected:
    """One problem that must be told; `message` and `hint` are what must be in them."""

    file: str
    line: int
    message: str
    hint: str

    def is_told_by(self, found: Expected) -> bool:
        place = (self.file, self.line) == (found.file, found.line)
        return place and self.message in found.message and self.hint in found.hint

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.message}\n    hint: {self.hint}"


def names() -> list[str]:
    return sorted(path.parent.name for path in DIRECTORY.glob("*/expected.toml"))


def description(name: str) -> dict[str, Any]:
    return tomllib.loads((DIRECTORY / name / "expected.toml").read_text(encoding="utf-8"))


def expected(name: str) -> list[Expected]:
    return [Expected(**problem) for problem in description(name).get("problem", [])]


def arguments(name: str) -> list[str]:
    return list(description(name).get("args", []))


def materialise(name: str, below: Path) -> Path:
    """The repository as a checkout with everything tracked, in a directory called `fleet`."""
    told = description(name)
    root = below / "fleet"
    shutil.copytree(DIRECTORY / name / "repo", root) if (DIRECTORY / name / "repo").is_dir() else root.mkdir()
    for path, target in told.get("links", {}).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).symlink_to(target)
    for path, size in told.get("large", {}).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"#" * size)
    for path, data in told.get("bytes", {}).items():
        (root / path).write_bytes(bytes.fromhex(data))
    with Repo.init(str(root)) as repo:
        files = [
            str(path.relative_to(root)).encode()
            for path in sorted(root.rglob("*"))
            if (path.is_file() or path.is_symlink()) and ".git" not in path.parts
        ]
        repo.get_worktree().stage(files)
        index = repo.open_index()
        for path in told.get("submodules", []):
            (root / path).mkdir(parents=True)
            index[path.encode()] = IndexEntry(0, 0, 0, 0, SUBMODULE, 0, 0, 0, ObjectID(b"1" * 40), 0)
        index.write()
    return root


def contents(name: str) -> dict[str, Content]:
    """The repository as texts, links and submodules by path, for `GitRepo.commit`."""
    told = description(name)
    below = DIRECTORY / name / "repo"
    found: dict[str, Content] = {
        str(path.relative_to(below)): path.read_bytes() for path in sorted(below.rglob("*")) if path.is_file()
    }
    found |= {path: symlink(target) for path, target in told.get("links", {}).items()}
    found |= {path: b"#" * size for path, size in told.get("large", {}).items()}
    found |= {path: bytes.fromhex(data) for path, data in told.get("bytes", {}).items()}
    return found | {path: Blob("1" * 40, "160000") for path in told.get("submodules", [])}


def commit(root: Path) -> str:
    """Commits what is in the index; the commit's id."""
    with Repo(str(root)) as repo:
        return porcelain.commit(
            repo, b"broken", author=b"A <a@example.org>", committer=b"A <a@example.org>"
        ).decode()
