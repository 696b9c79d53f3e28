"""Loads a project from files, in the reference loader's order.

The variables and the name come first, then the merged model (`assemble`), implied values, types, profiles,
consistency, and last the environment files of the active services.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .assemble import Assembler
from .consistency import ConsistencyCheck
from .environment import read_dotenv, resolve_environment, resolve_labels
from .errors import ComposeError, ComposeErrors, LoadProblems, Place
from .fields import RESOURCES, SERVICE
from .files import ProjectFiles
from .interpolate import InvalidTemplate, MissingVariable, substitute
from .limits import OverBudget
from .normalize import normalize, project_name
from .paths import escapes, finish, join_path
from .project import Project
from .source import NAMES, Preprocess, ProjectSource
from .tree import Map
from .values import decode


def load_project(
    files: ProjectFiles,
    working_dir: str = ".",
    config_files: Sequence[str] | None = None,
    env_overrides: Mapping[str, str] | None = None,
    profiles: Sequence[str] = (),
    default_name: str = "",
    preprocess: Preprocess | None = None,
) -> Project:
    """The project in `working_dir`. Raises ComposeErrors with all problems.

    files: access to the files below the virtual root
    working_dir: the project directory, relative to the root
    config_files: the Compose files, relative to `working_dir`; None for COMPOSE_FILE or the default names
    env_overrides: variables that take precedence over the `.env` file
    profiles: the active profiles; empty for COMPOSE_PROFILES
    default_name: the project name, if neither a variable nor a file sets it
    preprocess: renders a Compose file before it is parsed
    """
    loader = _Loader(files, join_path(".", working_dir), preprocess)
    try:
        return loader.project(config_files, dict(env_overrides or {}), tuple(profiles), default_name)
    except OverBudget as over:
        loader.problems.add(over.error)
        raise ComposeErrors(loader.problems.errors) from None


class _Loader:
    """One load: its source with the remaining budget, and its problems."""

    def __init__(self, files: ProjectFiles, working_dir: str, preprocess: Preprocess | None) -> None:
        self.working_dir = working_dir
        self.problems = LoadProblems()
        self.source = ProjectSource(files, preprocess, self.problems)
        self.dotenv = Map(at=Place(working_dir))

    def project(
        self,
        config_files: Sequence[str] | None,
        environment: dict[str, str],
        profiles: tuple[str, ...],
        default_name: str,
    ) -> Project:
        self.read_dotenv(environment)
        environment = self.dotenv | environment
        chosen = self.chosen(environment) if config_files is None else list(config_files)
        paths = [join_path(self.working_dir, name) for name in chosen]
        if not paths:
            self.problems.error(Place(self.working_dir), "there is no Compose file", f"add {NAMES[0]}")
        name = self.name(paths, environment, default_name)
        environment["COMPOSE_PROJECT_NAME"] = name
        root = Assembler(self.source).model(paths, environment, ".", self.working_dir)
        finish(root, self.working_dir, self.problems)
        if not root and not self.problems.errors:
            self.problems.error(Place(paths[0], 1), "the Compose file is empty", "add a service")
        if not profiles:
            profiles = tuple(part.strip() for part in environment.get("COMPOSE_PROFILES", "").split(","))
        return self.finish(root, name, environment, profiles, paths)

    def read_dotenv(self, environment: dict[str, str]) -> None:
        path = join_path(self.working_dir, ".env")
        if self.source.is_file(path) and (found := self.source.read_variables(path, Place(path))):
            read_dotenv(*found, environment, self.problems, self.dotenv)

    def chosen(self, environment: dict[str, str]) -> list[str]:
        """The Compose files if the caller names none: those in COMPOSE_FILE, else those with a
        default name.
        """
        if named := environment.get("COMPOSE_FILE"):
            return named.split(environment.get("COMPOSE_PATH_SEPARATOR") or ":")
        return self.source.discover(self.working_dir)

    def name(self, paths: list[str], environment: dict[str, str], default: str) -> str:
        """COMPOSE_PROJECT_NAME, else the last `name:` of the files, else the default."""
        explicit = environment.get("COMPOSE_PROJECT_NAME", "")
        if explicit:
            if project_name(explicit) != explicit:
                self.problems.error(
                    self.dotenv.place("COMPOSE_PROJECT_NAME"),
                    f"COMPOSE_PROJECT_NAME {explicit!r} is not a project name",
                    "use lower-case letters, digits, dashes and underscores, starting with a letter or digit",
                )
            return explicit
        written, place = self.written_name(paths)
        try:
            known = substitute(
                written, environment.get, emptied=lambda name: self.blame(name, place, environment)
            )
            found = project_name(known or ("" if written else default))
        except (InvalidTemplate, MissingVariable):
            return "invalid"  # reported when the file is interpolated
        if not found and not self.problems.errors:
            self.problems.error(
                place, "the project name is empty", "add `name:` with at least one letter or digit"
            )
        return found

    def blame(self, name: str, place: Place, environment: dict[str, str]) -> None:
        self.problems.blame(name, "empty" if name in environment else "not set", place)

    def written_name(self, paths: list[str]) -> tuple[str, Place]:
        """The last `name:` of the files, not interpolated, and its place; empty if there is none."""
        written, place = "", Place(paths[0], 1) if paths else Place(self.working_dir)
        for path in paths:
            try:
                roots = [document.root for document in self.source.parsed(path, Place(path))]
            except ComposeError as error:
                self.problems.add(error)
                continue
            for root in roots:
                if isinstance(root, Map) and isinstance(root.get("name"), str) and root["name"]:
                    written, place = root["name"], root.place("name")
        return written, place

    def finish(
        self, root: Map, name: str, environment: dict[str, str], profiles: tuple[str, ...], paths: list[str]
    ) -> Project:
        """The project of a merged model.

        root: the model, which is completed in place
        name: the project's name
        environment: the variables that interpolation saw
        profiles: the active profiles
        paths: the Compose files, below the virtual root
        """
        problems = self.problems
        root.pop("name", None)
        normalize(root, name, environment)
        services = self.decoded(root, "services")
        active = {key: item for key, item in services.items() if _enabled(item, profiles)}
        disabled = {key: item for key, item in services.items() if key not in active}
        resources = {section: self.decoded(root, section) for section in RESOURCES}
        ConsistencyCheck(root, active, disabled, problems).run()
        for service in active.values():
            for spec in (service, *service.get("pre_start", ())):
                resolve_environment(spec, environment, self.read_beside, problems)
                resolve_labels(spec, self.read_beside, problems)
        problems.raise_any()
        extensions = {key: item for key, item in root.items() if key.startswith("x-")}
        whole = Map(
            [("name", name), *extensions.items()],
            Place(paths[0]),
        )
        for section, items in {"services": services, **resources}.items():
            whole[section] = Map(items.items(), root.place(section))
            whole[section].places = _places(root.get(section))
        whole.places = root.places
        sections: dict[str, Any] = {key: dict(sorted(items.items())) for key, items in resources.items()}
        return Project(
            name=name,
            working_dir=self.working_dir,
            services=dict(sorted(active.items())),
            disabled=dict(sorted(disabled.items())),
            **sections,
            extensions=extensions,
            environment=environment,
            profiles=tuple(filter(None, profiles)),
            config_files=tuple(paths),
            files_read=tuple(sorted(self.source.read_paths)),
            warnings=tuple(problems.warnings),
            _root=whole,
            _blamed=problems.blamed,
        )

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
        full = join_path(self.working_dir, path)
        if escapes(full):
            return None  # reported together with the other paths
        return self.source.read_variables(full, place, required)


def _places(section: Any) -> dict[str, Place]:
    return section.places if isinstance(section, Map) else {}


def _enabled(service: Map, profiles: tuple[str, ...]) -> bool:
    own = service.get("profiles")
    return not own or "*" in profiles or any(profile in own for profile in profiles)
