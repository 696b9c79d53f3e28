"""What a pass did and saw, written down as it happens, and how it ended. Read by `summary` alone.

Rules:
1. The steps only write here; no decision reads it. What a step needs to know is returned to it.
2. What went wrong is kept as it was raised: with its code, its resource and its remedy.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from agent.converge.desired import Tip
from agent.decide.plan import both
from agent.errors import HeldBack, LimpetError, Stalled
from agent.model import Outcome, Plan
from agent.observed import Observed


@dataclass(frozen=True, slots=True)
class Ending:
    """How the host was left. `outcome` is a word of the heartbeat; `reason` and `hint` are for people.

    again_in: seconds after which another pass makes sense, when that is known.
    error: what went wrong, as it was raised.
    sentence: the pass in one sentence; only once it is over, as are the next two.
    commit: the commit that the pass worked on.
    corrected: how many resources had drifted and were repaired.
    looked_at: when the host was seen last, monotonic seconds; None when it was not.
    """

    outcome: str
    exit_code: int
    reason: str = ""
    hint: str = ""
    again_in: float | None = None
    error: LimpetError | None = None
    sentence: str = ""
    commit: str = ""
    corrected: int = 0
    looked_at: float | None = None


def ending_of(error: LimpetError) -> Ending:
    """How a pass ends that met this error."""
    if isinstance(error, HeldBack):
        return Ending("HeldBack", error.exit_code, error.message, error.hint, error.again_in)
    outcome = "Failed"
    if error.retryable:
        outcome = "Temporary"
    elif isinstance(error, Stalled):
        outcome = "Stalled"
    return Ending(outcome, error.exit_code, error.message, error.hint, error=error)


@dataclass(slots=True)
class Account:
    """What one pass did and saw, written down as it happens. `started`: wall time, `begun`: monotonic."""

    trigger: str
    started: float
    begun: float
    tip: Tip | None = None
    asked: bool = False
    plan: Plan = field(default_factory=Plan)
    outcomes: list[Outcome] = field(default_factory=list)
    observed: Observed = field(default_factory=Observed)
    trouble: LimpetError | None = None
    warnings: list[str] = field(default_factory=list)
    cautions: dict[str, None] = field(default_factory=dict)  # in their order, each once
    drift: set[str] = field(default_factory=set)
    failing: dict[str, str] = field(default_factory=dict)

    # --- what the steps write ---

    def asks(self) -> None:
        """The source is asked."""
        self.asked = True

    def fetched(self, tip: Tip) -> None:
        self.tip = tip

    def planned(self, plan: Plan) -> None:
        self.plan = plan
        self.cautions |= {str(caution): None for caution in plan.cautions}

    def planned_more(self, plan: Plan) -> None:
        """The rest of what was planned before."""
        self.plan = both(self.plan, plan)

    def left(self, remaining: Plan) -> None:
        """What stays refused after all was done."""
        self.plan = replace(self.plan, refusals=remaining.refusals, put_off=remaining.put_off)

    def did(self, outcomes: Iterable[Outcome]) -> None:
        for outcome in outcomes:
            self.outcomes.append(outcome)
            if outcome.result == "excused":
                self.warnings.append(f"{outcome.action.key}: {outcome.error}")

    def saw(self, observed: Observed) -> None:
        self.observed = observed

    def warn(self, warnings: Iterable[str]) -> None:
        self.warnings += warnings

    def drifted(self, names: Iterable[str]) -> None:
        """What differs and stays so."""
        self.drift.update(names)

    def found_failing(self, checks: dict[str, str]) -> None:
        """Checks of known good that fail now: name -> what is wrong."""
        self.failing = checks

    def went_on_after(self, error: LimpetError | None) -> None:
        """The pass met this, and went on; the first one counts."""
        self.trouble = self.trouble or error
