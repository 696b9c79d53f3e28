"""Every key of the Compose Specification's JSON Schema has a row in docs/compose.md, and does what the row
says.

    honoured   without the key, the host would get something else in at least one project of
    keys/honoured.yaml ignored    without the key, the host would get the same in every project of
    keys/ignored.yaml refused    a project of keys/refused.yaml with the key is an error that names it, with
    file and line

What a host gets is what the Engine is asked for, in which order and under which conditions.
"""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.compose.schema import SPECIFICATION
from agent.errors import BadInput
from agent.kinds.engine.objects import network_request, volume_request
from agent.kinds.engine.request import create_request
from agent.model import Manifest, Resource
from agent.render.assembly import RenderContext
from agent.render.render import render
from tests.fakes.tree import MemoryTree

HERE = Path(__file__).parent / "keys"
TABLE = Path(__file__).parents[2] / "docs/compose.md"
ROW = re.compile(r"^\| `([^`]+)` \| (honoured|ignored|refused) \| (.*) \|$", re.MULTILINE)
FILES = {
    ".env": "SECRET=hidden\n",
    "sub/other.env": "FROM_FILE=1\n",
    "raw.env": "RAW=$X\n",
    "other.yaml": "services: {template: {image: 'template:${FROM_FILE:-2}', volumes: ['./x:/x']}}\n",
}
NEWEST = (1, 49)
OURS = (
    "io.limpet.digest",
    "com.docker.compose.config-hash",
)  # labels that say only that something is different
Path_ = tuple[str, ...]


def schema_keys(node: Any, path: Path_, seen: tuple[str, ...], found: dict[Path_, None]) -> None:
    """All keys below a node of the schema; `*` stands for a name of the user's, `[]` for the items of a
    list.
    """
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        if name not in seen:
            schema_keys(SPECIFICATION["$defs"][name], path, (*seen, name), found)
        return
    for word in ("oneOf", "anyOf", "allOf"):
        for choice in node.get(word, ()):
            schema_keys(choice, path, seen, found)
    for key, below in node.get("properties", {}).items():
        found[(*path, key)] = None
        schema_keys(below, (*path, key), seen, found)
    for pattern, below in node.get("patternProperties", {}).items():
        if not pattern.startswith("^x-"):
            schema_keys(below, (*path, "*"), seen, found)
    if isinstance(node.get("additionalProperties"), dict):
        schema_keys(node["additionalProperties"], (*path, "*"), seen, found)
    if isinstance(node.get("items"), dict):
        schema_keys(node["items"], (*path, "[]"), seen, found)


KEYS: dict[Path_, None] = {}
schema_keys(SPECIFICATION, (), (), KEYS)
SAID = {tuple(key.split(".")): verdict for key, verdict, _ in ROW.findall(TABLE.read_text())}


@functools.cache
def projects(verdict: str) -> list[dict[str, Any]]:
    return [doc for doc in yaml.safe_load_all((HERE / f"{verdict}.yaml").read_text()) if doc]


def holders(value: Any, path: Path_) -> Iterator[Any]:
    """The mappings in which the last part of a path stands."""
    part, *rest = path
    if not rest:
        if isinstance(value, dict) and part in value:
            yield value
    elif part == "[]":
        for item in value if isinstance(value, list) else ():
            yield from holders(item, tuple(rest))
    elif part == "*":
        for item in value.values() if isinstance(value, dict) else ():
            yield from holders(item, tuple(rest))
    elif isinstance(value, dict) and part in value:
        yield from holders(value[part], tuple(rest))


def samples(verdict: str, path: Path_) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Projects with the key, each with itself without the key in one place."""
    for project in projects(verdict):
        for index, _ in enumerate(holders(project, path)):
            without = copy.deepcopy(project)
            del list(holders(without, path))[index][path[-1]]
            yield project, without


def meaning(project: dict[str, Any]) -> Any:
    """What a host gets for a project; the errors, when it gets none."""
    return meaning_of_text(yaml.safe_dump(project, sort_keys=False))


@functools.cache
def meaning_of_text(text: str) -> Any:
    tree = MemoryTree({"compose.yaml": text, **FILES})
    try:
        found: Manifest = render(tree, RenderContext("host", repo_name="repository")).manifest
    except BadInput as error:
        return [str(problem) for problem in error.problems]
    return {str(key): _meaning(resource) for key, resource in found.resources.items()}


def _meaning(resource: Resource) -> Any:
    spec = {key: value for key, value in resource.spec.items() if key not in ("config", "folded")}
    if resource.key.kind == "container":
        body = create_request(resource, "sha256:image", instance="i", api=NEWEST)
        spec |= {
            key: resource.spec["config"].get(key) for key in ("platform", "post_start", "pre_stop")
        }  # not in the body
    elif resource.key.kind in ("network", "volume"):
        body = (network_request if resource.key.kind == "network" else volume_request)(resource, "i")
    else:
        body = {}
    body["Labels"] = {name: value for name, value in body.get("Labels", {}).items() if name not in OURS}
    return {
        "request": body,
        "spec": spec,
        "needs": resource.needs,
        "folded": sorted(resource.spec.get("folded", ())),
    }


@pytest.mark.parametrize("verdict", ["honoured", "ignored", "refused"])
def test_the_projects_are_what_they_say(verdict: str) -> None:
    """Projects of honoured and ignored keys must render; each one of refused keys must not, with file and
    line.
    """
    for project in projects(verdict):
        found = meaning(project)
        assert isinstance(found, list) == (verdict == "refused"), (project, found)
        if verdict == "refused":
            assert all(re.match(r"compose\.yaml:\d+: ", problem) for problem in found), found


def test_every_key_has_a_row() -> None:
    """The table must have one row for each key of the schema, and none that is not in it."""
    rows = [key for key, _, _ in ROW.findall(TABLE.read_text())]
    assert [".".join(key) for key in KEYS if key not in SAID] == []
    assert [key for key in rows if tuple(key.split(".")) not in KEYS] == []
    assert sorted(rows) == sorted(set(rows))


@pytest.mark.parametrize("key", [".".join(key) for key in KEYS])
def test_a_key_does_what_its_row_says(key: str) -> None:
    """What the row says of a key must be so."""
    path = tuple(key.split("."))
    verdict = SAID[path]
    found = list(samples(verdict, path))
    assert found, f"no project in keys/{verdict}.yaml has it"
    if verdict == "honoured":
        assert any(meaning(project) != meaning(without) for project, without in found)
    elif verdict == "ignored":
        assert all(
            meaning(project) == meaning(without) or isinstance(meaning(without), list)
            for project, without in found
        )
    else:
        words = [path[end] for end in range(len(path)) if SAID.get(path[: end + 1]) == "refused"]
        for project, _ in found:
            assert any(word in problem for word in words for problem in meaning(project)), meaning(project)
