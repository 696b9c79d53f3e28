"""Replaces variables in values: `$X`, `${X}`, and the operators `:-` `-` `:?` `?` `:+` `+`, which may be
nested. `$$` is a dollar sign.

Only values are interpolated, never keys, and each file is interpolated before it is merged. Values that must
be numbers or booleans are converted here, before the schema is applied. An undefined variable becomes an
empty string, with a warning. Which variables left nothing in which value is noted, so that whatever is found
wrong with that value later names them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from .errors import LoadProblems, Place
from .limits import MAX_VALUE, Budget
from .tree import List, Map, Rules

Lookup = Callable[[str], str | None]
Cast = Callable[[str], Any]

MAX_NESTING = 32
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATOR = re.compile(r":?[-+?]")


class InvalidTemplate(ValueError):
    """A `${` is not the start of a valid variable."""


class MissingVariable(ValueError):
    """A variable that is required with `?` is not set."""


def substitute(
    text: str,
    lookup: Lookup,
    undefined: Callable[[str], None] | None = None,
    emptied: Callable[[str], None] | None = None,
    depth: int = 0,
) -> str:
    """The text with its variables replaced. Raises InvalidTemplate or MissingVariable.

    undefined: is told the name of each variable that is not set
    emptied: is told the name of each variable that left nothing in its place
    """
    if "$" not in text:
        return text
    if depth > MAX_NESTING:
        raise InvalidTemplate(f"variables are nested more than {MAX_NESTING} levels deep")
    return _Substitution(text, lookup, undefined, emptied, depth).run()


class _Substitution:
    """The replacement of the variables in one text."""

    def __init__(
        self,
        text: str,
        lookup: Lookup,
        undefined: Callable[[str], None] | None,
        emptied: Callable[[str], None] | None,
        depth: int,
    ) -> None:
        self.text, self.lookup, self.depth = text, lookup, depth
        self.undefined, self.emptied = undefined, emptied
        self.line_end, self.last_brace = -1, -1

    def run(self) -> str:
        pieces: list[str] = []
        length, position = 0, 0
        while (dollar := self.text.find("$", position)) >= 0:
            pieces.append(self.text[position:dollar])
            value, position = self.variable(dollar)
            if not value and self.emptied is not None and (name := _NAME.search(self.text, dollar)):
                self.emptied(name[0])
            pieces.append(value)
            length += len(pieces[-2]) + len(value)
            if length > MAX_VALUE:
                raise InvalidTemplate(f"the value grows to more than {MAX_VALUE} characters")
        pieces.append(self.text[position:])
        return "".join(pieces)

    def variable(self, dollar: int) -> tuple[str, int]:
        """The replacement for the expression at a dollar sign, and the index after the expression."""
        follow = self.text[dollar + 1 : dollar + 2]
        if follow == "$":
            return "$", dollar + 2
        if follow == "{":
            return self.braced(dollar)
        if name := _NAME.match(self.text, dollar + 1):
            return self.value_of(name[0]), name.end()
        return "$", dollar + 1

    def value_of(self, name: str) -> str:
        value = self.lookup(name)
        if value is None and self.undefined is not None:
            self.undefined(name)
        return value or ""

    def braced(self, dollar: int) -> tuple[str, int]:
        """The same for an expression that starts with `${`."""
        text, name = self.text, _NAME.match(self.text, dollar + 2)
        if not name:
            raise InvalidTemplate("`${` is not followed by a name")
        if text[name.end() : name.end() + 1] == "}":
            return self.value_of(name[0]), name.end() + 1
        operator, last_brace = _OPERATOR.match(text, name.end()), self.last_brace_of_line(dollar)
        if not operator or last_brace < operator.end():
            raise InvalidTemplate(f"`${{{name[0]}` is not closed, or has an unknown operator")
        end = _closing(text, dollar, last_brace)
        return self.operated(name[0], operator[0], text[operator.end() : end]), end + 1

    def operated(self, name: str, operator: str, word: str) -> str:
        """The value of `${NAME OPERATOR WORD}`."""
        value = self.lookup(name)
        present = value is not None and (value != "" or not operator.startswith(":"))
        if present != operator.endswith("+"):
            return value or ""
        expanded = substitute(word, self.lookup, self.undefined, self.emptied, self.depth + 1)
        if operator.endswith("?"):
            raise MissingVariable(f"the variable {name} is required" + (f": {expanded}" if expanded else ""))
        return expanded

    def last_brace_of_line(self, dollar: int) -> int:
        """The index of the last `}` on the line, which is searched once for each line."""
        text = self.text
        if dollar > self.line_end:
            self.line_end = text.find("\n", dollar) if "\n" in text else len(text)
            self.line_end = len(text) if self.line_end < 0 else self.line_end
            self.last_brace = text.rfind("}", dollar, self.line_end)
        return self.last_brace


def _closing(text: str, start: int, last: int) -> int:
    """The index of the brace that closes the first one after `start`; the last brace on the line if they do
    not balance.
    """
    opened, position = 0, start
    while position <= last:
        char = text[position]
        if char == "}":
            opened -= 1
            if opened == 0:
                return position
        elif char == "{":
            opened += 1
            position += 1
        position += 1
    return last


def boolean(text: str) -> bool:
    word = text.lower()
    if word in ("true", "y", "yes", "on"):
        return True
    if word in ("false", "n", "no", "off"):
        return False
    raise ValueError(f"{text!r} is not a boolean")


def integer(text: str) -> int:
    if not re.fullmatch(r"[-+]?[0-9]{1,30}", text) or not -(1 << 63) <= int(text) < 1 << 63:
        raise ValueError(f"{text!r} is not an integer")
    return int(text)


def number(text: str) -> float:
    if not re.fullmatch(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?", text):
        raise ValueError(f"{text!r} is not a number")
    return float(text)


_CONTAINER: dict[str, Callable[[str], Any]] = {
    "cpu_count": integer,
    "cpu_percent": number,
    "cpu_period": integer,
    "cpu_quota": integer,
    "cpu_rt_period": integer,
    "cpu_rt_runtime": integer,
    "cpus": number,
    "cpu_shares": integer,
    "init": boolean,
    "oom_kill_disable": boolean,
    "oom_score_adj": integer,
    "pids_limit": integer,
    "privileged": boolean,
    "read_only": boolean,
    "ulimits.*": integer,
    "ulimits.*.hard": integer,
    "ulimits.*.soft": integer,
    "volumes.[].read_only": boolean,
    "volumes.[].volume.nocopy": boolean,
}
_SERVICE: dict[str, Callable[[str], Any]] = {
    "depends_on.*.required": boolean,
    "depends_on.*.restart": boolean,
    "healthcheck.retries": integer,
    "healthcheck.disable": boolean,
    "ports.[].target": integer,
    "stdin_open": boolean,
    "tty": boolean,
    "deploy.replicas": integer,
    "deploy.update_config.parallelism": integer,
    "deploy.update_config.max_failure_ratio": number,
    "deploy.rollback_config.parallelism": integer,
    "deploy.rollback_config.max_failure_ratio": number,
    "deploy.restart_policy.max_attempts": integer,
    "deploy.placement.max_replicas_per_node": integer,
    "scale": integer,
}
CASTS: Rules[Cast] = Rules(
    {f"services.*.{key}": cast for key, cast in {**_CONTAINER, **_SERVICE}.items()}
    | {f"services.*.pre_start.*.{key}": cast for key, cast in _CONTAINER.items()}
    | {
        f"networks.*.{key}": boolean
        for key in ("external", "internal", "attachable", "enable_ipv4", "enable_ipv6")
    }
    | {f"{kind}.*.external": boolean for kind in ("volumes", "secrets", "configs")}
)


def interpolate(root: Map, lookup: Lookup, problems: LoadProblems, budget: Budget) -> None:
    """Replaces the variables in all values of a tree in place. Every failure is reported, and its value stays
    as written.
    """
    walker = _Walker(lookup, problems, budget)
    for key, value in root.items():
        root[key] = walker.walk(value, root.place(key), (key,), CASTS.step(key))


class _Walker:
    def __init__(self, lookup: Lookup, problems: LoadProblems, budget: Budget) -> None:
        self.lookup, self.problems, self.budget = lookup, problems, budget
        self.above: list[Place] = []  # of the mappings and lists that the value lies in, down from the root

    def walk(self, value: Any, place: Place, path: tuple[str, ...], casts: Rules[Cast] | None) -> Any:
        if isinstance(value, str):
            if casts is None or casts.value is None:
                return self.text(value, place, path) if "$" in value else value
            return self.cast(value, place, path, casts.value)
        self.above.append(place)
        if isinstance(value, Map):
            self.entries(value, path, casts)
        elif isinstance(value, List):
            self.items(value, path, casts.step("[]") if casts is not None else None)
        self.above.pop()
        return value

    def items(self, value: List, path: tuple[str, ...], casts: Rules[Cast] | None) -> None:
        for index, item in enumerate(value):
            value[index] = self.walk(item, value.places[index], (*path, f"[{index}]"), casts)

    def entries(self, value: Map, path: tuple[str, ...], casts: Rules[Cast] | None) -> None:
        for key, item in value.items():
            if item.__class__ is not str or casts is not None or "$" in item:
                below = casts.step(key) if casts is not None else None
                value[key] = self.walk(item, value.place(key), (*path, key), below)

    def text(self, text: str, place: Place, path: tuple[str, ...]) -> str:
        def undefined(name: str) -> None:
            self.problems.warn(place, f"the variable {name} is not set; it is replaced by an empty string")

        empty: list[str] = []
        try:
            result = substitute(text, self.lookup, undefined, empty.append)
        except InvalidTemplate as error:
            self.fail(place, path, error, "write $$ for a dollar sign")
            return text
        except MissingVariable as error:
            self.fail(place, path, error, "set it in the .env file beside the Compose file")
            return text
        for name in empty:
            whole = 2 if path[0] == "services" else 1  # a whole service says nothing about one of its keys
            why = "not set" if self.lookup(name) is None else "empty"
            self.problems.blame(name, why, place, self.above[whole:])
        self.budget.spend_text(len(result), place)
        return result

    def cast(self, text: str, place: Place, path: tuple[str, ...], cast: Cast) -> Any:
        value = self.text(text, place, path) if "$" in text else text
        try:
            return cast(value)
        except ValueError as error:
            self.fail(place, path, error, "correct the value, or the variable it comes from")
            return value

    def fail(self, place: Place, path: tuple[str, ...], error: ValueError, hint: str) -> None:
        self.problems.error(place, f"{'.'.join(path)}: {error}", hint)
        self.problems.broken.add(".".join(path[:2]))
