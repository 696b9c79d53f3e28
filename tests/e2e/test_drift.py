"""What changed on the host without a commit is repaired by the next pass, and counted apart from intended
change.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.site import Site

REPOSITORY = {
    "compose.yaml": """\
name: {app}
services:
  web:
    image: limpet-test/web:v1
  db:
    image: limpet-test/idle:v1
""",
    "files/etc/app/app.conf": "workers = 4\n",
    "layer.yaml": 'files:\n  /etc/app/app.conf: {mode: "0640"}\n',
}


@pytest.fixture
def converged(site: Site, prefix: str) -> Site:
    """Two containers and a file, converged."""
    site.commit({name: text.replace("{app}", prefix) for name, text in REPOSITORY.items()})
    site.sync()
    return site


def conf(site: Site) -> Path:
    return site.root / "etc/app/app.conf"


def corrected(site: Site, count: int = 1) -> None:
    """One pass repairs `count` resources, calls them corrective, and the next does nothing."""
    done = site.sync()
    last = site.heartbeat()["last_pass"]
    assert (last["corrective"], last["failed"]) == (count, 0), f"{last}\n{done}"
    assert "nothing to do" in site.sync().out


def test_removed_container(converged: Site, prefix: str) -> None:
    """A removed container must be created again; the other must not be touched."""
    db = converged.ids(prefix)[f"{prefix}-db-1"]
    converged.engine.client.containers.get(f"{prefix}-web-1").remove(force=True)
    corrected(converged)
    assert converged.ids(prefix)[f"{prefix}-db-1"] == db


def test_stopped_container(converged: Site, prefix: str) -> None:
    """A stopped container must be started, the same one."""
    before = converged.ids(prefix)
    converged.engine.client.containers.get(f"{prefix}-web-1").stop(timeout=1)
    corrected(converged)
    assert converged.ids(prefix) == before


def test_edited_file(converged: Site) -> None:
    """An edited file must get its content back."""
    conf(converged).write_text("workers = 400\n")
    corrected(converged)
    assert conf(converged).read_text() == "workers = 4\n"


def test_changed_mode(converged: Site) -> None:
    """A changed mode must be set right."""
    conf(converged).chmod(0o666)
    corrected(converged)
    assert conf(converged).stat().st_mode & 0o7777 == 0o640


def test_removed_file(converged: Site) -> None:
    """A removed file must be written again."""
    conf(converged).unlink()
    corrected(converged)
    assert conf(converged).read_text() == "workers = 4\n"


def test_deleted_network(converged: Site, prefix: str) -> None:
    """A network that somebody deleted must be back, with the same containers attached and running."""
    before = converged.ids(prefix)
    network = converged.engine.client.networks.get(f"{prefix}_default")
    for name in before:
        network.disconnect(name, force=True)
    network.remove()
    corrected(converged, count=3)
    network = converged.engine.client.networks.get(f"{prefix}_default")
    assert {c.name for c in network.containers} == set(before)
    aliases = converged.container(f"{prefix}-web-1")["NetworkSettings"]["Networks"][f"{prefix}_default"][
        "Aliases"
    ]
    assert "web" in aliases
    assert converged.ids(prefix) == before


def test_intended_change_is_not_corrective(converged: Site, prefix: str) -> None:
    """A commit's change must not be counted as drift."""
    converged.commit({"files/etc/app/app.conf": "workers = 8\n"})
    converged.sync(real=True)
    last = converged.heartbeat()["last_pass"]
    assert (last["corrective"], last["replaced"]) == (0, 1)


def test_report_mode_shows_and_leaves(converged: Site) -> None:
    """With mode = "report" drift must be shown and not repaired, exit 6."""
    converged.configure(converge={"mode": "report"})
    conf(converged).write_text("mine\n")
    converged.sync(expect=6)
    assert conf(converged).read_text() == "mine\n"
    assert converged.heartbeat()["drift"]["now"] == ["file/etc/app/app.conf"]
