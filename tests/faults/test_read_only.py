"""Disks that are read-only: nothing half done stays, what runs goes on, and it is said."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.disk import small_disk
from tests.harness.site import Site

COMPOSE = """\
name: {app}
services:
  web:
    image: limpet-test/web:{version}
    volumes: ["./conf:/etc/conf:ro"]
"""


def remount(disk: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(disk)], check=True)


@pytest.fixture
def state(site: Site) -> Iterator[Path]:
    """The state directory of the site, on a disk of 3 MB."""
    with small_disk(site.root / "var/lib/limpet", 3) as disk:
        yield disk


def files(version: str, word: str, app: str) -> dict[str, str]:
    return {
        "compose.yaml": COMPOSE.format(app=app, version=version),
        "conf/app.conf": f"{word}\n",
        "files/etc/app.conf": f"{word}\n" + "x" * 20_000,
    }


def says(site: Site, app: str) -> tuple[str, str, str]:
    """The version that runs, and the first line of the file of the app and of the host."""
    version, conf = (
        site.engine.said(f"{app}-web-1", "cat", path) for path in ("/version", "/etc/conf/app.conf")
    )
    return version, conf, (site.root / "etc/app.conf").read_text()[:4]


def test_a_read_only_disk(site: Site, prefix: str, state: Path) -> None:
    """On a read-only disk, of the state or of a file, nothing may be touched, the message names the place,
    and what runs stays; writable again, the pass must converge.
    """
    with small_disk(site.root / "srv/data", 1) as disk:
        site.commit({**files("v1", "one", prefix), "files/srv/data/a": "one\n"})
        site.sync()
        before = site.ids(prefix)
        site.commit({**files("v2", "two", prefix), "files/srv/data/a": "two\n"})
        for place, named in ((state, "/var/lib/limpet"), (disk, "/srv/data/a")):
            remount(place, "ro")
            done = site.sync(expect=None)
            assert done.code in (4, 75, 78) and named in done.err and "ead-only" in done.err, done
            assert (
                says(site, prefix) == ("v1", "one\n", "one\n") and before.items() <= site.ids(prefix).items()
            )
            assert (disk / "a").read_text() == "one\n"
            remount(place, "rw")
        site.limpet("retry", "all")
        site.sync()
        assert says(site, prefix) == ("v2", "two\n", "two\n") and (disk / "a").read_text() == "two\n"
