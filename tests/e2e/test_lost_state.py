"""What the agent remembers is damaged or gone: it says so, and the host comes to no harm."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.site import Site

COMPOSE = "name: {app}\nservices:\n  web: {{image: 'limpet-test/web:v1'}}\n  db: {{image: 'limpet-test/idle:v1'}}\n"


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
    """A damaged document must fall back to its other generation; nothing may be touched, and it must be said."""
    before = converged.ids(prefix)
    documents(converged, name)[0].write_bytes(b"{\x00")
    done = converged.sync(expect=None)
    assert done.code == 0, done
    assert converged.ids(prefix) == before
    assert any(name in text for text in converged.heartbeat()["damaged"])


@pytest.mark.parametrize("name", ["state", "inventory"])
def test_both_generations_lost(converged: Site, prefix: str, name: str) -> None:
    """With both generations damaged the same containers must stay, known by their labels, and later deletions still work."""
    before = converged.ids(prefix)
    for path in documents(converged, name):
        path.write_bytes(b"")
    converged.sync()
    assert converged.ids(prefix) == before
    assert "nothing to do" in converged.sync().out
    converged.commit({"compose.yaml": COMPOSE.format(app=prefix).partition("  db")[0], "files/etc/app.conf": None})
    converged.sync()
    assert set(converged.ids(prefix)) == {f"{prefix}-web-1"}
    assert not (converged.root / "etc/app.conf").exists()


def test_whole_state_directory_gone(converged: Site, prefix: str) -> None:
    """Without any state the next pass must take the branch as it comes and keep the containers that are right."""
    before = converged.ids(prefix)
    for path in (converged.root / "var/lib/limpet").iterdir():
        if path.name != "apps":
            converged.limpet("version")
            _remove(path)
    converged.sync()
    assert converged.ids(prefix) == before
    assert converged.heartbeat()["state"] == "Synced"


def test_content_store_damaged(converged: Site, prefix: str) -> None:
    """A damaged stored content must be rendered again, and drift repaired with the right bytes."""
    for path in (converged.root / "var/lib/limpet/content").iterdir():
        path.write_bytes(b"rot")
    (converged.root / "etc/app.conf").write_text("mine\n")
    converged.sync(expect=None)
    converged.sync()
    assert (converged.root / "etc/app.conf").read_text() == "two\n"


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
