"""How an instance of a container gets to the networks of its service."""

from __future__ import annotations

from agent.kinds import attaching
from tests.fakes.passes import service


def test_networks_are_joined_by_priority() -> None:
    """The network of the highest priority must come first, then by name: it is joined when the container is
    created.
    """
    web = service("a", config={"networks": {"a": {}, "b": {"priority": 10}, "c": None}})
    assert attaching.networks(web) == ["b", "a", "c"]
