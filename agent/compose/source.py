"""Reads the files of a project: each file once, no path outside the root; `.j2` files are rendered by the
caller.
"""

from __future__ import annotations

from collections.abc import Callable

from .document import YamlDocument, parse_yaml
from .errors import ComposeError, LoadProblems, Place
from .files import ProjectFiles
from .limits import Budget, node_count
from .paths import escapes, join_path
from .tree import copy

NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
OVERRIDES = (
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
)

Preprocess = Callable[[str, bytes], bytes]


class ProjectSource:
    """The files below the virtual root, those read so far, and the budget for reading more."""

    def __init__(self, files: ProjectFiles, preprocess: Preprocess | None, problems: LoadProblems) -> None:
        self.files, self.preprocess, self.problems = files, preprocess, problems
        self.budget = Budget()
        self.read_paths: set[str] = set()
        self._documents: dict[str, list[YamlDocument]] = {}
        self._copied: set[str] = set()

    def is_file(self, path: str) -> bool:
        """Whether the path exists and is not a directory."""
        return self.files.exists(path) and not self.files.is_dir(path)

    def read(self, path: str, place: Place, what: str = "file") -> bytes:
        """A file's content. Raises ComposeError at `place`, where it is named."""
        if escapes(path):
            hint = "move the file into the repository"
            raise ComposeError(f"the {what} {path!r} is outside the repository", *place, hint=hint)
        data = self.files.read(path)
        if data is None:
            kind = "is a directory" if self.files.is_dir(path) else "does not exist"
            raise ComposeError(
                f"the {what} {path!r} {kind}", *place, hint="correct the path, or add the file"
            )
        self.read_paths.add(path)
        return data

    def read_variables(self, path: str, place: Place, required: bool = True) -> tuple[str, bytes] | None:
        """The path and content of an environment file; None if it is optional and missing. Raises
        ComposeError.
        """
        if not required and not escapes(path) and not self.files.exists(path):
            return None
        data = self.read(path, place, "env file")
        self.budget.spend_text(len(data), place)
        return path, data

    def parsed(self, path: str, place: Place) -> list[YamlDocument]:
        """The documents of a Compose file, which must not be changed. `x.yaml.j2` replaces a missing
        `x.yaml`.
        """
        if not escapes(path) and not self.files.exists(path) and self.files.exists(f"{path}.j2"):
            path = f"{path}.j2"
        if path not in self._documents:
            data = self.read(path, place)
            text = self.preprocess(path, data) if self.preprocess is not None else data
            self._documents[path] = parse_yaml(path, text, self.budget)
        return self._documents[path]

    def documents(self, path: str, place: Place) -> list[YamlDocument]:
        """A copy of the documents of a Compose file. Every copy after the first is charged to the budget."""
        documents = self.parsed(path, place)
        if path in self._copied:
            self.budget.spend_nodes(sum(node_count(document.root) for document in documents), place)
        self._copied.add(path)
        return [YamlDocument(copy(document.root), list(document.removed)) for document in documents]

    def discover(self, directory: str) -> list[str]:
        """The Compose file with a default name in a directory, and its override. Several candidates are a
        warning.
        """
        chosen: list[str] = []
        for names in (NAMES, OVERRIDES):
            present = [
                name + suffix
                for name in names
                for suffix in ("", ".j2")
                if self.files.read(join_path(directory, name + suffix)) is not None
            ]
            if len(present) > 1:
                message = f"{', '.join(present)} exist; {present[0]} is used"
                self.problems.warn(Place(join_path(directory, present[0])), message)
            chosen += present[:1]
            if not chosen:
                break
        return chosen
