"""The memory of the agent about this host, across passes, restarts and reboots.

Rules:
1. It is one document, which the pass writes under the pass lock. The orders that a person gives meanwhile
   (suspend, retry) are in a document of their own, `orders.py`; `load` folds them in.
2. `known_good` holds at most three releases, each once, and what the host runs first. Only `prove` adds one.
   Those that a person went back from (`left`) come last: a rollback without a name never goes to them.
3. A release is rejected by its id (manifest and image lock): with another lock it gets another chance. At
   most twenty rejections are remembered.
4. `rolled_back` and `rejected` stay until a release is proved or a person says so; no restart clears them.
5. Another (url, ref) starts a new pin: `pin_for` knows only its own.
6. `irrevocable` grows until a release is proved, also across superseded attempts: as long as it is not empty,
   nothing is rolled back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from agent.decide.flapping import Flapping
from agent.decide.image_memory import Images
from agent.model import EMPTY, Json, Release
from agent.revision import Revision
from agent.store.documents import StoredDocument
from agent.store.orders import Orders, Rollback, Suspension
from agent.store.verdicts import Attempt, HandRollback, Pin, Rejection, RolledBack

SCHEMA = 1
KNOWN_GOOD = 3
REJECTED = 20


@dataclass(slots=True)
class State:
    """The state. The pass changes and saves it.

    ran: the one-shots that ran to success (`kinds/oneshots.py`)
    irrevocable: the irreversible one-shots that were started since a release was proved
    retried: the commit whose `Limpet-Retry` was carried out last
    contents: the stamp of the stored contents when they were swept last
    repository: the name of the repository, where it is another one than the pin's URL says
    left: the known good releases that a person went back from, the newest first
    suspended, orders_done: mirror `orders.py`
    """

    machine_id: str = ""
    pin: Pin | None = None
    known_good: list[Release] = field(default_factory=list)
    applied: Release | None = None
    proved_at: float = 0.0  # when the newest known good passed its gate; wall time, seconds
    attempt: Attempt | None = None
    rejected: dict[str, Rejection] = field(default_factory=dict)
    rolled_back: RolledBack | None = None
    held: HandRollback | None = None
    ran: dict[str, tuple[str, ...]] = field(default_factory=dict)
    irrevocable: tuple[str, ...] = ()
    retried: str = ""
    contents: str = ""
    repository: str = ""
    left: tuple[str, ...] = ()
    images: Images = field(default_factory=Images)
    flapping: Flapping = field(default_factory=Flapping)
    suspended: dict[str, Suspension] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    orders_done: int = 0

    def pin_for(self, url: str, ref: str) -> str:
        """The pinned commit of this (url, ref); empty when there is none yet."""
        return self.pin.commit if self.pin and (self.pin.url, self.pin.ref) == (url, ref) else ""

    @property
    def applied_revision(self) -> Revision:
        """Where `applied` was last seen: an attempt's revision, else the pin, else where it was first
        seen.
        """
        if self.applied is None:
            return Revision()
        if self.attempt and self.attempt.release.id == self.applied.id:
            return self.attempt.revision
        newest = bool(self.known_good) and self.known_good[0].id == self.applied.id and not self.held
        return Revision("", self.pin.commit) if newest and self.pin else self.applied.revision

    @property
    def applied_at(self) -> float:
        """Since when the host runs `applied`; wall time, seconds."""
        if self.attempt and self.applied and self.attempt.release.id == self.applied.id:
            return self.attempt.started_wall
        return self.rolled_back.at if self.rolled_back else self.proved_at

    def prove(self, release: Release, pin: Pin, at: float) -> None:
        """Makes a release known good, applied and the new pin: its gate has passed. It may be a known good
        release at a new commit.

        The attempt and the rollback that it supersedes are forgotten. `at`: wall time, seconds.
        """
        if not self.known_good or self.known_good[0].id != release.id or self.rolled_back:
            self.proved_at = at
        self._place(release)
        self.images.proved(release)
        self.pin = pin
        self.applied = release
        self.attempt = None
        self.rolled_back = None
        self.irrevocable = ()
        self.rejected.pop(release.id, None)

    def _place(self, release: Release) -> None:
        """Puts a proved release first among known good. One that a person went back to has those that are
        newer behind all others; so has one of those when it is proved again.
        """
        line = [good for good in self.line() if good.manifest_digest != EMPTY.digest]
        place = self._place_in([good.id for good in line], release.id)
        newer, older = line[:place], [good for good in line[place:] if good.id != release.id]
        self.known_good = [release, *older, *newer][:KNOWN_GOOD]
        self.left = tuple(good.id for good in newer if good in self.known_good)

    def _place_in(self, line: list[str], release: str) -> int:
        """How many of the line are newer than a proved release, because a person went back from them."""
        by_hand = self.held is not None and self.held.release == release
        if release in line and (by_hand or release in self.left):
            return line.index(release)
        return len([id for id in line if id in self.left])

    def line(self) -> list[Release]:
        """Known good, the newest first, also where a person went back."""
        by_id = {good.id: good for good in self.known_good}
        newer = [by_id[id] for id in self.left if id in by_id]
        return [*newer, *(good for good in self.known_good if good.id not in self.left)]

    def further_back(self) -> Release | None:
        """Where a person goes back to who names no release: the one that is asked for while the host is not
        there yet, else the one before what runs; None when there is nothing further back.
        """
        line = self.line()
        ids = [good.id for good in line]
        running = self.attempt.release if self.attempt else self.applied
        if self.held and self.held.release in ids and (self.attempt or self._runs() != self.held.release):
            return line[ids.index(self.held.release)]
        if running is not None and running.id in ids:
            return next(iter(line[ids.index(running.id) + 1 :]), None)
        return next((good for good in line if good.id not in self.left), None)

    def _runs(self) -> str:
        return self.applied.id if self.applied else ""

    def reject(
        self,
        release: Release,
        *,
        reason: str,
        at: float,
        revision: Revision,
        handling: str = "",
        source_silent: bool = False,
        doubtful: bool = False,
    ) -> None:
        """Remembers that a release failed its gate; a rollback by hand to it ends. The oldest rejections
        beyond the bound are forgotten.

        release: the release
        reason: why it failed, for people
        at: wall time, seconds
        revision: where the branch had it
        handling: how it was started and judged
        source_silent: whether one reason was that the source no longer answered
        doubtful: whether what failed was so before
        """
        if self.held and self.held.release == release.id:
            self.held = None
        self.rejected.pop(release.id, None)
        self.rejected[release.id] = Rejection(
            release.manifest_digest,
            reason,
            at,
            revision,
            source_silent,
            doubtful,
            release.part_of.manifest_digest if release.part_of else "",
            handling,
        )
        for oldest in list(self.rejected)[:-REJECTED]:
            del self.rejected[oldest]

    def hold(self, rejection: Rejection, revision: Revision, at: float) -> None:
        """Holds known good against a rejected release that the branch has at `revision`, also when the branch
        was good in between.
        """
        release = next(id for id, known in self.rejected.items() if known is rejection)
        if self.rolled_back is None or self.rolled_back.from_release != release:
            self.rolled_back = RolledBack(release, revision, rejection.reason, at)

    def forget_rejected(self, which: str) -> list[str]:
        """Forgets rejections: "all", or those whose release id, manifest digest or revision begins with
        `which`. The ids of the forgotten ones.
        """
        gone = [
            id
            for id, rejection in self.rejected.items()
            if which == "all" or (which and _means(which, id, rejection))
        ]
        for id in gone:
            del self.rejected[id]
        return gone

    def retry_once(self, which: Iterable[str], commit: str) -> None:
        """Obeys a commit: forgets rejections, and lets a release that failed and stays begin anew, once for
        each commit, so that a release that fails again stays rejected.
        """
        for release in which if self.retried != commit else ():
            self.forget_rejected(release)
            self._begin_anew(release)
            self.retried = commit

    def retry(self, what: str, *, pull: bool = False) -> None:
        """Obeys a person: forgets rejections, ends a rollback by hand, and lets a release that failed and
        stays begin anew; or gives a flapping resource (`kind/name`) another chance. "all" is everything.
        `pull`: registries must be asked again for what is not known good.
        """
        if "/" not in what:
            self.forget_rejected(what)
            self.held = None
            self._begin_anew(what)
            self.images.ask = "must" if pull else self.images.ask
        self.flapping.forget(what)

    def _begin_anew(self, which: str) -> None:
        if self.attempt is not None and self.failed_and_stays(which):
            self.attempt = replace(self.attempt, phase="applying", tries=0)
            self.images.ask = self.images.ask or "may"

    def failed_and_stays(self, which: str) -> bool:
        """Whether `which` means the release at hand: it was begun, and is neither known good nor undone."""
        attempt = self.attempt
        if attempt is None or attempt.phase == "rolling-back":
            return False
        release, names = attempt.release, (attempt.release.id, attempt.release.manifest_digest)
        if release.id in {good.id for good in self.known_good}:
            return False
        named = any(name.startswith(which) for name in names) or attempt.revision.begins_with(which)
        return which == "all" or bool(which and named)

    def suspension(self, resource: str, now: float) -> Suspension | None:
        """The suspension that freezes `resource` ("*": everything) at wall time `now`, if there is one."""
        found = self.suspended.get(resource)
        return found if found and found.holds(now) else None

    def count(self, **amounts: int) -> None:
        """Adds to the counters (passes, corrected_total, rollbacks, ...)."""
        for name, amount in amounts.items():
            self.counters[name] = self.counters.get(name, 0) + amount

    def releases(self) -> list[Release]:
        """Every remembered release, each once: their manifests, contents and images must be kept."""
        kept = [*self.known_good, self.applied, self.attempt.release if self.attempt else None]
        return list({release.id: release for release in kept if release}.values())

    def to_json(self) -> dict[str, Json]:
        return {
            "machine_id": self.machine_id,
            "pin": asdict(self.pin) if self.pin else None,
            "known_good": [release.to_json() for release in self.known_good],
            "applied": self.applied.to_json() if self.applied else None,
            "proved_at": self.proved_at,
            "attempt": self.attempt.to_json() if self.attempt else None,
            "rejected": [[id, rejection.to_json()] for id, rejection in self.rejected.items()],
            "rolled_back": _written(self.rolled_back, "from_revision"),
            "held": _written(self.held, "revision"),
            "images": self.images.to_json(),
            "flapping": self.flapping.to_json(),
            "counters": dict(self.counters),
            "orders_done": self.orders_done,
            **{
                name: value
                for name, value in (
                    ("ran", {key: list(marks) for key, marks in self.ran.items()}),
                    ("irrevocable", list(self.irrevocable)),
                    ("retried", self.retried),
                    ("contents", self.contents),
                    ("repository", self.repository),
                    ("left", list(self.left)),
                )
                if value
            },
        }

    @classmethod
    def from_json(cls, doc: Mapping[str, Json]) -> State:
        return cls(
            machine_id=doc.get("machine_id", ""),
            pin=Pin(**doc["pin"]) if doc.get("pin") else None,
            known_good=[Release.from_json(release) for release in doc.get("known_good", ())],
            applied=Release.from_json(doc["applied"]) if doc.get("applied") else None,
            proved_at=doc.get("proved_at", 0.0),
            attempt=Attempt.from_json(doc["attempt"]) if doc.get("attempt") else None,
            rejected={
                id: Rejection(**_read(rejection, "revision")) for id, rejection in doc.get("rejected", ())
            },
            rolled_back=RolledBack(**_read(doc["rolled_back"], "from_revision"))
            if doc.get("rolled_back")
            else None,
            held=HandRollback(**_read(doc["held"], "revision")) if doc.get("held") else None,
            ran={key: tuple(marks) for key, marks in doc.get("ran", {}).items()},
            irrevocable=tuple(doc.get("irrevocable", ())),
            retried=doc.get("retried", ""),
            contents=doc.get("contents", ""),
            repository=doc.get("repository", ""),
            left=tuple(doc.get("left", ())),
            images=Images.from_json(doc.get("images", {})),
            flapping=Flapping.from_json(doc.get("flapping", {})),
            counters=dict(doc.get("counters", {})),
            orders_done=doc.get("orders_done", 0),
        )


class StateStore:
    """The state at DIR/state.json, with the orders of DIR/orders.json folded in."""

    def __init__(self, directory: Path) -> None:
        self._document = StoredDocument(directory / "state.json", SCHEMA, {})
        self._orders = Orders(directory)

    @property
    def damaged(self) -> list[str]:
        """Says for people what was found broken."""
        return [*self._document.damaged, *self._orders.damaged]

    @property
    def lost(self) -> bool:
        """`load` found damage and no whole generation: pin, known good and rejections are unknown."""
        return self._document.lost

    @property
    def missing(self) -> bool:
        """`load` found no file: there was no pass yet, or somebody removed it."""
        return self._document.missing

    def load(self) -> State:
        """The state with all orders carried out on it. Errors: Stalled (newer schema, not readable)."""
        state = State.from_json(self._document.read())
        orders = self._orders.load()
        state.suspended = dict(orders.suspended)
        given = [
            order
            for order in (*orders.retries, orders.rollback)
            if order and order.number > state.orders_done
        ]
        for order in sorted(given, key=lambda order: order.number):
            if isinstance(order, Rollback):
                state.held = HandRollback(order.release, Revision(), order.reason, order.at)
            else:
                state.retry(order.release, pull=order.pull)
            state.orders_done = order.number
        return state

    def settle(self, state: State) -> None:
        """Writes this version's own schema from now on: it has converged once. Errors: Transient, Stalled."""
        if self._document.settle():
            self.save(state)
        self._orders.settle()

    def save(self, state: State) -> bool:
        """Makes the state durable; false when nothing has changed. Errors: Transient, Stalled."""
        return self._document.write(state.to_json())


def _means(which: str, id: str, rejection: Rejection) -> bool:
    """Whether a person who typed `which` can mean this rejection: by release, manifest digest or revision."""
    names = (id, rejection.manifest_digest)
    return any(name.startswith(which) for name in names) or rejection.revision.begins_with(which)


def _written(record: RolledBack | HandRollback | None, revision: str) -> dict[str, Json] | None:
    """A record as JSON; `revision` names its field that holds one."""
    return asdict(record) | {revision: str(getattr(record, revision))} if record else None


def _read(doc: Mapping[str, Json], revision: str) -> dict[str, Json]:
    """The inverse of `_written`."""
    return {**doc, revision: Revision.parse(doc[revision])}
