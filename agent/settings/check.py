"""Reads and checks the settings with pydantic-settings, over the dataclasses of `settings`; imported only
when needed.

Rules:
1. All problems are found at once, each with file, line and remedy.
2. The environment (LIMPET_SECTION__KEY) wins over the file; a problem there names the variable.
3. An unknown key is an error that names the nearest known one.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
import zoneinfo
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, cast, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, WithJsonSchema, create_model
from pydantic import Field as ModelField
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from agent.errors import BadInput, Problem, Stalled
from agent.model import Json
from agent.redact import redact
from agent.settings import values
from agent.settings.lines import KeyLines
from agent.units import DURATION, DURATION_HINT, format_duration, parse_duration

FIRST_LINES = """write these three lines:
        [source]
        url = "https://git.example.org/fleet.git"
        branch = "main\""""
_SCHEMES = ("https", "ssh", "git", "file")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_REF = re.compile(r"(?!.*(?:\.\.|@\{|//|[\x00-\x20\x7f~^:?*\[\\]))(?![/.-])[^/].*(?<![/.])")
_REGISTRY = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]+)?")
_SCP = re.compile(r"[\w.-]+@[\w.-]+:[^/].*|[\w.-]+@[\w.-]+:/.*")


def check_settings(path: Path, environ: Mapping[str, str]) -> values.Settings:
    """The checked settings in `path` and `environ`. Errors: BadInput with every problem; Stalled when it
    cannot be read.
    """
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        text = ""
    except UnicodeDecodeError as error:
        raise BadInput(
            [Problem(str(path), 0, f"is not UTF-8 (byte {error.start})", "save it as UTF-8")]
        ) from None
    except OSError as error:
        raise Stalled(
            f"cannot read {path}: {error.strerror}", "run as root", code="SettingsNotReadable"
        ) from error
    return _Loader(path, text, environ).load()


def json_schema() -> dict[str, Json]:
    """The JSON Schema of limpet.toml."""
    schema = _MODEL.model_json_schema(by_alias=True)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "Limpet settings (limpet.toml)",
    }


# --- what a value may be ------------------------------------------------------------------------------------


def _seconds(value: object) -> object:
    if isinstance(value, str):
        return parse_duration(value)
    raise ValueError(f"{value!r} is no duration", DURATION_HINT)


def _path(value: object) -> object:
    if isinstance(value, str) and value and not value.startswith("/"):
        raise ValueError(f"{value!r} is no absolute path", "begin it with /")
    return value


def _share(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool) and not 0 <= value <= 1:
        raise ValueError(f"{value} is no share", "write a number from 0 to 1")
    return value


def _url(value: object) -> object:
    if not isinstance(value, str) or not value or value.startswith("/") or _SCP.fullmatch(value):
        return value
    parts = urlsplit(value)
    if parts.scheme not in _SCHEMES:
        what = f"scheme {parts.scheme!r}" if parts.scheme else "no scheme"
        raise ValueError(
            f"has {what}", f"use {', '.join(_SCHEMES)}, or the absolute path of a repository or bundle"
        )
    if parts.scheme != "file" and not parts.hostname:
        raise ValueError("names no server", "write it like https://git.example.org/fleet.git")
    return value


def _web(value: object) -> object:
    if isinstance(value, str) and value and urlsplit(value).scheme not in ("http", "https"):
        raise ValueError("is no web address", "begin it with https:// or http://")
    return value


def _zone(value: object) -> object:
    if isinstance(value, str) and value and value not in zoneinfo.available_timezones():
        raise ValueError(f"{value!r} is no time zone", "write it like Europe/Berlin or UTC")
    return value


def _cron(value: object) -> object:
    if isinstance(value, str) and value:
        from agent.settings import windows

        try:
            windows.check(value)
        except ValueError as error:
            raise ValueError(
                f"{value!r} is no cron expression: {error}", 'write five fields, like "0 2 * * 1-5"'
            ) from None
    return value


_CHECKS: dict[str, tuple[Callable[[object], object], dict[str, Json] | None]] = {
    "duration": (
        _seconds,
        {"type": "string", "pattern": f"^{DURATION.pattern}$", "examples": ["60s", "5m", "2h30m"]},
    ),
    "path": (_path, {"type": "string", "pattern": "^(/.*)?$"}),
    "share": (_share, {"type": "number", "minimum": 0, "maximum": 1}),
    "url": (_url, None),
    "web": (_web, None),
    "zone": (_zone, None),
    "cron": (_cron, None),
}


# --- the models, made of the dataclasses --------------------------------------------------------------------


def _hint(hint: Any) -> Any:
    """The type of a field with its checks: the words in Annotated become validators, nested dataclasses
    models.
    """
    if get_origin(hint) is Annotated:
        base, word = get_args(hint)
        check, schema = _CHECKS[word]
        return Annotated[(base, BeforeValidator(check), *([WithJsonSchema(schema)] if schema else []))]
    if get_origin(hint) is tuple:
        return tuple[(_hint(get_args(hint)[0]), ...)]  # type: ignore[misc]
    if get_origin(hint) is Mapping:
        return dict[str, _hint(get_args(hint)[1])]  # type: ignore[misc]
    return _model(hint) if is_dataclass(hint) else hint


