"""Rules by path: what holds for every name, and what holds for one."""

from __future__ import annotations

import pytest

from agent.compose.tree import Rules

PATTERNS = {
    "services.*": 1,
    "services.*.ports": 2,
    "services.web.build": 3,
    "*.*.labels": 4,
    "services.*.*.x": 5,
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("services", None),
        ("services.db", 1),
        ("services.web", 1),
        ("services.db.ports", 2),
        ("services.web.ports", 2),
        ("services.web.build", 3),
        ("services.db.build", None),
        ("services.web.labels", 4),
        ("services.db.labels", 4),
        ("networks.n.labels", 4),
        ("networks.n.ports", None),
        ("services.web.build.x", 5),
        ("services.web.labels.x", 5),
        ("services.db.any.x", 5),
        ("networks.n.any.x", None),
    ],
)
def test_what_holds_for_every_name_holds_for_a_named_one_too(path: str, value: int | None) -> None:
    """A rule for `*` must hold beside the rules for a name, and give way to one for the same path."""
    found = Rules(PATTERNS).at(*path.split("."))
    assert (found and found.value) == value
