"""The rules for a fetched commit: whether it descends from the commit that this host has proved, and the
requests in its message. Pure.

Rules:
1. History only goes forward: a commit is used only when the pin is in its history. A `git revert` is used; a
   rewritten branch is not.
2. A pin belongs to one (url, ref); the first commit of a new one is trusted as it comes.
3. Unknown is not yes: an answer that does not say whether the commit descends is refused.
4. Trailers (`Limpet-...`) of the newest commit are levers for a whole fleet; the host's owner says whether
   they count.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from agent.errors import Stalled


def check_descent(answer: Mapping[str, Any], pin: str, ref_name: str) -> None:
    """Judges the fetch child's answer against the pinned commit (empty: there is none yet).

    Errors: Stalled `NotDescended` with both remedies.
    """
    commit = answer["commit"]
    if not pin or commit == pin or answer.get("descends") is True:
        return
    raise Stalled(
        f"{ref_name}@sha1:{commit[:12]} does not descend from {pin[:12]}, which this host has "
        "proved: the history was rewritten; what runs here is kept",
        f"for all hosts: `git merge -s ours {pin}` on {ref_name}, and push; "
        f"for this host only: `limpet accept reset {commit}`",
        code="NotDescended",
    )


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
