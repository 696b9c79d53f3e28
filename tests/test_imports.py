"""What the processes of the agent have loaded: the resident one stays light, and so does a pass that finds
nothing to do.

The modules are listed by the test's own child, after the real command has run in it; the product knows
nothing of this.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = {
    "docker",
    "dulwich",
    "paramiko",
    "pydantic",
    "pydantic_core",
    "pydantic_settings",
    "jinja2",
    "yaml",
    "typer",
    "rich",
    "cryptography",
    "requests",
    "urllib3",
    "apscheduler",
    "asyncio",
    "ssl",
}
RESIDENT_LIMIT = 28 * 1024  # KiB of RSS

# Runs `limpet ARGV` and then prints the modules that are loaded.
LOADED = """
import sys, json
from agent.__main__ import main
code = main(sys.argv[2:])
with open(sys.argv[1], "w") as out: json.dump([code, sorted(sys.modules)], out)
"""


def loaded(out: Path, *argv: str, environ: dict[str, str] | None = None) -> tuple[int, set[str]]:
    """The exit code of a command, and the top-level names of what it has loaded."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", LOADED, str(out), *argv],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **(environ or {})},
    )
    assert out.exists(), done.stderr
    code, modules = json.loads(out.read_text())
    return code, {module.split(".")[0] for module in modules} | {
        module for module in modules if module.startswith("agent.")
    }


def settings(root: Path, source: Path) -> None:
    path = root / "etc/limpet/limpet.toml"
    path.parent.mkdir(parents=True)
    path.write_text(
        f'[source]\nurl = "file://{source}"\nbranch = "main"\npoll = "0.3s"\n[gate]\nsettle = "0s"\n'
    )


def git(directory: Path, *argv: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *argv],
        cwd=directory,
        check=True,
        capture_output=True,
    )


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A root whose settings point to a repository with one host file."""
    source = tmp_path / "source"
    (source / "files/etc").mkdir(parents=True)
    (source / "files/etc/motd").write_text("hello\n")
    git(source, "init", "-q", "-b", "main", ".")
    git(source, "add", ".")
    git(source, "commit", "-qm", "one")
    settings(tmp_path / "root", source)
    return tmp_path / "root"


class Resident:
    """The real daemon, `limpet run`, under a root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-m", "agent", "--root", str(root), "run"], stderr=(root / "log").open("w")
        )

    def heartbeat(self) -> dict[str, Any]:
        path = self.root / "run/limpet/heartbeat.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def until_sequence(self, seq: int) -> None:
        deadline = time.monotonic() + 60
        while self.heartbeat().get("seq", 0) < seq:
            assert self.process.poll() is None and time.monotonic() < deadline, (
                self.root / "log"
            ).read_text()
            time.sleep(0.05)

    def rss(self) -> int:
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.process.pid}/status").read_text())
        assert found
        return int(found[1])

    def fewest_descriptors(self) -> int:
        """Of many looks over twelve heartbeats: a poll or a pass that runs just now has some, too."""
        looks, end = [], self.heartbeat()["seq"] + 12
        while self.heartbeat()["seq"] < end:
            looks.append(len(list(Path(f"/proc/{self.process.pid}/fd").iterdir())))
            time.sleep(0.02)
        return min(looks)

    def mapped(self) -> str:
        return Path(f"/proc/{self.process.pid}/maps").read_text()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(90)


def test_the_daemon_s_modules_are_light(tmp_path: Path) -> None:
    """Importing all that the resident process imports must load none of the heavy libraries."""
    script = (
        "import json, sys, agent.cli.run, agent.report.heartbeat_writer, agent.__main__; "
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True)
    there = set(json.loads(done.stdout))
    modules = {module.split(".")[0] for module in there}
    assert modules & HEAVY == set()
    assert "systemd" in modules
    assert not there & {"agent.observed", "agent.kinds.table"}, "what decides belongs to the passes"


def test_a_running_daemon_stays_light(site: Path) -> None:
    """The resident process must stay below its memory budget after its first pass and some polls, and grow no
    further.
    """
    daemon = Resident(site)
    try:
        daemon.until_sequence(8)
        first, descriptors = daemon.rss(), daemon.fewest_descriptors()
        assert first <= RESIDENT_LIMIT, f"{first} KiB"
        for library in ("pydantic_core", "_yaml", "cryptography", "_asyncio", "_ssl"):
            assert library not in daemon.mapped()
        later = daemon.fewest_descriptors()
        assert daemon.rss() - first <= 256
        assert later <= descriptors
        assert daemon.stop() == 0
    finally:
        daemon.process.kill()
        daemon.process.wait()


def test_a_pass_with_nothing_to_do_is_light(site: Path, tmp_path: Path) -> None:
    """A pass that finds nothing to do must load neither the Docker SDK nor what validates or renders."""
    code, _ = loaded(tmp_path / "first", "--root", str(site), "sync")
    assert code == 0, (site / "run/limpet/heartbeat.json").read_text()
    code, modules = loaded(tmp_path / "second", "--root", str(site), "sync")
    assert code == 0
    assert modules & HEAVY == set()
    assert not modules & {"agent.settings.check", "agent.compose", "decimal"}
    assert "agent.converge.one_pass" in modules


@pytest.mark.parametrize("argv", [["--help"], ["version"], ["status"], ["history"]])
def test_looking_is_light(argv: list[str], site: Path, tmp_path: Path) -> None:
    """Commands that only look must not load the heavy libraries, nor what a pass needs."""
    loaded(tmp_path / "first", "--root", str(site), "_settings")
    _, modules = loaded(tmp_path / "out", "--root", str(site), *argv)
    assert modules & (HEAVY - {"rich"}) == set()
    assert "agent.converge.one_pass" not in modules


def test_only_the_chosen_verb_is_imported(tmp_path: Path) -> None:
    """No module of another verb may be loaded."""
    _, modules = loaded(tmp_path / "out", "version")
    assert {module for module in modules if module.startswith("agent.cli.")} == {"agent.cli.version"}


def test_help_of_the_command_imports_no_verb(tmp_path: Path) -> None:
    """The list of commands must not import one of them."""
    _, modules = loaded(tmp_path / "out", "--help")
    assert not {module for module in modules if module.startswith("agent.cli.")}


def test_the_switches_of_the_tests_are_loaded_by_their_variables_only(tmp_path: Path) -> None:
    """The module that changes the product for fault tests must be loaded when one of its variables is set,
    and never else.
    """
    _, modules = loaded(tmp_path / "out", "version")
    assert "agent.testing" not in modules
    _, modules = loaded(tmp_path / "out", "version", environ={"LIMPET_TEST_PATIENCE": "6"})
    assert "agent.testing" in modules
