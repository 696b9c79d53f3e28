"""Turns each Compose project in the layers (an app) into networks, volumes, app files and containers.

Rules:
1. An app is a Compose file at the root of the layers, or one in a directory below `apps/`. A name that
   begins with a dot is no app: tools and editors put their own there.
2. Its name is the `name:` in the file, else the name of its directory, or of the repository if it is at the
   root.
3. It is loaded by Compose's rules (`agent.compose`); the agent's environment variables are never used.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from agent.compose import ComposeError, Project, load_project
from agent.compose.tree import Map
from agent.installation import APPS
from agent.kinds.network import network_resource
from agent.kinds.volume import volume_resource
from agent.model import Resource
from agent.render.assembly import Assembly, origin
from agent.render.layers import SUFFIX, Overlay
from agent.render.mounts import AppFiles, Used
from agent.render.problems import Wrong, did_you_mean
from agent.render.schema import without_places, yaml_bound
from agent.render.services import AppServices

NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
ROOT = "."
NAME_VARIABLE = re.compile(rb"^[ \t]*(?:export[ \t]+)?COMPOSE_PROJECT_NAME[ \t]*=[ \t]*\S", re.MULTILINE)
DIRECTORY = "apps"


@dataclass(frozen=True, slots=True)
class App:
    """One loaded app. `directory` is the directory of its files on the host."""

    project: Project
    directory: str


class ComposeFiles:
    """The overlay as the Compose loader reads it: `NAME.j2` appears as `NAME`, rendered."""

    def __init__(self, overlay: Overlay) -> None:
        self._overlay = overlay
        self._missed: set[str] = set()

    def read(self, path: str) -> bytes | None:
        source = None if path.endswith(SUFFIX) else self._overlay.named(posixpath.normpath(path))
        if source is None:
            self._missed.add(path)
            return None
        data = self._overlay.content(source)
        if path.endswith((".yaml", ".yml")):
            yaml_bound(source.path, data)
        return data

    def hint(self, message: str) -> str:
        """A note about a file that a message is about, and that exists but is not tracked by Git; usually
        empty.
        """
        for path in sorted(self._missed):
            name = posixpath.basename(path)
            if (name in message or (name == ".env" and "variable" in message)) and (
                note := self._overlay.note(path)
            ):
                return f"{name}: {note}"
        return ""

    def exists(self, path: str) -> bool:
        there = self.is_dir(path) or (not path.endswith(SUFFIX) and self._overlay.named(path) is not None)
        if not there:
            self._missed.add(path)
        return there

    def is_dir(self, path: str) -> bool:
        return path == "." or self._overlay.is_dir(path)


def apps(work: Assembly) -> list[App]:
    """Adds the resources of all apps. Returns the apps that could be loaded."""
    found: list[App] = []
    whole = True
    for directory in _directories(work):
        project = _load(work, directory)
        if project is None:
            whole = False
            continue
        twin = next((app for app in found if app.project.name == project.name), None)
        if twin is not None:
            file, line = work.overlay.origin(project.config_files[0]), project.position("name")[1]
            work.problems.add(
                file,
                line,
                f"the app {project.name} is already defined by "
                f"{work.overlay.origin(twin.project.config_files[0])}",
                "give one of them another `name:`",
            )
            continue
        at = work.settings.directories.get(project.name)
        found.append(App(project, at[0] if at else f"{APPS}/{project.name}"))
        _resources(work, found[-1])
    work.finish_containers()
    work.loaded = whole
    if whole:
        _check_names(work, found)
    return found


def _directories(work: Assembly) -> list[str]:
    """The directories of the overlay that contain an app.

    A directory below `apps/` without a Compose file is an error. The exception: if the app is at the root and
    no directory below `apps/` has a Compose file, `apps/` belongs to that app.
    """
    overlay = work.overlay
    found = [ROOT] if _has_app(overlay, "") else []
    below = [f"{DIRECTORY}/{name}" for name in overlay.children(DIRECTORY) if name[0] != "."]
    if found and not any(_has_app(overlay, directory) for directory in below):
        return found
    for directory in below:
        with work.problems.collect():
            if _is_app(work, directory):
                found.append(directory)
    return found


def _is_app(work: Assembly, directory: str) -> bool:
    """Whether an entry below `apps/` is an app. Raises EntryRefused or Wrong for a directory that is none."""
    overlay = work.overlay
    if not overlay.is_dir(directory):
        if source := overlay.find(directory):
            overlay.tree.read(source.path)  # a submodule or a bad link raises its own error
        return False
    if not _has_app(overlay, directory):
        _no_compose_file(work, directory)
    return True


def _compose_file(overlay: Overlay, directory: str) -> str:
    """The main Compose file of a directory; empty if there is none."""
    for name in NAMES:
        path = f"{directory}/{name}" if directory else name
        if overlay.find(path) or overlay.find(path + SUFFIX):
            return path
    return ""


def _has_app(overlay: Overlay, directory: str) -> bool:
    """Whether a directory has a Compose file, or an `.env` with COMPOSE_FILE."""
    if _compose_file(overlay, directory):
        return True
    source = overlay.find(f"{directory}/.env" if directory else ".env")
    return source is not None and b"COMPOSE_FILE" in overlay.content(source)


def _no_compose_file(work: Assembly, directory: str) -> NoReturn:
    for name in (name.replace(".y", ".override.y") for name in NAMES):
        source = work.overlay.named(f"{directory}/{name}")
        if source is not None:
            raise Wrong(
                source.path,
                0,
                "overrides an app that no layer of this host has",
                f"add a layer with {directory}/compose.yaml, or rename it to {name.replace('.override', '')}",
            )
    shown = work.overlay.origin(directory)
    raise Wrong(
        shown,
        0,
        "has no Compose file",
        work.overlay.note(f"{directory}/compose.yaml")
        or f"add {shown}/compose.yaml, or move the files out of apps/",
    )


def _default_name(work: Assembly, directory: str) -> str:
    """The name of an app whose file does not set it."""
    if directory != ROOT:
        return posixpath.basename(directory)
    for layer in work.overlay.layers:
        here = Overlay(work.overlay.tree, (layer,), lambda path, data: data)
        if _compose_file(here, ""):
            return posixpath.basename(layer) or work.context.repo_name or work.overlay.tree.name
    return work.context.repo_name or work.overlay.tree.name


def _load(work: Assembly, directory: str) -> Project | None:
    files = ComposeFiles(work.overlay)

    def hinted(error: ComposeError) -> str:
        hint = files.hint(error.message) or error.hint
        return (
            f"{hint} (the line number refers to the rendered text)"
            if work.overlay.is_template(error.file)
            else hint
        )

    try:
        project = load_project(
            files, working_dir=directory, default_name=_default_name(work, directory)
        ).used_by_services()
    except Exception as error:
        if not work.problems.keep(error, lambda file: work.overlay.origin(file or directory), hinted):
            raise
        return None
    for warning in project.warnings:
        usual = "set it in the .env file beside the Compose file, or write ${NAME:-default}"
        hint = files.hint(warning.message) or (usual if "variable" in warning.message else "")
        work.problems.warn(
            work.overlay.origin(warning.file or project.config_files[0]), warning.line, warning.message, hint
        )
    if isinstance(project.extensions.get("x-limpet"), Map):
        file, line = project.position("x-limpet")
        work.problems.add(
            work.overlay.origin(file), line, "x-limpet belongs in a service", "move it into the service"
        )
    return project


def _resources(work: Assembly, app: App) -> None:
    project = app.project
    files = AppFiles(work, project, app.directory)
    networks = {key: _network(files, key, value) for key, value in project.networks.items()}
    devices = {key: Used() for key in project.volumes}
    named_in = _named_in(work, project)
    volumes = {
        key: _volume(files, key, value, devices[key], named_in) for key, value in project.volumes.items()
    }
    shown = [posixpath.relpath(path, project.working_dir) for path in project.config_files]
    compose = {
        "project": project.name,
        "working_dir": app.directory,
        "config_files": ",".join(posixpath.join(app.directory, path) for path in shown),
        "named_in": named_in,
    }
    AppServices(work, files, networks, volumes, devices, compose).run()


def _network(files: AppFiles, key: str, value: Map) -> Resource:
    config, external, at = _definition(files, "networks", key, value)
    return files.work.add(
        network_resource(
            value["name"],
            app=files.project.name,
            config=config,
            external=external,
            compose={"project": files.project.name, "key": key},
            origin=at,
        )
    )


def _named_in(work: Assembly, project: Project) -> str:
    """The file in the repository that says the app's name, or in which it could be said."""
    variables = work.overlay.named(posixpath.normpath(posixpath.join(project.working_dir, ".env")))
    if variables is not None and NAME_VARIABLE.search(work.overlay.content(variables)):
        return variables.path
    file, _ = project.position("name")
    return work.overlay.origin(file if file in project.config_files else project.config_files[0])


