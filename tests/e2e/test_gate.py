"""The gate on real containers: checks, one-shots, contrast, and what cannot be judged."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import net
from tests.harness.engine import Engine
from tests.harness.gitrepo import GitRepo
from tests.harness.gitserver import HttpsRemote
from tests.harness.site import Site, make_site
from tests.harness.wait import eventually

BASE = "name: {app}\nservices:\n  web:\n    image: limpet-test/web:v1\n    ports: ['127.0.0.1:{port}:8080']\n"


@pytest.fixture
def outside(free_port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A server beside Limpet on `free_port`: what a check may depend on besides this host's release."""
    listen = f"import socket, time; s = socket.create_server(('127.0.0.1', {free_port})); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", listen]) as server:
        eventually(lambda: net.answers("127.0.0.1", free_port), 60, "the server outside")
        yield server
        server.kill()


def test_checks_are_part_of_the_gate(site: Site, prefix: str, free_port: int) -> None:
    """A release whose http check stays red must be rolled back, and the message must name the check and how
    to run it.
    """
    checks = (
        "checks:\n  answers: {{http: 'http://127.0.0.1:{port}/{path}', within: 3s}}\n  port: {{tcp: "
        "'127.0.0.1:{port}'}}\n"
    )
    site.commit(
        {
            "compose.yaml": BASE.format(app=prefix, port=free_port),
            "layer.yaml": checks.format(port=free_port, path=""),
        }
    )
    site.sync(real=True)
    site.commit({"layer.yaml": checks.format(port=free_port, path="missing")})
    done = site.sync(expect=4)
    assert "check/answers" in done.err and "404" in done.err and "curl -i" in done.err


def test_exec_check(site: Site, prefix: str, tmp_path: Path) -> None:
    """An exec check that exits with an error must reject the release, with the last line it said."""
    site.commit({"compose.yaml": f"name: {prefix}\nservices:\n  web: {{image: 'limpet-test/idle:v1'}}\n"})
    site.sync()
    site.configure(gate={"deadline": "4s"})
    site.commit({"layer.yaml": "checks:\n  own: {exec: [sh, -c, 'echo no good; exit 3'], timeout: 2s}\n"})
    done = site.sync(expect=4)
    assert "no good" in done.err


def test_what_failed_before_cannot_condemn(
    site: Site, prefix: str, outside: subprocess.Popen[bytes], free_port: int
) -> None:
    """A check that was red before the commit must not condemn the commit."""
    compose = (
        f"name: {prefix}\nservices:\n  web: {{image: 'limpet-test/idle:v1', environment: {{A: '%s'}}}}\n"
    )
    site.commit(
        {"compose.yaml": compose % 1, "layer.yaml": f"checks:\n  outside: {{tcp: '127.0.0.1:{free_port}'}}\n"}
    )
    site.sync()
    outside.kill()
    outside.wait()
    site.commit({"compose.yaml": compose % 2})
    site.sync()
    assert site.heartbeat()["rejected"] == []


def test_inconclusive(site: Site, prefix: str, outside: subprocess.Popen[bytes], free_port: int) -> None:
    """When known good fails the same probe after the rollback, the release must not be rejected, exit 75;
    later it is applied.
    """
    compose = f"name: {prefix}\nservices:\n  web: {{image: 'limpet-test/idle:%s'}}\n"
    probe = f"checks:\n  outside: {{tcp: '127.0.0.1:{free_port}'}}\n"
    site.configure(gate={"deadline": "6s"})
    site.commit({"compose.yaml": compose % "v1", "layer.yaml": probe})
    site.sync()
    # as if it went down in the middle of the pass
    outage = f"  outage: {{exec: [sh, -c, 'kill {outside.pid} || true']}}\n"
    site.commit({"compose.yaml": compose % "v2", "layer.yaml": probe + outage})
    done = site.sync(expect=75)
    assert "known good is not healthy either" in done.err
    assert site.heartbeat()["rejected"] == []
    assert site.engine.said(f"{prefix}-web-1", "cat", "/version") == "v1"


