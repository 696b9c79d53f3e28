"""Turns several files into one model: parses, interpolates, includes, extends, merges, checks and expands
them.

Rules: the steps for each file are in the reference loader's order; includes are resolved before extends, so
an included service can be extended; the schema is applied to the merged tree before short forms are expanded;
an entry that fails is reported and left out, and the rest is still processed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import islice
from typing import Any

from .document import Path, YamlDocument
from .environment import read_dotenv
from .errors import MAX_SHOWN, ComposeError, LoadProblems, Place
from .extend import apply_extends, remove
from .include import Include, import_model, include_entries
from .interpolate import interpolate
from .limits import INCLUDE_COST, MAX_INCLUDES, node_count
from .merge import IDENTITY, SPECIAL, enforce_unique, merge
from .normalize import check_model, named_mappings, set_defaults, watches_of
from .paths import escapes, is_host_path, join_path, rebase, relative
from .schema import validate
from .shortforms import EXPAND, expand
from .source import ProjectSource
from .tree import NOWHERE, List, Map, Rules, place_of

_NAME = re.compile(r"[a-zA-Z0-9._-]+\Z|x-")
SECTIONS = ("services", "networks", "volumes", "configs", "secrets", "models")


class Assembler:
    """Builds models from the files of a source."""

    def __init__(self, source: ProjectSource) -> None:
        self.source, self.problems = source, source.problems

    def model(
        self,
        paths: list[str],
        environment: dict[str, str],
        seen_from: str,
        directory: str,
        included: tuple[str, ...] = (),
        place: Place | None = None,
    ) -> Map:
        """The merged files of one project or include.

        paths: the files; later ones override earlier ones
        environment: the variables that interpolation sees
        seen_from: the directory of the files, relative to the one that the paths in the result start from
        directory: the directory of the files, below the virtual root
        included: the chain of files that include this one, for finding circles
        place: where the files are named; by default their own beginning
        """
        root = Map(at=Place(paths[0] if paths else directory))
        for path in paths:
            try:
                documents = self.source.documents(path, place or Place(path))
            except ComposeError as error:
                self.problems.add(error)
                continue
            for document in documents:
                if not isinstance(document.root, Map):
                    self.problems.error(
                        Place(path, 1), "the file is not a mapping", "start it with `services:`"
                    )
                    continue
                interpolate(document.root, environment.get, self.problems, self.source.budget)
                _promote_develop(document.root, self.problems)
                self.include(document, environment, directory, (*included, path))
                remove(root, document.removed)
                self.extend(document, path, environment, directory)
                root = self.lay_over(root, document.root)
        set_defaults(root)
        check_model(root, self.problems)
        rebase(root, seen_from)
        _own_environment(root, environment)
        return root

    def extend(self, document: YamlDocument, path: str, environment: dict[str, str], directory: str) -> None:
        bases: dict[str, tuple[Map, list[Path]]] = {}

        def load_base(name: str, place: Place) -> tuple[str, Map, list[Path]]:
            file = join_path(directory, name)
            if is_host_path(name) or escapes(file):
                raise ComposeError(
                    f"the file {name!r} is outside the repository", *place, hint="move it into the repository"
                )
            if file not in bases:
                bases[file] = self.base(file, place, environment, relative(file, directory))
            services, removed = bases[file]
            return file, services, removed

        apply_extends(document.root, path, document.removed, load_base, self.problems, self.source.budget)

    def base(
        self, file: str, place: Place, environment: dict[str, str], seen_from: str
    ) -> tuple[Map, list[Path]]:
        """The services of a file that is only extended. They are interpolated and expanded, but not
        checked.
        """
        root, removed = Map(at=Place(file)), []
        for document in self.source.documents(file, place):
            if isinstance(document.root, Map):
                interpolate(document.root, environment.get, self.problems, self.source.budget)
                _promote_develop(document.root, self.problems)
                remove(root, document.removed)
                root = self.lay_over(root, document.root, checked=False)
                removed = document.removed
        if not isinstance(root.get("services"), Map):
            raise ComposeError(
                f"{file} has no services", *place, hint="extend a file that has a `services:` section"
            )
        rebase(root, seen_from.rpartition("/")[0] or ".")
        return root["services"], removed

    def include(
        self, document: YamlDocument, environment: dict[str, str], directory: str, included: tuple[str, ...]
    ) -> None:
        entries = include_entries(document.root, self.problems)
        document.root.pop("include", None)
        for entry in entries:
            try:
                model = self.included(entry, environment, directory, included)
            except ComposeError as error:
                self.problems.add(error)
                continue
            import_model(model, document.root, document.removed, self.problems)

    def included(
        self, entry: Include, environment: dict[str, str], directory: str, included: tuple[str, ...]
    ) -> Map:
        paths = [join_path(directory, path) for path in entry.paths]
        for written, path in zip(entry.paths, paths, strict=True):
            if is_host_path(written) or escapes(path):
                raise ComposeError(
                    f"the file {written!r} is outside the repository",
                    *entry.place,
                    hint="move it into the repository",
                )
        way = " -> ".join([*included, paths[0]])
        if paths[0] in included:
            raise ComposeError(
                f"the files include one another in a circle: {way}",
                *entry.place,
                hint="remove one of these includes",
            )
        if len(included) > MAX_INCLUDES:
            raise ComposeError(
                f"includes are nested {len(included)} deep, and {MAX_INCLUDES} is the most: {way}",
                *entry.place,
                hint=f"include {paths[0]} from a file that is nearer to {included[0]}",
            )
        below = join_path(directory, entry.directory) if entry.directory else _parent(paths[0])
        if is_host_path(entry.directory) or escapes(below):
            raise ComposeError(
                f"{entry.directory!r} is outside the repository",
                *entry.place,
                hint="move it into the repository",
            )
        base = below if self.source.files.is_dir(below) else _parent(below)
        variables = self.included_variables(entry, environment, directory, below)
        self.source.budget.spend_nodes(INCLUDE_COST, entry.place)
        return self.model(
            paths, variables | environment, relative(base, directory), below, included, entry.place
        )

    def included_variables(
        self, entry: Include, environment: dict[str, str], directory: str, below: str
    ) -> dict[str, str]:
        """The variables of an include's environment files, which default to the `.env` in its own directory.

        `directory` is that of the including file, `below` that of the included one.
        """
        variables = Map()
        if entry.env_files is not None:
            paths = [join_path(directory, name) for name in entry.env_files if name != "/dev/null"]
        else:
            default = join_path(below, ".env")
            paths = [default] if self.source.is_file(default) else []
        for path in paths:
            if found := self.source.read_variables(path, entry.place):
                read_dotenv(*found, environment, self.problems, variables)
        return variables

    def lay_over(self, root: Map, over: Map, checked: bool = True) -> Map:
        """Merges a file's tree over the earlier ones, then checks and expands the result. Entries with errors
        are reported and left out.
        """
        problems = self.problems
        if root:
            self.source.budget.spend_nodes(node_count(root), over.at)  # everything is checked again
        for section, value in over.items():
            if section in SECTIONS and isinstance(root.get(section), Map) and isinstance(value, Map):
                self.merge_entries(section, root[section], value)
            elif section in root:
                place = over.place(section)
                try:
                    root.put(section, merge(root[section], value, place, None), place)
                except ComposeError as error:
                    problems.add(error)
            else:
                root.put(section, value, over.place(section))
        self.each(root, IDENTITY, enforce_unique)
        if checked:
            self.check_schema(root)
        if "version" in root:
            problems.warn(root.place("version"), "`version` is obsolete and ignored")
            del root["version"]
        self.each(
            root, EXPAND, lambda value, rules: expand(value, NOWHERE, problems, self.source.budget, rules)
        )
        self.each(root, IDENTITY, enforce_unique)
        return root

    def merge_entries(self, section: str, base: Map, over: Map) -> None:
        """Merges a section entry by entry, so that an entry that fails does not affect the others."""
        rules = SPECIAL.step(section)
        for name, item in over.items():
            place, below = over.place(name), rules.step(name) if rules else None
            try:
                base.put(name, merge(base[name], item, place, below) if name in base else item, place)
            except ComposeError as error:
                self.broken(error, section, name)

    def each(self, root: Map, rules: Rules[Any], action: Callable[[Any, Any], Any]) -> None:
        """Applies an action to every entry of every section. An entry that fails is reported and left out."""
        for section in SECTIONS:
            entries, below = root.get(section), rules.step(section)
            if below is None or not isinstance(entries, Map):
                continue
            for name in list(entries):
                count = len(self.problems.errors)
                try:
                    entries[name] = action(entries[name], below.step(name))
                except ComposeError as error:
                    self.broken(error, section, name)
                    del entries[name]
                if len(self.problems.errors) > count:
                    self.problems.broken.add(f"{section}.{name}")

    def broken(self, error: ComposeError, section: str, name: str) -> None:
        self.problems.add(error)
        self.problems.broken.add(f"{section}.{name}")

    def check_schema(self, root: Map) -> None:
        """Reports violations of the schema, and removes the entries that contain them from the tree."""
        bad: set[tuple[str, ...]] = set()
        for path, message, hint in islice(validate(root), MAX_SHOWN):
            owner = path[:-1] if message.startswith("unknown key") else path
            shown = ".".join(str(part) for part in owner) or "top level"
            of_key = owner != path
            self.problems.error(place_of(root, path), f"{shown}: {message}", hint, of_key)
            bad.add(tuple(str(part) for part in path[:2]))
        bad.update(self.misnamed(root))
        for entry in bad:
            self.problems.broken.add(".".join(entry))
            if len(entry) == 2 and isinstance(root.get(entry[0]), Map) and entry[0] in SECTIONS:
                root[entry[0]].pop(entry[1], None)
            elif entry:
                root.pop(entry[0], None)

    def misnamed(self, root: Map) -> list[tuple[str, str]]:
        """Reports names that the reference loader refuses, though the schema allows them."""
        found = []
        for section in ("networks", "models"):
            names = root.get(section)
            for name in names if isinstance(names, Map) else ():
                if not _NAME.match(name):
                    message = f"{section}: the name {name!r} is not allowed"
                    hint = "use letters, digits, dots, dashes and underscores"
                    self.problems.error(place_of(root, (section, name)), message, hint)
                    found.append((section, name))
        return found


def _parent(path: str) -> str:
    """The directory that a path lies in, "." for the virtual root."""
    return path.rpartition("/")[0] or "."


def _promote_develop(root: Map, problems: LoadProblems) -> None:
    """Renames `x-develop` and `x-initialSync`, older spellings of `develop` and `initial_sync`. The new
    spelling wins.
    """
    for name, service, _ in named_mappings(root, "services"):
        try:
            _promote_x_develop(service)
        except ComposeError as error:
            problems.add(error)
            problems.broken.add(f"services.{name}")
        for watch in watches_of(service):
            _promote_initial_sync(watch)


def _promote_x_develop(service: Map) -> None:
    if "x-develop" in service:
        old, place, new = service.pop("x-develop"), service.place("x-develop"), service.get("develop")
        service.put("develop", merge(old, new, service.place("develop"), None), place)


def _promote_initial_sync(watch: Map) -> None:
    if "x-initialSync" in watch:
        value, place = watch.pop("x-initialSync"), watch.place("x-initialSync")
        if watch.get("initial_sync") is None:
            watch.put("initial_sync", value, place)


def _own_environment(root: Map, environment: dict[str, str]) -> None:
    """Completes names without a value in `environment` lists from the variables of the model that contains
    them.
    """
    for _, service, _ in named_mappings(root, "services"):
        names = service.get("environment")
        if isinstance(names, List):
            for index, item in enumerate(names):
                if isinstance(item, str) and item in environment:
                    names[index] = f"{item}={environment[item]}"
