"""The render child. The request is `{git_dir, commit, path, context}`; the answer is a header with the
manifest, followed by the file contents.

The header is `{"manifest": ..., "blobs": [[sha256, size], ...]}`; the blobs follow in that order.
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
    """Renders one commit. Raises BadInput with all problems, and Transient if the cache is damaged."""
    given = {key: value for key, value in request["context"].items() if key in KNOWN}
    context = RenderContext(**{**given, "path": request.get("path") or ""})
    tree = GitTree(request["git_dir"], request["commit"], context.repo_name, context.max_file)
    try:
        rendered = render(tree, context)
    finally:
        tree.close()
    header = {
        "manifest": rendered.manifest.to_json(),
        "blobs": [[digest, len(data)] for digest, data in rendered.content.items()],
    }
    return header, rendered.content.values()