def test_one_shot_runs_once(site: Site, prefix: str) -> None:
    """A one-shot must run before what waits for it, once per content, and again when its content changes."""
    compose = """\
name: {app}
services:
  migrate:
    image: limpet-test/once:v1
    environment: {{STEP: '{step}'}}
  web:
    image: limpet-test/web:v1
    environment: {{A: '{a}'}}
    depends_on: {{migrate: {{condition: service_completed_successfully}}}}
"""
    site.commit({"compose.yaml": compose.format(app=prefix, step=1, a=1)})
    site.sync()
    first = site.ids(prefix)
    site.engine.client.containers.get(f"{prefix}-migrate-1").remove()
    assert "nothing to do" in site.sync().out
    site.commit({"compose.yaml": compose.format(app=prefix, step=1, a=2)})
    site.sync()
    assert f"{prefix}-migrate-1" not in site.ids(prefix)
    site.commit({"compose.yaml": compose.format(app=prefix, step=2, a=2)})
    site.sync()
    again = site.ids(prefix)
    assert f"{prefix}-migrate-1" in again and first[f"{prefix}-migrate-1"] != again[f"{prefix}-migrate-1"]


def test_exited_container_says_how_to_mark_it(site: Site, prefix: str) -> None:
    """A container that exits must fail at once, and the message must say how to mark a one-shot."""
    site.commit({"compose.yaml": f"name: {prefix}\nservices:\n  job: {{image: 'limpet-test/once:v1'}}\n"})
    done = site.sync(expect=1)
    assert "exited with code 0" in done.err and "oneshot: true" in done.err


CUT_OFF = "name: {app}\nservices:\n  web: {{image: 'limpet-test/idle:{version}'}}\n"


@pytest.mark.parametrize(("mends", "code"), [(True, 4), (False, 75)])
def test_source_must_still_answer(
    engine: Engine, repo: GitRepo, prefix: str, tmp_path: Path, mends: bool, code: int
) -> None:
    """A release after which the source no longer answers must be undone, and the reason names the
    source. It is to blame only when the source answers again on known good; else it is tried again, and
    applied once the source is back.
    """
    with HttpsRemote(repo, tmp_path / "https") as git:
        site = make_site(engine, repo, tmp_path / "site", remote=git)
        site.configure(gate={"deadline": "8s"}, source={"timeout": "1s"})
        layer = f"checks:\n  mend: {{exec: [sh, -c, 'kill -CONT -{git.pid}']}}\n" if mends else None
        site.commit({"compose.yaml": CUT_OFF.format(app=prefix, version="v1"), "layer.yaml": layer})
        site.sync()
        # as if the commit cut the host off
        once = f"[ -e {tmp_path}/cut ] || {{ touch {tmp_path}/cut; kill -STOP -{git.pid}; }}"
        site.commit(
            {
                "compose.yaml": CUT_OFF.format(app=prefix, version="v2"),
                "layer.yaml": f"checks:\n  cut: {{exec: [sh, -c, '{once}']}}\n",
            }
        )
        done = site.sync(expect=code)
        git.resume()
        assert "source: no longer answers" in done.err
        assert engine.said(f"{prefix}-web-1", "cat", "/version") == "v1"
        assert len(site.heartbeat()["rejected"]) == mends
        site.sync(expect=4 if mends else 0)
        assert engine.said(f"{prefix}-web-1", "cat", "/version") == ("v1" if mends else "v2")


def test_closed_window(site: Site, prefix: str) -> None:
    """Outside of its windows a release must wait, exit 6, while drift is repaired; an urgent commit goes past
    them.
    """
    compose = f"name: {prefix}\nservices:\n  web: {{image: 'limpet-test/idle:%s'}}\n"
    site.commit({"compose.yaml": compose % "v1"})
    site.sync()
    site.configure(converge={"windows": [{"deny": "* * * * *", "for": "2h"}]})
    site.commit({"compose.yaml": compose % "v2"})
    site.engine.client.containers.get(f"{prefix}-web-1").stop(timeout=1)
    done = site.sync(expect=6)
    assert "denies changes until" in done.err and "Limpet-Urgent" in done.err
    assert site.engine.said(f"{prefix}-web-1", "cat", "/version") == "v1"
    assert site.heartbeat()["next"]["blocked_by"]
    site.commit({"README.md": "now\n"}, "Now\n\nLimpet-Urgent: yes")
    site.sync()
    assert site.engine.said(f"{prefix}-web-1", "cat", "/version") == "v2"
