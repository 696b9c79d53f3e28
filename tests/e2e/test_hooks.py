"""Lifecycle hooks on the real Engine: run when they must, as often as they must, and undone like any other
failure.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.harness.site import Site

SECRET = "hunter2-in-a-hook"


def compose(app: str, web: str, *, image: str = "web:v1", more: str = "") -> dict[str, str]:
    """One service with what `web` says, on a volume in which its hooks leave their traces."""
    return {
        "compose.yaml": f"""\
name: {app}
services:
  web:
    image: limpet-test/{image}
    stop_grace_period: 2s
    volumes: ["traces:/traces"]
{web}
{more}volumes: {{traces: {{}}}}
"""
    }


def note(word: str, event: str = "post_start") -> str:
    """A hook that leaves `word` behind, in its container and on the volume."""
    return f"    {event}: [{{command: [sh, -c, 'echo {word} >> /traces/all; echo {word} >> /tmp/here']}}]\n"


def traces(site: Site, prefix: str, path: str = "/traces/all", name: str = "web-1") -> list[str]:
    """What the hooks left, in their order."""
    return site.engine.said(f"{prefix}-{name}", "cat", path).split()


def test_hooks_run_once_and_in_order(site: Site, prefix: str) -> None:
    """post_start must run after each start by Limpet, pre_stop of the old release before its stop, and a
    quiet pass run none.
    """
    site.commit(compose(prefix, note("up1") + note("down1", "pre_stop")))
    site.sync(real=True)
    assert traces(site, prefix) == ["up1"]
    assert "nothing to do" in site.sync().out
    site.commit(compose(prefix, note("up2") + note("down2", "pre_stop")))
    planned = site.limpet("plan").out
    assert "pre_stop" in planned and "post_start" in planned and "echo" not in planned
    site.sync()
    assert traces(site, prefix) == ["up1", "down1", "up2"]
    site.engine.client.containers.get(f"{prefix}-web-1").stop(timeout=0)
    site.sync()
    assert traces(site, prefix) == ["up1", "down1", "up2", "up2"]
    assert "nothing to do" in site.sync().out
    assert traces(site, prefix) == ["up1", "down1", "up2", "up2"]


def test_dependents_wait_for_the_hook(site: Site, prefix: str) -> None:
    """A service that depends on another must start after the other's post_start has ended."""
    slow = "    post_start: [{command: [sh, -c, 'sleep 1; date +%s%N > /traces/hooked']}]\n"
    front = (
        "  front:\n    image: limpet-test/idle:v1\n    command: [sh, -c, 'cp /traces/hooked /traces/seen; "
        "exec /bin/idle']\n"
        "    volumes: ['traces:/traces']\n    depends_on: [web]\n"
    )
    site.commit(compose(prefix, slow, image="plain-web:v1", more=front))
    site.sync()
    assert traces(site, prefix, "/traces/seen") == traces(site, prefix, "/traces/hooked") != []


@pytest.mark.parametrize("command", ["[sh, -c, 'exit 7']", "[nowhere]", "[sleep, '1000']"])
def test_a_failing_post_start_is_rolled_back(site: Site, prefix: str, command: str) -> None:
    """A post_start that fails, cannot run or hangs must fail its release; the old container is back and ran
    its own again.
    """
    site.commit(compose(prefix, note("up1") + note("down1", "pre_stop")))
    site.sync()
    before = site.ids(prefix)
    bad = (
        f"    post_start: [{{command: {command}, environment: {{TOKEN: {SECRET}}}}}]\n    x-limpet: "
        f"{{hook_timeout: 2s}}\n"
    )
    site.commit(compose(prefix, bad))
    done = site.sync(expect=4)
    assert f"container/{prefix}-web-1" in done.err and "post_start" in done.err
    assert site.ids(prefix) == before
    assert traces(site, prefix) == ["up1", "down1", "up1"]
    site.sync(expect=4)
    assert traces(site, prefix) == ["up1", "down1", "up1"]
    written = [
        path for path in (site.root / "var/lib/limpet").rglob("*.json*") if "manifests" not in path.parts
    ]
    told = done.out + done.err + json.dumps(site.heartbeat()) + "".join(path.read_text() for path in written)
    assert SECRET not in told


@pytest.mark.parametrize("command", ["[sh, -c, 'exit 7']", "[sleep, '1000']"])
def test_a_failing_pre_stop_keeps_the_container(site: Site, prefix: str, command: str) -> None:
    """A pre_stop that fails or hangs must keep known good's container running, never stopped, and the release
    is rolled back.
    """
    site.commit(
        compose(
            prefix,
            f"    pre_stop: [{{command: {command}}}]\n    x-limpet: {{hook_timeout: 2s}}\n" + note("up1"),
        )
    )
    site.sync()
    before = site.container(f"{prefix}-web-1")
    site.commit(compose(prefix, note("up2")))
    assert "pre_stop" in site.sync(expect=4).err
    after = site.container(f"{prefix}-web-1")
    assert (after["Id"], after["State"]["StartedAt"]) == (before["Id"], before["State"]["StartedAt"])
    assert set(site.ids(prefix)) == {f"{prefix}-web-1"}
    assert traces(site, prefix) == ["up1"]


