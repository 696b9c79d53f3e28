"""The real daemon: `limpet run` with real polls and passes on the machine's Engine."""

from __future__ import annotations

import re
import shutil
import signal
import time
from collections.abc import Iterator

import pytest

from tests.harness.daemon import Daemon
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
    done = site.sync(real=True)
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
