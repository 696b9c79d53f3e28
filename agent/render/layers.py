"""Selects the directories of the repository that apply to a host (its layers), and overlays their files.

Rules:
1. Without `fleet.yaml` the directory itself is the only layer.
2. A layer applies if all labels of its `when` match. `{label}` and `{host}` in its path are substituted.
3. Layers are overlaid file by file: a file of a later layer replaces one of an earlier layer. `NAME.j2`
   provides `NAME`.
4. `layer.yaml` is not overlaid: the file of each layer is read, in order.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from agent.compose.errors import Place
from agent.compose.tree import List, Map
from agent.render.ciphertext import recognise
from agent.render.problems import Problems, did_you_mean
from agent.render.schema import Section, kind_of, merged, read_yaml, without_places
from agent.render.tree import EntryRefused, Tree

FLEET = "fleet.yaml"
LAYER = "layer.yaml"
SUFFIX = ".j2"
PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class LayerRule:
    """One entry of `layers:`. `when`: label -> patterns, of which one must match."""

    path: str
    when: Mapping[str, tuple[str, ...]]
    optional: bool
    place: Place

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(
            label in labels and any(fnmatchcase(labels[label], pattern) for pattern in patterns)
            for label, patterns in self.when.items()
        )

    def names(self) -> list[str]:
        """The placeholders in its path: labels and `host`."""
        return PLACEHOLDER.findall(self.path)


@dataclass(frozen=True, slots=True)
class Fleet:
    """The content of `fleet.yaml`. `base` is the directory that all paths are relative to; empty for the
    root.
    """

    base: str
    rules: tuple[LayerRule, ...]
    vars: Mapping[str, Any]


def below(base: str, path: str) -> str:
    return posixpath.join(base, path) if base and path else base or path


def read_fleet(tree: Tree, base: str, problems: Problems) -> Fleet:
    """Reads `fleet.yaml` in `base`. If it is missing, `base` is the only layer."""
    misnamed(tree, base, FLEET, problems)
    if base and not tree.is_dir(base):
        problems.add(
            base,
            0,
            "the directory that source.path names is not in the repository",
            tree.note(base) or "correct source.path in the host's settings",
        )
        return Fleet(base, (), {})
    root = read_yaml(tree, below(base, FLEET), problems)
    if root is None:
        return Fleet(base, (LayerRule("", {}, False, Place(base)),), {})
    section = Section(root, "", problems)
    section.known("layers", "vars")
    rules = [rule for value, place in section.items("layers") if (rule := _rule(value, place, problems))]
    if "layers" not in root:
        rules = [LayerRule("", {}, False, Place(base))]
    return Fleet(base, tuple(rules), without_places(section.section("vars").map))


def misnamed(tree: Tree, directory: str, name: str, problems: Problems) -> None:
    """Reports a file with the suffix `.yml`, if only `name` (with `.yaml`) is read."""
    wrong = name.replace(".yaml", ".yml")
    with problems.collect():
        if wrong in tree.children(directory):
            problems.add(
                below(directory, wrong),
                0,
                f"is not read: it must be named {name}",
                f"git mv {below(directory, wrong)} {below(directory, name)}",
            )


def _rule(value: Any, place: Place, problems: Problems) -> LayerRule | None:
    if isinstance(value, str):
        path, when, optional = value, {}, False
    elif isinstance(value, Map):
        section = Section(value, "layers", problems)
        section.known("path", "when", "optional")
        if not isinstance(value.get("path"), str):
            problems.add(place.file, place.line, "a layer needs a path", "write - path: DIRECTORY")
            return None
        path, optional, place = value["path"], section.truth("optional"), section.place("path")
        when = {label: _patterns(section.section("when"), label) for label in section.section("when").map}
    else:
        problems.add(
            place.file,
            place.line,
            f"a layer must be a directory or a mapping, not {kind_of(value)}",
            "write - base, or - path: base",
        )
        return None
    clean = posixpath.normpath(path)
    if not path or path.startswith("/") or clean.split("/")[0] == ".." or "\\" in path:
        problems.add(
            place.file,
            place.line,
            f"the layer {path!r} is outside the repository",
            "name a directory of this repository, relative to fleet.yaml",
        )
        return None
    return LayerRule("" if clean == "." else clean, when, optional, place)


def _patterns(when: Section, label: str) -> tuple[str, ...]:
    """The patterns of one label. Booleans and numbers are taken as text."""
    found = []
    for value, place in when.items(label):
        if isinstance(value, Map | List) or value is None:
            when.problems.add(
                place.file,
                place.line,
                f"layers.when.{label} must be text or a list of texts, not {kind_of(value)}",
                "write role: web, role: web-*, or role: [web, proxy]",
            )
        else:
            found.append(str(value).lower() if isinstance(value, bool) else str(value))
    return tuple(found)


def select(
    tree: Tree, fleet: Fleet, host: str, labels: Mapping[str, str], problems: Problems
) -> tuple[str, ...]:
    """The directories of a host's layers, in order. Missing layers are reported, unless they are optional.

    tree: the repository
    fleet: the layers in `fleet.yaml`
    host: the host's name
    labels: the host's labels
    problems: collects errors
    """
    chosen: list[str] = []
    for rule in fleet.rules:
        matches = rule.matches(labels)
        path = _substituted(rule, {**labels, "host": host}, problems) if matches else None
        if path is None:
            continue
        directory = below(fleet.base, path)
        with problems.collect():
            if not tree.is_dir(directory):
                _missing(tree, rule, directory, path, problems)
            elif directory not in chosen:
                chosen.append(directory)
    return tuple(chosen)


def _missing(tree: Tree, rule: LayerRule, directory: str, path: str, problems: Problems) -> None:
    """Reports a layer that is not a directory.

    tree: the repository
    rule: the layer's entry in `fleet.yaml`
    directory: its path in the repository
    path: its path as the rule names it
    problems: collects errors
    """
    file, line = rule.place.file, rule.place.line
    if _is_there(tree, directory):
        tree.read(directory)  # a submodule or a broken link raises its own error
        problems.add(file, line, f"the layer {path} is a file", "name a directory")
    elif not rule.optional:
        hint = tree.note(directory) or _near(tree, directory)
        problems.add(file, line, f"the layer {path} is not in the repository", hint)


def _near(tree: Tree, directory: str) -> str:
    """A hint for a directory that does not exist."""
    above, parts = "", directory.split("/")
    while parts and tree.is_dir(below(above, parts[0])):
        above = below(above, parts.pop(0))
    near = did_you_mean(parts[0], tree.children(above)) if parts else ""
    return near if near.startswith("did") else "add a file below it, or set optional: true"


def _is_there(tree: Tree, path: str) -> bool:
    return posixpath.basename(path) in tree.children(posixpath.dirname(path))


def _substituted(rule: LayerRule, values: Mapping[str, str], problems: Problems) -> str | None:
    """The path with its placeholders filled in. None if a label is missing, which is an error unless the
    layer is optional.
    """
    for name in rule.names():
        value = values.get(name)
        if value is None and rule.optional:
            return None
        if value is None:
            problems.add(
                rule.place.file,
                rule.place.line,
                f"the host has no label {name}, which {rule.path} needs",
                f"set it in the host's settings (with --repo: --label {name}=...), or set optional: true",
            )
            return None
        if value in ("", ".", "..") or "/" in value or "\\" in value:
            problems.add(
                rule.place.file,
                rule.place.line,
                f"the value {value!r} of {name} cannot be part of a path",
                "use only letters, digits, dots and dashes in a label that a path uses",
            )
            return None
    return PLACEHOLDER.sub(lambda found: values[found[1]], rule.path)


@dataclass(frozen=True, slots=True)
class OverlayFile:
    """The source of a file in the overlay: its path in the repository, the index of its layer, and whether it
    is a template.
    """

    path: str
    layer: int
    template: bool = False


class Overlay:
    """The files of all layers as one tree, with paths relative to a layer. `template` renders `.j2` files;
    `keeps` says which paths are taken as they are, even encrypted.
    """

    def __init__(
        self,
        tree: Tree,
        layers: tuple[str, ...],
        template: Callable[[str, bytes], bytes],
        keeps: Callable[[str], bool] = lambda path: False,
    ) -> None:
        self.tree, self.layers = tree, layers
        self._template, self._keeps = template, keeps
        self._rendered: dict[str, bytes] = {}

    def find(self, path: str) -> OverlayFile | None:
        """The file at exactly this path, in the last layer that has it."""
        for index in range(len(self.layers) - 1, -1, -1):
            place = below(self.layers[index], path)
            if self.tree.is_file(place):
                return OverlayFile(place, index)
        return None

    def named(self, path: str) -> OverlayFile | None:
        """The file at this path, or the template for it. Raises EntryRefused if one layer has both."""
        exact, template = self.find(path), self.find(path + SUFFIX)
        if template is None or (exact is not None and exact.layer > template.layer):
            return exact
        if exact is not None and exact.layer == template.layer:
            raise EntryRefused(template.path, f"makes the same file as {exact.path}", "keep one of the two")
        return OverlayFile(template.path, template.layer, True)

    def content(self, source: OverlayFile) -> bytes:
        """The content, rendered if it is a template. Raises EntryRefused or Wrong."""
        if source.template and source.path in self._rendered:
            return self._rendered[source.path]
        layer = self.layers[source.layer]
        kept = self._keeps(source.path[len(layer) + 1 :] if layer else source.path)
        data = self.tree.read(source.path, kept)
        if data is None:
            raise EntryRefused(source.path, "is a directory where a file is expected", "remove or rename it")
        if source.template:
            data = self._template(source.path, data)
            if (found := recognise(data)) and not (found.encrypted and kept):
                raise EntryRefused(source.path, found.what, found.hint.format(path=source.path), 1)
            self._rendered[source.path] = data
        return data

    def files(self, prefix: str) -> dict[str, OverlayFile]:
        """Path -> source of every file below a directory (or of the file itself), sorted by path."""
        found: dict[str, OverlayFile] = {}
        for index, layer in enumerate(self.layers):
            start = len(layer) + 1 if layer else 0
            for path in self.tree.files(below(layer, prefix)):
                found[path[start:]] = OverlayFile(path, index)
        return dict(sorted(found.items()))

    def is_dir(self, path: str) -> bool:
        return any(self.tree.is_dir(below(layer, path)) for layer in self.layers)

    def children(self, path: str) -> list[str]:
        return sorted({name for layer in self.layers for name in self.tree.children(below(layer, path))})

    def is_template(self, path: str) -> bool:
        """Whether a path is rendered from a template. False if it is refused."""
        try:
            source = self.named(path) if path else None
        except EntryRefused:
            return False
        return source is not None and source.template

    def note(self, path: str) -> str:
        """A note for people about a path that does not exist in the tree; usually empty."""
        return next((note for layer in self.layers if (note := self.tree.note(below(layer, path)))), "")

    def origin(self, path: str) -> str:
        """The path in the repository that messages about `path` should show."""
        path = "" if path == "." else path
        try:
            source = self.named(path) if path else None
        except EntryRefused as error:
            return error.path
        if source is not None:
            return source.path
        there = [layer for layer in self.layers if self.tree.is_dir(below(layer, path))]
        return below((there or self.layers or ("",))[-1], path)


def layer_vars(fleet: Fleet, settings: list[Mapping[str, Any]]) -> dict[str, Any]:
    """The fleet's variables, overridden by each layer's in order."""
    result: Any = dict(fleet.vars)
    for values in settings:
        result = merged(result, dict(values))
    return dict(result)
