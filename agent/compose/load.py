"""Files to a project, in the reference loader's order.

For each file: parse, interpolate, include, extend, lay over what is there, check against the schema, expand short
forms. Then once: defaults, checks of the model, paths. At the end: what is implied, types, profiles, consistency, env
files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .consistency import Check
from .document import Budget, Document, Path, parse
from .environment import read_dotenv, resolve_environment, resolve_labels
from .errors import ComposeError, Place, Problems
from .extend import apply_extends, remove
from .fields import RESOURCES, SERVICE, decode
from .files import Files
from .include import Include, import_model, include_entries
from .interpolate import InvalidTemplate, MissingVariable, interpolate, substitute
from .merge import IDENTITY, SPECIAL, enforce_unique, merge
from .normalize import check_model, normalize, project_name, set_defaults
from .paths import escapes, finish, is_host_path, join, rebase, relative
from .project import Project
from .schema import validate
from .shortforms import EXPAND, expand
from .tree import NOWHERE, List, Map, Rules, copy, place_of

NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
OVERRIDES = (
    "compose.override.yml", "compose.override.yaml", "docker-compose.override.yml", "docker-compose.override.yaml",
)  # fmt: skip
SECTIONS = ("services", "networks", "volumes", "configs", "secrets", "models")
MAX_INCLUDES = 20

Preprocess = Callable[[str, bytes], bytes]


def load(
    files: Files,
    working_dir: str = ".",
    config_files: Sequence[str] | None = None,
    env_overrides: Mapping[str, str] | None = None,
    profiles: Sequence[str] = (),
    default_name: str = "",
    preprocess: Preprocess | None = None,
) -> Project:
    """The project in `working_dir`. Raises ComposeErrors with everything that is wrong."""
    loader = _Loader(files, join(".", working_dir), preprocess)
    return loader.project(config_files, dict(env_overrides or {}), tuple(profiles), default_name)


class _Loader:
    """One load: what was read, what is left of the budget, what is wrong."""

    def __init__(self, files: Files, working_dir: str, preprocess: Preprocess | None) -> None:
        self.files, self.working_dir, self.preprocess = files, working_dir, preprocess
        self.problems = Problems()
        self.budget = Budget()
        self.files_read: set[str] = set()
        self.documents: dict[str, list[Document]] = {}

    # reading

    def read(self, path: str, place: Place, what: str) -> bytes:
        """A file below the virtual root. Raises ComposeError."""
        if escapes(path):
            hint = "move the file into the repository"
            raise ComposeError(f"the {what} {path!r} is outside the repository", *place, hint=hint)
        data = self.files.read(path)
        if data is None:
            kind = "is a directory" if self.files.is_dir(path) else "does not exist"
            raise ComposeError(f"the {what} {path!r} {kind}", *place, hint="correct the path, or add the file")
        self.files_read.add(path)
        return data

    def parse(self, path: str, place: Place) -> list[Document]:
        """The documents of a compose file, fresh copies each time. `x.yaml.j2` stands in for a missing `x.yaml`."""
        if not escapes(path) and not self.files.exists(path) and self.files.exists(f"{path}.j2"):
            path = f"{path}.j2"
        data = self.read(path, place, "file")
        if path not in self.documents:
            text = self.preprocess(path, data) if self.preprocess is not None else data
            self.documents[path] = parse(path, text, self.budget)
        return [Document(copy(document.root), list(document.removed)) for document in self.documents[path]]

    def discover(self) -> list[str]:
        """The usual names, relative to the project directory; several of a kind are a warning."""
        chosen = []
        for names in (NAMES, OVERRIDES):
            present = [
                name + suffix
                for name in names
                for suffix in ("", ".j2")
                if self.files.read(join(self.working_dir, name + suffix)) is not None
            ]
            if len(present) > 1:
                self.problems.warn(Place(join(self.working_dir, present[0])), f"{', '.join(present)} exist; {present[0]} is used")
            chosen += present[:1]
            if not chosen:
                break
        return chosen

    # the whole

    def project(
        self,
        config_files: Sequence[str] | None,
        environment: dict[str, str],
        profiles: tuple[str, ...],
        default_name: str,
    ) -> Project:
        dotenv_path = join(self.working_dir, ".env")
        if (data := self.files.read(dotenv_path)) is not None:
            self.files_read.add(dotenv_path)
            environment = read_dotenv(dotenv_path, data, environment, self.problems) | environment
        if config_files is None and environment.get("COMPOSE_FILE"):
            config_files = environment["COMPOSE_FILE"].split(environment.get("COMPOSE_PATH_SEPARATOR") or ":")
        chosen = self.discover() if config_files is None else list(config_files)
        paths = [join(self.working_dir, name) for name in chosen]
        if not paths:
            self.problems.error(Place(self.working_dir), "there is no Compose file", f"add {NAMES[0]}")
        name = self.name(paths, environment, default_name)
        environment["COMPOSE_PROJECT_NAME"] = name
        root = self.model(paths, environment, ".", self.working_dir)
        finish(root, self.working_dir, self.problems)
        if not root and not self.problems.errors:
            self.problems.error(Place(paths[0]), "the Compose file is empty", "add a service")
        if not profiles:
            profiles = tuple(part.strip() for part in environment.get("COMPOSE_PROFILES", "").split(","))
        return self.finish(root, name, environment, tuple(filter(None, profiles)), paths)

    def name(self, paths: list[str], environment: dict[str, str], default: str) -> str:
        """COMPOSE_PROJECT_NAME, else the last `name:` of the files, else the default."""
        explicit = environment.get("COMPOSE_PROJECT_NAME", "")
        if explicit:
            if project_name(explicit) != explicit:
                self.problems.error(
                    Place(join(self.working_dir, ".env")),
                    f"COMPOSE_PROJECT_NAME is {explicit!r}",
                    "use lower-case letters, digits, dashes and underscores, starting with a letter or digit",
                )
            return explicit
        written, place = "", NOWHERE
        for path in paths:
            try:
                documents = self.parse(path, Place(path))
            except ComposeError as error:
                self.problems.add(error)
                continue
            for document in documents:
                if isinstance(document.root, Map) and isinstance(document.root.get("name"), str) and document.root["name"]:
                    written, place = document.root["name"], document.root.place("name")
        try:
            found = project_name(substitute(written, environment.get)) if written else project_name(default)
        except (InvalidTemplate, MissingVariable):
            return "invalid"  # reported when the file is interpolated
        if not found and not self.problems.errors:
            self.problems.error(place, "the project name is empty", "add `name:` with at least one letter or digit")
        return found

    def finish(self, root: Map, name: str, environment: dict[str, str], profiles: tuple[str, ...], paths: list[str]) -> Project:
        problems = self.problems
        root.pop("name", None)
        normalize(root, name, environment)
        services = self.decoded(root, "services")
        active = {key: item for key, item in services.items() if _enabled(item, profiles)}
        disabled = {key: item for key, item in services.items() if key not in active}
        resources = {section: self.decoded(root, section) for section in RESOURCES}
        Check(root, active, disabled, problems).run()
        for service in active.values():
            for spec in (service, *service.get("pre_start", ())):
                resolve_environment(spec, environment, self.read_beside, problems)
                resolve_labels(spec, self.read_beside, problems)
        problems.raise_any()
        extensions = {key: item for key, item in root.items() if key.startswith("x-")}
        whole = Map([("services", Map({**active, **disabled}.items())), *extensions.items()], Place(paths[0]))
        for section, items in {"services": services, **resources}.items():
            below = whole[section] = Map(items.items(), root.place(section))
            source = root.get(section)
            below.places = source.places if isinstance(source, Map) else {}
        whole.places = root.places
        return Project(
            name=name, working_dir=self.working_dir, services=dict(sorted(active.items())),
            disabled=dict(sorted(disabled.items())), **{key: dict(sorted(items.items())) for key, items in resources.items()},
            extensions=extensions, environment=environment, profiles=profiles, config_files=tuple(paths),
            files_read=tuple(sorted(self.files_read)), warnings=tuple(problems.warnings), _root=whole,
        )  # fmt: skip

    def decoded(self, root: Map, section: str) -> dict[str, Map]:
        kind = SERVICE if section == "services" else RESOURCES[section]
        result: dict[str, Map] = {}
        below = root.get(section)
        if not isinstance(below, Map):
            return result
        for key, item in below.items():
            found = decode(kind, item, below.place(key), (section, key), self.problems)
            if found is not None:
                result[key] = found
        return result

    def read_beside(self, path: str, place: Place, required: bool) -> tuple[str, bytes] | None:
        """A file named relative to the project directory; None when it may be missing and is."""
        full = join(self.working_dir, path)
        if not required and not escapes(full) and not self.files.exists(full):
            return None
        return full, self.read(full, place, "file")

    # one model: the main files, or those of one include

    def model(
        self,
        paths: list[str],
        environment: dict[str, str],
        seen_from: str,
        directory: str,
        included: tuple[str, ...] = (),
        place: Place | None = None,
    ) -> Map:
        """The merged files; `place` is where they are named. Paths in it are relative to what `seen_from`, the way to `directory`, is relative to."""
        root = Map(at=Place(paths[0] if paths else directory))
        for path in paths:
            try:
                documents = self.parse(path, place or Place(path))
            except ComposeError as error:
                self.problems.add(error)
                continue
            for document in documents:
                if not isinstance(document.root, Map):
                    self.problems.error(Place(path, 1), "the file is not a mapping", "start it with `services:`")
                    continue
                interpolate(document.root, environment.get, self.problems)
                _promote_develop(document.root)
                self.include(document, environment, directory, (*included, path))
                remove(root, document.removed)
                self.extend(document, path, environment, directory)
                root = self.lay_over(root, document.root)
        set_defaults(root)
        check_model(root, self.problems)
        rebase(root, seen_from)
        _own_environment(root, environment)
        return root

    def extend(self, document: Document, path: str, environment: dict[str, str], directory: str) -> None:
        bases: dict[str, tuple[Map, list[Path]]] = {}

        def load_base(name: str, place: Place) -> tuple[str, Map, list[Path]]:
            file = join(directory, name)
            if is_host_path(name) or escapes(file):
                raise ComposeError(f"the file {name!r} is outside the repository", *place, hint="move it into the repository")
            if file not in bases:
                bases[file] = self.base(file, place, environment, relative(file, directory))
            services, removed = bases[file]
            return file, copy(services), removed

        apply_extends(document.root, path, document.removed, load_base, self.problems)

    def base(self, file: str, place: Place, environment: dict[str, str], seen_from: str) -> tuple[Map, list[Path]]:
        """The services of a file that is only extended: interpolated and expanded, not checked on its own."""
        root, removed = Map(at=Place(file)), []
        for document in self.parse(file, place):
            if isinstance(document.root, Map):
                interpolate(document.root, environment.get, self.problems)
                _promote_develop(document.root)
                remove(root, document.removed)
                root = self.lay_over(root, document.root, checked=False)
                removed = document.removed
        if not isinstance(root.get("services"), Map):
            raise ComposeError(f"{file} has no services", *place, hint="extend a file that has a `services:` section")
        rebase(root, seen_from.rpartition("/")[0] or ".")
        return root["services"], removed

    def include(self, document: Document, environment: dict[str, str], directory: str, included: tuple[str, ...]) -> None:
        entries = include_entries(document.root, self.problems)
        document.root.pop("include", None)
        for entry in entries:
            try:
                model = self.included(entry, environment, directory, included)
            except ComposeError as error:
                self.problems.add(error)
                continue
            import_model(model, document.root, document.removed, self.problems)

    def included(self, entry: Include, environment: dict[str, str], directory: str, included: tuple[str, ...]) -> Map:
        for path in entry.paths:
            if is_host_path(path) or escapes(join(directory, path)):
                raise ComposeError(f"the file {path!r} is outside the repository", *entry.place, hint="move it into it")
        paths = [join(directory, path) for path in entry.paths]
        if paths[0] in included or len(included) > MAX_INCLUDES:
            way = " -> ".join([*included, paths[0]])
            raise ComposeError(f"the files include one another in a circle: {way}", *entry.place, hint="break the circle")
        below = join(directory, entry.directory) if entry.directory else paths[0].rpartition("/")[0] or "."
        if is_host_path(entry.directory) or escapes(below):
            raise ComposeError(f"{entry.directory!r} is outside the repository", *entry.place, hint="move it into it")
        base = below if self.files.is_dir(below) else below.rpartition("/")[0] or "."
        variables: dict[str, str] = {}
        if entry.env_files is None:
            default = join(below, ".env")
            env_files = [default] if self.files.exists(default) and not self.files.is_dir(default) else []
        else:
            env_files = [join(directory, name) for name in entry.env_files if name != "/dev/null"]
        for path in env_files:
            read_dotenv(path, self.read(path, entry.place, "env_file"), environment, self.problems, variables)
        return self.model(paths, variables | environment, relative(base, directory), below, included, entry.place)

    def lay_over(self, root: Map, over: Map, checked: bool = True) -> Map:
        """A file's tree laid over the earlier ones, checked and expanded; what is wrong is reported and left out."""
        problems = self.problems
        for section, value in over.items():
            base, place, rules = root.get(section), over.place(section), SPECIAL.step(section)
            if section in SECTIONS and isinstance(base, Map) and isinstance(value, Map):
                for name, item in value.items():
                    where, below = value.place(name), rules.step(name) if rules else None
                    try:
                        base.put(name, merge(base[name], item, where, below) if name in base else item, where)
                    except ComposeError as error:
                        self.broken(error, section, name)
            elif section in root:
                try:
                    root.put(section, merge(base, value, place, rules), place)
                except ComposeError as error:
                    problems.add(error)
            else:
                root.put(section, value, place)
        self.each(root, IDENTITY, enforce_unique)
        if checked:
            self.check_schema(root)
        if "version" in root:
            problems.warn(root.place("version"), "`version` is obsolete and ignored")
            del root["version"]
        self.each(root, EXPAND, lambda value, rules: expand(value, NOWHERE, problems, rules))
        self.each(root, IDENTITY, enforce_unique)
        return root

    def each(self, root: Map, rules: Rules[Any], action: Callable[[Any, Any], Any]) -> None:
        """Does something to every entry of every section; an entry that fails is reported and left out."""
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
        bad: set[tuple[str, ...]] = set()
        for path, message, hint in validate(root):
            owner = path[:-1] if message.startswith("unknown key") else path
            shown = ".".join(str(part) for part in owner) or "the file"
            self.problems.error(place_of(root, path), f"{shown}: {message}", hint)
            bad.add(tuple(str(part) for part in path[:2]))
        for entry in bad:
            self.problems.broken.add(".".join(entry))
            if len(entry) == 2 and isinstance(root.get(entry[0]), Map) and entry[0] in SECTIONS:
                root[entry[0]].pop(entry[1], None)
            elif entry:
                root.pop(entry[0], None)


def _enabled(service: Map, profiles: tuple[str, ...]) -> bool:
    own = service.get("profiles")
    return not own or "*" in profiles or any(profile in own for profile in profiles)


def _promote_develop(root: Map) -> None:
    """`x-develop`, the older spelling of `develop`."""
    services = root.get("services")
    for service in services.values() if isinstance(services, Map) else ():
        if isinstance(service, Map) and "x-develop" in service:
            if service.get("develop") is None:
                service.pop("develop", None)
                service.rename("x-develop", "develop")
            else:
                del service["x-develop"]


def _own_environment(root: Map, environment: dict[str, str]) -> None:
    """Names without a value in an `environment` list get theirs from the variables of the model that they stand in."""
    services = root.get("services")
    for service in services.values() if isinstance(services, Map) else ():
        names = service.get("environment") if isinstance(service, Map) else None
        if isinstance(names, List):
            for index, item in enumerate(names):
                if isinstance(item, str) and item in environment:
                    names[index] = f"{item}={environment[item]}"
