"""How a release is started and judged, where no digest covers it."""

from __future__ import annotations

from typing import Any

import pytest

from agent.decide.handling import handling_of
from agent.kinds import container
from agent.model import Key, Manifest, Need


def manifest(**more: Any) -> Manifest:
    made = container.container_resource(
        "a-b-1", app="a", service="b", number=1, config={"image": "x:1"}, inputs={}, folded={}, **more
    )
    return Manifest({made.key: made})


DB = Key("container", "a-db-1")


@pytest.mark.parametrize(
    "change",
    [
        {"oneshot": True},
        {"hook_timeout": 99.0},
        {"update": {"parallelism": 2}},
        {"rollback": {"parallelism": 2}},
        {"on_unhealthy": "restart"},
        {"irreversible": True},
        {"needs": (Need(DB, "healthy"),)},
        {"needs": (Need(DB, "started"),)},
    ],
    ids=str,
)
def test_what_may_have_made_it_fail_counts(change: dict[str, Any]) -> None:
    """A commit that changes only this must give a rejected release another chance, though its digest is the
    same.
    """
    assert manifest(**change).digest == manifest().digest
    assert handling_of(manifest(**change)) != handling_of(manifest())


@pytest.mark.parametrize(
    "change", [{"pull_policy": "always"}, {"pull_every": 60.0}, {"origin": "compose.yaml:7"}], ids=str
)
def test_what_cannot_have_made_it_fail_does_not(change: dict[str, Any]) -> None:
    """When an image is pulled, and where a service is written, must not let a rejected release be tried
    again.
    """
    assert handling_of(manifest(**change)) == handling_of(manifest())
