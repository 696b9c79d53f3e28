"""A whole project: its name, its files and profiles, and what is told of a bad one."""

from __future__ import annotations

import pytest

from tests.unit.compose.loading import Files, load, told


@pytest.mark.parametrize(
    ("files", "messages"),
    [
        ("", "compose.yaml:1: the Compose file is empty | add a service"),
        ("{}\n", "compose.yaml:1: the Compose file is empty | add a service"),
        ("# c\n", "compose.yaml:1: the Compose file is empty | add a service"),
        ({"x": ""}, ".: there is no Compose file | add compose.yaml"),
        (
            "name: '!'\nservices: {a: {image: x}}\n",
            ("compose.yaml:1:1: the project name is empty | add `name:` with at least one letter or digit"),
        ),
        (
            "name: 5\nservices: {a: {image: x}}\n",
            "compose.yaml:1:1: name: must be text, not a whole number | put it in quotes",
        ),
        (
            "name: ${A:?no}\nservices: {a: {image: x}}\n",
            (
                "compose.yaml:1:1: name: the variable A is required: no | set it in the .env file "
                "beside the Compose file"
            ),
        ),
        (
            {"compose.yaml": "services: {a: {image: x}}\n", ".env": "A=1\nCOMPOSE_PROJECT_NAME=Bad\n"},
            (
                ".env:2: COMPOSE_PROJECT_NAME 'Bad' is not a project name | use lower-case letters, "
                "digits, dashes and underscores, starting with a letter or digit"
            ),
        ),
        (
            {
                "compose.yaml": "services: {a: {image: x}}\n",
                ".env": "COMPOSE_FILE=a.yaml:compose.yaml:b.yaml\n",
            },
            (
                "a.yaml: the file 'a.yaml' does not exist | correct the path, or add the file\n"
                "b.yaml: the file 'b.yaml' does not exist | correct the path, or add the file"
            ),
        ),
        (
            {"compose.yaml": "services: {a: {image: x}}\n", ".env": "COMPOSE_FILE=..:x\n"},
            (
                "..: the file '..' is outside the repository | move the file into the repository\n"
                "x: the file 'x' does not exist | correct the path, or add the file"
            ),
        ),
        (
            {"compose.yaml": "services: {a: {image: x}}\nname: '-_'\n", "compose.override.yaml": "x: 1\n"},
            (
                "compose.override.yaml:1:1: top level: unknown key 'x' | remove it; keys of your own "
                "start with x-\n"
                "compose.yaml:2:1: the project name is empty | add `name:` with at least one letter "
                "or digit"
            ),
        ),
    ],
)
def test_a_mistake_is_told_with_its_place_and_remedy(files: Files, messages: str) -> None:
    """A mistake must be told at its place, with what is wrong and what to do."""
    assert told(files) == messages


@pytest.mark.parametrize(
    ("name", "text", "dotenv", "found"),
    [
        ("Shop.1", "services: {a: {image: x}}", "", "shop1"),
        ("_-shop", "services: {a: {image: x}}", "", "shop"),
        ("d", "name: n\nservices: {a: {image: x}}", "", "n"),
        ("d", "name: My $B\nservices: {a: {image: x}}", "B=Blog", "myblog"),
        ("d", "name: n\nservices: {a: {image: x}}", "COMPOSE_PROJECT_NAME=e", "e"),
        ("d", "name: n\n---\nname: m\nservices: {a: {image: '$COMPOSE_PROJECT_NAME'}}", "", "m"),
    ],
)
def test_the_name_of_a_project(name: str, text: str, dotenv: str, found: str) -> None:
    """The name must come from the variable, else from the last file that has one, else from the caller."""
    loaded = load({"compose.yaml": text, ".env": dotenv}, default_name=name)
    assert (loaded.name, loaded.environment["COMPOSE_PROJECT_NAME"]) == (found, found)


def test_the_name_is_blamed_on_its_line() -> None:
    """A bad name must be told where it is written, and one that is missing at the file's beginning."""
    assert told("services: {a: {image: x}}", default_name="") == (
        "compose.yaml:1: the project name is empty | add `name:` with at least one letter or digit"
    )
    files = {"app/x": ""}
    assert told(files, working_dir="app") == "app: there is no Compose file | add compose.yaml"


