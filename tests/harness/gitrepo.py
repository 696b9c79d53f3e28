"""A bare Git repository that tests write to without a work tree.

`GitRepo(path).commit({"compose.yaml": "...", "old": None}, "message")` makes a commit from texts in about 10
ms with `git fast-import`. All ids are full hex.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

AUTHOR = "Ada Fleet <ada@example.org>"


@dataclass(frozen=True)
class Blob:
    """A file with a mode: 100755 executable, 120000 symlink (content is the target), 160000 submodule (a
    commit id).
    """

    content: str | bytes
    mode: str = "100644"


Content = str | bytes | Blob | None


def symlink(target: str) -> Blob:
    return Blob(target, "120000")


def executable(text: str) -> Blob:
    return Blob(text, "100755")


class GitRepo:
    """A bare repository at `path`, made when it is missing."""

    def __init__(self, path: Path, branch: str = "main") -> None:
        self.path = path
        self.branch = branch
        self._clock = 1_700_000_000
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._run(
                ["git", "init", "--quiet", "--bare", f"--initial-branch={branch}", str(path)], cwd=path.parent
            )
            for key in ("uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant", "http.receivepack"):
                self.git("config", key, "true")

    def _run(self, argv: list[str], data: bytes | None = None, cwd: Path | None = None) -> str:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.path.parent),
            "LC_ALL": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "Ada Fleet",
            "GIT_AUTHOR_EMAIL": "ada@example.org",
            "GIT_COMMITTER_NAME": "Ada Fleet",
            "GIT_COMMITTER_EMAIL": "ada@example.org",
        }
        done = subprocess.run(
            argv, input=data, cwd=cwd or self.path, env=environment, capture_output=True, check=False
        )
        assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr.decode(errors='replace')}"
        return done.stdout.decode().strip()

    def git(self, *arguments: str) -> str:
        """Runs git in the bare repository and gives its output."""
        return self._run(["git", *arguments])

    def head(self, branch: str = "") -> str:
        """The commit of a branch."""
        return self.git("rev-parse", "--verify", f"refs/heads/{branch or self.branch}")

    def files(self, revision: str = "") -> dict[str, str]:
        """The texts of a revision, by path."""
        names = self.git("ls-tree", "-r", "--name-only", "-z", revision or self.branch).split("\0")
        return {
            name: self.git("cat-file", "blob", f"{revision or self.branch}:{name}") for name in names if name
        }

    def commit(
        self,
        files: Mapping[str, Content],
        message: str = "change",
        branch: str = "",
        replace: bool = False,
        parent: str | None = None,
    ) -> str:
        """Commits texts by path (None deletes) on a branch and gives the commit's id. `replace` drops all
        other files; `parent` ("" for none) is a base other than the branch's tip, which rewrites the
        branch.
        """
        branch = branch or self.branch
        ref = f"refs/heads/{branch}"
        if parent is None:
            parent = self._run(["git", "for-each-ref", "--format=%(objectname)", ref])
        self._clock += 1
        stream = [f"commit {ref}\ncommitter {AUTHOR} {self._clock} +0000\n".encode(), _data(message)]
        if parent:
            stream.append(f"from {parent}\n".encode())
        if replace:
            stream.append(b"deleteall\n")
        for path, content in files.items():
            stream.append(_entry(path, content))
        prefix = [] if parent else [f"reset {ref}\n".encode()]
        self._run(["git", "fast-import", "--quiet", "--force"], b"".join(prefix + stream) + b"\ndone\n")
        return self.head(branch)

    def revert(self, revision: str = "", branch: str = "") -> str:
        """`git revert` of a commit (default: the tip) on a branch, in a work tree that is removed at once."""
        branch = branch or self.branch
        with tempfile.TemporaryDirectory() as scratch:
            tree = Path(scratch) / "tree"
            self.git("worktree", "add", "--quiet", "--detach", str(tree), branch)
            try:
                self._run(["git", "revert", "--no-edit", revision or self.head(branch)], cwd=tree)
                commit = self._run(["git", "rev-parse", "HEAD"], cwd=tree)
            finally:
                self.git("worktree", "remove", "--force", str(tree))
        self.set_branch(branch, commit)
        return commit

    def set_branch(self, branch: str, commit: str) -> None:
        """Makes or moves a branch, also backwards or sideways (a force-push)."""
        self.git("update-ref", f"refs/heads/{branch}", commit)

    def delete_branch(self, branch: str) -> None:
        self.git("update-ref", "-d", f"refs/heads/{branch}")

    def tag(self, name: str, commit: str) -> None:
        self.git("update-ref", f"refs/tags/{name}", commit)

    def bundle(self, path: Path) -> Path:
        """All branches as a bundle file."""
        self.git("bundle", "create", "--quiet", str(path), "--branches")
        return path


def _data(content: str | bytes) -> bytes:
    raw = content.encode() if isinstance(content, str) else content
    return b"data %d\n" % len(raw) + raw + b"\n"


def _entry(path: str, content: Content) -> bytes:
    if content is None:
        return f"D {path}\n".encode()
    blob = content if isinstance(content, Blob) else Blob(content)
    if blob.mode == "160000":
        assert isinstance(blob.content, str)
        return f"M 160000 {blob.content} {path}\n".encode()
    return f"M {blob.mode} inline {path}\n".encode() + _data(blob.content)
