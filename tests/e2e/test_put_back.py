"""A file of a mounted directory that somebody edited is put back, on the real Engine."""

from __future__ import annotations

from typing import Any

from tests.harness.site import Site, on_both_engines

pytestmark = on_both_engines
COMPOSE = """\
name: {app}
services:
  web:
    image: limpet-test/idle:v1
    init: true
    network_mode: none
    command: [sh, -c, 'cp /c/app.conf /read; exec sleep 100000']
    volumes: ['./c:/c']
"""


def life(site: Site, name: str) -> tuple[Any, Any]:
    """The id, and when it was started."""
    doc = site.container(name)
    return doc["Id"], doc["State"]["StartedAt"]


def test_a_process_that_read_the_edited_file(site: Site, prefix: str) -> None:
    """A process that was started on an edited file must be restarted, once, when the file is put back."""
    web = f"{prefix}-web-1"
    site.commit({"compose.yaml": COMPOSE.format(app=prefix), "c/app.conf": "ours"})
    site.sync()
    (site.root / f"var/lib/limpet/apps/{prefix}/c/app.conf").write_text("edited")
    site.engine.client.containers.get(web).restart(timeout=0)
    edited = life(site, web)
    assert site.engine.said(web, "cat", "/read") == "edited"
    site.sync()
    assert site.engine.said(web, "cat", "/read") == "ours"
    back = life(site, web)
    assert back[0] == edited[0] and back[1] != edited[1]
    assert "nothing to do" in site.sync().out and life(site, web) == back
