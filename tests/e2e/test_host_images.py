"""Images that are made on the host, again and again under one tag, on the real Engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import docker.errors
import pytest

from tests.harness import images
from tests.harness.site import Site, on_both_engines

pytestmark = on_both_engines


@pytest.fixture
def made(site: Site, prefix: str) -> Iterator[Callable[[str, str], str]]:
    """Makes an image anew under the tag `PREFIX/web:latest`; gives its id."""
    ids: list[str] = []

    def make(kind: str, version: str) -> str:
        recipe = images.make(f"{prefix}/web:latest", images.KINDS[kind], version, {"prefix": prefix})
        ids.append(images.load(site.engine.client, recipe).id)
        return ids[-1]

    yield make
    site.engine.remove_all(prefix)
    for id in ids:
        with pytest.raises(docker.errors.ImageNotFound):  # removed already, or by this
            site.engine.client.images.remove(id, force=True)
            site.engine.client.images.get(id)


def test_an_image_that_was_made_anew(site: Site, prefix: str, made: Callable[[str, str], str]) -> None:
    """The next commit must take the image that has the tag now; a sick one is undone, and the one before,
    which has no name any more, comes back, also when its container was removed.
    """
    web = f"{prefix}-web-1"

    def commit(mark: str, expect: int = 0) -> None:
        service = f"{{image: '{prefix}/web:latest', pull_policy: never, environment: {{MARK: '{mark}'}}}}"
        site.commit({"compose.yaml": f"name: {prefix}\nservices: {{web: {service}}}\n"})
        site.sync(expect=expect)

    first = made("idle", "v1")
    commit("1")
    assert site.container(web)["Image"] == first
    second = made("idle", "v2")
    assert "nothing to do" in site.sync().out
    commit("2")
    assert site.container(web)["Image"] == second
    made("sick", "v3")
    commit("3", expect=4)
    assert site.container(web)["Image"] == second
    site.engine.client.containers.get(web).remove(force=True)
    site.sync(expect=4)
    assert site.container(web)["Image"] == second and site.container(web)["State"]["Running"]
