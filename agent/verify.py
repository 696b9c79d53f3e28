"""Whether a fetched commit may be used: the fetch child says what it found, this decides. Pure.

Rules:
1. History only goes forward: a commit is used only when the pin is in its history. A `git revert` is; a rewritten
   branch is not.
2. The pin is that of this (url, ref); the first commit of a new one is trusted as it comes.
3. Unknown is not yes: an answer that does not say is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from agent.errors import Stalled


class Source(Protocol):
    """What this needs of the settings' section `source`."""

    @property
    def ref_name(self) -> str: ...

    @property
    def verify(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Verified:
    """For the heartbeat's `source.verification`."""

    mode: str
    result: str
    signer: str = ""


def verify(answer: Mapping[str, Any], pin: str, source: Source) -> Verified:
    """Judges the fetch child's answer against the pinned commit (empty: there is none yet).

    Errors: Stalled `NotDescended` with both remedies, `VerifyUnsupported`.
    """
    if source.verify != "none":
        raise Stalled(
            f'source.verify = "{source.verify}" is not supported yet',
            'set source.verify = "none"; protect the branch on the Git server meanwhile',
            code="VerifyUnsupported",
        )
    if pin and answer["commit"] != pin and answer.get("descends") is not True:
        commit = answer["commit"]
        raise Stalled(
            f"{source.ref_name}@sha1:{commit[:12]} does not descend from {pin[:12]}, which this host has proved: "
            "the history was rewritten; what runs here is kept",
            f"for all hosts: `git merge -s ours {pin}` on {source.ref_name}, and push; "
            f"for this host only: `limpet accept reset {commit}`",
            code="NotDescended",
        )
    return Verified(source.verify, "none")
