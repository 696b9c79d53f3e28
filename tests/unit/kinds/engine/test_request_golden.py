"""What the Engine is asked for, to the letter: of each app of tests/contract/apps, and of each project of
tests/compose/keys/honoured.yaml, which has every key that is honoured.

`pytest tests/unit/kinds/engine --update-requests` writes requests.json anew: read the diff. The version and
the digests are left out of it: they are frozen elsewhere, or change with every release.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from agent import __version__
from agent.kinds.engine.objects import network_request, volume_request
from agent.kinds.engine.request import create_request
from agent.model import Resource, canonical_json
from agent.render.assembly import RenderContext
from agent.render.render import render
from tests.contract import composed
from tests.fakes.tree import MemoryTree

STORED = Path(__file__).parent / "requests.json"
HONOURED = Path(__file__).parents[3] / "compose/keys/honoured.yaml"
FILES = {
    ".env": "SECRET=hidden\n",
    "sub/other.env": "FROM_FILE=1\n",
    "raw.env": "RAW=$X\n",
    "other.yaml": "services: {template: {image: 'template:1', volumes: ['./x:/x']}}\n",
}
PROJECTS: dict[str, Mapping[str, str]] = {name: app.files for name, app in composed.apps().items()} | {
    f"honoured-{number}": {"compose.yaml": text, **FILES}
    for number, text in enumerate(HONOURED.read_text().split("\n---\n")[1:], 1)
}
OLDEST, NEWEST = (1, 41), (1, 49)  # of the API


def requests(name: str) -> dict[str, Any]:
    """Resource -> what the Engine is asked for. Of a container that is what the oldest API is asked for, and
    the fields that are otherwise for the newest.
    """
    tree = MemoryTree({f"apps/{name}/{path}": text for path, text in PROJECTS[name].items()})
    manifest, found = render(tree, RenderContext("host")).manifest, {}
    for resource in manifest.of_kind("container"):
        oldest, newest = (_container(resource, api) for api in (OLDEST, NEWEST))
        differs = {key: value for key, value in newest.items() if oldest.get(key) != value}
        assert oldest.keys() - newest.keys() <= {"MacAddress"}
        found[str(resource.key)] = oldest | ({"at the newest API": differs} if differs else {})
    for kind, make in (("network", network_request), ("volume", volume_request)):
        for resource in manifest.of_kind(kind):
            if not resource.spec["external"]:
                found[str(resource.key)] = _lasting(make(resource, "me"), resource)
    return found


def _container(resource: Resource, api: tuple[int, int]) -> dict[str, Any]:
    asked = create_request(
        resource, resource.spec["image"], instance="me", image_id="sha256:1", mapped="/root{}".format, api=api
    )
    return _lasting(asked, resource)


def _lasting(body: dict[str, Any], resource: Resource) -> dict[str, Any]:
    """The request without the version and the digest."""
    words = {resource.digest: "(digest)", f"limpet-{__version__}": "(version)"}
    return body | {"Labels": {key: words.get(value, value) for key, value in body["Labels"].items()}}


@pytest.fixture(scope="module")
def stored(request: pytest.FixtureRequest) -> dict[str, Any]:
    if request.config.getoption("--update-requests", default=False):
        found = {name: requests(name) for name in PROJECTS}
        STORED.write_text(json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    kept: dict[str, Any] = json.loads(STORED.read_text())
    return kept


@pytest.mark.parametrize("name", PROJECTS)
def test_the_engine_is_asked_for_what_it_was(name: str, stored: dict[str, Any]) -> None:
    """The requests for a project's containers, networks and volumes must be, to the letter, those that are
    stored.
    """
    found = requests(name)
    assert found == stored[name]
    assert canonical_json(found) == canonical_json(stored[name]), "true is not 1, nor 1.0"


def test_nothing_is_stored_of_a_project_that_is_gone(stored: dict[str, Any]) -> None:
    """Each stored project must be one of today's."""
    assert sorted(stored) == sorted(PROJECTS)
