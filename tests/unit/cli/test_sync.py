"""The commands that run a pass, as real processes: `sync`, with and without a daemon, `run`, and the daemon's
children.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.cli.sync import run as run_sync
from agent.daemon.control import Client, Listener
from agent.errors import Stalled
from agent.store.locks import Lock

WITHIN = 60.0  # seconds until a test gives up


def argv(root: Path, *words: str) -> list[str]:
    return [sys.executable, "-I", "-m", "agent", "--root", str(root), *words]


def limpet(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv(root, *words), capture_output=True, text=True, timeout=WITHIN)


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


class FakeDaemon:
    """The daemon's end of the control socket, played by the test."""

    def __init__(self, root: Path) -> None:
        (root / "run/limpet").mkdir(parents=True)
        self.listener = Listener(root / "run/limpet")

    def client(self) -> Client:
        """The next client, after its request."""
        found: list[Client] = []

        def accepted() -> bool:
            found.extend(client for client in [self.listener.accept()] if client)
            return bool(found)

        until(accepted)
        until(lambda: found[0].receive() == {"verb": "sync"})
        return found[0]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    daemon = FakeDaemon(tmp_path)
    yield daemon
    daemon.listener.close()


@pytest.fixture
def sync(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell ignore it

    def start(*words: str) -> subprocess.Popen[str]:
        started.append(
            subprocess.Popen(
                argv(tmp_path, "sync", *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        )
        return started[-1]

    yield start
    signal.signal(signal.SIGINT, before)
    for process in started:
        process.kill()
        process.communicate()


Sync = Callable[..., "subprocess.Popen[str]"]


@pytest.mark.parametrize(
    ("exit_code", "quiet", "out", "err"),
    [
        (0, False, "converged\n", "pulling 1 image\n"),
        (0, True, "", ""),
        (4, False, "", "pulling 1 image\nconverged\n"),
        (78, True, "", "converged\n"),
    ],
)
def test_sync_shows_the_daemon_s_pass(
    daemon: FakeDaemon, sync: Sync, exit_code: int, quiet: bool, out: str, err: str
) -> None:
    """`sync` beside a daemon must show its steps, say its sentence, and end with its exit code; quietly when
    asked to.
    """
    process = sync(*(["-q"] if quiet else []))
    client = daemon.client()
    client.send({"step": "pulling 1 image"})
    client.send({"result": {"exit_code": exit_code, "sentence": "converged"}}, last=True)
    assert process.communicate(timeout=WITHIN) == (out, err)
    assert process.returncode == exit_code


def test_ctrl_c_ends_only_the_waiting(daemon: FakeDaemon, sync: Sync) -> None:
    """Ctrl-C in `sync` must exit 130 and say that the daemon goes on."""
    process = sync()
    client = daemon.client()
    client.send({"step": "pulling 1 image"})
    assert process.stderr and process.stderr.readline() == "pulling 1 image\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=WITHIN) == (
        "",
        "no longer waiting; the daemon's pass continues: limpet status\n",
    )
    assert process.returncode == 130


def test_a_daemon_that_ends_is_temporary(daemon: FakeDaemon, sync: Sync) -> None:
    """A daemon that goes away before its pass ends must lead to 75, with a hint."""
    process = sync()
    daemon.client().close()
    _, err = process.communicate(timeout=WITHIN)
    assert process.returncode == 75
    assert err.startswith("limpet: the daemon ended before its pass did\nhint: ")


def test_who_may_not_ask_is_told_so(
    daemon: FakeDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another user must be refused, with the remedy."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    args = argparse.Namespace(root=tmp_path, quiet=True)
    os.seteuid(65534)
    try:
        with pytest.raises(Stalled) as refused:
            run_sync(args)
    finally:
        os.seteuid(0)
    assert (refused.value.message, refused.value.hint) == (
        "only the user who runs the daemon may ask it for a pass",
        "run it as root: sudo limpet sync",
    )


def test_sync_without_settings_says_what_to_write(tmp_path: Path) -> None:
    """Without a daemon and without settings `sync` must exit 78 and show the first lines to write."""
    done = limpet(tmp_path, "sync")
    assert (done.returncode, done.stdout) == (78, "")
    assert "limpet.toml" in done.stderr and "hint: " in done.stderr and "url" in done.stderr


def test_sync_beside_another_pass_names_it(tmp_path: Path) -> None:
    """A second pass must exit 75 and name the pid of the first."""
    with Lock(tmp_path / "run/limpet/lock", "a pass"):
        done = limpet(tmp_path, "sync")
    assert done.returncode == 75
    assert f"a pass is running already (pid {os.getpid()})" in done.stderr


def test_a_pass_child_answers_its_errors(tmp_path: Path) -> None:
    """A pass that cannot begin must answer with code, message and hint, and its exit code."""
    done = limpet(tmp_path, "_pass")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])["result"]
    assert done.returncode == result["exit_code"] == 78
    assert result["error"]["class"] == "BadInput"
    assert result["error"]["message"] == result["sentence"]
    assert "limpet.toml" in result["error"]["message"]


def test_a_pass_child_keeps_its_answer_apart(tmp_path: Path) -> None:
    """Whatever prints to stdout in a pass must not disturb the answer, nor may its children inherit it."""
    script = (
        "import os, subprocess, sys; from agent.cli._pass import _take_stdout\n"
        "from agent.report.progress import JsonLines\n"
        "emit = JsonLines(_take_stdout()); print('noise', flush=True); subprocess.run(['echo', 'more "
        "noise'])\n"
        "emit({'step': 'one'}); print(os.get_inheritable(emit._descriptor))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", script], capture_output=True, text=True, timeout=WITHIN
    )
    assert done.stdout == '{"step": "one"}\n'
    assert done.stderr == "noise\nmore noise\nFalse\n"


