"""What one project may cost, however small its files are: aliases, ranges, includes and variables multiply.

Every step that can make much out of little pays here first; a project over its budget is an error with a
place, never a long run. The limits are far above what people write (a service of a usual file costs about 40
nodes).
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
    """A project costs too much; nothing more is done with it."""

    def __init__(self, message: str, place: Place, hint: str) -> None:
        super().__init__(message)
        self.error = ComposeError(message, *place, hint=hint)


class Budget:
    """How many nodes and characters are left for all files of a project together."""

    __slots__ = ("nodes", "text")

    def __init__(self, nodes: int = MAX_NODES, text: int = MAX_TEXT) -> None:
        self.nodes, self.text = nodes, text

    def spend_nodes(self, count: int, place: Place) -> None:
        """Pays for entries of the tree. Raises OverBudget."""
        self.nodes -= count
        if self.nodes < 0:
            hint = (
                "aliases, merge keys, ranges, extends and includes multiply what they point at: split "
                "the project"
            )
            raise OverBudget(f"the project expands to more than {MAX_NODES} nodes", place, hint)

    def spend_text(self, count: int, place: Place) -> None:
        """Pays for characters of variables and environment files. Raises OverBudget."""
        self.text -= count
        if self.text < 0:
            hint = "make the values shorter, or use them less often"
            raise OverBudget(
                f"variables and environment files add up to more than {MAX_TEXT} characters", place, hint
            )


def node_count(value: object) -> int:
    """How many nodes a tree has."""
    if isinstance(value, dict):
        return 1 + sum(map(node_count, value.values()))
    if isinstance(value, list):
        return 1 + sum(map(node_count, value))
    return 1
