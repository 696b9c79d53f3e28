"""What hangs, or takes more than it may, in a whole pass: it is ended, said, and what runs goes on."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from tests.harness.site import Site

COMPOSE = (
    "name: {app}\nservices:\n  web: {{image: 'limpet-test/{image}', stop_grace_period: 1s, "
    "environment: {{A: '{mark}'}}}}\n"
)


def test_a_check_that_hangs(site: Site, prefix: str) -> None:
    """An exec check that never ends, and ignores TERM, must be killed with what it started, and reject the
    release.
    """
    site.configure(gate={"settle": "0.5s", "deadline": "6s"})
    site.commit({"compose.yaml": COMPOSE.format(app=prefix, image="idle:v1", mark=1)})
    site.sync()
    before = site.ids(prefix)
    hangs = "[sh, -c, 'trap \"\" TERM; sleep 987654 & wait']"
    site.commit({"layer.yaml": f"checks: {{own: {{exec: {hangs}, timeout: 1s, within: 2s}}}}\n"})
    begun = time.monotonic()
    done = site.sync(expect=4)
    assert "check/own" in done.err and "1 s" in done.err, done
    assert time.monotonic() - begun < 60 and site.ids(prefix) == before
    assert [line for line in processes() if "987654" in line] == []


def test_a_container_that_does_not_stop(site: Site, prefix: str) -> None:
    """A container that ignores its stop signal must be killed after its grace period, and its successor be
    proved.
    """
    site.commit({"compose.yaml": COMPOSE.format(app=prefix, image="stubborn:v1", mark=1)})
    site.sync()
    site.commit({"compose.yaml": COMPOSE.format(app=prefix, image="stubborn:v1", mark=2)})
    site.sync()
    assert "A=2" in site.container(f"{prefix}-web-1")["Config"]["Env"] and set(site.ids(prefix)) == {
        f"{prefix}-web-1"
    }


def test_a_render_that_wants_too_much_memory(site: Site, prefix: str) -> None:
    """A commit whose rendering needs more memory than the child may have must be refused as such, and what
    runs stays.
    """
    site.commit({"compose.yaml": COMPOSE.format(app=prefix, image="idle:v1", mark=1)})
    site.sync()
    before = site.ids(prefix)
    more = "{% set kept.all = kept.all + ['x' * 1000000 ~ i] %}"
    site.commit(
        {
            "files/etc/large.j2": f"{{% set kept = namespace(all=[]) %}}{{% for i in range(5000) "
            f"%}}{more}{{% endfor %}}"
        }
    )
    done = site.sync(expect=78)
    assert "memory" in done.err and "hint: " in done.err, done
    assert site.ids(prefix) == before and not (site.root / "etc/large").exists()


def processes() -> list[str]:
    """The command lines of this machine."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(entry.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return found
