"""Parses environment files in Compose's dialect.

It has `KEY=value`, `KEY: value`, `export KEY=value`, `KEY` alone (the value is inherited), comments, single
quotes (literal), double quotes (escapes and variables, may span lines) and unquoted values (variables, end at
` #`). A variable is looked up first with the caller, then in the lines above. `format: raw` has only
`KEY=value` up to the end of the line.

Bytes that are not UTF-8 may stand in comments, and in whatever else makes no variable. In a name or value
they are an error: no Engine takes them.
"""

from __future__ import annotations

import re

from .errors import ComposeError, LoadProblems, Place
from .interpolate import InvalidTemplate, Lookup, MissingVariable, substitute
from .limits import MAX_FILE_BYTES
from .tree import Map

MAX_GROWTH = 4 << 20
_SPACE = "\t\v\f\r \x85\xa0"
_ESCAPE = re.compile(r"\\(?:[abcfnrtv$\"\\]|0\d{0,3})")
_NOT_UTF8 = re.compile("[\udc80-\udcff]")  # what a byte that is not UTF-8 is decoded to
_SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", '"': '"'}


def parse_dotenv(file: str, data: bytes, lookup: Lookup, problems: LoadProblems, known: Map) -> None:
    """Adds the variables of a file to `known`, with their places.

    file: the path, for messages
    data: the content
    lookup: looks up variables that take precedence over `known`
    problems: collects warnings
    known: the variables so far

    Raises ComposeError; `known` then has the variables above the error.
    """
    _Parser(file, text_of(file, data), lookup, problems, known).run()


def parse_raw(file: str, data: bytes, known: Map) -> None:
    """The same for a file of `format: raw`. Raises ComposeError."""
    for number, line in enumerate(text_of(file, data, bom=False).split("\n"), 1):
        key, equals, value = line.removesuffix("\r").partition("=")
        if equals:
            if _NOT_UTF8.search(line):
                raise _not_utf8(file, number)
            known.put(key, value, Place(file, number))


def text_of(file: str, data: bytes, bom: bool = True) -> str:
    """The text of a file, with a lone surrogate for each byte that is not UTF-8. Raises ComposeError."""
    if len(data) > MAX_FILE_BYTES:
        raise ComposeError(
            f"the file has {len(data)} bytes; at most {MAX_FILE_BYTES} are read", file, hint="make it smaller"
        )
    return data.decode("utf-8-sig" if bom else "utf-8", "surrogateescape")


def _not_utf8(file: str, line: int) -> ComposeError:
    return ComposeError("the file is not UTF-8 text", file, line, hint="save it as UTF-8")


class _Parser:
    def __init__(self, file: str, text: str, lookup: Lookup, problems: LoadProblems, known: Map) -> None:
        """The arguments are those of `parse_dotenv`."""
        self.file, self.text, self.lookup, self.problems, self.known = file, text, lookup, problems, known
        self.position = 0
        self.counted, self.lines = 0, 1
        self.grown = 0

    def place(self) -> Place:
        self.lines += self.text.count("\n", self.counted, self.position)
        self.counted = self.position
        return Place(self.file, self.lines)

    def foreign(self, start: Place) -> ComposeError:
        """The error for bytes of the statement at `start` that are not UTF-8, at the first of them."""
        line = start.line
        for text in self.text.split("\n")[line - 1 :]:
            if _NOT_UTF8.search(text):
                break
            line += 1
        return _not_utf8(self.file, line)

    def fail(self, message: str, hint: str) -> ComposeError:
        return ComposeError(message, *self.place(), hint=hint)

    def find(self, name: str) -> str | None:
        value = self.lookup(name)
        return self.known.get(name) if value is None else value

    def run(self) -> None:
        while self.next_statement():
            place = self.place()
            key, inherited = self.key()
            value = self.lookup(key) if inherited else self.value()
            if value is None:
                continue
            if not inherited:
                self.grown += len(value)
            if _NOT_UTF8.search(value):
                raise self.foreign(place)
            if self.grown > MAX_GROWTH:
                raise self.fail(
                    f"the values add up to more than {MAX_GROWTH} characters", "use variables less often"
                )
            self.known.put(key, value, place)

    def next_statement(self) -> bool:
        text = self.text
        while self.position < len(text):
            if text[self.position].isspace():
                self.position += 1
            elif text[self.position] == "#":
                end = text.find("\n", self.position)
                self.position = len(text) if end < 0 else end
            else:
                return True
        return False

    def key(self) -> tuple[str, bool]:
        """The name of a statement, and whether it is alone on its line."""
        text, start = self.text, self.position
        if re.compile(r"export\s+").match(text, start):
            start = self.after_space(start + len("export"))
        for index in range(start, len(text)):
            char = text[index]
            if char in "=:\n":
                name = text[start:index].rstrip()
                self.position = self.after_space(index + 1)
                if " " in name:
                    raise self.fail(f"the name {name!r} contains a space", "write it as NAME=value")
                return name, char == "\n"
            if not (char in _SPACE or char in "_.-[]" or char.isalpha() or char.isnumeric()):
                raise self.misnamed(start, index)
        self.position = len(text)
        return text[start:].rstrip(), True

    def misnamed(self, start: int, index: int) -> ComposeError:
        """The error for the character at `index`, in the name that starts at `start`."""
        char, line = self.text[index], self.text[start:].split("\n", 1)[0]
        if _NOT_UTF8.match(char):
            return self.foreign(self.place())
        self.position = index
        return self.fail(
            f"the character {char!r} is not allowed in the name {line!r}",
            "use only letters, digits, _, . and - in names",
        )

    def after_space(self, position: int) -> int:
        while position < len(self.text) and self.text[position] in _SPACE:
            position += 1
        return position

    def value(self) -> str:
        text, start = self.text, self.position
        quote = text[start : start + 1]
        if quote and quote in "'\"":
            return self.quoted(quote)
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        place = self.place()
        self.position = min(end + 1, len(text))
        return self.expand(text[start:end].split(" #", 1)[0].rstrip(), place)

    def quoted(self, quote: str) -> str:
        text, start = self.text, self.position
        pieces: list[str] = []
        escaped = False
        for index in range(start + 1, len(text)):
            char = text[index]
            if escaped:
                pieces.append(char if char == quote else "\\" + char)
                escaped = False
            elif char == quote:
                place, value = self.place(), "".join(pieces)
                self.position = index + 1
                return self.expand(_ESCAPE.sub(_unescape, value), place) if quote == '"' else value
            elif char == "\\":
                escaped = True
            else:
                pieces.append(char)
        line = text[start:].split("\n", 1)[0]
        raise self.fail(f"the quote in {line!r} is not closed", "close it, or write the value without quotes")

    def expand(self, value: str, place: Place) -> str:
        def undefined(name: str) -> None:
            self.problems.warn(place, f"the variable {name} is not set; it is replaced by an empty string")

        try:
            return substitute(value, self.find, undefined)
        except (InvalidTemplate, MissingVariable) as error:
            raise ComposeError(
                str(error), *place, hint="write $$ for a dollar sign, or use single quotes"
            ) from None


def _unescape(found: re.Match[str]) -> str:
    body = found[0][1:]
    if body == "$":
        return "$$"
    if body[0] == "0":
        digits = body[1:]
        octal = len(digits) == 3 and all(digit in "01234567" for digit in digits) and int(digits, 8) < 256
        return chr(int(digits, 8)) if octal else "\\" + digits
    return _SIMPLE.get(body, found[0])
