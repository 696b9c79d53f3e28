"""What makes a container another one, and the names of its instances."""

from __future__ import annotations

from typing import Any

import pytest

from agent.kinds import container, instances
from agent.model import Key, Need, Resource


def web(**differs: Any) -> Resource:
    spec: dict[str, Any] = {
        "app": "shop",
        "service": "web",
        "number": 1,
        "config": {"image": "nginx:1.27", "environment": {"A": "1"}},
        "inputs": {"/apps/shop/a.conf": "d" * 64},
        "folded": {"network/shop_default": "e" * 64},
    }
    return container.container_resource("shop-web-1", **{**spec, **differs})


@pytest.mark.parametrize(
    "differs",
    [
        {"origin": "compose.yaml:9"},
        {"compose": {"project": "x"}},
        {"needs": (Need(Key("network", "n")),)},
        {"pull_policy": "always"},
    ],
)
def test_what_changes_no_container(differs: dict[str, Any]) -> None:
    """Where it is written, its labels, what it waits for and how its image is pulled must not be in its
    digest.
    """
    assert web(**differs).digest == web().digest


@pytest.mark.parametrize(
    "differs",
    [
        {"config": {"image": "nginx:1.28", "environment": {"A": "1"}}},
        {"config": {"image": "nginx:1.27", "environment": {"A": "2"}}},
        {"inputs": {"/apps/shop/a.conf": "c" * 64}},
        {"inputs": {}},
        {"folded": {}},
        {"on_change": {"/etc/app.conf": "signal:HUP"}},
    ],
)
def test_what_changes_a_container(differs: dict[str, Any]) -> None:
    """Configuration, content of its files, what it is folded with and on_change must be in its digest."""
    assert web(**differs).digest != web().digest


def test_names_of_instances() -> None:
    """A candidate's name must follow from what it is, so that a killed pass finds it again."""
    assert instances.candidate_name(web(), "sha256:1") == instances.candidate_name(web(), "sha256:1")
    assert instances.candidate_name(web(), "sha256:1") != instances.candidate_name(web(), "sha256:2")
    assert instances.candidate_name(web(), "sha256:1").startswith("shop-web-1.new-")
