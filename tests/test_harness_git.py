"""The Git helpers must make real history and serve it as a real forge would."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.harness.gitrepo import Blob, Content, GitRepo, executable, symlink
from tests.harness.gitserver import FileRemote, HttpsRemote, SshRemote
from tests.harness.net import answers


def clone(url: str, into: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    home = {"PATH": os.environ["PATH"], "HOME": str(into.parent), "GIT_TERMINAL_PROMPT": "0", **environment}
    argv = ["git", "clone", "--quiet", url, str(into)]
    return subprocess.run(argv, env=home, capture_output=True, text=True, timeout=60, check=False)


def test_commits_are_made_from_texts(repo: GitRepo) -> None:
    """A commit must add, change and delete files and keep the others."""
    first = repo.commit({"a": "1\n", "dir/b": "2\n", "c": "3\n"}, "first")
    second = repo.commit({"a": "one\n", "c": None}, "second")
    assert repo.files() == {"a": "one", "dir/b": "2"}
    assert repo.git("rev-list", "main").split() == [second, first]
    assert repo.git("log", "-1", "--format=%s") == "second"


def test_modes_reach_the_tree(repo: GitRepo) -> None:
    """Symlinks, executables and submodules must be what they say in the tree."""
    files: dict[str, Content] = {
        "x": executable("#!/bin/sh\n"),
        "l": symlink("/etc/passwd"),
        "s": Blob("1" * 40, "160000"),
        "b": b"\0",
    }
    repo.commit(files)
    modes = [line.split()[0] for line in repo.git("ls-tree", "main").splitlines()]
    assert modes == ["100644", "120000", "160000", "100755"]


def test_a_revert_restores_the_tree_and_goes_forward(repo: GitRepo) -> None:
    """A revert must be a descendant whose tree is the one before."""
    repo.commit({"a": "1\n"})
    bad = repo.commit({"a": "2\n"})
    repo.commit({"b": "kept\n"})
    reverted = repo.revert(bad)
    assert repo.files() == {"a": "1", "b": "kept"}
    assert repo.git("merge-base", "--is-ancestor", bad, reverted) == ""
    assert "worktrees" not in os.listdir(repo.path) or os.listdir(repo.path / "worktrees") == []


def test_branches_can_be_forced_and_deleted(repo: GitRepo) -> None:
    """A branch must be movable to unrelated history, and removable."""
    first = repo.commit({"a": "1\n"})
    repo.set_branch("edge", first)
    forced = repo.commit({"b": "2\n"}, branch="edge", parent="")
    assert repo.git("rev-list", "edge").split() == [forced]
    repo.delete_branch("edge")
    with pytest.raises(AssertionError):
        repo.head("edge")


def test_a_file_remote_can_be_cloned(repo: GitRepo, tmp_path: Path) -> None:
    """The file URL must give the repository's content."""
    repo.commit({"a": "1\n"})
    with FileRemote(repo) as remote:
        assert clone(remote.settings()["url"], tmp_path / "c").returncode == 0
    assert (tmp_path / "c/a").read_text() == "1\n"


def test_https_serves_with_token_and_ca(repo: GitRepo, tmp_path: Path) -> None:
    """A client with the CA and the token must get the repository, and each request must be counted with its
    bytes.
    """
    repo.commit({"a": "x" * 100_000})
    with HttpsRemote(repo, tmp_path / "https") as remote:
        settings = remote.settings()
        config = {
            "GIT_SSL_CAINFO": settings["ca_file"],
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "http.extraHeader",
            "GIT_CONFIG_VALUE_0": f"Authorization: {remote.authorization()}",
        }
        done = clone(settings["url"], tmp_path / "c", **config)
        assert done.returncode == 0, done.stderr
        assert [(r.method, r.status) for r in remote.requests()] == [
            ("GET", 200),
            ("POST", 200),
            ("POST", 200),
        ]
        assert sum(r.sent for r in remote.requests()) > 300
        remote.forget_requests()
        assert remote.requests() == []
    assert (tmp_path / "c/a").stat().st_size == 100_000
    assert Path(settings["token_file"]).stat().st_mode & 0o777 == 0o600


def test_https_refuses_a_wrong_token_and_an_unknown_ca(repo: GitRepo, tmp_path: Path) -> None:
    """A wrong token must get 401, and a client without the CA must not even ask."""
    repo.commit({"a": "1\n"})
    with HttpsRemote(repo, tmp_path / "https") as remote:
        config = {
            "GIT_SSL_CAINFO": remote.settings()["ca_file"],
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "http.extraHeader",
            "GIT_CONFIG_VALUE_0": "Authorization: Basic bm9wZTpub3Bl",
        }
        assert clone(remote.url, tmp_path / "wrong", **config).returncode != 0
        assert {r.status for r in remote.requests()} == {401}
        remote.forget_requests()
        done = clone(remote.url, tmp_path / "untrusted")
        assert "certificate" in done.stderr and remote.requests() == []


def test_a_server_can_be_stopped_and_started(repo: GitRepo, tmp_path: Path) -> None:
    """While stopped the port must refuse; afterwards the same URL must work again."""
    repo.commit({"a": "1\n"})
    with HttpsRemote(repo, tmp_path / "https") as remote:
        remote.stop()
        assert not answers(remote.bind, remote.port)
        remote.start()
        assert remote.requests() == []


def test_ssh_serves_by_key(repo: GitRepo, tmp_path: Path) -> None:
    """A client with the key and the known host must get the repository, one with another key must not."""
    repo.commit({"a": "1\n"})
    with SshRemote(repo, tmp_path / "ssh") as remote:
        settings = remote.settings()

        def command(key: str) -> str:
            options = (
                f"-o IdentitiesOnly=yes -o BatchMode=yes -o UserKnownHostsFile={settings['known_hosts']}"
            )
            return f"ssh -F none -i {key} {options}"

        done = clone(settings["url"], tmp_path / "c", GIT_SSH_COMMAND=command(settings["ssh_key"]))
        assert done.returncode == 0, done.stderr
        other = tmp_path / "other"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other)], check=True)
        assert clone(settings["url"], tmp_path / "d", GIT_SSH_COMMAND=command(str(other))).returncode != 0
    assert (tmp_path / "c/a").read_text() == "1\n"
