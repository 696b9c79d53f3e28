"""Where the keys of limpet.toml stand in its text, for messages."""

from __future__ import annotations

import re


class KeyLines:
    """The lines of the keys in a TOML text. Good enough for messages: it looks at lines, not at syntax."""

    _HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?")
    _KEY = re.compile(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")

    def __init__(self, text: str) -> None:
        self._known: dict[tuple[str, ...], int] = {}
        table: tuple[str, ...] = ()
        count: dict[tuple[str, ...], int] = {}
        for number, line in enumerate(text.splitlines(), 1):
            if header := self._HEADER.match(line):
                table = self._parts(header[2])
                if header[1] == "[[":
                    count[table] = count.get(table, -1) + 1
                    table = (*table, str(count[table]))
                self._known.setdefault(table, number)
            elif key := self._KEY.match(line):
                self._known.setdefault(table + self._parts(key[1]), number)

    def of(self, loc: tuple[str, ...]) -> int:
        """The line of the key, or of the nearest thing around it; 0: nowhere."""
        while loc and loc not in self._known:
            loc = loc[:-1]
        return self._known.get(loc, 0)

    @staticmethod
    def _parts(dotted: str) -> tuple[str, ...]:
        return tuple(part.strip("\"'") for part in re.findall(r"""[\w-]+|"[^"]*"|'[^']*'""", dotted))
