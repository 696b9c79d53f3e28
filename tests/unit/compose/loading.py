"""What the tests of the Compose library do alike: load a project of texts, and write down what comes out."""

from __future__ import annotations

from typing import Any

import pytest

from agent.compose import ComposeErrors, MemoryFiles, Place, Project, load_project
from agent.compose.tree import List, Map

Files = str | dict[str, str]


def load(files: Files, **options: Any) -> Project:
    """The project of these files; a text alone is `compose.yaml`."""
    texts = {"compose.yaml": files} if isinstance(files, str) else files
    options.setdefault("default_name", "app")
    return load_project(MemoryFiles({path: text.encode() for path, text in texts.items()}), **options)


def told(files: Files, **options: Any) -> str:
    """What is wrong with a project: a line `PLACE: MESSAGE | HINT` for each error."""
    with pytest.raises(ComposeErrors) as caught:
        load(files, **options)
    return "\n".join(f"{error} | {error.hint}" for error in caught.value.errors)


def warned(files: Files, **options: Any) -> list[str]:
    """What a person should look at."""
    return [str(warning) for warning in load(files, **options).warnings]


def service(line: str) -> str:
    """A project whose fourth line, the first of its service beside the image, is this one."""
    return f"services:\n  a:\n    image: x\n    {line}\n"


def outline(value: Any) -> str:
    """A tree on one line with all its places: `{key@LINE:COLUMN value}@LINE:COLUMN`, and lists alike."""
    if isinstance(value, Map):
        entries = ", ".join(f"{key}@{_at(value.place(key))} {outline(item)}" for key, item in value.items())
        return f"{{{entries}}}@{_at(value.at)}"
    if isinstance(value, List):
        items = ", ".join(f"{outline(item)}@{_at(where)}" for item, where in value.placed())
        return f"[{items}]@{_at(value.at)}"
    return repr(value)


def _at(place: Place) -> str:
    file = "" if place.file == "compose.yaml" else f"{place.file}:"
    return f"{file}{place.line}:{place.column}"
