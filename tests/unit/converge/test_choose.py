"""Which release a pass goes for: what was rejected is not tried again."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from agent.converge.choose import rejection
from agent.decide.image_memory import Asked, Images
from agent.kinds import container
from agent.model import Manifest, Release
from agent.revision import Revision
from agent.store.verdicts import Rejection


def manifest(policy: str) -> Manifest:
    web = container.container_resource(
        "web",
        app="shop",
        service="web",
        number=1,
        config={"image": "web:1"},
        inputs={},
        folded={},
        pull_policy=policy,
    )
    return Manifest({web.key: web})


@pytest.mark.parametrize(
    ("policy", "asked", "lock", "rejected"),
    [
        ("missing", False, {"web:1": "sha256:bad"}, True),
        ("missing", False, {"web:1": "sha256:other"}, False),
        ("missing", False, {}, True),
        ("always", True, {"web:1": "sha256:bad"}, True),
        ("always", True, {"web:1": "sha256:other"}, False),
        ("always", False, {"web:1": "sha256:other"}, True),
    ],
)
def test_rejected_release_is_not_tried_again(
    policy: str, asked: bool, lock: dict[str, str], rejected: bool
) -> None:
    """A rejected release must stay rejected; with another image it is another release, unless the image is
    not known before a pull, or it is not known any more what `always` was told.
    """
    wanted = manifest(policy)
    failed = Release(wanted.digest, {"web:1": "sha256:bad"})
    earlier = Rejection(wanted.digest, "sick", 0.0, Revision("main", "x"))
    images = Images({"web:1": Asked(lock.get("web:1", ""), 0.0)} if asked else {})
    context: Any = SimpleNamespace(state=SimpleNamespace(rejected={failed.id: earlier}, images=images))
    assert bool(rejection(context, replace(failed, lock=lock), wanted)) is rejected
