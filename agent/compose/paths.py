"""Tells paths of the repository from paths of the host, and makes the former relative to the project
directory.

Rules: a path that starts with `/`, `~` or a Windows drive is a path of the host, and is never changed. Every
other path is relative to the directory of the file that names it. Paths of included and extended files are
rewritten when those files are imported. At the end every path is relative to the project directory: `./x` or
`../x`.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from typing import Any

from .errors import LoadProblems, Place
from .tree import NOWHERE, List, Map, Rules

PathRewrite = Callable[[str, Place], str]
Visit = Callable[[Any, Place, PathRewrite], Any]

_REMOTE = ("https://", "http://", "git://", "ssh://", "github.com/", "git@", "service:")


def is_host_path(path: str) -> bool:
    drive = len(path) > 2 and path[0].isalpha() and path[1] == ":" and path[2] in "/\\"
    return path[:1] in ("/", "~") or path.startswith("\\\\") or drive


def clean_path(path: str) -> str:
    """A path in its shortest form; "" is the directory itself."""
    return posixpath.normpath(path[1:] if path.startswith("//") else path)


def join_path(base: str, path: str) -> str:
    """A normalised path; one that leaves the virtual root starts with `..`."""
    return posixpath.normpath(posixpath.join(base, path))


def escapes(path: str) -> bool:
    return path == ".." or path.startswith(("../", "/"))


def relative(path: str, start: str) -> str:
    """`path` relative to the directory `start`; both are below the same virtual root."""
    return posixpath.relpath(posixpath.join("/", path), posixpath.join("/", start))


def _path(value: Any, place: Place, change: PathRewrite) -> Any:
    if not isinstance(value, str) or not value or is_host_path(value):
        return value
    return change(value, place)


def _context(value: Any, place: Place, change: PathRewrite) -> Any:
    if isinstance(value, str) and ("://" in value or value.startswith(_REMOTE)):
        return value
    return _path(value, place, change)


def _file(value: Any, place: Place, change: PathRewrite) -> Any:
    """Like `_path`, but an empty path is the directory itself."""
    return _path("." if value == "" else value, place, change)


def _mount(value: Any, place: Place, change: PathRewrite) -> Any:
    if isinstance(value, Map) and value.get("type") == "bind" and "source" in value:
        value["source"] = _file(value["source"], value.place("source"), change)
    return value


def _device(value: Any, place: Place, change: PathRewrite) -> Any:
    """The device of a local volume that is in fact a bind mount."""
    options = value.get("driver_opts") if isinstance(value, Map) and value.get("driver") == "local" else None
    if isinstance(options, Map) and options.get("o") == "bind" and "device" in options:
        options["device"] = _path(options["device"], options.place("device"), change)
    return value


_READ: dict[str, Visit] = {
    f"{owner}.{key}": visit
    for owner in ("services.*", "services.*.pre_start.*")
    for key, visit in {"env_file.*.path": _path, "label_file.*": _path, "volumes.*": _mount}.items()
} | {
    "services.*.extends.file": _path,
    "configs.*.file": _file,
    "secrets.*.file": _file,
    "volumes.*": _device,
}
# Only builds and `develop` use these, so they may be outside the repository.
_BUILT: dict[str, Visit] = {
    "services.*.build.context": _context,
    "services.*.build.additional_contexts.*": _context,
    "services.*.build.ssh.*": _path,
    "services.*.develop.watch.*.path": _path,
}
PATHS: Rules[Visit] = Rules(_READ | _BUILT)


def rebase(root: Map, base: str) -> None:
    """Rewrites the paths of a tree from relative to `base` to relative to the directory that `base` is
    relative to.
    """
    visit(root, NOWHERE, lambda path, _: join_path(base, path), PATHS)


def finish(root: Map, working_dir: str, problems: LoadProblems) -> None:
    """Writes every path of the repository in canonical form, and reports paths that leave the repository."""

    def dotted(path: str, place: Place) -> str:
        path = posixpath.normpath(path)
        return path if path in (".", "..") or path.startswith("../") else f"./{path}"

    def checked(path: str, place: Place) -> str:
        if escapes(join_path(working_dir, path)):
            problems.error(
                place,
                f"the path {path!r} leaves the repository",
                "move the file into the repository, or write an absolute path of the host",
            )
        return dotted(path, place)

    visit(root, NOWHERE, checked, Rules(_READ))
    visit(root, NOWHERE, dotted, Rules(_BUILT))


def visit(value: Any, place: Place, change: PathRewrite, rules: Rules[Visit] | None) -> Any:
    if rules is None:
        return value
    if rules.value is not None:
        return rules.value(value, place, change)
    if isinstance(value, Map):
        for key, item in value.items():
            value[key] = visit(item, value.place(key), change, rules.step(key))
    elif isinstance(value, List):
        below = rules.step("[]")
        for index, (item, where) in enumerate(value.placed()):
            value[index] = visit(item, where, change, below)
    return value
