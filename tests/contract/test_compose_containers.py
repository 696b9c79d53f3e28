"""Containers made by Limpet beside those that Docker Compose makes of the same app, field by field.

Debian's docker-compose 1.29 makes them where it knows the keys. Where it is too old, the app says what the
Engine's documentation has it be. Differences are accepted in one table (tests/contract/accepted.py), with a
reason, or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent.drivers.host import RealHost
from agent.errors import LimpetError
from agent.installation import APPS
from tests.contract import answers, composed
from tests.contract.accepted import ACCEPTED, listed
from tests.contract.bench import HostBench, RealBench
from tests.contract.composed import App, Compose, apps
from tests.contract.inspection import Flat, differences, inspected, of_containers
from tests.harness import images
from tests.harness.engine import CHECKOUT, Engine
from tests.harness.hosts import Host

EXPECTED = [name for name, app in apps().items() if app.case.get("expect") or app.case.get("api")]
COMPARED = [name for name in apps() if name not in EXPECTED]
SAMPLED = 25  # of so many apps whose answer is current one is asked of again


@pytest.fixture(scope="module")
def compose(roomy: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    made = Compose(roomy, tmp_path_factory.mktemp("compose"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def loaded(roomy: Engine) -> Engine:
    composed.load_images(roomy.client)
    return roomy


@dataclass
class Place:
    """Where an app is made: an Engine, Limpet's host on it, and the project's name."""

    engine: Engine
    host: RealHost
    root: Path
    project: str

    def directory(self) -> str:
        return f"{self.root}{APPS}/{self.project}"

    def up(self, app: App, scratch: Path) -> dict[str, Flat]:
        """What there is after Limpet made the app."""
        composed.surround(self.engine, app)
        composed.limpet_up(self.host, app, self.project, scratch)
        return inspected(self.engine, self.project, self.directory(), str(self.root))


@pytest.fixture
def here(loaded: Engine, tmp_path: Path) -> Iterator[Place]:
    """An Engine of the machine's version."""
    with loaded.prefix("ltd") as project:
        bench = RealBench(project, loaded, tmp_path)
        yield Place(loaded, bench.real, bench.root, project)
        bench.close()


@pytest.fixture
def there(debian13: Host, tmp_path: Path) -> Iterator[Place]:
    """The Engine of a Debian 13 host."""
    composed.load_images(debian13.engine.client)
    debian13.load_image(images.image("idle"))
    with debian13.engine.prefix("ltd") as project:
        bench = HostBench(project, debian13, tmp_path / "there")
        yield Place(debian13.engine, bench.real, bench.root, project)
        bench.close()


@pytest.mark.parametrize("name", COMPARED)
def test_an_app_is_what_compose_makes_of_it(
    name: str, here: Place, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Containers, networks and volumes must be those that Compose makes, but for differences that are listed
    with their reason; and what is listed for this app must be there.
    """
    app = apps()[name].placed(here.project, composed.place())
    theirs = answers.stored(apps()[name], app, here.engine)
    if theirs is None:
        theirs = answers.ask(request.getfixturevalue("compose"), here.engine, app, here.project, tmp_path)
    ours = here.up(app, tmp_path)
    assert sorted(theirs) == sorted(ours)
    found = [f"{thing} {each}" for thing in ours for each in differences(theirs[thing], ours[thing])]
    assert [each for each in found if not any(accepted.matches(each) for accepted in ACCEPTED)] == []
    listed = [accepted for accepted in ACCEPTED if accepted.app == name]
    assert [
        accepted.pattern for accepted in listed if not any(accepted.matches(each) for each in found)
    ] == []


def test_the_stored_answers_are_what_compose_says(
    here: Place, compose: Compose, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Compose must be asked again, and must say what is stored: of each app that changed since, and of some
    others; of all in a sweep.
    """
    every = request.config.getoption("--sweep") == "all"
    wrong = []
    for number, name in enumerate(COMPARED):
        app = apps()[name].placed(here.project, composed.place())
        kept = answers.stored(apps()[name], app, here.engine)
        if every or kept is None or number % SAMPLED == 0:
            said = answers.ask(compose, here.engine, app, here.project, tmp_path / name)
            wrong += answers.differ(name, app.answer.get("things") or {}, said)
    assert wrong == [], "store it anew: python -m tests.contract.answers NAME, and look at what changes"


def checked(app: App, place: Place, scratch: Path) -> None:
    """Makes an app of newer keys, or sees it refused where the Engine is too old for them."""
    api = place.host.engine.api
    needed = tuple(int(part) for part in str(app.case.get("api", "1.41")).split("."))
    if api < needed:
        with pytest.raises(LimpetError) as refused:
            place.up(app, scratch)
        for part in (app.case["too_new"], ".".join(map(str, needed)), ".".join(map(str, api))):
            assert part in str(refused.value)
        return
    place.up(app, scratch)
    found = of_containers(place.engine, place.project, place.directory(), str(place.root))
    for service, fields in app.case["expect"].items():
        assert {field: unordered(found[service][field]) for field in fields} == {
            field: unordered(value) for field, value in fields.items()
        }, service
    for path, content in (app.case.get("files") or {}).items():
        assert (
            Path(place.host.root) / place.directory().removeprefix(str(place.root)).lstrip("/") / path
        ).read_text() == content


def unordered(value: Any) -> Any:
    """Environments and mounts have no order of their own."""
    return sorted(value, key=str) if isinstance(value, list) else value


@pytest.mark.parametrize("name", EXPECTED)
def test_newer_keys_here(name: str, here: Place, tmp_path: Path) -> None:
    """Keys that Compose 1.29 does not know must become what the Engine documents, or be refused with both
    versions.
    """
    checked(apps()[name].placed(here.project, composed.place()), here, tmp_path)


@pytest.mark.parametrize("name", EXPECTED)
def test_newer_keys_on_debian_13(name: str, there: Place, tmp_path: Path) -> None:
    """The same on Engine 26.1, where only what needs Engine 28 is refused."""
    checked(apps()[name].placed(there.project, composed.place()), there, tmp_path)


def test_every_accepted_difference_is_of_an_app() -> None:
    """Each entry of the list must name an app of the suite, which shows it."""
    assert [accepted.app for accepted in ACCEPTED if accepted.app not in COMPARED] == []


def test_the_list_in_the_documentation() -> None:
    """docs/compose.md must list exactly the accepted differences."""
    text = (CHECKOUT / "docs/compose.md").read_text()
    section = re.search(r"## How containers differ from Docker Compose's\n(.*?)(?=\n## |\Z)", text, re.DOTALL)
    assert section, "the section is missing"
    lines = [line for line in section[1].splitlines() if line.startswith(("- ", "  "))]
    assert lines == listed(), "write the lines of tests.contract.accepted.listed() there"


def test_placing_an_app() -> None:
    """Names, networks and ports must be replaced everywhere, and other numbers left alone."""
    text = "lt-project 10.231.4.0/24 fd00:231:3:: 58001-58002:80 5800 158001"
    app = App("x", {"a": text}, {"around": {"networks": ["lt-project_a"]}}, {"things": text})
    placed = app.placed("p", composed.Place("150", 20000))
    assert placed.files["a"] == "p 10.150.4.0/24 fd00:150:3:: 20001-20002:80 5800 158001"
    assert placed.case["around"] == {"networks": ["p_a"]}
    assert placed.answer["things"] == "lt-project 10.150.4.0/24 fd00:150:3:: 20001-20002:80 5800 158001"