def _volume(files: AppFiles, key: str, value: Map, used: Used, named_in: str) -> Resource:
    """Adds a named volume. A local volume may in fact be a bind mount; a relative `device` is then a path of
    the app.
    """
    config, external, at = _definition(files, "volumes", key, value)
    files.named(f"volumes.{key}", value["name"], "volumes", key, "name")
    options = config.get("driver_opts") or {}
    device = str(options.get("device") or "")
    if options.get("o") == "bind" and device and not device.startswith("/"):
        with files.work.problems.collect():
            what, where = f"volumes.{key}: the device", ("volumes", key, "driver_opts", "device")
            config["driver_opts"]["device"] = files.bind(device, used, what, where)
    return files.work.add(
        volume_resource(
            value["name"],
            app=files.project.name,
            config=config,
            external=external,
            compose={"project": files.project.name, "key": key, "named_in": named_in},
            origin=at,
        )
    )


def _definition(files: AppFiles, section: str, key: str, value: Map) -> tuple[dict[str, Any], bool, str]:
    """The configuration of a network or volume, whether it is external, and its origin."""
    config = {
        name: without_places(item)
        for name, item in value.items()
        if name not in ("name", "external") and not name.startswith("x-")
    }
    file, line = files.where(section, key)
    return config, bool(value.get("external")), origin(file, line)


def _check_names(work: Assembly, found: list[App]) -> None:
    """Checks that the apps and services named in `layer.yaml` exist on this host."""
    names = {app.project.name: app for app in found}
    for name, (_, at) in work.settings.directories.items():
        if name not in names:
            work.problems.warn(
                at.file, at.line, f"apps: this host has no app {name}", did_you_mean(name, names)
            )
    for (app, service), reaction in sorted(work.reactions.items()):
        problem = _unknown_service(app, service, names)
        for file, line in reaction.places if problem else ():
            work.problems.add(file, line, *problem)


def _unknown_service(app: str, service: str, apps: Mapping[str, App]) -> tuple[str, ...]:
    """The message and hint for a service that this host does not have; empty if it has the service."""
    if app not in apps:
        hint = did_you_mean(app, apps) or "write it in the layer that has the app"
        return f"on_change: this host has no app {app}", hint
    known = {*apps[app].project.services, *apps[app].project.disabled}
    if service in known:
        return ()
    return f"on_change: the app {app} has no service {service}", did_you_mean(service, known)
