"""Reads `layer.yaml`: variables, app directories, attributes of host files, checks, and which encrypted files
are taken as they are.

Rules:
1. The files of all layers are read in order; a later layer overrides an earlier one.
2. The attributes of a path come from every pattern that matches it. The most specific pattern wins for each
   attribute: an exact path before any glob, then the pattern with more literal characters, then the later
   one.
3. Sections that this version does not support (units, hooks) are an error, never ignored.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from agent.check import Check
from agent.compose.errors import Place
from agent.compose.tree import Map
from agent.render.checks import argv_of, parse_check
from agent.render.layers import LAYER, below, misnamed
from agent.render.problems import Problems
from agent.render.schema import Section, host_path, kind_of, read_yaml, without_places
from agent.render.tree import Tree

ATTRIBUTES = ("mode", "owner", "group", "check", "on_change", "type", "target", "state")
SIGNALS = ("HUP", "INT", "QUIT", "KILL", "USR1", "USR2", "TERM", "WINCH", "CONT", "STOP", "ALRM", "PIPE")
MODE = re.compile(r"[0-7]{3,4}\Z")
OWN_PATHS = re.compile(r"/(?:var/lib|run)/limpet(?:/|\Z)")
ACCOUNT = re.compile(r"(?:[a-z_][a-z0-9_.-]{0,31}\$?|[0-9]{1,10})\Z")


@dataclass(frozen=True, slots=True)
class FileReaction:
    """The reaction of a service to a changed host file. `reaction` is `signal:HUP`, `restart` or
    `recreate`.
    """

    app: str
    service: str
    reaction: str
    place: Place


@dataclass(frozen=True, slots=True)
class Attributes:
    """The attributes of one path from `files:`. `places` has the place of each value. An empty text means
    "not set".
    """

    mode: str = ""
    owner: str = ""
    group: str = ""
    check: tuple[str, ...] = ()
    on_change: tuple[FileReaction, ...] = ()
    type: str = "file"
    target: str = ""
    state: str = "present"
    places: Mapping[str, Place] = field(default_factory=dict)
    layer: int = 0  # the layer that sets type or state


@dataclass(frozen=True, slots=True)
class Pattern:
    """One entry of `files:`. `values` has the values that are set, already checked."""

    text: str
    layer: int
    place: Place
    values: Mapping[str, Any]
    places: Mapping[str, Place]
    glob: bool

    @property
    def rank(self) -> tuple[bool, int, int]:
        return not self.glob, len(re.sub(r"[*?]|\[[^\]]*\]", "", self.text)), self.layer

    def matches(self, path: str) -> bool:
        return glob_matches(self.text, path) if self.glob else self.text == path


@dataclass(slots=True)
class LayerFiles:
    """The `layer.yaml` files of all layers, combined."""

    vars: list[Mapping[str, Any]] = field(default_factory=list)
    directories: dict[str, tuple[str, Place]] = field(default_factory=dict)
    patterns: list[Pattern] = field(default_factory=list)
    checks: dict[str, Check] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)  # globs of encrypted files, relative to a layer

    def keeps(self, path: str) -> bool:
        """Whether a file of a layer is taken as it is, even encrypted. A directory stands for its files."""
        return any(glob_matches(each, path) or glob_matches(f"{each}/**", path) for each in self.kept)

    def attributes(self, path: str) -> Attributes:
        """The attributes of one host path."""
        found: dict[str, Any] = {}
        places: dict[str, Place] = {}
        layer = 0
        for pattern in sorted((p for p in self.patterns if p.matches(path)), key=lambda p: p.rank):
            found.update(pattern.values)
            places.update(pattern.places)
            layer = pattern.layer if {"type", "state"} & set(pattern.values) else layer
        return Attributes(**found, places=places, layer=layer)

    def exact(self) -> list[Pattern]:
        return [pattern for pattern in self.patterns if not pattern.glob]


def read_layer_files(tree: Tree, layers: tuple[str, ...], problems: Problems) -> LayerFiles:
    """Reads `layer.yaml` of every layer."""
    result = LayerFiles()
    for index, layer in enumerate(layers):
        misnamed(tree, layer, LAYER, problems)
        root = read_yaml(tree, below(layer, LAYER), problems)
        if root is not None:
            _read(Section(root, "", problems), index, result)
    return result


def _read(layer: Section, index: int, result: LayerFiles) -> None:
    """Adds one `layer.yaml` to the result."""
    layer.known("vars", "apps", "files", "units", "checks", "hooks", "keep_encrypted")
    result.vars.append(without_places(layer.section("vars").map))
    _directories(layer.section("apps"), result)
    files = layer.section("files")
    for text, entry in files.sections():
        if pattern := _pattern(text, entry, files.place(text), index):
            result.patterns.append(pattern)
    for name, entry in layer.section("checks").sections():
        if check := parse_check(name, entry):
            result.checks[name] = check
    result.kept += _kept(layer)
    _unsupported(layer)


def _kept(layer: Section) -> list[str]:
    found = []
    for value, place in layer.items("keep_encrypted"):
        if isinstance(value, str) and value and not value.startswith("/") and ".." not in value.split("/"):
            found.append(posixpath.normpath(value))
            continue
        layer.problems.add(
            place.file,
            place.line,
            f"keep_encrypted: {value!r} is not a path of a layer",
            "write the path or a glob, relative to the layer: apps/shop/vault.yaml",
        )
    return found


def _unsupported(section: Section) -> None:
    for key, instead in (
        ("units", "manage them by hand for now"),
        ("hooks", "use a one-shot service for now"),
    ):
        value = section.map.get(key)
        if isinstance(value, Map) and not any(value.values()):
            continue
        if value:
            section.wrong(
                key, f"{key} are not supported by this version of Limpet yet", f"remove them; {instead}"
            )


def _directories(apps: Section, result: LayerFiles) -> None:
    for name, app in apps.sections():
        app.known("directory")
        text = app.text("directory")
        path = host_path(text)
        if text and (path is None or path == "/"):
            app.wrong(
                "directory",
                f"{app.name('directory')} must be an absolute path below /, not {text!r}",
                f"write /opt/{name}",
            )
        elif path:
            result.directories[name] = (path, app.place("directory"))


def _pattern(text: str, entry: Section, place: Place, layer: int) -> Pattern | None:
    glob = any(char in text for char in "*?[")
    path = host_path(text)
    if path is None or path == "/":
        entry.problems.add(
            place.file,
            place.line,
            f"files: {text!r} is not an absolute path of the host",
            "write the path on the host: /etc/app/app.conf",
        )
        return None
    if OWN_PATHS.match(path):
        entry.problems.add(
            place.file, place.line, f"files: {path} is reserved for Limpet", "use another path"
        )
        return None
    entry.known(*ATTRIBUTES)
    values = _values(entry)
    if glob and (
        "target" in values or values.get("type", "file") != "file" or values.get("state") == "absent"
    ):
        entry.problems.add(
            place.file,
            place.line,
            f"files: {text!r}: type, target and state cannot be set for a pattern",
            "write one entry for each path",
        )
        return None
    if (values.get("type") == "symlink") != ("target" in values):
        entry.problems.add(
            place.file,
            place.line,
            f"files: {text!r}: type: symlink and target must be used together",
            "write {type: symlink, target: /path}",
        )
        return None
    places = {key: entry.place(key) for key in values}
    return Pattern(path, layer, place, values, places, glob)


def _values(entry: Section) -> dict[str, Any]:
    """The checked values of one entry of `files:`; only those that are set."""
    read: dict[str, Callable[[], Any]] = {
        "mode": lambda: _account_or_mode(entry, "mode"),
        "owner": lambda: _account_or_mode(entry, "owner"),
        "group": lambda: _account_or_mode(entry, "group"),
        "target": lambda: entry.text("target"),
        "type": lambda: entry.choice("type", "file", "file", "directory", "symlink"),
        "state": lambda: entry.choice("state", "present", "present", "absent"),
        "check": lambda: _file_check(entry),
        "on_change": lambda: _changes(entry),
    }
    found = {key: value() for key, value in read.items() if key in entry.map}
    return {key: value for key, value in found.items() if value or key in ("check", "on_change")}


def _changes(entry: Section) -> tuple[FileReaction, ...]:
    changes = (_change(value, place, entry) for value, place in entry.items("on_change"))
    return tuple(change for change in changes if change)


def _file_check(entry: Section) -> tuple[str, ...]:
    argv = argv_of(entry, "check")
    if argv and not any("{file}" in word for word in argv):
        entry.wrong(
            "check",
            f"{entry.name('check')} does not use {{file}}",
            "write {file} where the candidate's path belongs: nginx -t -c {file}",
        )
    return argv


def _account_or_mode(entry: Section, key: str) -> str:
    value = entry.map[key]
    if key == "mode":
        if not isinstance(value, str) or not MODE.match(value):
            entry.wrong(
                key, f"{entry.name(key)} must be an octal mode in quotes, not {value!r}", 'write mode: "0644"'
            )
            return ""
        return value.zfill(4)
    text = entry.text(key)
    if text and not ACCOUNT.match(text):
        entry.wrong(
            key, f"{entry.name(key)}: {text!r} is not a user or group name", "write a name or a number"
        )
        return ""
    return text


def _change(value: Any, place: Place, entry: Section) -> FileReaction | None:
    """One item of `on_change`."""

    def wrong(message: str, hint: str) -> None:
        entry.problems.add(place.file, place.line, f"{entry.name('on_change')}: {message}", hint)

    if not isinstance(value, str):
        wrong(f"must be text, not {kind_of(value)}", "write restart app/service")
        return None
    verb, _, target = value.partition(" ")
    target = target.strip()
    signal = signal_name(verb.removeprefix("signal:")) if verb.startswith("signal:") else ""
    if verb.startswith("signal:") and not signal:
        wrong(f"{verb!r} is not a signal", f"use one of {', '.join(SIGNALS)}")
    elif not signal and verb not in ("restart", "recreate", "reload"):
        wrong(f"unknown action {value!r}", "write restart, recreate or signal:HUP, followed by app/service")
    elif "/" not in target:
        wrong(
            f"{value!r} acts on a systemd unit, which this version of Limpet does not support yet",
            "name a service as app/service, or remove it",
        )
    elif verb == "reload" or target.count("/") > 1 or not all(target.split("/")):
        wrong(f"{value!r} is not possible for a service", f"write restart {target} or signal:HUP app/service")
    else:
        app, _, service = target.partition("/")
        return FileReaction(app, service, f"signal:{signal}" if signal else verb, place)
    return None


def signal_name(text: str) -> str:
    """`HUP` for HUP, SIGHUP or sighup; empty if it is not a signal."""
    name = text.upper().removeprefix("SIG")
    return name if name in SIGNALS else ""


def glob_matches(pattern: str, path: str) -> bool:
    """Whether a path matches a glob. `*`, `?` and `[...]` match within one directory; `**` matches any number
    of directories. The cost is bounded.
    """
    parts = pattern.split("/")
    reached = {0}  # the numbers of pattern parts that the path may have matched so far
    for name in path.split("/"):
        following: set[int] = set()
        for index in _skipping(reached, parts):
            if index < len(parts) and parts[index] == "**":
                following.add(index)
            elif index < len(parts) and fnmatchcase(name, parts[index]):
                following.add(index + 1)
        reached = following
    done = len(parts)
    return done in reached or (parts[-1] == "**" and done - 1 in reached)


def _skipping(reached: set[int], parts: list[str]) -> set[int]:
    """The positions, and the positions after each `**` at them: `**` may match nothing, unless it is the last
    part.
    """
    found = set(reached)
    for index in sorted(reached):
        while index < len(parts) - 1 and parts[index] == "**":
            index += 1
            found.add(index)
    return found