@pytest.mark.parametrize(
    ("profiles", "dotenv", "kept", "active"),
    [
        ((), "", (), ["a"]),
        (("p",), "", ("p",), ["a", "b"]),
        (("*",), "", ("*",), ["a", "b", "c"]),
        (("q", "p"), "", ("q", "p"), ["a", "b", "c"]),
        ((), "COMPOSE_PROFILES=p, ,q", ("p", "q"), ["a", "b", "c"]),
        (("q",), "COMPOSE_PROFILES=p", ("q",), ["a", "c"]),
        (("none",), "", ("none",), ["a"]),
    ],
)
def test_profiles_enable_services(
    profiles: tuple[str, ...], dotenv: str, kept: tuple[str, ...], active: list[str]
) -> None:
    """The services of the active profiles must be active, and the others be kept apart."""
    text = (
        "services: {c: {image: x, profiles: [q]}, b: {image: x, profiles: [p, r]}, "
        "a: {image: x, profiles: []}}"
    )
    loaded = load({"compose.yaml": text, ".env": dotenv}, profiles=profiles)
    assert (loaded.profiles, list(loaded.services)) == (kept, active)
    assert list(loaded.disabled) == sorted({"a", "b", "c"} - set(active))


def test_a_project_knows_all_that_it_was_loaded_from() -> None:
    """The files, the variables and the place of each part must be known."""
    files = {
        "app/compose.yaml": "name: app\nx-a: {b: [1, 2]}\nservices:\n  b:\n    image: x\n    profiles: [p]\n"
        "  a:\n    image: x\n    env_file: ../e.env\nvolumes:\n  v:\n    driver: d\n  u:\n",
        "app/two.yaml": "networks:\n  n:\n    driver: d\n",
        "app/.env": "A=1\nB=2\n",
        "e.env": "E=1\n",
    }
    chosen = ["compose.yaml", "two.yaml"]
    loaded = load(files, working_dir="./app/", config_files=chosen, env_overrides={"B": "3"})
    assert loaded.working_dir == "app"
    assert loaded.config_files == ("app/compose.yaml", "app/two.yaml")
    assert loaded.files_read == ("app/.env", "app/compose.yaml", "app/two.yaml", "e.env")
    assert loaded.environment == {"A": "1", "B": "3", "COMPOSE_PROJECT_NAME": "app"}
    assert loaded.extensions == {"x-a": {"b": [1, 2]}}
    places: dict[tuple[str | int, ...], tuple[str, int]] = {
        (): ("app/compose.yaml", 0),
        ("name",): ("app/compose.yaml", 1),
        ("x-a", "b", 1): ("app/compose.yaml", 2),
        ("services",): ("app/compose.yaml", 3),
        ("services", "b", "profiles", 0): ("app/compose.yaml", 6),
        ("services", "a", "environment", "E"): ("e.env", 1),
        ("services", "none"): ("app/compose.yaml", 3),
        ("volumes", "v", "driver"): ("app/compose.yaml", 12),
        ("volumes", "v", "name"): ("app/compose.yaml", 12),
        ("volumes", "u"): ("app/compose.yaml", 13),
        ("networks",): ("app/two.yaml", 1),
        ("networks", "n", "driver"): ("app/two.yaml", 3),
        ("networks", "default"): ("app/two.yaml", 1),
    }
    assert {path: loaded.position(*path) for path in places} == places


def test_what_is_implied_stands_in_the_first_file() -> None:
    """What no file writes must be told to stand in the first one."""
    loaded = load("services: {a: {image: x}}")
    paths = (("networks", "default"), ("networks",), ("volumes", "v"), ("name",))
    assert {loaded.position(*path) for path in paths} == {("compose.yaml", 0)}


def test_what_the_caller_sets_wins_over_dotenv() -> None:
    """A variable of the caller must win where `.env` refers to it too."""
    files = {"compose.yaml": "services: {a: {image: x}}", ".env": "A=1\nB=$A\nC=$B\n"}
    found = load(files, env_overrides={"A": "2"}).environment
    assert found == {"A": "2", "B": "2", "C": "2", "COMPOSE_PROJECT_NAME": "app"}


def test_a_dotenv_file_is_paid_for() -> None:
    """The `.env` must be charged to the budget of texts, and be blamed when it is too long."""
    files = {"compose.yaml": "services: {a: {image: x}}", ".env": "#" * ((16 << 20) + 1)}
    assert told(files) == (
        ".env: variables and environment files add up to more than 16777216 characters | "
        "make the values shorter, or use them less often"
    )
