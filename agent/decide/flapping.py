"""Which resources were corrected lately, and which are quarantined because something changes them again and
again. Pure.

Rules:
1. A correction is written down before it begins. One that failed is withdrawn: it is tried again, with
   backoff.
2. Ages are counted by the monotonic clock of one boot. A wall clock that jumps makes nothing flap and frees
   nothing; a reboot starts the count again.
3. A resource that was corrected MOST times within WITHIN seconds, and would have to be corrected once more,
   flaps. It is quarantined, that is left alone, until the branch is at another commit, another release is
   proved, or a person says so (`limpet retry`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field

from agent.model import Json

MOST = 5
WITHIN = 3600.0  # seconds
ALL = "all"


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Left alone since `since` (wall time, seconds), after `times` corrections, while the branch was at
    `commit`.
    """

    times: int
    since: float
    commit: str


@dataclass(slots=True)
class Flapping:
    """The memory of corrections, by `kind/name`. `corrected`: when, in monotonic seconds of the boot
    `boot_id`, the oldest first.
    """

    boot_id: str = ""
    corrected: dict[str, list[float]] = field(default_factory=dict)
    quarantined: dict[str, Quarantine] = field(default_factory=dict)

    def wanting(self, now: float, boot_id: str) -> dict[str, int]:
        """The resources that must not be corrected now, each with the number of its corrections. `now`:
        monotonic seconds of the boot `boot_id`.
        """
        often = {
            name: len(times)
            for name in self.corrected
            if len(times := self._lately(name, now, boot_id)) >= MOST
        }
        return often | {name: known.times for name, known in self.quarantined.items()}

    def note(self, names: Iterable[str], now: float, boot_id: str) -> None:
        """Notes that these are about to be corrected. Corrections that are too old to count are forgotten."""
        recent = {name: times for name in self.corrected if (times := self._lately(name, now, boot_id))}
        self.corrected = recent | {name: [*recent.get(name, ()), now] for name in names}
        self.boot_id = boot_id

    def withdraw(self, names: Iterable[str], at: float) -> None:
        """Withdraws the corrections that were noted at `at`: they failed."""
        for name in names:
            times = [time for time in self.corrected.get(name, ()) if time != at]
            if times:
                self.corrected[name] = times
            else:
                self.corrected.pop(name, None)

    def leave(self, often: Mapping[str, int], since: float, commit: str) -> bool:
        """Quarantines resources that would have to be corrected once more. Whether any of them is new."""
        new = {
            name: Quarantine(times, since, commit)
            for name, times in often.items()
            if name not in self.quarantined
        }
        self.quarantined |= new
        return bool(new)

    def moved(self, commit: str) -> None:
        """Frees the resources that were quarantined at another commit: the branch is at `commit` now."""
        for name in [name for name, since in self.quarantined.items() if since.commit != commit]:
            self.forget(name)

    def forget(self, name: str = ALL) -> None:
        """Frees a resource, or all: a person or a release speaks for it."""
        for known in [known for known in {*self.corrected, *self.quarantined} if name in (ALL, known)]:
            self.corrected.pop(known, None)
            self.quarantined.pop(known, None)

    def _lately(self, name: str, now: float, boot_id: str) -> list[float]:
        times = self.corrected[name] if boot_id == self.boot_id else ()
        return [time for time in times if 0 <= now - time < WITHIN]

    # --- as JSON ---

    def to_json(self) -> dict[str, Json]:
        return {
            "boot_id": self.boot_id,
            "corrected": {name: list(times) for name, times in self.corrected.items()},
            "alone": {name: asdict(known) for name, known in self.quarantined.items()},
        }

    @classmethod
    def from_json(cls, doc: Mapping[str, Json]) -> Flapping:
        return cls(
            doc.get("boot_id", ""),
            {name: list(times) for name, times in doc.get("corrected", {}).items()},
            {name: Quarantine(**known) for name, known in doc.get("alone", {}).items()},
        )
