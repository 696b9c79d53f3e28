"""Reads and prints single values as the reference loader does: YAML scalars, durations, byte sizes, shell
words.

The formats are those of Go.
"""

from __future__ import annotations

import base64
import binascii
import re
from datetime import date
from decimal import Decimal
from math import isfinite
from typing import Any

_WORDS: dict[str, Any] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys(("-0", "-0.0"), -0.0),
}
_INTEGER = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|0[oO]?[0-7]+|0[bB][01]+|0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_DATE = re.compile(
    r"(\d{4})-(\d{1,2})-(\d{1,2})"
    r"(?:(?:[Tt](\d{1,2}):(\d{1,2}):(\d{1,2})(\.\d+)?(Z|[-+]\d\d:\d\d))|(?: "
    r"(\d{1,2}):(\d{1,2}):(\d{1,2})(\.\d+)?))?\Z"
)
_TAGS = "tag:yaml.org,2002:"


class Timestamp(str):
    """An unquoted date. The text is the time as Go prints it."""

    __slots__ = ()


def resolve(text: str, tag: str | None, plain: bool) -> Any:
    """The value of a scalar. Raises ValueError if an explicit tag does not fit."""
    if tag is None:
        return _implicit(text) if plain else text
    if not tag.startswith(_TAGS):
        return text
    kind = tag[len(_TAGS) :]
    if kind == "binary":
        try:
            return base64.b64decode(text).decode("utf-8", "replace")
        except (binascii.Error, ValueError):
            raise ValueError("the value of !!binary is not base64") from None
    wanted = {"int": ("int",), "float": ("int", "float"), "bool": ("bool",), "null": ("NoneType",)}.get(kind)
    if wanted is None:
        return text
    value = _implicit(text)
    if type(value).__name__ not in wanted:
        raise ValueError(f"{text!r} does not fit the tag !!{kind}")
    return float(value) if kind == "float" else value