def _model(section: Any, base: type[BaseModel] | None = None) -> type[BaseModel]:
    hints = get_type_hints(section, include_extras=True)
    members: dict[str, Any] = {}
    for member in fields(section):
        hint = _hint(hints[member.name])
        members[member.name] = (hint, _member(member, hints[member.name], hint))
    base = base or create_model("Section", __config__=ConfigDict(extra="forbid"))
    return create_model(section.__name__, __base__=base, **members)


def _member(member: Field[Any], hint: Any, model: Any) -> Any:
    about: dict[str, Any] = {"alias": member.metadata.get("key"), "description": member.metadata.get("doc")}
    if member.default_factory is not MISSING:
        return ModelField(default_factory=model if is_dataclass(hint) else member.default_factory, **about)
    if hint is values.Seconds:
        about["json_schema_extra"] = {"default": format_duration(cast(float, member.default))}
    return ModelField(member.default, **about)


class _Base(BaseSettings):
    model_config = SettingsConfigDict(env_prefix=values.PREFIX, env_nested_delimiter="__", extra="forbid")


_MODEL = _model(values.Settings, _Base)


class _Environment(EnvSettingsSource):
    """The environment as it was given to `load`, and not the process's own."""

    def __init__(self, model: type[BaseSettings], environ: Mapping[str, str]) -> None:
        self._environ = environ
        super().__init__(model)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name.lower(): value for name, value in self._environ.items()}


def _validated(data: dict[str, Any], environ: Mapping[str, str]) -> BaseModel:
    class Both(_MODEL):  # type: ignore[misc, valid-type]
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            **_: Any,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return _Environment(settings_cls, environ), init_settings

    model: BaseModel = Both(**data)
    return model


# --- loading ------------------------------------------------------------------------------------------------


