"""Limits the cost of a project. Even a small file may expand a lot: aliases, ranges, includes and variables
multiply.

Every step that can expand its input pays here first. A project over its budget is an error with a place,
never a long run. The limits are far above real projects: a typical service costs about 40 nodes.
"""

from __future__ import annotations

from .errors import ComposeError, Place

MAX_FILE_BYTES = 1 << 20
MAX_DEPTH = 64
MAX_NODES = 200_000
MAX_TEXT = 16 << 20
MAX_VALUE = 1 << 20
MAX_INCLUDES = 20
INCLUDE_COST = 50  # nodes, for each include
MAX_EXTENDS = 50


class OverBudget(Exception):
    """A project is over its budget. Loading stops."""

    def __init__(self, message: str, place: Place, hint: str) -> None:
        super().__init__(message)
        self.error = ComposeError(message, *place, hint=hint)


class Budget:
    """The nodes and characters that are left for all files of a project together."""

    __slots__ = ("nodes", "text")

    def __init__(self, nodes: int = MAX_NODES, text: int = MAX_TEXT) -> None:
        self.nodes, self.text = nodes, text

    def spend_nodes(self, count: int, place: Place) -> None:
        """Pays for nodes of the tree. Raises OverBudget."""
        self.nodes -= count
        if self.nodes < 0:
            hint = (
                "aliases, merge keys, ranges, extends and includes multiply what they point at: split "
                "the project"
            )
            raise OverBudget(f"the project expands to more than {MAX_NODES} nodes", place, hint)

    def spend_text(self, count: int, place: Place) -> None:
        """Pays for characters from variables and environment files. Raises OverBudget."""
        self.text -= count
        if self.text < 0:
            hint = "make the values shorter, or use them less often"
            raise OverBudget(
                f"variables and environment files add up to more than {MAX_TEXT} characters", place, hint
            )


def node_count(value: object) -> int:
    """The number of nodes in a tree."""
    if isinstance(value, dict):
        return 1 + sum(map(node_count, value.values()))
    if isinstance(value, list):
        return 1 + sum(map(node_count, value))
    return 1
