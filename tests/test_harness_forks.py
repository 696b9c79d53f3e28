"""A forked command must be what a started one is, but for the time it takes."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.harness import forks
from tests.harness.gitrepo import GitRepo
from tests.harness.hosts import to_toml


@pytest.fixture
def root(repo: GitRepo, tmp_path: Path) -> Path:
    """A root whose branch has one host file."""
    repo.commit({"files/etc/motd": "hello\n"})
    settings = {"source": {"url": f"file://{repo.path}", "branch": "main"}, "gate": {"settle": "0s"}}
    path = tmp_path / "root/etc/limpet/limpet.toml"
    path.parent.mkdir(parents=True)
    path.write_text(to_toml(settings))
    return tmp_path / "root"


@pytest.mark.parametrize("argv", [["version"], ["--help"], ["nonsense"], ["sync", "--nonsense"], ["status"]])
def test_it_says_what_a_started_one_says(argv: list[str], root: Path) -> None:
    """Exit code and both outputs must be those of the real command."""
    whole = ["--root", str(root), *argv]
    real = subprocess.run(["limpet", *whole], capture_output=True, text=True, env=with_path(), check=False)
    assert forks.limpet(whole, 60, os.environ) == (real.returncode, real.stdout, real.stderr)


def with_path() -> dict[str, str]:
    import sys

    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def test_it_passes_with_forked_children(root: Path) -> None:
    """A pass with its fetch and render children must converge the host, with its own environment."""
    code, out, err = forks.limpet(["--root", str(root), "sync"], 60, os.environ)
    assert code == 0 and "created" in out, out + err
    assert (root / "etc/motd").read_text() == "hello\n"
    wrong = {**os.environ, "LIMPET_SOURCE__BRANCH": "nowhere"}
    code, _, err = forks.limpet(["--root", str(root), "sync"], 60, wrong)
    assert code and "nowhere" in err


def test_each_begins_anew(root: Path) -> None:
    """What one command has set must not reach the next: directory, environment, signals, log."""
    before = os.getcwd(), dict(os.environ)
    for _ in range(2):
        assert forks.limpet(["--root", str(root), "sync"], 60, os.environ)[0] == 0
    assert (os.getcwd(), dict(os.environ)) == before


def test_it_enters_the_network_of_a_process(root: Path) -> None:
    """A command in another network must be there, with its children, and pass as everywhere."""
    sleep = ["unshare", "--net", "sh", "-c", "echo there; exec sleep 60"]
    with subprocess.Popen(sleep, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline() == b"there\n"
        try:
            code, out, err = forks.limpet(["--root", str(root), "sync"], 60, os.environ, process.pid)
            assert code == 0 and "created" in out, out + err
            nowhere = {**os.environ, "LIMPET_SOURCE__URL": "https://127.0.0.1/nowhere.git"}
            _, _, err = forks.limpet(["--root", str(root), "sync"], 60, nowhere, process.pid)
            assert "unreachable" in err
        finally:
            process.kill()


def test_one_that_takes_too_long_is_killed(root: Path, repo: GitRepo) -> None:
    """After its time a command must be gone."""
    started = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired):
        forks.limpet(["--root", str(root), "run"], 1.5, os.environ)
    assert time.monotonic() - started < 30