class _Loader:
    """One load: collects problems, each with the place it came from."""

    def __init__(self, path: Path, text: str, environ: Mapping[str, str]) -> None:
        self.path = path
        self.text = text
        self.environ = {
            name: value for name, value in environ.items() if name.upper().startswith(values.PREFIX)
        }
        self.lines = KeyLines(text)
        self.problems: list[Problem] = []

    def load(self) -> values.Settings:
        try:
            data = tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as error:
            raise BadInput([self._syntax(error)]) from None
        self._unknown_variables()
        try:
            model = _validated(data, self.environ)
        except ValidationError as errors:
            for found in errors.errors(include_url=False):
                self._add_error(found)
        except SettingsError as error:
            section = values.PREFIX + re.sub(r'.*field "(\w+)".*', r"\1", str(error)).upper()
            self.problems.append(
                Problem(
                    "environment",
                    0,
                    f"{section}__...: a list or map is no JSON",
                    'write it like \'["a", "b"]\' or \'{"role": "web"}\'',
                )
            )
        if self.problems:
            raise BadInput(sorted(self.problems, key=lambda problem: (problem.file, problem.line)))
        settings = _complete(values.Settings.from_json(_doc_of(model)))
        self._check(settings)
        if self.problems:
            raise BadInput(self.problems)
        return settings

    def add(self, where: str, message: str, hint: str, loc: tuple[str, ...] = ()) -> None:
        """A problem with the key `where` (dotted; `loc` are its parts), at the variable or the line that set
        it.
        """
        loc = loc or tuple(where.split("."))
        variable = self._variable(loc)
        if variable:
            self.problems.append(Problem("environment", 0, f"{variable}: {message}", hint))
        else:
            self.problems.append(Problem(str(self.path), self.lines.of(loc), f"{where}: {message}", hint))

    def _variable(self, loc: tuple[str, ...]) -> str:
        for name in self.environ:
            parts = tuple(name.upper().removeprefix(values.PREFIX).split("__"))
            wanted = tuple(part.upper() for part in loc)
            if len(parts) > 1 and parts == wanted[: len(parts)]:
                return name
        return ""

    def _unknown_variables(self) -> None:
        for name in self.environ:
            section, separator, _ = name.upper().removeprefix(values.PREFIX).partition("__")
            if separator and section.lower() not in values.SECTIONS:
                remedy = _nearest(section.lower(), values.SECTIONS)
                self.problems.append(
                    Problem("environment", 0, f"{name}: there is no section {section.lower()!r}", remedy)
                )

    def _syntax(self, error: tomllib.TOMLDecodeError) -> Problem:
        text, _, place = str(error).partition(" (at ")
        line = re.search(r"line (\d+)", place)
        number = int(line[1]) if line else self.text.count("\n") + 1
        return Problem(
            str(self.path),
            number,
            f"is no TOML: {text[0].lower()}{text[1:]}",
            'write `key = value` lines below a [section]; texts are quoted: branch = "main"',
        )

    def _add_error(self, error: Any) -> None:
        loc = tuple(str(part) for part in error["loc"])
        where, kind = _dotted(loc), error["type"]
        if kind == "extra_forbidden":
            known = _known_keys(loc[:-1])
            what = f"unknown {'section' if len(loc) == 1 else 'key'} {loc[-1]!r}"
            self.add(where, what, _nearest(loc[-1], known), loc)
        elif kind == "literal_error":
            self.add(where, f"{error['input']!r} is not possible", f"use {error['ctx']['expected']}", loc)
        elif kind in ("model_type", "dict_type"):
            self.add(where, f"{_shown(error['input'])} is no table", f"write it below [{where}]", loc)
        elif kind == "value_error":
            what, *remedy = error["ctx"]["error"].args
            self.add(where, what, remedy[0] if remedy else "", loc)
        else:
            wanted = error["msg"].removeprefix("Input should be ")
            self.add(where, f"{_shown(error['input'])} is wrong", f"write {wanted}", loc)

    def _check(self, settings: values.Settings) -> None:
        """What holds between values."""
        source, converge, gate = settings.source, settings.converge, settings.gate
        if not source.url:
            missing = "is missing" if self.text or self.environ else "is missing: there are no settings yet"
            self.add("source.url", missing, FIRST_LINES)
        if (source.branch != "") + (source.tag != "") + (source.commit != "") > 1:
            self.add("source.branch", "is given beside tag or commit", "keep one of branch, tag, commit")
        for name in ("branch", "tag"):
            value = getattr(source, name)
            if value and not _REF.fullmatch(value):
                self.add(
                    f"source.{name}", f"{value!r} is no Git {name} name", f"write it as `git {name}` shows it"
                )
        for name in ("commit", "trust_from"):
            if getattr(source, name) and not _COMMIT.fullmatch(getattr(source, name)):
                self.add(
                    f"source.{name}",
                    f"{getattr(source, name)!r} is no full commit id",
                    "write all 40 hex digits",
                )
        if source.path.startswith("/") or ".." in source.path.split("/"):
            self.add(
                "source.path",
                f"{source.path!r} leaves the repository",
                "write a directory inside it, such as hosts/web",
            )
        if not settings.host.name or re.search(r"[/\s]", settings.host.name):
            self.add(
                "host.name",
                f"{settings.host.name!r} cannot be a host's name",
                "use letters, digits, dots and dashes",
            )
        for where, seconds in (
            ("source.poll", source.poll),
            ("source.timeout", source.timeout),
            ("converge.resync", converge.resync),
            ("gate.deadline", gate.deadline),
        ):
            if seconds <= 0:
                self.add(where, "is zero", "give it a positive duration")
        if gate.settle >= gate.deadline:
            self.add(
                "gate.settle",
                f"{gate.settle:g} s is not less than the deadline of {gate.deadline:g} s",
                "make gate.deadline longer: no release could pass",
            )
        for number, window in enumerate(converge.windows):
            if bool(window.allow) == bool(window.deny):
                self.add(
                    f"converge.windows.{number}", "has not exactly one of allow and deny", "keep one of them"
                )
            if window.duration <= 0:
                self.add(f"converge.windows.{number}", "does not say for how long", 'add for = "2h"')
        for name, table in settings.engine.registries.items():
            self._check_registry(name, table)

    def _check_registry(self, name: str, table: values.RegistrySettings) -> None:
        loc = ("engine", "registries", name)
        if name in ("index.docker.io", "registry-1.docker.io") or not _REGISTRY.fullmatch(name):
            self.add(
                _dotted(loc),
                "is no name of a registry",
                "write HOST or HOST:PORT as images name it, or docker.io",
                loc,
            )
        for mirror in table.mirrors:
            if not _REGISTRY.fullmatch(mirror.partition("/")[0]) or "://" in mirror:
                self.add(
                    _dotted((*loc, "mirrors")),
                    f"{mirror!r} is no mirror",
                    "write HOST[:PORT][/PATH], without https://",
                    (*loc, "mirrors"),
                )


def _doc_of(model: BaseModel) -> dict[str, Any]:
    return model.model_dump(mode="python", by_alias=False)


def _complete(settings: values.Settings) -> values.Settings:
    """Defaults that depend on the machine or on other keys."""
    host, source = settings.host, settings.source
    if not host.name:
        settings = replace(settings, host=replace(host, name=os.uname().nodename))
    if not (source.branch or source.tag or source.commit):
        settings = replace(settings, source=replace(source, branch="main"))
    return settings


def _known_keys(loc: Iterable[str]) -> list[str]:
    model: Any = _MODEL
    for part in loc:
        if get_origin(model) in (tuple, dict):
            model = get_args(model)[get_origin(model) is dict]
        else:
            model = model.model_fields[part].annotation
    return [member.alias or name for name, member in model.model_fields.items()]


def _dotted(loc: Iterable[str]) -> str:
    """The parts of a key as TOML writes them."""
    return ".".join(part if re.fullmatch(r"[\w-]+", part) else f'"{part}"' for part in loc)


def _nearest(word: str, known: Iterable[str]) -> str:
    known = list(known)
    near = difflib.get_close_matches(word, known, 1)
    return f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"


def _shown(value: object) -> str:
    text = redact(repr(value))
    return text if len(text) <= 40 else text[:37] + "..."
