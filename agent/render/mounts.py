"""Renders what services mount from their app's directory: tracked files become resources; the rest is data.

Rules:
1. A relative source is below the app's directory on the host, at the same relative path. Limpet places the
   files that Git tracks. Untracked files are data, which Limpet never touches: only the absolute path is set.
2. A path that only exists as `NAME.j2` is rendered if it is named itself. Files in a mounted directory are
   taken as they are.
3. Configs and secrets are files. Those with inline content, or with an owner or mode, are placed below
   `.limpet`. Their owner (`owners`) is what the service says, else the user that it or its image runs as.
"""

from __future__ import annotations

import difflib
import json
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from agent.compose import Project
from agent.kinds import files as file_kind
from agent.kinds import readers
from agent.model import PATH_KINDS, Key, Need, Resource
from agent.references import image_problem
from agent.render import owners
from agent.render.assembly import Assembly, origin
from agent.render.ciphertext import recognise
from agent.render.layerfile import MODE
from agent.render.layers import OverlayFile
from agent.render.problems import Wrong

OWN = ".limpet"  # below an app's directory: files without a path of their own in the repository
FILES = "files"  # at the root of a layer: host files
ELSEWHERE = {"npipe": "are for Windows hosts", "cluster": "need a Swarm"}
ENGINE_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+\Z")  # of volumes and containers
DRIVE = re.compile(r"[a-zA-Z]:")
GrantKind = Literal["config", "secret"]
PLURAL: dict[GrantKind, str] = {"config": "configs", "secret": "secrets"}


@dataclass(slots=True)
class Used:
    """What one service uses. `inputs`: host path of a tracked file -> content digest. `needs`: resources that
    must exist before it.

    `folded`: resources that it is re-created with. `copies`: host path of an app file -> host path of the
    service's own copy.
    """

    inputs: dict[str, str] = field(default_factory=dict)
    copies: dict[str, str] = field(default_factory=dict)
    needs: dict[Key, Need] = field(default_factory=dict)
    folded: set[Key] = field(default_factory=set)

    def file(self, resource: Resource) -> None:
        self.inputs[resource.key.name] = resource.spec["content"]
        self.need(resource)

    def need(self, resource: Resource) -> None:
        self.needs[resource.key] = Need(resource.key)

    def fold(self, key: Key) -> None:
        """Adds a resource that must exist first, and whose change re-creates the service."""
        self.needs[key] = Need(key)
        self.folded.add(key)


@dataclass(frozen=True, slots=True)
class Grant:
    """A config or secret that a service uses. `owned`: the owner and mode that it asks for, if any."""

    kind: GrantKind
    name: str
    service: str
    owned: Mapping[str, str]

    @property
    def shown(self) -> str:
        return f"services.{self.service}: the {self.kind} {self.name}"


