"""One pass, top to bottom; the only module that knows all the steps.

    fetch -> verify -> render          `desired`: what the branch wants
    observe -> plan -> brakes          `_decide`: what to do and what is refused
    prefetch                           `_prepare`: images and candidates, nothing is touched before this is done
    apply -> gate                      `_attempt`
    commit | roll back -> prune        `_commit`, `_roll_back`
    report

Rules:
1. Trouble before `apply` leaves the running set alone; the pass goes on with what it held before, repairs its drift, and ends with
   the trouble's exit code.
2. A release goes through the gate unless it is known good already. Repairing drift of known good needs no gate.
3. Nothing is remembered in memory between passes: what a killed pass leaves is in the state and on the host.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from agent import brakes as braking
from agent import gate, ownership, prefetch
from agent.apply import apply
from agent.clock import Clock
from agent.desired import Desired, Tip
from agent.errors import Failed, Interrupted, LimpetError, Stalled, Transient
from agent.host import Host
from agent.kinds.base import Held, View
from agent.model import Action, Change, Key, Manifest, Observed, Outcome, Plan, Release
from agent.observe import Look
from agent.paths import Paths
from agent.plan import plan
from agent.progress import Progress
from agent.settings import Settings
from agent.store.inventory import InventoryStore
from agent.store.journal import Journal
from agent.store.state import Attempt, Pin, State, StateStore

ROUNDS = 3  # passes in a row when a newer revision cancels the gate
GATE_INTERVAL = 0.5  # seconds between two looks
LEAST_LEFT = 30.0  # seconds that a resumed gate has at least, besides `settle`


@dataclass(frozen=True, slots=True)
class PassResult:
    """How a pass ended. `observed`: the commit it worked on; `again_in`: seconds after which another pass makes sense."""

    exit_code: int
    sentence: str
    outcome: str
    observed: str = ""
    again_in: float | None = None


class Superseded(Exception):
    """A newer revision was fetched while the gate waited."""


@dataclass(slots=True)
class Done:
    """What this pass did, for the report."""

    plan: Plan = field(default_factory=Plan)
    outcomes: list[Outcome] = field(default_factory=list)
    verdict: gate.Verdict | None = None
    trouble: LimpetError | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A release that can be applied: planned, its images on the host, its candidates checked."""

    release: Release
    target: Held
    view: View
    plan: Plan
    revision: str


class Pass:
    """The steps of one pass, in order. Everything it needs from outside is given to it."""

    def __init__(self, paths: Paths, settings: Settings, host: Host, desired: Desired, clock: Clock, progress: Progress,
                 cancel: threading.Event) -> None:
        self.paths, self.settings, self.host, self.desired = paths, settings, host, desired
        self.clock, self.progress, self.cancel = clock, progress, cancel
        self.store, self.inventory = StateStore(paths.state), InventoryStore(paths.state)
        self.journal = Journal(paths.journal)
        self.done = Done()
        self.state = State()
        self.tip: Tip | None = None
        self.observed = Observed()
