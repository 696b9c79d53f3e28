"""What the agent remembers is damaged or gone: it says so, and the host comes to no harm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.store.documents import pack
from tests.harness.site import Site

COMPOSE = (
    "name: {app}\nservices:\n  web: {{image: 'limpet-test/web:v1'}}\n  db: {{image: 'limpet-test/idle:v1'}}\n"
)


@pytest.fixture
def converged(site: Site, prefix: str) -> Site:
    """Two containers and a host file, converged twice, so that both generations of the state exist."""
    site.commit({"compose.yaml": COMPOSE.format(app=prefix), "files/etc/app.conf": "one\n"})
    site.sync()
    site.commit({"files/etc/app.conf": "two\n"})
    site.sync()
    return site


def documents(site: Site, name: str) -> list[Path]:
    """Both generations of a document."""
    return sorted((site.root / "var/lib/limpet").glob(f"{name}.json*"))


@pytest.mark.parametrize("name", ["state", "inventory"])
def test_one_damaged_generation(converged: Site, prefix: str, name: str) -> None:
    """A damaged document must fall back to its other generation; nothing may be touched, and it must be
    said.
    """
    before = converged.ids(prefix)
    documents(converged, name)[0].write_bytes(b"{\x00")
    done = converged.sync(expect=None, real=True)
    assert done.code == 0, done
    assert converged.ids(prefix) == before
    assert any(name in text for text in converged.heartbeat()["damaged"])


@pytest.mark.parametrize("name", ["state", "inventory"])
def test_both_generations_lost(converged: Site, prefix: str, name: str) -> None:
    """With both generations damaged the same containers must stay, known by their labels, and later deletions
    still work.
    """
    before = converged.ids(prefix)
    for path in documents(converged, name):
        path.write_bytes(b"")
    converged.sync()
    assert converged.ids(prefix) == before
    assert "nothing to do" in converged.sync().out
    converged.commit(
        {"compose.yaml": COMPOSE.format(app=prefix).partition("  db")[0], "files/etc/app.conf": None}
    )
    converged.sync()
    assert set(converged.ids(prefix)) == {f"{prefix}-web-1"}
    assert not (converged.root / "etc/app.conf").exists()


def test_whole_state_directory_gone(converged: Site, prefix: str) -> None:
    """Without any state the next pass must take the branch as it comes and keep the containers that are
    right.
    """
    before = converged.ids(prefix)
    for path in (converged.root / "var/lib/limpet").iterdir():
        if path.name != "apps":
            converged.limpet("version")
            _remove(path)
    converged.sync()
    assert converged.ids(prefix) == before
    assert converged.heartbeat()["state"] == "Synced"


LOST = [("inventory",), ("state",), ("inventory", "state")]


def lose(site: Site, names: tuple[str, ...], how: str) -> None:
    """Both generations of each document are damaged, or removed."""
    for path in (path for name in names for path in documents(site, name)):
        path.write_bytes(b"") if how == "damaged" else path.unlink()


@pytest.mark.parametrize(("lost", "how"), [(lost, how) for how in ("damaged", "removed") for lost in LOST])
def test_lost_and_dropped_by_the_next_commit(
    converged: Site, prefix: str, lost: tuple[str, ...], how: str
) -> None:
    """What the branch drops after its ownership was lost must be pruned where it can be proved to be ours:
    containers by their labels, files that are as a release had them. A file that differs is left; log,
    heartbeat and status say what was lost.
    """
    converged.commit({"files/etc/mine.conf": "ours\n", "files/etc/kept.conf": "kept\n"})
    converged.sync()
    kept = converged.ids(prefix)[f"{prefix}-web-1"]
    (converged.root / "etc/mine.conf").write_text("a person's\n")
    lose(converged, lost, how)
    web = COMPOSE.format(app=prefix).partition("  db")[0]
    converged.commit({"compose.yaml": web, "files/etc/app.conf": None, "files/etc/mine.conf": None})
    done = converged.sync()
    assert converged.ids(prefix) == {f"{prefix}-web-1": kept}
    assert (
        not (converged.root / "etc/app.conf").exists()
        and (converged.root / "etc/kept.conf").read_text() == "kept\n"
    )
    assert (converged.root / "etc/mine.conf").exists() == ("inventory" in lost)
    told = [note for note in converged.heartbeat()["damaged"] if all(name in note for name in lost[:1])]
    status = converged.limpet("status").out
    assert told and all(note in status and note in done.out + done.err for note in told), (done, status)
    assert "nothing to do" in converged.sync().out
    assert converged.heartbeat()["damaged"] == []
    converged.commit({"files/etc/kept.conf": None})
    converged.sync()
    assert not (converged.root / "etc/kept.conf").exists(), (
        "what was proved to be ours was taken for what was there before"
    )


@pytest.mark.parametrize("lost", LOST)
def test_lost_in_the_middle_of_a_gate(converged: Site, prefix: str, lost: tuple[str, ...]) -> None:
    """When ownership is lost while a bad release is in its gate, nothing of that release may stay once the
    host is in order.
    """
    converged.configure(gate={"settle": "30s", "deadline": "90s"})
    before = converged.ids(prefix)
    web = COMPOSE.format(app=prefix).replace("web:v1", "web:v2") + "  more: {image: 'limpet-test/idle:v1'}\n"
    converged.commit({"compose.yaml": web, "files/etc/app.conf": "three\n", "files/etc/new.conf": "new\n"})
    converged.kill_in("gate")
    lose(converged, lost, "damaged")
    converged.engine.client.containers.get(f"{prefix}-web-1").stop(timeout=1)
    converged.configure(gate={"settle": "1s", "deadline": "6s"}, converge={"max_prune": 1.0})
    if "state" not in lost:
        converged.commit({"layer.yaml": "checks: {red: {exec: ['false'], within: 2s}}\n"})
        converged.sync(expect=4)
        assert converged.ids(prefix) == before and (converged.root / "etc/app.conf").read_text() == "two\n"
    converged.commit(
        {
            "compose.yaml": COMPOSE.format(app=prefix),
            "files/etc/app.conf": "two\n",
            "files/etc/new.conf": None,
            "layer.yaml": None,
        }
    )
    converged.sync()
    assert set(converged.ids(prefix)) == set(before)
    assert (converged.root / "etc/app.conf").read_text() == "two\n" and not (
        converged.root / "etc/new.conf"
    ).exists()
    assert "nothing to do" in converged.sync().out


def test_one_shots_do_not_run_again(site: Site, prefix: str) -> None:
    """When the inventory is lost, a one-shot of known good that has run must not run a second time, nor a
    post_start.
    """
    hook = "post_start: [{command: [sh, -c, 'echo up >> /traces/all']}]"
    site.commit(
        {
            "compose.yaml": f"""\