@dataclass(slots=True)
class AppFiles:
    """The files of one app. `directory` is the app's directory on the host."""

    work: Assembly
    project: Project
    directory: str
    placed: dict[str, Resource] = field(default_factory=dict)

    def where(self, *path: str | int) -> tuple[str, int]:
        """The file and line, in the repository, of a part of the project."""
        file, line = self.project.position(*path)
        return self.work.overlay.origin(file), line

    def wrong(self, message: str, hint: str, *path: str | int) -> Wrong:
        """An exception for a problem with a part of the project."""
        return Wrong(*self.where(*path), *self.project.with_blame(message, hint, *path))

    def error(self, message: str, hint: str, *path: str | int, of_key: bool = False) -> None:
        """Adds a problem with a part of the project; `of_key`: with its key, whatever the value is."""
        file, line = self.where(*path)
        if not of_key:
            message, hint = self.project.with_blame(message, hint, *path)
        self.work.problems.add(file, line, message, hint)

    def warn(self, message: str, hint: str, *path: str | int) -> None:
        file, line = self.where(*path)
        self.work.problems.warn(file, line, message, hint)

    def named(self, what: str, name: str, *path: str | int) -> None:
        """Reports the name of a volume or container that the Engine would refuse."""
        if not ENGINE_NAME.match(name):
            self.error(
                f"{what}: the Engine takes no name like {name!r}",
                "write at least two letters, digits, dots, dashes, underscores; the first a letter or digit",
                *path,
            )

    def host(self, relative: str) -> str:
        """The host path of a path below the app's directory."""
        return posixpath.normpath(posixpath.join(self.directory, relative))

    def inside(self, source: str, what: str, *path: str | int) -> str:
        """The path relative to the app's directory. Raises Wrong if it is outside."""
        clean = posixpath.normpath(source)
        if clean == ".." or clean.startswith("../"):
            raise self.wrong(
                f"{what} {source} is outside the app's directory",
                "move it below the directory of the Compose file: only that directory is placed on the host",
                *path,
            )
        at_root = self.project.working_dir == "."
        if at_root and (clean == FILES or clean.startswith(f"{FILES}/")) and self.work.overlay.is_dir(FILES):
            raise self.wrong(
                f"{what} {source}: {FILES}/ is for files of the host: {FILES}/etc/x is /etc/x",
                "rename the directory, or move the app to apps/NAME",
                *path,
            )
        if clean == OWN or clean.startswith(f"{OWN}/"):
            raise self.wrong(f"{what} {source}: {OWN} is Limpet's own directory", "use another name", *path)
        return clean

    def volume(self, mount: dict[str, Any], used: Used, service: str, index: int) -> dict[str, Any]:
        """One canonical volume of a service, made host-ready."""
        at = ("services", service, "volumes", index)
        if mount["type"] not in ("bind", "volume", "tmpfs", "image"):
            why = ELSEWHERE.get(mount["type"], "are not known")
            raise self.wrong(
                f"services.{service}: mounts of type {mount['type']} {why}",
                "use bind, volume, tmpfs or image",
                *at,
            )
        self._drive(f"services.{service}", str(mount.get("source") or ""), (*at, "source"))
        self._target(f"services.{service}", str(mount["target"]), (*at, "target"))
        if mount["type"] == "image" and (problem := image_problem(str(mount.get("source") or ""))):
            raise self.wrong(
                f"services.{service}: the image at {mount['target']}: {problem[0]}", problem[1], *at
            )
        if mount["type"] == "volume" and mount.get("source"):
            return {**mount, "source": self.project.volumes[mount["source"]]["name"]}
        if mount["type"] != "bind":
            return dict(mount)
        return {
            **mount,
            "source": self.bind(mount["source"], used, f"services.{service}: the bind mount", at),
        }

    def _drive(self, what: str, path: str, at: tuple[str | int, ...]) -> None:
        """Raises Wrong for a path that Compose reads as one of Windows, as it does with `n:/n`."""
        if DRIVE.match(path):
            raise self.wrong(
                f"{what}: a single letter before a colon, as in {path!r}, is a drive of Windows",
                "give the volume a longer name, or write {type: volume, source: NAME, target: /PATH}",
                *at,
            )

    def _target(self, what: str, target: str, at: tuple[str | int, ...]) -> None:
        """Raises Wrong for a place in the container that the Engine would refuse."""
        self._drive(what, target, at)
        if not target.startswith("/") or target == "/":
            raise self.wrong(
                f"{what}: {target!r} is no place to mount at", "write an absolute path other than /", *at
            )

    def bind(self, source: str, used: Used, what: str, at: tuple[str | int, ...]) -> str:
        """The host path of a bind source. Tracked files below it are placed, and become inputs."""
        if source.startswith("/"):
            return self._host_source(posixpath.normpath(source), used)
        if source.startswith("~") or self.project.repository_path(source) is None:
            raise self.wrong(
                f"{what} {source} depends on the user who runs it", "write an absolute path", *at
            )
        relative = self.inside(source, what, *at)
        tracked = self._tracked(relative)
        for path, item in tracked.items():
            with self.work.problems.collect():
                used.file(self.place(path, item))
        if not tracked:
            self._misspelt(relative, what, at)
        return self.host(relative)

    def _tracked(self, relative: str) -> dict[str, OverlayFile]:
        """The tracked files at or below a path: path relative to the app's directory -> source."""
        overlay = self.work.overlay
        full = self._virtual(relative)
        if full and not overlay.is_dir(full):
            source = overlay.named(full)
            return {relative: source} if source else {}
        start = len(self._virtual(".")) + 1 if self._virtual(".") else 0
        return {path[start:]: source for path, source in overlay.files(full).items()}

    def _virtual(self, relative: str) -> str:
        full = posixpath.normpath(posixpath.join(self.project.working_dir, relative))
        return "" if full == "." else full

    def _host_source(self, path: str, used: Used) -> str:
        """An absolute source. Managed host files below it must be written first. If it is a managed file
        itself, it is an input.
        """
        for key, resource in self.work.resources.items():
            if key.kind not in PATH_KINDS or resource.spec.get("app"):
                continue
            if key.name == path and resource.spec.get("content"):
                used.file(resource)
            elif key.name == path or key.name.startswith(path.rstrip("/") + "/"):
                used.need(resource)
        return path

    def _misspelt(self, relative: str, what: str, at: tuple[str | int, ...]) -> None:
        """Warns if an untracked source looks like a typing error, because it would become an empty
        directory.
        """
        directory, _, name = relative.rpartition("/")
        names = [
            child for child in self.work.overlay.children(self._virtual(directory or ".")) if child != name
        ]
        near = difflib.get_close_matches(name, names, 1, 0.8)
        if near and "." in name:
            self.warn(
                f"{what} ./{relative} is not in Git, so it will be an empty directory",
                f"did you mean ./{posixpath.join(directory, near[0])}?",
                *at,
            )

    def seccomp(self, path: str, at: tuple[str | int, ...]) -> str:
        """The content of a seccomp profile of the app, as JSON without spaces. Raises Wrong."""
        source = (
            None
            if path.startswith("/")
            else self.work.overlay.named(self._virtual(self.inside(path, "the profile", *at)))
        )
        if source is None:
            raise self.wrong(
                f"the seccomp profile {path} is not a file in the repository",
                "add it beside the Compose file and name it by a relative path",
                *at,
            )
        try:
            return json.dumps(json.loads(self.work.overlay.content(source)), separators=(",", ":"))
        except (ValueError, RecursionError) as error:
            raise Wrong(
                source.path, getattr(error, "lineno", 0), f"is not valid JSON: {error}", "correct the profile"
            ) from error

    def place(self, relative: str, source: OverlayFile) -> Resource:
        """The resource of a tracked file, which is added once. Raises EntryRefused or Wrong."""
        path = self.host(relative)
        if path not in self.placed:
            data = self.work.overlay.content(source)
            self.placed[path] = self.work.add(
                file_kind.file(
                    path,
                    content=self.work.keep(data),
                    size=len(data),
                    mode=self.work.mode(source),
                    app=self.project.name,
                    origin=f"{source.path}:1",
                )
            )
        return self.placed[path]

    def grant(self, service: str, kind: GrantKind, index: int, used: Used) -> dict[str, Any]:
        """The config or secret at an index of a service, as a read-only bind mount. Raises Wrong."""
        section = PLURAL[kind]
        use = self.project.services[service][section][index]
        said = {key: str(use[key]) for key in ("uid", "gid", "mode") if use.get(key) not in (None, "")}
        owned = owners.of_user(self.project.services[service].get("user")) | said
        grant = Grant(kind, use["source"], service, owned)
        for key in ("driver", "template_driver"):
            if self._definition(grant).get(key):
                raise self.wrong(
                    f"{section}.{grant.name}.{key} is only for a Swarm",
                    "remove it; for a template write the file as NAME.j2",
                    *(section, grant.name, key),
                )
        if "mode" in owned and not MODE.match(owned["mode"]):
            raise self.wrong(
                f"services.{service}: {section}: {owned['mode']!r} is not an octal mode",
                "write mode: 0440",
                *("services", service, section, index),
            )
        if trouble := owners.why_unreadable(owned, self.project.services[service].get("user")):
            self.warn(f"{grant.shown} {trouble}", readers.HINT, *("services", service, section, index))
        target = str(use.get("target") or grant.name)
        if not target.startswith("/"):
            target = ("/" if kind == "config" else "/run/secrets/") + target
        host = self._granted(grant, used)
        mount = {"type": "bind", "source": host, "target": target, "read_only": True}
        return mount | ({} if host in used.inputs else {"bind": {"create_host_path": False}})

    def _definition(self, grant: Grant) -> Mapping[str, Any]:
        return (self.project.configs if grant.kind == "config" else self.project.secrets)[grant.name]

    def _granted(self, grant: Grant, used: Used) -> str:
        """The host path of a config's or secret's file."""
        definition = self._definition(grant)
        what, at = f"the {grant.kind} {grant.name}", (PLURAL[grant.kind], grant.name)
        if "file" in definition:
            return self._granted_file(grant, str(definition["file"]), used)
        if "content" in definition:
            return self._own(grant, self._plain(what, str(definition["content"]), *at, "content"), used)
        if "environment" in definition:
            value = self.project.environment.get(str(definition["environment"]))
            if value is None:
                raise self.wrong(
                    f"{what}: the variable {definition['environment']} is not set",
                    "set it in the .env file beside the Compose file",
                    *(*at, "environment"),
                )
            return self._own(grant, self._plain(what, value, *at, "environment"), used)
        external = definition.get("external")
        raise self.wrong(
            f"{what} is external, which works only in a Swarm" if external else f"{what} has no content",
            "give it a file:, content: or environment:",
            *at,
        )

    def _plain(self, what: str, text: str, *at: str) -> bytes:
        """A text of the project as the content of a file. Raises Wrong if it stands for other content."""
        if found := recognise(data := text.encode()):
            raise self.wrong(f"{what} {found.what}", "write the content itself, or put it into a file", *at)
        return data

    def _granted_file(self, grant: Grant, path: str, used: Used) -> str:
        what, at = f"the {grant.kind} {grant.name}", (PLURAL[grant.kind], grant.name, "file")
        if path.startswith("/") or self.project.repository_path(path) is None:
            return self.bind(path, used, what, at)
        relative = self.inside(path, what, *at)
        source = self.work.overlay.named(self._virtual(relative))
        if source is None:
            return self._untracked(what, relative, at)
        if not grant.owned:
            resource = self.place(relative, source)
            used.file(resource)
            return resource.key.name
        copy = self._own(grant, self.work.overlay.content(source), used)
        used.copies[self.host(relative)] = copy
        return copy

    def _untracked(self, what: str, relative: str, at: tuple[str, ...]) -> str:
        """The host path of a file that is not in Git. It belongs to the host, and must exist there."""
        if self.work.overlay.is_dir(self._virtual(relative)):
            raise self.wrong(f"{what}: {relative} is a directory", "name a file", *at)
        note = self.work.overlay.note(self._virtual(relative))
        self.warn(
            f"{what}: {relative} is not in Git",
            note or f"add it, or put it on the host by hand: {self.host(relative)}",
            *at,
        )
        return self.host(relative)

    def _own(self, grant: Grant, data: bytes, used: Used) -> str:
        """The host path of a generated file below the app's directory. It is shared, unless the service sets
        an owner or mode.
        """
        section, owned = PLURAL[grant.kind], grant.owned
        path = self.host("/".join([OWN, section, *([grant.service] if owned else []), grant.name]))
        about = (owned.get("mode", "0644").zfill(4), owned.get("uid", "root"), owned.get("gid", "root"))
        there = self.placed.get(path)
        if there and about != (there.spec["mode"], there.spec["owner"], there.spec["group"]):
            path += "." + ".".join(about)  # the service has it twice, for different readers
        if path not in self.placed:
            self.placed[path] = self.work.add(
                file_kind.file(
                    path,
                    content=self.work.keep(data),
                    size=len(data),
                    mode=about[0],
                    owner=about[1],
                    group=about[2],
                    app=self.project.name,
                    reader=owners.reader(owned, self.project.services[grant.service], grant.shown),
                    origin=origin(*self.where(section, grant.name)),
                )
            )
        used.file(self.placed[path])
        return path
