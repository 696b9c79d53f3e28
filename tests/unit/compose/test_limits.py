"""The budget of a project."""

from __future__ import annotations

import pytest

from agent.compose import Place
from agent.compose.limits import Budget, OverBudget, node_count


@pytest.mark.parametrize(
    ("value", "nodes"),
    [("x", 1), (None, 1), ([], 1), ({}, 1), ([1, [2, 3]], 5), ({"a": 1, "b": {"c": [2]}}, 5)],
)
def test_nodes_are_counted(value: object, nodes: int) -> None:
    """Every value and every collection must count once."""
    assert node_count(value) == nodes


def test_a_budget_is_spent_to_its_end() -> None:
    """All of a budget may be spent; what is over it must be told with its place and what to do."""
    budget = Budget(10, 20)
    budget.spend_nodes(10, Place("f", 1))
    budget.spend_text(20, Place("f", 1))
    assert (budget.nodes, budget.text) == (0, 0)
    with pytest.raises(OverBudget) as nodes:
        budget.spend_nodes(1, Place("f", 2, 3))
    with pytest.raises(OverBudget) as text:
        budget.spend_text(1, Place("f", 4, 5))
    assert [f"{over.value.error} | {over.value.error.hint}" for over in (nodes, text)] == [
        "f:2:3: the project expands to more than 200000 nodes | aliases, merge keys, ranges, extends and "
        "includes multiply what they point at: split the project",
        "f:4:5: variables and environment files add up to more than 16777216 characters | make the values "
        "shorter, or use them less often",
    ]
    assert str(nodes.value) == nodes.value.error.message
    assert (Budget().nodes, Budget().text) == (200_000, 16 << 20)
