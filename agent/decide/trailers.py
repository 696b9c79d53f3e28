"""The requests in the message of a fetched commit: its trailers, `Limpet-...`. Pure.

Those of the newest commit are levers for a whole fleet; the host's owner says whether they count.
"""

from __future__ import annotations

import re


def allowed_prunes(message: str) -> int:
    """The number of deletions that are meant."""
    found = _trailers("Allow-Prune", r"\d+", message)
    return int(found[0]) if found else 0


def retries(message: str) -> list[str]:
    """The releases that may be tried again: "all", or the beginnings of ids, manifest digests or commits."""
    return _trailers("Retry", r"\S+", message)


def is_urgent(message: str) -> bool:
    """Whether the commit need not wait for a window."""
    return bool(_trailers("Urgent", "yes", message))


def _trailers(name: str, form: str, message: str) -> list[str]:
    """The values of a trailer; what has another form is none."""
    if "Limpet-" not in message:
        return []
    return re.findall(rf"^Limpet-{name}:\s*({form})\s*$", message, re.MULTILINE)
