"""What a pass works with: one installation and its memory. What a pass learns is not here: steps return it.

`plan_for` is the one way from a target to a plan: observe, take over, plan, brakes; `execute` the one from
there to the host.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace

from agent.clock import Clock
from agent.converge.account import Account
from agent.converge.apply import apply
from agent.converge.desired import Desired, Tip
from agent.decide import left_behind, ownership, trailers
from agent.decide.brakes import BrakePolicy, brakes
from agent.decide.plan import plan
from agent.drivers.host import Host
from agent.drivers.observe import Look
from agent.errors import Interrupted, LimpetError, Stalled
from agent.installation import Paths
from agent.kinds import adoption, claims, lenders, readers
from agent.kinds.base import Target, View
from agent.kinds.hooks import POST_START
from agent.model import PATH_KINDS, Action, Manifest, Outcome, Plan, Release
from agent.observed import Observed
from agent.report.heartbeat_writer import Reporter
from agent.report.progress import Progress, Told
from agent.revision import Revision
from agent.settings.values import Settings
from agent.store.inventory import InventoryStore
from agent.store.journal import Journal
from agent.store.state import State, StateStore


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the branch says, as far as it is known.

    tip: its newest commit; None when the source did not answer, or was not asked.
    manifest: what that renders to on this host; None when it cannot be rendered.
    repository: the name of the repository with which it was rendered.
    newest: the commit that the last fetch of any process brought; another one while the gate waits is a
        newer revision.
    trouble: why the pass goes on with what the host held before, or with images that are not refreshed.
    """

    tip: Tip | None = None
    manifest: Manifest | None = None
    repository: str = ""
    newest: str = ""
    trouble: LimpetError | None = None


@dataclass(frozen=True, slots=True)
class Executed:
    """What came of actions: the ids of those that are done, and why the others are not."""

    done: frozenset[int] = frozenset()
    failure: LimpetError | None = None

    def blamed(self) -> LimpetError | None:
        """The failure for which the release is to blame. Errors: Transient, Interrupted: what may pass."""
        if self.failure is not None and self.failure.retryable:
            raise self.failure
        return self.failure


