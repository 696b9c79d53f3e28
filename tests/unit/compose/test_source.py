"""Files are found, and read once."""

from __future__ import annotations

import pytest

from agent.compose import MemoryFiles, Place
from agent.compose.errors import LoadProblems
from agent.compose.limits import OverBudget
from agent.compose.source import ProjectSource
from tests.unit.compose.loading import Files, load, told, warned


@pytest.mark.parametrize(
    ("files", "messages"),
    [
        (
            {"compose.yaml": "services: {a: {image: x}}\n", ".env": "COMPOSE_FILE=/x.yaml"},
            ("/x.yaml: the file '/x.yaml' is outside the repository | move the file into the repository"),
        ),
        (
            {"compose.yaml": "services: {a: {image: x}}\n", ".env": "COMPOSE_FILE=../x.yaml"},
            ("../x.yaml: the file '../x.yaml' is outside the repository | move the file into the repository"),
        ),
        (
            {"compose.yaml": "services: {a: {image: x}}\n", "d/x": "", ".env": "COMPOSE_FILE=d"},
            "d: the file 'd' is a directory | correct the path, or add the file",
        ),
        (
            {"compose.yaml": "services: {a: {image: x}}\n", ".env": "COMPOSE_FILE=none.yaml"},
            "none.yaml: the file 'none.yaml' does not exist | correct the path, or add the file",
        ),
        (
            {"compose.yaml": "services: {a: {image: x, extends: {file: d, service: a}}}", "d/x": ""},
            "compose.yaml:1:26: the file 'd' is a directory | correct the path, or add the file",
        ),
    ],
)
def test_a_mistake_is_told_with_its_place_and_remedy(files: Files, messages: str) -> None:
    """A mistake must be told at its place, with what is wrong and what to do."""
    assert told(files) == messages


@pytest.mark.parametrize(
    ("files", "warnings"),
    [
        (
            {"compose.yaml": "services: {a: {image: x}}\n", "compose.yml": "services: {a: {image: x}}\n"},
            ["compose.yaml:0: compose.yaml, compose.yml exist; compose.yaml is used"],
        ),
        (
            {
                "compose.yaml.j2": "services: {a: {image: x}}\n",
                "docker-compose.yaml": "services: {a: {image: x}}\n",
                "docker-compose.yml": "services: {a: {image: x}}\n",
            },
            [
                (
                    "compose.yaml.j2:0: compose.yaml.j2, docker-compose.yml, docker-compose.yaml exist; "
                    "compose.yaml.j2 is used"
                )
            ],
        ),
        (
            {
                "compose.yaml": "services: {a: {image: x}}\n",
                "compose.override.yml": "x-a: 1",
                "docker-compose.override.yaml": "x-a: 2",
                "docker-compose.override.yml.j2": "x-a: 3",
            },
            [
                (
                    "compose.override.yml:0: compose.override.yml, docker-compose.override.yml.j2, "
                    "docker-compose.override.yaml exist; compose.override.yml is used"
                )
            ],
        ),
        ({"docker-compose.yml": "services: {a: {image: x}}\n", "docker-compose.override.yml": "x-a: 1"}, []),
        (
            {"compose.yml": "services: {a: {image: x}}\n", "compose.yml.j2": "services: {a: {image: x}}\n"},
            ["compose.yml:0: compose.yml, compose.yml.j2 exist; compose.yml is used"],
        ),
    ],
)
def test_several_candidates_are_warned_of(files: Files, warnings: list[str]) -> None:
    """A person must be told which file is used when several have a usual name."""
    assert warned(files) == warnings


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (
            {"compose.yaml": "services: {a: {image: x}}\n", "compose.yml": "services: {a: {image: x}}\n"},
            ("compose.yaml",),
        ),
        (
            {
                "compose.yaml.j2": "services: {a: {image: x}}\n",
                "docker-compose.yaml": "services: {a: {image: x}}\n",
                "docker-compose.yml": "services: {a: {image: x}}\n",
            },
            ("compose.yaml.j2",),
        ),
        (
            {
                "compose.yaml": "services: {a: {image: x}}\n",
                "compose.override.yml": "x-a: 1",
                "docker-compose.override.yaml": "x-a: 2",
                "docker-compose.override.yml.j2": "x-a: 3",
            },
            ("compose.yaml", "compose.override.yml"),
        ),
        (
            {"docker-compose.yml": "services: {a: {image: x}}\n", "docker-compose.override.yml": "x-a: 1"},
            ("docker-compose.yml", "docker-compose.override.yml"),
        ),
        (
            {"compose.yml": "services: {a: {image: x}}\n", "compose.yml.j2": "services: {a: {image: x}}\n"},
            ("compose.yml",),
        ),
        (
            {"compose.yaml": "services: {a: {image: x}}\n", "compose.override.yaml": "x-a: 1"},
            ("compose.yaml", "compose.override.yaml"),
        ),
    ],
)
def test_the_usual_names_are_found(files: Files, found: tuple[str, ...]) -> None:
    """The first of the usual names must be used, and the first of the overrides."""
    assert load(files).config_files == found


def test_copies_of_a_file_are_paid_for() -> None:
    """A file must be read once, and each further copy of it be charged at the place that asks."""
    problems, place = LoadProblems(), Place("f", 3)
    source = ProjectSource(MemoryFiles({"c.yaml": b"a: [1, 2]"}), None, problems)
    first = source.documents("c.yaml", place)
    left = source.budget.nodes
    second = source.documents("c.yaml", place)
    assert [document.root for document in first] == [document.root for document in second] == [{"a": [1, 2]}]
    assert first[0].root is not second[0].root
    assert left - source.budget.nodes == 4
    source.budget.nodes = 3
    with pytest.raises(OverBudget) as caught:
        source.documents("c.yaml", place)
    assert caught.value.error.line == 3
