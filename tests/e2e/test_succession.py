"""A container that takes the place of another one, on the real Engine: the data has one writer."""

from __future__ import annotations

import pytest

from tests.harness import images
from tests.harness.site import Site, on_both_engines

pytestmark = on_both_engines

WRITER = "while :; do echo {name} >> /data/log; usleep 20000; done"


def writer(app: str, name: str, mount: str, more: str = "") -> str:
    command = WRITER.format(name=name)
    return f"""\
name: {app}
services:
  {name}:
    image: limpet-test/idle:v1
    init: true
    network_mode: none
    command: [sh, -c, '{command}']
    volumes: ['{mount}:/data']
    {more}
volumes: {{data: {{}}}}
"""


@pytest.mark.parametrize("kind", ["volume", "path"])
def test_two_never_write_at_once(site: Site, prefix: str, kind: str) -> None:
    """When a service gets another name, what both wrote must not be mixed: the old one ends before the new
    one begins.
    """
    place = site.root / "srv/data"
    place.mkdir(parents=True)
    mount = "data" if kind == "volume" else str(place)
    site.commit({"compose.yaml": writer(prefix, "postgres", mount)})
    site.sync()
    site.commit({"compose.yaml": writer(prefix, "db", mount)})
    site.sync()
    wrote = site.engine.said(f"{prefix}-db-1", "cat", "/data/log").split()
    assert {"postgres", "db"} == set(wrote)
    assert wrote == sorted(wrote, reverse=True), "the two were mixed"
    assert f"{prefix}-postgres-1" not in site.ids(prefix)


def test_unnamed_volumes_go_to_the_one_of_another_name(site: Site, prefix: str) -> None:
    """A new `container_name` must not lose what is in a volume that has no name, nor must taking it away."""
    image = images.make(f"limpet-test/data-{prefix}:v1", {"Cmd": ["/bin/idle"], "Volumes": {"/data": {}}})
    images.load(site.engine.client, image)
    service = f"{{image: '{image.ref}', network_mode: none%s}}"
    for number, more in enumerate(("", f", container_name: {prefix}-mine", "")):
        site.commit({"compose.yaml": f"name: {prefix}\nservices: {{db: {service % more}}}\n"})
        site.sync()
        [name] = site.ids(prefix)
        if number == 0:
            site.engine.said(name, "sh", "-c", "echo kept > /data/mark")
        assert site.engine.said(name, "cat", "/data/mark").strip() == "kept"
    site.engine.client.containers.get(name).remove(force=True)
    site.engine.client.images.remove(image.ref, force=True)
