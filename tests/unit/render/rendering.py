"""What the tests of rendering do alike: render a tree of texts, and look into what comes out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from agent.errors import BadInput
from agent.model import Key, Manifest, Resource
from agent.render.assembly import RenderContext
from agent.render.render import Rendered, render
from tests.fakes.tree import MemoryTree


def rendered(tree: Mapping[str, str | bytes], host: str = "web-01", **context: Any) -> Rendered:
    """What the host gets of the tree; files named `*.sh` are executable."""
    executable = frozenset(path for path in tree if path.endswith(".sh"))
    about: dict[str, Any] = {"facts": {"hostname": host}, **context}
    return render(MemoryTree(tree, executable=executable), RenderContext(host, **about))


def manifest(tree: Mapping[str, str | bytes], **context: Any) -> Manifest:
    return rendered(tree, **context).manifest


def container(found: Manifest, name: str) -> Resource:
    return found.resources[Key("container", name)]


def needs(resource: Resource) -> dict[str, str]:
    """What the resource needs, with the condition."""
    return {str(need.key): need.condition for need in resource.needs}


def problems(tree: Mapping[str, str | bytes], **context: Any) -> list[str]:
    """What the tree is refused for."""
    with pytest.raises(BadInput) as caught:
        manifest(tree, **context)
    return [str(problem) for problem in caught.value.problems]
