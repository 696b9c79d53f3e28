"""The orders of a person for this host: suspensions, retries of rejected releases, a rollback by hand.

Rules:
1. They are kept apart from the state, so that they can be written at any time, also while a pass holds the
   pass lock; writers take a lock of their own for a moment.
2. A retry and a rollback have a number that only grows (wall time in ms, at least one more than the last).
   The state says up to which number they were carried out, so none is lost and none is carried out twice.
3. Orders survive reboots. A suspension with `until` ends by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from agent.model import Json
from agent.store import durable
from agent.store.documents import StoredDocument
from agent.store.locks import Lock

SCHEMA = 1
ALL = "*"  # the resource name that means everything
_RETRIES = 20
_WAIT = 5.0  # seconds for the other writer


@dataclass(frozen=True, slots=True)
class Suspension:
    """Convergence of a resource, or of everything, is frozen. Wall times, seconds; `until` 0: until somebody
    resumes it.
    """

    reason: str
    since: float
    until: float = 0.0

    def holds(self, now: float) -> bool:
        return not self.until or now < self.until


@dataclass(frozen=True, slots=True)
class Retry:
    """To forget that `release` was rejected, to try one anew that failed and stays, or to forget that a
    resource (`kind/name`) flaps; "all": everything. `pull`: registries are asked again for its images.
    """

    number: int
    release: str
    pull: bool = False

    def to_json(self) -> dict[str, Json]:
        doc = asdict(self)
        return doc if self.pull else {name: value for name, value in doc.items() if name != "pull"}


@dataclass(frozen=True, slots=True)
class Rollback:
    """To go back to the known good `release` and hold it until the branch changes. `at`: wall time, s."""

    number: int
    release: str
    reason: str
    at: float


@dataclass(frozen=True, slots=True)
class Ordered:
    """All orders. `suspended`: resource or "*" -> suspension. `rollback`: the newest one."""

    suspended: Mapping[str, Suspension]
    retries: tuple[Retry, ...] = ()
    rollback: Rollback | None = None

    def number(self, now: float) -> int:
        """The number of the next order."""
        given = [order.number for order in (*self.retries, self.rollback) if order]
        return max(int(now * 1000), *(number + 1 for number in given), 0)


class Orders:
    """The orders at DIR/orders.json."""

    def __init__(self, directory: Path) -> None:
        self._document = StoredDocument(directory / "orders.json", SCHEMA, {})
        self._lock = Lock(directory / "orders.lock", "a command that gives an order", wait=_WAIT)

    @property
    def damaged(self) -> list[str]:
        return self._document.damaged

    def load(self) -> Ordered:
        """Errors: Stalled (newer schema, not readable)."""
        doc = self._document.read()
        return Ordered(
            {resource: Suspension(**suspension) for resource, suspension in doc.get("suspended", {}).items()},
            tuple(Retry(**retry) for retry in doc.get("retries", ())),
            Rollback(**doc["rollback"]) if doc.get("rollback") else None,
        )

    def suspend(self, resource: str, suspension: Suspension) -> None:
        """Freezes a resource, or everything ("*"). Errors: Transient, Stalled."""
        self._change(lambda o: replace(o, suspended={**o.suspended, resource: suspension}))

    def resume(self, resource: str) -> bool:
        """Ends a suspension; false when there was none."""
        found = resource in self.load().suspended
        self._change(lambda o: replace(o, suspended={k: v for k, v in o.suspended.items() if k != resource}))
        return found

    def retry(self, release: str, now: float, *, pull: bool = False) -> None:
        """Asks the next pass to try a release (its id) again, to forget that a resource flaps (`kind/name`),
        or "all". `now`: wall time, seconds; `pull`: registries are asked again for the release's images.
        """

        def add(orders: Ordered) -> Ordered:
            given = Retry(orders.number(now), release, pull)
            return replace(orders, retries=(*orders.retries, given)[-_RETRIES:])

        self._change(add)

    def roll_back(self, release: str, reason: str, now: float) -> None:
        """Asks the next pass to go back to a known good release, by its id. `now`: wall time, seconds."""
        self._change(lambda o: replace(o, rollback=Rollback(o.number(now), release, reason, now)))

    def settle(self) -> None:
        """Writes the newest schema from now on. Errors: Transient, Stalled."""
        if self._document.settle():
            self._change(lambda orders: orders, settled=True)

    def _change(self, change: Callable[[Ordered], Ordered], *, settled: bool = False) -> None:
        durable.make_directory(self._document.path.parent)
        with self._lock:
            orders = change(self.load())
            if settled:
                self._document.settle()
            doc: dict[str, Json] = {
                "suspended": {resource: asdict(s) for resource, s in orders.suspended.items()},
                "retries": [retry.to_json() for retry in orders.retries],
                "rollback": asdict(orders.rollback) if orders.rollback else None,
            }
            self._document.write(doc)
