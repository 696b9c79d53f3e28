"""Secrets on the real Engine: the user of the container reads them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness import images
from tests.harness.site import Site

READ = "cat /run/secrets/s && exec sleep 100000"


@pytest.fixture
def users(site: Site, prefix: str) -> Iterator[dict[str, str]]:
    """USER -> the reference of an image that ends at once unless that user can read its secret."""
    made = {}
    for number, user in enumerate(("1000:1000", "2000", "app")):
        command = {"Cmd": ["sh", "-c", READ], "User": user}
        image = images.make(f"limpet-test/user-{prefix}:{number}", command)
        images.load(site.engine.client, image)
        made[user] = image.ref
    yield made
    for reference in made.values():
        site.engine.client.images.remove(reference, force=True)


def compose(prefix: str, image: str, more: str = "", **use: str) -> str:
    said = "".join(f", {key}: {value}" for key, value in use.items())
    return f"""\
name: {prefix}
services:
  a:
    image: {image}
    init: true
    network_mode: none
    secrets: [{{source: s, mode: 0400{said}}}]
    {more}
secrets: {{s: {{file: s.txt}}}}
"""


def test_the_user_of_the_image_reads_its_secret(site: Site, prefix: str, users: dict[str, str]) -> None:
    """A secret that only its owner may read must be readable for the numeric USER of the image, with each
    image; the second pass does nothing, and a release that fails gives it back.
    """
    owned = site.root / f"var/lib/limpet/apps/{prefix}/.limpet/secrets/a/s"
    for user, uid in (("1000:1000", 1000), ("2000", 2000)):
        site.commit({"compose.yaml": compose(prefix, users[user]), "s.txt": "secret"})
        site.sync()
        assert owned.stat().st_uid == uid and owned.stat().st_mode & 0o777 == 0o400
        id = site.ids(prefix)[f"{prefix}-a-1"]
        assert "nothing to do" in site.sync().out
        assert site.ids(prefix) == {f"{prefix}-a-1": id}
    sick = "healthcheck: {test: [CMD, 'false'], interval: 0.5s, retries: 1}"
    site.commit({"compose.yaml": compose(prefix, users["1000:1000"], sick)})
    site.sync(expect=4)
    assert owned.stat().st_uid == 2000 and site.ids(prefix) == {f"{prefix}-a-1": id}
    assert site.engine.said(f"{prefix}-a-1", "cat", "/run/secrets/s") == "secret"


def test_a_user_with_a_name_needs_a_number(site: Site, prefix: str, users: dict[str, str]) -> None:
    """An image whose USER has a name must be told with `uid`; with it the container can read its secret."""
    site.commit({"compose.yaml": compose(prefix, users["app"]), "s.txt": "secret"})
    planned = site.limpet("plan")
    assert planned.code == 2 and "runs as app" in planned.out and 'add uid: "NUMBER"' in planned.out
    site.sync(expect=1)
    assert 'add uid: "NUMBER"' in site.limpet("status").out
    site.commit({"compose.yaml": compose(prefix, users["app"], uid="'1000'")})
    site.sync()
    assert "warning" not in site.limpet("status").out
    assert site.engine.said(f"{prefix}-a-1", "cat", "/run/secrets/s") == "secret"