def test_a_failing_pre_stop_blocks_no_way_back(site: Site, prefix: str) -> None:
    """In a rollback a failing pre_stop of the release that failed must be said, and the old container come
    back all the same.
    """
    site.commit(compose(prefix, note("up1")))
    site.sync()
    before = site.ids(prefix)
    site.commit(compose(prefix, "    pre_stop: [{command: ['false']}]\n", image="sick:v1"))
    done = site.sync(expect=4)
    assert site.ids(prefix) == before and traces(site, prefix) == ["up1", "up1"]
    assert "going on without it" in done.err
    assert any("pre_stop" in warning for warning in site.heartbeat()["warnings"])


def test_a_removed_service_runs_its_pre_stop(site: Site, prefix: str) -> None:
    """A service that leaves the repository must run its pre_stop before it is stopped, and a failure must not
    keep it.
    """
    helper = (
        "  helper:\n    image: limpet-test/idle:v1\n    volumes: ['traces:/traces']\n    "
        "stop_grace_period: 1s\n"
    )
    script = "    pre_stop: [{command: [sh, -c, 'echo gone >> /traces/all; exit 3']}]\n"
    site.commit(compose(prefix, "", more=helper + script))
    site.sync()
    site.commit(compose(prefix, ""))
    site.sync()
    assert traces(site, prefix) == ["gone"]
    assert set(site.ids(prefix)) == {f"{prefix}-web-1"}


def test_a_first_release_with_a_failing_hook_is_stopped(site: Site, prefix: str) -> None:
    """With nothing to go back to, a failing post_start must leave its container stopped, and a good commit
    mend it.
    """
    site.commit(compose(prefix, "    post_start: [{command: ['false']}]\n"))
    site.sync(expect=1)
    assert not site.container(f"{prefix}-web-1")["State"]["Running"]
    site.commit(compose(prefix, note("up1")))
    site.sync()
    assert traces(site, prefix) == ["up1"]


PRE_START = """\
    pre_start:
      - {command: [sh, -c, 'id -un > /tmp/x; echo "$$WORD" >> /traces/all'], environment: {WORD: one}}
      - {image: "limpet-test/once:v1", command: [sh, -c, "echo two >> /traces/all; exit CODE"], user: root}
"""


def test_pre_start_runs_to_its_end_before_the_service(site: Site, prefix: str) -> None:
    """pre_start must run in order before the container starts, once for a content, again when the service
    changes.
    """
    good = PRE_START.replace("CODE", "0") + note("up")
    site.commit(compose(prefix, good))
    site.sync()
    assert traces(site, prefix) == ["one", "two", "up"]
    assert "nothing to do" in site.sync().out
    site.engine.client.containers.get(f"{prefix}-web-1").remove(force=True)
    site.sync()
    assert traces(site, prefix) == ["one", "two", "up", "up"]
    site.commit(compose(prefix, good + "    environment: {A: b}\n"))
    site.sync()
    assert traces(site, prefix) == ["one", "two", "up", "up", "one", "two", "up"]
    assert "nothing to do" in site.sync().out


def test_a_failing_pre_start_leaves_the_old_container_alone(site: Site, prefix: str) -> None:
    """When a pre_start fails, the service must never have been stopped, and the release be rolled back."""
    site.commit(compose(prefix, note("up")))
    site.sync()
    before = site.container(f"{prefix}-web-1")
    site.commit(compose(prefix, PRE_START.replace("CODE", "5") + note("up2")))
    assert "exit code 5" in site.sync(expect=4).err
    after = site.container(f"{prefix}-web-1")
    assert (after["Id"], after["State"]["StartedAt"]) == (before["Id"], before["State"]["StartedAt"])
    assert traces(site, prefix) == ["up", "one", "two"]
    assert set(site.ids(prefix)) == {f"{prefix}-web-1"}


def test_a_pass_killed_in_a_hook_runs_it_in_the_next(site: Site, prefix: str) -> None:
    """A pass that is killed between the start and the end of its post_start must run it in the next pass, and
    then no more.
    """
    site.configure(gate={"settle": "0.2s"})
    script = "echo begun >> /traces/all; [ -e /traces/go ] || exec sleep 1000; echo done >> /traces/all"
    site.commit(compose(prefix, f"    post_start: [{{command: [sh, -c, '{script}']}}]\n"))
    journal = site.root / "var/lib/limpet/journal.jsonl"
    argv = [sys.executable, "-I", "-m", "agent", "--root", str(site.root), "sync"]
    child = subprocess.Popen(
        argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    end = time.monotonic() + 60
    while not (journal.exists() and '"post_start"' in journal.read_text() and traces_or_none(site, prefix)):
        assert time.monotonic() < end
        time.sleep(0.05)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    site.engine.client.containers.get(f"{prefix}-web-1").exec_run(["touch", "/traces/go"])
    site.sync()
    assert traces(site, prefix) == ["begun", "begun", "done"]
    assert "nothing to do" in site.sync().out


def traces_or_none(site: Site, prefix: str) -> list[str]:
    return traces(site, prefix) if f"{prefix}-web-1" in site.ids(prefix) else []
