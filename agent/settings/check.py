"""Reads and checks the settings with pydantic-settings (`models`), over the dataclasses of `values`; imported
only when the cache of `load` does not serve.

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
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_settings import SettingsError

from agent.errors import BadInput, Problem, Stalled
from agent.redact import redact
from agent.settings import values
from agent.settings.consistency import contradictions
from agent.settings.lines import KeyLines
from agent.settings.models import known_keys, validated

FIRST_LINES = """write these three lines:
        [source]
        url = "https://git.example.org/fleet.git"
        branch = "main\""""


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


# --- loading ------------------------------------------------------------------------------------------------


class _Loader:
    """One load. It collects problems, each with the place that it came from."""

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
            model = validated(data, self.environ)
        except ValidationError as errors:
            for found in errors.errors(include_url=False):
                self._add_error(found)
        except SettingsError as error:
            section = values.PREFIX + re.sub(r'.*field "(\w+)".*', r"\1", str(error)).upper()
            self.problems.append(
                Problem(
                    "environment",
                    0,
                    f"{section}__...: a list or map must be JSON",
                    'write it like \'["a", "b"]\' or \'{"role": "web"}\'',
                )
            )
        if self.problems:
            raise BadInput(sorted(self.problems, key=lambda problem: (problem.file, problem.line)))
        settings = _complete(values.Settings.from_json(_doc_of(model)))
        if not settings.source.url:
            missing = "is missing" if self.text or self.environ else "is missing: there are no settings yet"
            self.add("source.url", missing, FIRST_LINES)
        for loc, message, hint in contradictions(settings):
            self.add(_dotted(loc), message, hint, loc)
        if self.problems:
            raise BadInput(self.problems)
        return settings

    def add(self, where: str, message: str, hint: str, loc: tuple[str, ...] = ()) -> None:
        """Adds a problem with the key `where` (dotted; `loc` are its parts), at the variable or the line that
        set it.
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
            f"is not valid TOML: {text[0].lower()}{text[1:]}",
            'write `key = value` lines below a [section]; texts are quoted: branch = "main"',
        )

    def _add_error(self, error: Any) -> None:
        loc = tuple(str(part) for part in error["loc"])
        where, kind = _dotted(loc), error["type"]
        if kind == "extra_forbidden":
            known = known_keys(loc[:-1])
            what = f"unknown {'section' if len(loc) == 1 else 'key'} {loc[-1]!r}"
            self.add(where, what, _nearest(loc[-1], known), loc)
        elif kind == "literal_error":
            self.add(where, f"{error['input']!r} is not possible", f"use {error['ctx']['expected']}", loc)
        elif kind in ("model_type", "dict_type"):
            self.add(where, f"{_shown(error['input'])} is not a table", f"write it below [{where}]", loc)
        elif kind == "value_error":
            what, *remedy = error["ctx"]["error"].args
            self.add(where, what, remedy[0] if remedy else "", loc)
        else:
            wanted = error["msg"].removeprefix("Input should be ")
            self.add(where, f"{_shown(error['input'])} is wrong", f"write {wanted}", loc)


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
