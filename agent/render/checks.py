"""The checks of a layer file, as values. A new type of check is read here, `check.Check` holds it,
`drivers/checks.py` runs it, and `Check.by_hand` says how a person runs it.
"""

from __future__ import annotations

import re
import shlex
from urllib.parse import urlsplit

from agent.check import CHECKED_EVERY, Check
from agent.render.schema import Section


def parse_check(name: str, entry: Section) -> Check | None:
    """One entry of `checks:`."""
    entry.known("http", "tcp", "exec", "status", "timeout", "within", "every")
    kinds = [key for key in ("http", "tcp", "exec") if key in entry.map]
    if len(kinds) != 1:
        entry.problems.add(
            entry.map.at.file,
            entry.map.at.line,
            f"checks.{name} must have exactly one of http, tcp and exec",
            'write {http: "http://127.0.0.1:8080/healthz"}',
        )
        return None
    http, tcp = entry.text("http"), entry.text("tcp")
    parts = urlsplit(http)
    if "http" in entry.map and (parts.scheme not in ("http", "https") or not parts.hostname):
        entry.wrong(
            "http",
            f"{entry.name('http')}: {http!r} is not an http or https URL",
            'write "http://127.0.0.1:8080/"',
        )
        return None
    if "tcp" in entry.map and not re.match(r"(?:\[[0-9a-fA-F:.]+\]|[^\s:/]+):[0-9]{1,5}\Z", tcp):
        entry.wrong("tcp", f"{entry.name('tcp')}: {tcp!r} is not ADDRESS:PORT", 'write "127.0.0.1:5432"')
        return None
    if "status" in entry.map and not http:
        entry.wrong("status", f"{entry.name('status')} is only for http", "remove it")
    argv = argv_of(entry, "exec") if "exec" in entry.map else ()
    status = entry.integer("status", 200, 100, 599)
    place = entry.map.at
    return Check(
        name,
        http=http,
        status=status,
        tcp=tcp,
        exec=argv,
        timeout=entry.seconds("timeout", 10.0),
        within=entry.seconds("within", 0.0),
        every=entry.seconds("every", CHECKED_EVERY),
        origin=f"{place.file}:{place.line}",
    )


def argv_of(section: Section, key: str) -> tuple[str, ...]:
    """A command as an argv. A list is taken as it is; a text is split into words. No shell is used."""
    value = section.map[key]
    try:
        words = shlex.split(value) if isinstance(value, str) else value
    except ValueError as error:
        section.wrong(key, f"{section.name(key)}: {error}", "close the quote")
        return ()
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        section.wrong(
            key, f"{section.name(key)} must be a command", "write [program, argument]; numbers in quotes"
        )
        return ()
    return tuple(words)
