"""What is said to differ."""

from __future__ import annotations

from agent.kinds.engine.differences import differing_fields


def test_differences_name_but_never_show() -> None:
    """Differences must be dotted names of what differs, and hold no value."""
    before = {"environment": {"PASSWORD": "old", "A": "1"}, "image": "a"}
    after = {"environment": {"PASSWORD": "new", "A": "1"}, "ports": []}
    assert differing_fields(before, after) == ["environment.PASSWORD", "image", "ports"]