def _implicit(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    if len(text) > 4 and text[4] == "-" and (moment := _timestamp(text)) is not None:
        return moment
    bare = text.replace("_", "") if text[0] != "." else text
    if len(bare) < 70 and _INTEGER.match(bare):
        number = _integer(bare)
        if -(1 << 63) <= number < 1 << 64:
            return number
    if _FLOAT.match(bare) and isfinite(decimal := float(bare)):
        return decimal
    return text


def _integer(text: str) -> int:
    sign = -1 if text[0] == "-" else 1
    digits = text.lstrip("+-")
    base = {"0x": 16, "0o": 8, "0b": 2}.get(digits[:2].lower())
    if base is not None:
        return sign * int(digits[2:], base)
    return sign * int(digits, 8 if digits[0] == "0" and len(digits) > 1 else 10)


def _timestamp(text: str) -> Timestamp | None:
    found = _DATE.match(text)
    if not found:
        return None
    year, month, day, *rest = found.groups()
    hour, minute, second, fraction = rest[:4] if rest[0] else rest[5:]
    zone = rest[4] or "Z"
    try:
        date(int(year), int(month), int(day))
    except ValueError:
        return None
    if int(hour or 0) > 23 or int(minute or 0) > 59 or int(second or 0) > 59:
        return None
    digits = (fraction or "").rstrip("0").rstrip(".")
    offset = (
        "+0000 UTC"
        if zone in ("Z", "+00:00", "-00:00")
        else f"{zone.replace(':', '')} {zone.replace(':', '')}"
    )
    clock = f"{int(hour or 0):02}:{int(minute or 0):02}:{int(second or 0):02}{digits}"
    return Timestamp(f"{year}-{int(month):02}-{int(day):02} {clock} {offset}")


def show(value: Any) -> str:
    """A value as Go's default format prints it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "<nil>"
    if isinstance(value, float):
        return show_float(value)
    if isinstance(value, list):
        return "[" + " ".join(show(item) for item in value) + "]"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{show(value[key])}" for key in sorted(value)) + "]"
    return str(value)


def show_float(value: float) -> str:
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    if value == 0:
        return "-0" if sign else "0"
    text = "".join(map(str, digits))
    point = len(text) + int(exponent)
    minus = "-" if sign else ""
    if point - 1 < -4 or point - 1 >= 6:
        mantissa = text[0] + ("." + text[1:] if len(text) > 1 else "")
        return f"{minus}{mantissa}e{'-' if point - 1 < 0 else '+'}{abs(point - 1):02}"
    if point <= 0:
        return f"{minus}0.{'0' * -point}{text}"
    return f"{minus}{text.ljust(point, '0')[:point]}" + (f".{text[point:]}" if len(text) > point else "")


_UNITS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": 86400 * 10**9,
    "w": 7 * 86400 * 10**9,
}
_GO_UNITS = {unit: size for unit, size in _UNITS.items() if unit not in ("d", "w")}
_TERM = re.compile(r"(?=\.?[0-9])([0-9]*)(?:\.([0-9]*))?([^0-9.]+)")


def duration_ns(text: str, days: bool = True) -> int:
    """A duration such as `1m30s` in nanoseconds. `days` allows the units d and w. Raises ValueError."""
    rest = text[1:] if text[:1] in ("-", "+") else text
    if rest == "0":
        return 0
    total, position = 0, 0
    units = _UNITS if days else _GO_UNITS
    while position < len(rest) or not rest:
        term = _TERM.match(rest, position)
        if not term:
            raise ValueError(f"{text!r} is not a duration")
        if term[3] not in units:
            raise ValueError(f"{text!r} is not a duration: unknown unit {term[3]!r}")
        total += _term_ns(term)
        position = term.end()
        if total >= 1 << 63:
            raise ValueError(f"the duration {text!r} is too long")
    return -total if text[0] == "-" else total


def _term_ns(term: re.Match[str]) -> int:
    fraction, unit = (term[2] or "")[:18], _UNITS[term[3]]
    return int(term[1] or 0) * unit + int(int(fraction or 0) * (unit / 10 ** len(fraction)))


def show_duration(nanoseconds: int) -> str:
    """Nanoseconds as Go prints a duration: `1m30s`, `1.5s`, `24h0m0s`."""
    if nanoseconds == 0:
        return "0s"
    minus, left = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    for unit, size in (("ns", 1), ("µs", 10**3), ("ms", 10**6)):
        if left < size * 1000:
            return f"{minus}{_decimal(left, size)}{unit}"
    seconds, minutes = left % (60 * 10**9), left // (60 * 10**9)
    text = f"{_decimal(seconds, 10**9)}s"
    if minutes:
        text = f"{minutes % 60}m{text}"
    if minutes >= 60:
        text = f"{minutes // 60}h{text}"
    return minus + text


def _decimal(amount: int, unit: int) -> str:
    whole, part = divmod(amount, unit)
    digits = f"{part:0{len(str(unit)) - 1}}".rstrip("0") if part else ""
    return f"{whole}.{digits}" if digits else str(whole)


_SIZE = re.compile(r"(.*[0-9. ])([^0-9. ]*)\Z", re.DOTALL)


def parse_bytes(text: str) -> int:
    """A size such as `1.5g` or `64 MiB` in bytes. Units are powers of 1024. Raises ValueError."""
    if re.fullmatch(r"[-+]?[0-9]{1,30}", text):
        return int(text)
    found = _SIZE.match(text)
    if not found:
        raise ValueError(f"{text!r} is not a size")
    number, suffix = found[1], found[2].lower()
    number = number[:-1] if number.endswith(" ") else number
    if not re.fullmatch(r"\+?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?", number):
        raise ValueError(f"{text!r} is not a size")
    power = "kmgtp".find(suffix[0]) + 1 if suffix else 0
    if suffix not in ("", "b") and (not power or suffix[1:] not in ("", "b", "ib")):
        raise ValueError(f"{text!r} is not a size: unknown unit {found[2]!r}")
    amount = float(number) * 1024.0**power
    if amount >= 1 << 63:
        raise ValueError(f"the size {text!r} is too large")
    return int(amount)


def split_words(line: str) -> list[str]:
    """Splits a command line as the reference loader does: with quotes and backslashes, without expansion.
    Raises ValueError.
    """
    splitter = _WordSplitter()
    for char in line:
        if not splitter.take(char):
            break
    return splitter.finish()


# character -> the quote that it opens or closes, the quotes in which it is plain text, and whether it is kept
_QUOTES = {
    "'": ("'", frozenset('"('), False),
    '"': ('"', frozenset("'("), False),
    "`": ("`", frozenset("'\"("), True),
    ")": ("(", frozenset("'\"`"), True),
}


class _WordSplitter:
    """Splits a command line, one character at a time. `open` holds the quotes and brackets that are not
    closed yet.
    """

    def __init__(self) -> None:
        self.words: list[str] = []
        self.word: list[str] = []
        self.started, self.escaped = False, False
        self.open: set[str] = set()

    def take(self, char: str) -> bool:
        """Processes a character. False if it ends the command."""
        if self.escaped:
            self.escaped = False
            self.add(char)
        elif char == "\\" and "'" not in self.open:
            self.escaped = True
        elif char in " \t\r\n" and not self.open:
            self.end_word()
        elif char in ";&|<>" and not self.open:
            if char == ">" and self.word and self.word[0] in "0123456789":
                self.started = False  # the number of a descriptor
            return False
        else:
            self.quote_or_add(char)
        return True

    def quote_or_add(self, char: str) -> None:
        if char == "(" and not self.open & set("'\"`"):
            if "(" in self.open or self.word[-1:] != ["$"]:
                raise ValueError("there is a bracket outside quotes")
            self.open.add("(")
            self.add(char)
            return
        opens, blocked, kept = _QUOTES.get(char, ("", frozenset(), True))
        if opens and not self.open & blocked:
            self.open ^= {opens}
            self.started = True
            if not kept:
                return
        self.add(char)

    def add(self, char: str) -> None:
        self.started = True
        self.word.append(char)

    def end_word(self) -> None:
        if self.started:
            self.words.append("".join(self.word))
        self.word, self.started = [], False

    def finish(self) -> list[str]:
        self.end_word()
        if self.escaped or self.open:
            raise ValueError("a quote or bracket is not closed")
        return self.words
