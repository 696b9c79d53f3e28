"""The real daemon: `limpet run` with real polls and passes on the machine's Engine."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.site import Site
from tests.harness.wait import eventually

APP = "name: {app}\nservices:\n  web:\n    image: limpet-test/{image}\n"
SLOW = (
    APP
    + """\
    healthcheck:
      test: [CMD, test, -e, /tmp/go]
      interval: 0.3s
      start_period: 600s
"""
)
NEW_REVISION_WITHIN = 60.0  # seconds; far below the gate's deadline in these tests


class Daemon:
    """`limpet run` of a site, its log in a file."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.process: subprocess.Popen[bytes] | None = None
        site.configure(source={"poll": "0.5s"}, gate={"settle": "0.5s", "deadline": "10m"})

    def start(self) -> None:
        with (self.site.root / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-m", "agent", "--root", str(self.site.root), "run"], stderr=log
            )

    def send(self, number: signal.Signals) -> int:
        """Ends the daemon by a signal; its exit status."""
        assert self.process
        self.process.send_signal(number)
        return self.process.wait(90)

    def kill(self) -> None:
        """Ends it and its children, whatever they do."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for child in self.children():
            os.kill(child, signal.SIGKILL)

    def log(self) -> str:
        return (self.site.root / "log").read_text()

    def applied(self, commit: str, timeout: float = 60.0) -> None:
        """Waits until the heartbeat says that the commit is applied and that all is well."""

        def seen() -> bool:
            beat = self.site.heartbeat()
            return bool(
                beat["state"] == "Synced"
                and beat["revision"]["applied"] == f"main@sha1:{commit}"
                and beat["phase"] == "idle"
            )

        eventually(seen, timeout, f"{commit} applied")

    def in_gate(self) -> None:
        eventually(lambda: self.site.heartbeat()["phase"] == "gate", 60, "the gate")

    def children(self) -> list[int]:
        """Processes of this installation besides the daemon itself."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and self.process and int(entry.name) != self.process.pid:
                try:
                    line = (entry / "cmdline").read_bytes()
                except OSError:
                    continue
                if str(self.site.root).encode() in line and b"_pass" in line:
                    found.append(int(entry.name))
        return found


@pytest.fixture
def daemon(site: Site) -> Iterator[Daemon]:
    daemon = Daemon(site)
    yield daemon
    daemon.kill()


def test_commits_reach_the_host(daemon: Daemon, site: Site, prefix: str) -> None:
    """A running daemon must apply each commit, replace only what changed, and say so in one sentence."""
    first = site.commit({"compose.yaml": APP.format(app=prefix, image="idle:v1"), "files/etc/demo": "one\n"})
    daemon.start()
    daemon.applied(first)
    before = site.ids(prefix)
    second = site.commit({"files/etc/demo": "two\n"})
    daemon.applied(second)
    assert (site.root / "etc/demo").read_text() == "two\n"
    assert site.ids(prefix) == before
    sentence = rf"^converged at main@{second[:7]}: 1 \w+, next look in [01] s$"
    eventually(lambda: re.search(sentence, daemon.log(), re.MULTILINE), what=sentence)
    done = site.sync()
    assert f"nothing to do at main@{second[:7]}" in done.out
    assert daemon.send(signal.SIGTERM) == 0
    assert site.ids(prefix) == before


def test_a_newer_commit_ends_the_wait_of_the_gate(daemon: Daemon, site: Site, prefix: str) -> None:
    """A correction must not wait for the deadline of the commit that it corrects."""
    site.commit({"compose.yaml": SLOW.format(app=prefix, image="idle:v1")})
    daemon.start()
    daemon.in_gate()
    started = time.monotonic()
    good = site.commit({"compose.yaml": APP.format(app=prefix, image="idle:v1")})
    daemon.applied(good)
    assert time.monotonic() - started < NEW_REVISION_WITHIN
    assert set(site.ids(prefix)) == {f"{prefix}-web-1"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_daemon_that_ends_in_the_gate_is_resumed(
    daemon: Daemon, site: Site, prefix: str, number: signal.Signals
) -> None:
    """After the daemon ended while a gate waits, the next one must go on with the same containers."""
    commit = site.commit({"compose.yaml": SLOW.format(app=prefix, image="idle:v1")})
    daemon.start()
    daemon.in_gate()
    before = site.ids(prefix)
    started = time.monotonic()
    status = daemon.send(number)
    assert status == (0 if number == signal.SIGTERM else -signal.SIGKILL)
    assert time.monotonic() - started < 20
    if number == signal.SIGTERM:
        assert daemon.children() == []
    daemon.start()
    site.engine.client.containers.get(f"{prefix}-web-1").exec_run(["touch", "/tmp/go"])
    daemon.applied(commit, 120)
    assert site.ids(prefix) == before


def test_a_daemon_without_its_source_converges_to_what_it_holds(
    daemon: Daemon, site: Site, prefix: str
) -> None:
    """A host that starts without a network must repair what is missing from what it has."""
    commit = site.commit({"compose.yaml": APP.format(app=prefix, image="idle:v1"), "files/etc/demo": "one\n"})
    daemon.start()
    daemon.applied(commit)
    assert daemon.send(signal.SIGTERM) == 0
    shutil.move(site.repo.path, site.repo.path.with_suffix(".away"))
    site.engine.client.containers.get(f"{prefix}-web-1").remove(force=True)
    (site.root / "etc/demo").unlink()
    daemon.start()
    eventually(lambda: set(site.ids(prefix)) == {f"{prefix}-web-1"} and (site.root / "etc/demo").exists(), 60)
    eventually(lambda: site.heartbeat()["source"]["failures"] >= 2, 60)
    shutil.move(site.repo.path.with_suffix(".away"), site.repo.path)
    site.sync()
    daemon.applied(commit)
