"""The forms of single values in limpet.toml: what a duration, a path or a cron expression may be.

Each function returns the value. Errors: ValueError with message and hint.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable
from urllib.parse import urlsplit

from agent.fetch.address import read_address
from agent.model import Json
from agent.units import DURATION, DURATION_HINT, SIZE, SIZE_HINT, parse_duration, parse_size

MOST_FILE = 128 << 20  # bytes; what the render child may answer with holds two of them, and more


def _seconds(value: object) -> object:
    if isinstance(value, str):
        return parse_duration(value)
    raise ValueError(f"{value!r} is not a duration", DURATION_HINT)


def _path(value: object) -> object:
    if isinstance(value, str) and value and not value.startswith("/"):
        raise ValueError(f"{value!r} is not an absolute path", "begin it with /")
    return value


def _size(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a size", SIZE_HINT)
    size = parse_size(value)
    if not 1024 <= size <= MOST_FILE:
        raise ValueError(
            f"{value!r} is out of range", "write 1KiB to 128MiB; larger files belong into images"
        )
    return size


def _share(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool) and not 0 <= value <= 1:
        raise ValueError(f"{value} is not a share", "write a number from 0 to 1")
    return value


def _url(value: object) -> object:
    if isinstance(value, str) and value:
        read_address(value)
    return value


def _web(value: object) -> object:
    if isinstance(value, str) and value and urlsplit(value).scheme not in ("http", "https"):
        raise ValueError("is not a web address", "begin it with https:// or http://")
    return value


def _zone(value: object) -> object:
    if isinstance(value, str) and value and value not in zoneinfo.available_timezones():
        raise ValueError(f"{value!r} is not a time zone", "write it like Europe/Berlin or UTC")
    return value


def _cron(value: object) -> object:
    if isinstance(value, str) and value:
        from agent.settings import windows

        try:
            windows.check(value)
        except ValueError as error:
            raise ValueError(
                f"{value!r} is not a cron expression: {error}", 'write five fields, like "0 2 * * 1-5"'
            ) from None
    return value


# The word in `Annotated` -> its check, and its JSON Schema where the type does not say enough.
FORMS: dict[str, tuple[Callable[[object], object], dict[str, Json] | None]] = {
    "duration": (
        _seconds,
        {"type": "string", "pattern": f"^{DURATION}$", "examples": ["60s", "5m", "2h30m"]},
    ),
    "path": (_path, {"type": "string", "pattern": "^(/.*)?$"}),
    "size": (_size, {"type": "string", "pattern": f"^{SIZE}$", "examples": ["64MiB", "512KiB"]}),
    "share": (_share, {"type": "number", "minimum": 0, "maximum": 1}),
    "url": (_url, None),
    "web": (_web, None),
    "zone": (_zone, None),
    "cron": (_cron, None),
}