class Context:
    """One installation, under the pass lock: where it is, what it may do, what it remembers."""

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
        """
        paths, settings: where things lie, and the host owner's word.
        host: the machine, as drivers see it.
        desired: the source, and what it renders to.
        clock, progress, reporter: time, what a person sees meanwhile, the heartbeat.
        cancel: set when the pass is asked to stop.
        """
        self.paths, self.settings, self.host, self.desired = paths, settings, host, desired
        self.clock, self.reporter, self.cancel = clock, reporter, cancel
        self.progress = Told(progress, self._waiting, clock.monotonic)
        self.store, self.inventory = StateStore(paths.state), InventoryStore(paths.state)
        self.journal = Journal(paths.journal)
        self.state = State()
        self.damaged: list[str] = []  # what was found broken of the memory, each once

    # --- memory ---

    def load(self) -> None:
        """Reads state and inventory; says what is damaged. Errors: Stalled (newer schema)."""
        self.state = self.store.load()
        self.inventory.load()
        for note in (*self.store.damaged, *self.inventory.damaged):
            self.damage(note)

    def damage(self, note: str) -> None:
        """Says once, in the log and in the heartbeat, what was found broken."""
        if note not in self.damaged:
            self.damaged.append(note)
            self.progress.step(note)

    def save(self) -> None:
        """Makes the state durable. Errors: Transient, Stalled."""
        self.store.save(self.state)

    def settle(self) -> None:
        """After the first converged pass of this version, writes the documents as this version does."""
        self.store.settle(self.state)
        self.inventory.settle()

    def target(self, release: Release | None) -> Target:
        """A remembered release with its manifest; without one when there is none or its manifest was lost."""
        if release is None:
            return Target()
        try:
            manifest = self.desired.manifests.get(release.manifest_digest)
        except Stalled as damage:
            self.damage(damage.message)
            return Target(release=release)
        return Target(manifest, release.lock, release)

    @property
    def known_good(self) -> Release | None:
        """The newest release that has passed its gate."""
        return self.state.known_good[0] if self.state.known_good else None

    # --- what is said meanwhile ---

    def phase(self, name: str, wanted: Wanted, release: Release | None = None) -> None:
        """Says in the journal and in the heartbeat where the pass is."""
        self.journal.step(name)
        revision = release.revision if release else Revision()
        if wanted.tip:
            revision = wanted.tip.revision
        self.reporter.phase(name, revision=revision, release=release.id if release else "")

    def _waiting(self, text: str) -> None:
        with suppress(LimpetError):  # a heartbeat that cannot be written does not end a pass
            self.reporter.waiting(text)

    # --- looking ---

    def look(self, targets: Iterable[Target], *, deep: bool = False) -> Look:
        """What must be looked at for these releases and for all that is owned. `deep`: also at the details of
        containers.
        """
        targets = list(targets)
        manifests = [target.manifest for target in targets]
        keys = {key for manifest in manifests for key in manifest.resources} | set(self.inventory.entries)
        owned = self.inventory.entries.items()
        containers = [resource for manifest in manifests for resource in manifest.of_kind("container")]
        held = {claim for entry in self.inventory.entries.values() for claim in entry.claims}
        return Look(
            frozenset(key.name for key in keys if key.kind in PATH_KINDS),
            tuple(sorted({image for manifest in manifests for image in manifest.images()})),
            deep,
            adopted={
                (key.kind, entry.adopted["id"]): (key.name, entry) for key, entry in owned if entry.adopted
            },
            adopting=frozenset(handle for manifest in manifests for handle in adoption.handles(manifest)),
            closely=lenders.concerned(manifests),
            ports=frozenset(
                claim for claim in held.union(*(r.claims for r in containers)) if claim.startswith("port/")
            ),
            devices=frozenset(
                path for each in containers for path in claims.device_paths(each.spec["config"])
            ),
            users=frozenset(reference for target in targets for reference in readers.asked(target)),
            data=self._new_data(manifests),
        )

    def _new_data(self, manifests: Iterable[Manifest]) -> frozenset[str]:
        """The places of data that known good does not have. Those that it has are never touched: one may be a
        mount that hangs.
        """
        wanted = {path for manifest in manifests for path in left_behind.data_paths(manifest)}
        known = left_behind.data_paths(self.target(self.known_good).manifest) if wanted else set()
        return frozenset(wanted - known)

    def observe(self, target: Target, *, deep: bool = False) -> Observed:
        """One snapshot of the host. Errors: Transient."""
        return self.host.observe(self.look([target], deep=deep))

    # --- deciding ---

    def plan_for(
        self,
        wanted: Wanted,
        target: Target,
        known_good: Target,
        *,
        applied: Target | None = None,
        observed: Observed | None = None,
    ) -> tuple[View, Plan]:
        """Observes, takes over, plans, brakes. Errors: Transient.

        wanted: what the branch says; its newest commit may allow deletions.
        target: the release to bring the host to.
        known_good: the release to which the host goes back.
        applied: the release that is rolled back; default: what the host was brought to last, by the state.
        observed: a snapshot that shows all that the target needs; default: a new one.
        """
        if observed is None or readers.unseen(target, observed):
            observed = self.observe(target)
        policy = self.policy(
            wanted, undoing=applied is not None, repairing=applied is None and target.same(known_good)
        )
        applied = applied or self.target(self.state.applied)
        target, applied, known_good = (
            readers.with_owners(held, observed) for held in (target, applied, known_good)
        )
        view = View(target, observed, self.inventory.entries, applied, known_good, ran=self.state.ran)
        view = adoption.take_over(view)
        view = replace(view, past=self._past(view.observed, (target, applied, known_good)))
        return view, brakes(plan(view, self.settings.gate.deadline), view, policy)

    def _past(self, observed: Observed, known: Iterable[Target]) -> tuple[Target, ...]:
        """The other releases that are remembered; none is read unless a container belongs to none of
        `known`.
        """
        digests = {resource.digest for target in known for resource in target.manifest.resources.values()}
        if all(c.digest in digests for c in observed.containers if c.owned and c.name == c.key_name):
            return ()
        return tuple(self.target(release) for release in self.state.releases())

    def policy(self, wanted: Wanted, *, undoing: bool = False, repairing: bool = False) -> BrakePolicy:
        """The host owner's word, what the newest commit allows where the owner lets it, and what flaps while
        drift is repaired.
        """
        converge, policy = self.settings.converge, self.settings.policy
        message = wanted.tip.message if wanted.tip and policy.trailers else ""
        now = self.clock.wall()
        frozen = {name: s.reason for name, s in self.state.suspended.items() if name != "*" and s.holds(now)}
        return BrakePolicy(
            converge.prune,
            converge.max_prune,
            trailers.allowed_prunes(message),
            policy.files_deny,
            None,
            frozen,
            undoing,
            self.flapping() if repairing else {},
        )

    def flapping(self) -> dict[str, int]:
        """What must not be corrected now, and how often it was."""
        return self.state.flapping.wanting(self.clock.monotonic(), self.clock.boot_id())

    # --- doing ---

    def execute(self, account: Account, actions: list[Action], manifest: Manifest) -> Executed:
        """Acts on the host, as far as it goes."""
        outcomes = apply(actions, manifest, self.host, self.journal, self.progress, self.cancel)
        account.did(outcomes)
        failure = _failure(outcomes)
        if any(outcome.action.verb == POST_START for outcome in outcomes):
            try:
                observed = self.observe(Target(manifest))
                account.saw(observed)
                self.inventory.own(ownership.hooked(outcomes, observed, self.inventory.entries))
            except LimpetError as error:
                failure = failure or error
        done = frozenset(outcome.action.id for outcome in outcomes if outcome.result in ("done", "excused"))
        return Executed(done, failure)


def _failure(outcomes: list[Outcome]) -> LimpetError | None:
    """What ended the work: trouble that may pass before what is the release's own."""
    failed = [outcome.error for outcome in outcomes if outcome.result == "failed"]
    errors = [error for error in failed if isinstance(error, LimpetError)]
    if errors:
        return next((error for error in errors if error.retryable), errors[0])
    if any(outcome.result == "skipped" for outcome in outcomes):
        return Interrupted("the pass was asked to stop", "the next pass goes on where it stopped")
    return None