@pytest.mark.parametrize(
    ("signals", "ends"),
    [("TERM", "cancelled"), ("INT", "cancelled"), ("TERM TERM", "cancelled"), ("INT INT", "interrupted")],
)
def test_the_first_signal_asks_and_a_second_ctrl_c_interrupts(signals: str, ends: str) -> None:
    """SIGTERM and the first ctrl-C must let the action at hand finish; only a second ctrl-C may break it
    off.
    """
    script = (
        "import os, signal, sys; from agent.cli._pass import cancelled_by_signals\ncancel = "
        "cancelled_by_signals()\n"
        "try:\n  for name in sys.argv[1].split(): os.kill(os.getpid(), getattr(signal, 'SIG' + name))\n"
        "  print('cancelled' if cancel.is_set() else 'nothing')\nexcept KeyboardInterrupt: "
        "print('interrupted')"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", script, signals], capture_output=True, text=True, timeout=WITHIN
    )
    assert done.stdout == f"{ends}\n", done.stderr


def test_run_with_wrong_settings_shows_every_problem(tmp_path: Path) -> None:
    """A daemon must not start with wrong settings: exit 78, every problem with its line."""
    settings = tmp_path / "etc/limpet/limpet.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text(
        '[source]\nurl = "https://git.example.org/fleet.git"\npol = "5s"\n[gate]\nsettle = "soon"\n'
    )
    done = limpet(tmp_path, "run")
    assert done.returncode == 78
    assert "limpet.toml:3: " in done.stderr and "limpet.toml:5: " in done.stderr


def test_run_beside_a_daemon_names_it(tmp_path: Path) -> None:
    """A second daemon on the same root must exit 75 and name the first, before it looks at anything else."""
    with Lock(tmp_path / "run/limpet/daemon.lock", "a daemon"):
        done = limpet(tmp_path, "run")
    assert done.returncode == 75
    assert f"a daemon is running already (pid {os.getpid()})" in done.stderr


def test_the_settings_child_answers_one_line(tmp_path: Path) -> None:
    """The daemon's settings must come as JSON from a child, errors included."""
    assert "error" in json.loads(limpet(tmp_path, "_settings").stdout)
    settings = tmp_path / "etc/limpet/limpet.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text('[source]\nurl = "https://git.example.org/fleet.git"\nbranch = "main"\npoll = "5s"\n')
    assert json.loads(limpet(tmp_path, "_settings").stdout)["settings"]["source"]["poll"] == 5.0


def test_on_a_terminal_the_sentence_stays(daemon: FakeDaemon, tmp_path: Path) -> None:
    """The last sentence must stay on the screen when what moved above it is cleared away."""
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        argv(tmp_path, "sync"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(theirs)
    client = daemon.client()
    client.send({"wait": "healthy, watching for 3 s more"})
    client.send({"result": {"exit_code": 0, "sentence": "converged"}}, last=True)
    shown = b""
    with contextlib.suppress(OSError):  # a pty whose other end is closed
        while chunk := os.read(ours, 65536):
            shown += chunk
    os.close(ours)
    assert process.wait(WITHIN) == 0
    assert b"watching for 3 s" in shown
    assert shown.endswith(b"converged\r\n")
