"""What the steps of one pass share: the host, the stores, the state, and how they look at them.

`decide` is the one way from a target to a plan: observe, take over, plan, brakes; `execute` the one from
there to the host.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from agent.clock import Clock
from agent.converge.apply import apply
from agent.converge.desired import Desired, Tip
from agent.decide import commit, ownership
from agent.decide.brakes import BrakePolicy, brakes
from agent.decide.plan import plan
from agent.drivers.host import Host
from agent.drivers.observe import Look
from agent.errors import Interrupted, LimpetError, Stalled
from agent.installation import Paths
from agent.kinds import adoption
from agent.kinds.base import Target, View
from agent.kinds.hooks import POST_START
from agent.model import PATH_KINDS, Action, Manifest, Observed, Outcome, Plan, Release
from agent.report.progress import Progress, Told
from agent.report.writer import Reporter
from agent.settings.values import Settings
from agent.store.inventory import InventoryStore
from agent.store.journal import Journal
from agent.store.state import State, StateStore


@dataclass(slots=True)
class Record:
    """What the pass did, for the report."""

    plan: Plan = field(default_factory=Plan)
    outcomes: list[Outcome] = field(default_factory=list)
    trouble: LimpetError | None = None
    damaged: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    drift: list[str] = field(default_factory=list)
    red: dict[str, str] = field(default_factory=dict)  # checks of known good that fail: name -> what is wrong
    fetched: bool | None = None


class Session:
    """One pass on one installation, under the pass lock."""

    def __init__(
        self,
        paths: Paths,
        settings: Settings,
        host: Host,
        desired: Desired,
        clock: Clock,
        progress: Progress,
        reporter: Reporter,
        cancel: threading.Event,
    ) -> None:
        self.paths, self.settings, self.host, self.desired = paths, settings, host, desired
        self.clock, self.reporter, self.cancel = clock, reporter, cancel
        self.progress = Told(progress, self._waiting, clock.monotonic)
        self.store, self.inventory, self.journal = (
            StateStore(paths.state),
            InventoryStore(paths.state),
            Journal(paths.journal),
        )
        self.state = State()
        self.record = Record()
        self.tip: Tip | None = None
        self.wanted: Manifest | None = None  # what the branch says, once it is rendered
        self.observed = Observed()
        self.fetched_tip = desired.newest_observed()  # another one while the gate waits is a newer revision
        self.following = (
            True  # what is applied is what the branch says, not what a person or a rejection holds
        )
        self.source_answered = False  # the source answered before anything was touched

    def load(self) -> None:
        """State and inventory; damage is noted. Errors: Stalled (newer schema)."""
        self.state = self.store.load()
        self.inventory.load()
        for note in (*self.store.damaged, *self.inventory.damaged):
            self.damage(note)

    def damage(self, note: str) -> None:
        """Says once, in the log and in the heartbeat, what was found broken."""
        if note not in self.record.damaged:
            self.record.damaged.append(note)
            self.progress.step(note)

    def save(self) -> None:
        self.store.save(self.state)

    def _waiting(self, text: str) -> None:
        with suppress(LimpetError):  # a heartbeat that cannot be written does not end a pass
            self.reporter.waiting(text)

    def settle(self) -> None:
        """After a first converged pass of this version, the documents are written as it writes them."""
        self.store.settle(self.state)
        self.inventory.settle()

    def held(self, release: Release | None) -> Target:
        """A remembered release with its manifest; empty when there is none or its manifest was lost."""
        if release is None:
            return Target()
        try:
            return Target(self.desired.manifests.get(release.manifest_digest), release.lock)
        except Stalled as damage:
            self.damage(damage.message)
            return Target()

    @property
    def known_good(self) -> Release | None:
        return self.state.known_good[0] if self.state.known_good else None

    def phase(self, name: str, release: Release | None = None) -> None:
        """Says in the journal and in the heartbeat where the pass is."""
        self.journal.step(name)
        revision = self.tip.revision if self.tip else release.revision if release else ""
        self.reporter.phase(name, revision=revision, release=release.id if release else "")

    def look(self, targets: Iterable[Target], *, deep: bool = False) -> Look:
        """What must be looked at for these releases and all that is owned."""
        manifests = [held.manifest for held in targets]
        keys = {key for manifest in manifests for key in manifest.resources} | set(self.inventory.entries)
        paths = frozenset(key.name for key in keys if key.kind in PATH_KINDS)
        images = tuple(sorted({image for manifest in manifests for image in manifest.images()}))
        owned = self.inventory.entries.items()
        adopted = {
            (key.kind, entry.adopted["id"]): (key.name, entry) for key, entry in owned if entry.adopted
        }
        adopting = frozenset(handle for manifest in manifests for handle in adoption.handles(manifest))
        return Look(paths, images, deep, adopted=adopted, adopting=adopting)

    def observe(self, target: Target, *, deep: bool = False) -> Observed:
        """One snapshot, kept as the newest."""
        self.observed = self.host.observe(self.look([target], deep=deep))
        return self.observed

    def decide(
        self,
        target: Target,
        known_good: Target,
        *,
        applied: Target | None = None,
        observed: Observed | None = None,
    ) -> tuple[View, Plan]:
        """Observe (unless given), take over, plan, brake. `applied`: the release that is rolled back;
        default: what the host was brought to last, as the state says.
        """
        observed = observed or self.observe(target)
        policy = self.policy(
            undoing=applied is not None, repairing=applied is None and target.same(known_good)
        )
        applied = applied or self.held(self.state.applied)
        view = adoption.take_over(
            View(target, observed, self.inventory.entries, applied, known_good, ran=self.state.ran)
        )
        self.observed = view.observed
        view = replace(view, past=self._past(view.observed, (target, applied, known_good)))
        return view, brakes(plan(view, self.settings.gate.deadline), view, policy)

    def execute(self, actions: list[Action], manifest: Manifest) -> LimpetError | None:
        """Acts on the host and notes what came of it; the failure that is the release's own. Errors:
        Transient, Interrupted.
        """
        outcomes = apply(actions, manifest, self.host, self.journal, self.progress, self.cancel)
        self.record.outcomes += outcomes
        if any(outcome.action.verb == POST_START for outcome in outcomes):
            self.inventory.own(
                ownership.hooked(outcomes, self.observe(Target(manifest)), self.inventory.entries)
            )
        self.record.warnings += [
            f"{outcome.action.key}: {outcome.error}" for outcome in outcomes if outcome.result == "excused"
        ]
        failed = [outcome.error for outcome in outcomes if outcome.result == "failed"]
        errors = [error for error in failed if isinstance(error, LimpetError)]
        self.record.trouble = self.record.trouble or (errors[0] if errors else None)
        for error in errors:
            if error.retryable:
                raise error
        if errors:
            return errors[0]
        if any(outcome.result == "skipped" for outcome in outcomes):
            raise Interrupted("the pass was asked to stop", "the next pass goes on where it stopped")
        return None

    def _past(self, observed: Observed, known: Iterable[Target]) -> tuple[Target, ...]:
        """The other releases that are remembered, when a running container belongs to none of `known`; else
        none is read.
        """
        digests = {resource.digest for held in known for resource in held.manifest.resources.values()}
        if all(c.digest in digests for c in observed.containers if c.owned and c.state == "running"):
            return ()
        return tuple(self.held(release) for release in self.state.releases())

    def policy(self, *, undoing: bool = False, repairing: bool = False) -> BrakePolicy:
        """The host owner's word, what the newest commit allows where the owner lets it, and what flaps while
        drift is repaired.
        """
        converge, policy = self.settings.converge, self.settings.policy
        allowed = commit.allowed_prunes(self.tip.message) if self.tip and policy.trailers else 0
        now = self.clock.wall()
        held = {name: s.reason for name, s in self.state.suspended.items() if name != "*" and s.holds(now)}
        return BrakePolicy(
            converge.prune,
            converge.max_prune,
            allowed,
            policy.files_deny,
            None,
            held,
            undoing,
            self.flapping() if repairing else {},
        )

    def flapping(self) -> dict[str, int]:
        """What must not be corrected now, and how often it was."""
        return self.state.flapping.wanting(self.clock.monotonic(), self.clock.boot_id())

    @property
    def commit(self) -> str:
        """Where the branch is, as far as it is known."""
        return self.tip.commit if self.tip else self.state.pin.commit if self.state.pin else ""
