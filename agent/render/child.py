"""The render child: `{git_dir, commit, path, context}` to a header with the manifest, and the contents after
it.

The header is `{"manifest": ..., "blobs": [[sha256, size], ...]}`; the blobs follow one after another in that
order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from agent.render.assembly import RenderContext
from agent.render.commit import GitTree
from agent.render.render import render

KNOWN = {item.name for item in fields(RenderContext)}


def handle_render(request: dict[str, Any]) -> tuple[dict[str, Any], Iterable[bytes]]:
    """Renders one commit. Raises BadInput with all problems, Transient when the cache is damaged."""
    given = {key: value for key, value in request["context"].items() if key in KNOWN}
    context = RenderContext(**{**given, "path": request.get("path") or ""})
    tree = GitTree(request["git_dir"], request["commit"], context.repo_name)
    try:
        rendered = render(tree, context)
    finally:
        tree.close()
    header = {
        "manifest": rendered.manifest.to_json(),
        "blobs": [[digest, len(data)] for digest, data in rendered.content.items()],
    }
    return header, rendered.content.values()
