"""Whether a fetched commit descends from the commit that this host has proved. Pure.

Rules:
1. History only goes forward: a commit is used only when the pin is in its history. A `git revert` is used; a
   rewritten branch is not.
2. A pin belongs to one (url, ref); the first commit of a new one is trusted as it comes.
3. Unknown is not yes: an answer that does not say whether the commit descends is refused.
"""

from __future__ import annotations

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