name: {prefix}
services:
  migrate: {{image: 'limpet-test/once:v1', x-limpet: {{oneshot: true}}}}
  web: {{image: 'limpet-test/web:v1', volumes: ['traces:/traces'], {hook}}}
volumes: {{traces: {{}}}}
"""
        }
    )
    site.sync()
    site.engine.client.containers.get(f"{prefix}-migrate-1").remove()
    lose(site, ("inventory",), "damaged")
    assert "nothing to do" in site.sync().out
    assert (
        set(site.ids(prefix)) == {f"{prefix}-web-1"}
        and site.engine.said(f"{prefix}-web-1", "cat", "/traces/all") == "up\n"
    )


def test_adopting_release_fails_after_the_inventory_was_lost(site: Site, prefix: str) -> None:
    """A person's container that was put aside by a release that adopts it must come back when that release
    fails, although the inventory was lost in its gate: its name says whose it is.
    """
    compose = "name: {app}\nservices:\n  one: {{image: 'limpet-test/idle:v1'}}\n"
    site.commit({"compose.yaml": compose.format(app=prefix)})
    site.sync()
    policy: Any = {"Name": "unless-stopped"}  # a name that the types of the SDK lack
    theirs = site.engine.client.containers.run(
        "limpet-test/web:v1", name=f"{prefix}-web-1", detach=True, restart_policy=policy
    )
    site.configure(gate={"settle": "30s", "deadline": "90s"})
    adopting = "  web: {image: 'limpet-test/web:v2', restart: unless-stopped, x-limpet: {adopt: true}}\n"
    site.commit({"compose.yaml": compose.format(app=prefix) + adopting})
    site.kill_in("gate")
    assert site.ids(prefix)[f"{prefix}-web-1.kept-{str(theirs.id)[:12]}"] == theirs.id
    lose(site, ("inventory",), "damaged")
    site.engine.client.containers.get(f"{prefix}-web-1").stop(timeout=1)
    site.configure(gate={"settle": "1s", "deadline": "8s"})
    site.commit({"layer.yaml": "checks: {red: {exec: ['false'], within: 2s}}\n"})
    site.sync(expect=4)
    now = site.container(f"{prefix}-web-1")
    assert (
        now["Id"] == theirs.id
        and now["State"]["Running"]
        and now["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    )
    assert set(site.ids(prefix)) == {f"{prefix}-web-1", f"{prefix}-one-1"}


def test_manifests_and_contents_lost(converged: Site, prefix: str) -> None:
    """When what known good is made of was lost, it must be rendered again before a release that could fail
    takes its place.
    """
    before = converged.ids(prefix)
    for name in ("manifests", "content"):
        for path in (converged.root / "var/lib/limpet" / name).iterdir():
            path.unlink()
    converged.commit(
        {
            "compose.yaml": COMPOSE.format(app=prefix).replace("web:v1", "sick:v1"),
            "files/etc/app.conf": "three\n",
        }
    )
    done = converged.sync(expect=4)
    assert "rendered again from its commit" in done.err, done
    assert converged.ids(prefix) == before and (converged.root / "etc/app.conf").read_text() == "two\n"


def test_content_store_damaged(converged: Site, prefix: str) -> None:
    """A damaged stored content must be rendered again, and drift repaired with the right bytes."""
    for path in (converged.root / "var/lib/limpet/content").iterdir():
        path.write_bytes(b"rot")
    (converged.root / "etc/app.conf").write_text("mine\n")
    converged.sync(expect=None)
    converged.sync()
    assert (converged.root / "etc/app.conf").read_text() == "two\n"


def test_documents_of_a_newer_version(converged: Site, prefix: str) -> None:
    """State or inventory of a newer Limpet must stop the pass with both versions named, touch nothing and
    stay as they are.
    """
    before = converged.ids(prefix)
    converged.commit({"files/etc/app.conf": "three\n"})
    for name in ("state", "inventory"):
        newest = documents(converged, name)[0]
        old = newest.read_bytes()
        newer = pack(json.loads(old.splitlines()[1]), 99)
        newest.write_bytes(newer)
        done = converged.sync(expect=78)
        assert "schema 99" in done.err and "install Limpet" in done.err, done
        assert converged.ids(prefix) == before and (converged.root / "etc/app.conf").read_text() == "two\n"
        assert newest.read_bytes() == newer
        newest.write_bytes(old)
    converged.sync()
    assert (converged.root / "etc/app.conf").read_text() == "three\n"


def test_copied_machine(converged: Site, prefix: str) -> None:
    """State of another machine must stall, not act as the original."""
    before = converged.ids(prefix)
    (converged.root / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    done = converged.sync(expect=78)
    assert "another machine" in done.err
    assert converged.ids(prefix) == before


def _remove(path: Path) -> None:
    import shutil

    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
