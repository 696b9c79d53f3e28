"""What the state remembers of releases: the one that is tried, what became of others, and what is pinned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

from agent.model import Json, Release
from agent.revision import Revision

AttemptPhase = Literal["applying", "gating", "rolling-back"]


@dataclass(frozen=True, slots=True)
class Pin:
    """The last commit that was verified, applied and passed its gate, for one (url, ref)."""

    url: str
    ref: str
    commit: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """A release between its first action and its verdict.

    started_wall: for people, seconds
    started_monotonic: seconds; counts only in the boot `boot_id`
    baseline: the probes that failed before anything was applied, and so cannot condemn the release; and the
        runs of containers that were unhealthy then
    tries: the number of passes that began it, this one included
    """

    release: Release
    revision: Revision
    phase: AttemptPhase
    started_wall: float
    started_monotonic: float
    boot_id: str
    baseline: tuple[str, ...] = ()
    tries: int = 1

    def elapsed(self, *, monotonic: float, wall: float, boot_id: str) -> float:
        """Seconds since it started: by the monotonic clock in the same boot, else by the wall clock, never
        negative.
        """
        if boot_id == self.boot_id:
            return max(0.0, monotonic - self.started_monotonic)
        return max(0.0, wall - self.started_wall)

    def to_json(self) -> dict[str, Json]:
        doc = {name: getattr(self, name) for name in self.__slots__}
        return doc | {
            "release": self.release.to_json(),
            "revision": str(self.revision),
            "baseline": list(self.baseline),
        }

    @classmethod
    def from_json(cls, doc: Mapping[str, Json]) -> Attempt:
        return cls(
            **{
                **doc,
                "release": Release.from_json(doc["release"]),
                "revision": Revision.parse(doc["revision"]),
                "baseline": tuple(doc["baseline"]),
            }
        )


@dataclass(frozen=True, slots=True)
class Rejection:
    """A release that failed its gate.

    at: wall time, seconds
    source_silent: one reason was that the source no longer answered
    doubtful: what failed was so before the release; it is forgotten when known good is back
    whole_digest: the digest of the branch's manifest, when only a part of it was tried
    handling: how it was started and judged (`decide/handling.py`); empty when that is not known
    """

    manifest_digest: str
    reason: str
    at: float
    revision: Revision
    source_silent: bool = False
    doubtful: bool = False
    whole_digest: str = ""
    handling: str = ""

    def to_json(self) -> dict[str, Json]:
        doc = asdict(self) | {"revision": str(self.revision)}
        for name in ("source_silent", "doubtful", "whole_digest", "handling"):  # as earlier versions wrote it
            if not doc[name]:
                del doc[name]
        return doc


@dataclass(frozen=True, slots=True)
class RolledBack:
    """The host was returned to known good from the release `from_release`, and holds it."""

    from_release: str
    from_revision: Revision
    reason: str
    at: float


@dataclass(frozen=True, slots=True)
class HandRollback:
    """A rollback by hand: `release` is held until the branch is no longer at `revision` (empty: nobody has
    looked yet).
    """

    release: str
    revision: Revision
    reason: str
    at: float
