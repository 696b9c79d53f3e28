"""Names of apps on the real Engine: data stays with the app that has the name."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.harness.site import Site

COMPOSE = """\
services:
  db:
    image: limpet-test/idle:v1
    network_mode: none
    environment: {{E: '{value}'}}
    volumes: ['data:/data', './scans:/scans']
volumes: {{data: {{}}}}
"""


def compose(value: str, name: str = "") -> str:
    return (f"name: {name}\n" if name else "") + COMPOSE.format(value=value)


def marked(site: Site, name: str) -> None:
    site.engine.said(name, "sh", "-c", "echo kept > /data/mark; echo kept > /scans/mark")


def kept(site: Site, name: str) -> bool:
    said = site.engine.said(name, "sh", "-c", "cat /data/mark /scans/mark || true")
    return "kept\nkept\n" in said


@pytest.mark.parametrize("late", [False, True], ids=["at once", "too late"])
def test_a_renamed_directory_goes_on_with_name(site: Site, prefix: str, late: bool) -> None:
    """A directory that gets another name must be told by plan, sync and status with the `name:` that goes on;
    with it the data must be there, also when it comes a release too late.
    """
    old, new = f"{prefix}-ngx", prefix
    site.commit({f"apps/{old}/compose.yaml": compose("1")})
    site.sync()
    marked(site, f"{old}-db-1")
    id = site.ids(prefix)[f"{old}-db-1"]
    site.commit({f"apps/{old}/compose.yaml": None, f"apps/{new}/compose.yaml": compose("1")})
    planned = site.limpet("plan")
    assert planned.code == 2 and f"warning volume/{new}_data: {new} begins empty" in planned.out
    assert f"hint: to go on with it, write `name: {old}` at the top of apps/{new}/compose.yaml" in planned.out
    if late:
        done = site.sync()
        assert f"name: {old}" in done.out + done.err
        assert f"name: {old}" in site.limpet("status").out
        assert not kept(site, f"{new}-db-1")
    site.commit({f"apps/{new}/compose.yaml": compose("1", old)})
    assert "warning" not in site.limpet("plan").out
    site.sync()
    assert kept(site, f"{old}-db-1") and set(site.ids(prefix)) == {f"{old}-db-1"}
    assert (site.ids(prefix)[f"{old}-db-1"] == id) is not late
    site.commit({f"apps/{new}/compose.yaml": compose("2", old)})
    site.sync()
    assert kept(site, f"{old}-db-1") and site.ids(prefix)[f"{old}-db-1"] != id
    assert "nothing to do" in site.sync().out


def test_a_repository_that_moves(site: Site, prefix: str, tmp_path: Path) -> None:
    """A repository that is reached at another URL with another name must change nothing, and later commits
    must reach the same containers and data; also after the state was lost.
    """
    first, second = tmp_path / f"{prefix}-fleet.git", tmp_path / f"{prefix}-infra.git"
    name = f"{prefix}-fleet-db-1"
    site.commit({"compose.yaml": compose("1")})
    shutil.copytree(site.repo.path, first)
    site.configure(source={"url": f"file://{first}"})
    site.sync()
    marked(site, name)
    before = site.ids(prefix)
    shutil.move(first, second)
    site.configure(source={"url": f"file://{second}"})
    planned = site.limpet("plan")
    assert planned.code == 0 and f"warning: source.url ends in {prefix}-infra" in planned.err
    assert f"write `name: {prefix}-fleet`" in planned.err
    assert "nothing to do" in site.sync().out
    assert site.ids(prefix) == before
    for value, lost in (("2", False), ("3", True)):
        site.commit({"compose.yaml": compose(value)})
        shutil.rmtree(second)
        shutil.copytree(site.repo.path, second)
        if lost:
            shutil.rmtree(site.root / "var/lib/limpet/git")
            for path in (site.root / "var/lib/limpet").glob("*.json*"):
                path.unlink()
        site.sync()
        assert set(site.ids(prefix)) == {name} and kept(site, name)
