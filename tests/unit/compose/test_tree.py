"""Trees whose entries know their places."""

from __future__ import annotations

import pytest

from agent.compose import Place
from agent.compose.tree import List, Map, copy, place_of
from tests.unit.compose.loading import outline


def sample() -> Map:
    """A mapping with a list in it, each entry on a line of its own."""
    listed = List(["x", "y"], Place("f", 2), [Place("f", 3), Place("f", 4)])
    root = Map(at=Place("f", 1))
    root.put("list", listed, Place("f", 2))
    root.put("map", Map([("b", 1)], Place("f", 6)), Place("f", 5))
    return root


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ((), 1),
        (("list",), 2),
        (("list", 0), 3),
        (("list", 1), 4),
        (("list", -1), 4),
        (("list", -2), 3),
        (("list", 2), 2),
        (("list", -3), 2),
        (("list", "x"), 2),
        (("list", 0, "x"), 3),
        (("map",), 5),
        (("map", "b"), 6),
        (("map", "c"), 5),
        (("none", "b"), 1),
    ],
)
def test_the_place_of_a_path(path: tuple[str | int, ...], line: int) -> None:
    """A path must be found where its deepest entry that exists is written."""
    assert place_of(sample(), path) == Place("f", line)


def test_what_has_no_place_is_nowhere() -> None:
    """A value without a place must not be given one."""
    assert place_of("x", ["a"]) == Map().at == List().at == Map().place("a") == Place("", 0, 0)
    assert List(["a"], Place("f", 1)).places == [Place("f", 1)]


def test_a_copy_is_equal_and_apart() -> None:
    """A copy must have the same entries and places, and not change with the original."""
    original = sample()
    twin = copy(original)
    assert outline(twin) == outline(original)
    original["list"].add("z", Place("f", 9))
    original["map"].put("c", 2, Place("f", 9))
    original.put("new", 1, Place("f", 9))
    assert outline(twin) == outline(sample())


def test_places_follow_their_items() -> None:
    """An item that is added must keep its place, and a list whose places are not known be refused."""
    listed = List(at=Place("f", 1))
    listed.add("a", Place("f", 2))
    assert list(listed.placed()) == [("a", Place("f", 2))]
    listed.append("b")
    with pytest.raises(ValueError):
        list(listed.placed())
