"""A fleet repository in memory."""

from __future__ import annotations

from collections.abc import Mapping

from agent.render.tree import BaseTree, TreeEntry


class MemoryTree(BaseTree):
    """A tree from a mapping of path to content. `links` maps path to target; `modules` are
    submodules.
    """

    def __init__(
        self,
        content: Mapping[str, bytes | str],
        *,
        name: str = "fleet",
        executable: frozenset[str] = frozenset(),
        links: Mapping[str, str] | None = None,
        modules: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__(name)
        self._nodes: dict[str, dict[str, TreeEntry]] = {"": {}}
        for path, data in content.items():
            self._put(
                path, TreeEntry("file", data.encode() if isinstance(data, str) else data, path in executable)
            )
        for path, target in (links or {}).items():
            self._put(path, TreeEntry("link", target.encode()))
        for path in modules:
            self._put(path, TreeEntry("submodule"))

    def _put(self, path: str, entry: TreeEntry) -> None:
        directory, _, name = path.rpartition("/")
        if directory not in self._nodes:
            self._nodes[directory] = {}
            self._put(directory, TreeEntry("directory"))
        self._nodes[directory][name] = entry

    def _list(self, directory: str) -> Mapping[str, TreeEntry]:
        return self._nodes.get(directory, {})

    def _content(self, path: str, entry: TreeEntry) -> bytes:
        return entry.ref
