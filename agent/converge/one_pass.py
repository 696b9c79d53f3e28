"""One pass, top to bottom; with `transaction`, the only module that knows all the steps.

    fetch -> verify -> render       `_wanted`: what the branch says (`desired`)
    choose                          `choice.choose`: that, or known good when it was rejected, or what a
    person holds observe -> plan -> brakes       `Session.decide` prefetch                        `_prepare`:
    images and candidates; nothing is touched before this is done apply -> gate -> commit
    `transaction.attempt`, or `transaction.repair` when the release is known good
      or roll back, `prune`
    report                          `_report`

Rules:
1. Trouble before `apply` leaves the running set alone: the pass goes on with what it held before, repairs its
   drift, and ends with the trouble's exit code.
2. A release goes through the gate unless it is known good already. Repairing drift of known good needs no
   gate.
3. A pass remembers nothing in memory: what a killed pass leaves is in the state and on the host.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from agent.clock import Clock
from agent.converge import prefetch, recover, transaction
from agent.converge.account import counts, report_pass, sentence
from agent.converge.choose import Choice, begun, choose, held_by_hand, may_start
from agent.converge.context import Session
from agent.converge.desired import Desired
from agent.converge.prune import collect
from agent.converge.transaction import Ending
from agent.converge.watch_gate import Superseded
from agent.decide import commit
from agent.decide.image_memory import always, short_id
from agent.drivers.host import RealHost
from agent.errors import (
    CORRECT_IT,
    EXIT_HELD_BACK,
    EXIT_OK,
    EXIT_ROLLED_BACK,
    HeldBack,
    Interrupted,
    LimpetError,
    Stalled,
)
from agent.fetch.address import repo_name, shown_url
from agent.installation import Paths, instance, machine_id
from agent.kinds.base import Target, View
from agent.model import Manifest, Observed, Plan
from agent.report.progress import Progress
from agent.report.writer import Reporter
from agent.settings.values import Settings

ASK_AT_MOST = 60.0  # seconds between two passes for the sake of `pull_policy`, at least
ROUNDS = 5  # passes in a row when newer revisions cancel the gate


@dataclass(frozen=True, slots=True)
class PassResult:
    """How a pass ended. `observed`: the commit it worked on; `again_in`: seconds after which another pass
    makes sense. `corrected`: how many resources had drifted and were repaired.
    """

    exit_code: int
    sentence: str
    outcome: str
    observed: str = ""
    again_in: float | None = None
    corrected: int = 0


@dataclass(frozen=True, slots=True)
class Prepared:
    """A release that can be applied: planned, its images on the host, its candidates checked."""

    choice: Choice
    view: View
    plan: Plan


def run_pass(
    paths: Paths,
    settings: Settings,
    *,
    trigger: str,
    reporter: Reporter,
    clock: Clock,
    progress: Progress,
    cancel: threading.Event,
) -> PassResult:
    """One pass under the pass lock, which the caller holds. Errors that a pass meets are in its result; only
    a state that cannot be read or written raises (Stalled, Transient).
    """
    desired = Desired(paths, settings, cancel)
    host = RealHost(paths, settings.engine, desired.content, instance(paths), cancel)
    try:
        for _ in range(ROUNDS):
            session = Session(paths, settings, host, desired, clock, progress, reporter, cancel)
            ending = _one_round(session, trigger)
            if ending.outcome != "Superseded":
                break
            trigger = "revision"
        observed = session.tip.commit if session.tip else ""
        return PassResult(
            ending.exit_code,
            sentence(session, ending),
            ending.outcome,
            observed,
            ending.again_in,
            counts(session)["corrective"],
        )
    finally:
        host.close()


def _one_round(session: Session, trigger: str) -> Ending:
    started, begun = session.clock.wall(), session.clock.monotonic()
    session.load()
    session.journal.start(f"{trigger} pass")
    try:
        ending = converge(session)
        if ending.exit_code == EXIT_OK:
            session.settle()
    except Superseded:
        ending = Ending("Superseded", EXIT_HELD_BACK, "a newer revision arrived")
    except LimpetError as error:
        session.record.trouble = error
        ending = (
            of_error(error)
            if isinstance(error, Interrupted)
            else transaction.unfinished(session, of_error(error))
        )
    session.state.count(passes=1)
    ending = report_pass(session, ending, trigger, started, session.clock.monotonic() - begun)
    session.journal.finish(ending.outcome)
    return ending


def of_error(error: LimpetError) -> Ending:
    """How a pass ends that met this error."""
    if isinstance(error, HeldBack):
        return Ending("HeldBack", error.exit_code, error.message, error.hint, error.again_in)
    outcome = "Temporary" if error.retryable else "Stalled" if isinstance(error, Stalled) else "Failed"
    return Ending(outcome, error.exit_code, error.message, error.hint)


def converge(session: Session) -> Ending:
    """The steps. Errors: LimpetError that left everything as it was, or that the next pass goes on from;
    Superseded.
    """
    _supported(session.settings)
    _same_machine(session)
    if suspension := session.state.suspension("*", session.clock.wall()):
        return Ending("HeldBack", EXIT_HELD_BACK, f"suspended: {suspension.reason}", "limpet resume")
    session.inventory.tidy()
    if recover.inventory(session):
        session.inventory.save()
    trouble: LimpetError | None = None
    prepared: Prepared | None = None
    try:
        manifest, observed = _wanted(session)
        collect(session)
        observed = _ask(session, manifest, observed)
        choice = choose(session, manifest, observed)
        may_start(session, begun=choice.release.id in [release.id for release in begun(session)])
        if session.known_good and choice.release.id != session.known_good.id:
            recover.known_good(session, repo_name(session.settings.source.url))
        prepared = _prepare(
            session,
            choice,
            observed if choice.target.manifest is manifest else session.observe(choice.target),
        )
        trouble = session.record.trouble  # of a registry: the pass goes on with the images at hand
    except Interrupted:
        raise
    except LimpetError as error:
        if error.code == "RuntimeUnavailable":
            raise
        trouble = session.record.trouble = error
        session.progress.step(f"{error.message}; going on with what this host held before")
        prepared = _fall_back(session)
        if prepared is None:
            raise
    ending = _carry_out(session, prepared)
    if ending.exit_code == EXIT_OK and (held := session.state.held):
        ending = Ending(
            "HoldingKnownGood",
            EXIT_ROLLED_BACK,
            f"rolled back by hand: {held.reason}",
            "the next commit ends it; to follow the branch again at once: limpet retry",
        )
    if trouble is not None and ending.exit_code in (0, EXIT_HELD_BACK):
        return of_error(trouble)
    return _asking_again(session, ending) if trouble is None else ending


def _supported(settings: Settings) -> None:
    """A setting that had no effect would be worse than none. Errors: Stalled."""
    unsupported = {
        "converge.min_age": settings.converge.min_age > 0,
        "policy.trust": settings.policy.trust != "repository",
        "source.verify": settings.source.verify != "none",
    }
    for name, used in unsupported.items():
        if used:
            raise Stalled(
                f"{name} is not supported by this version", "leave it out of limpet.toml", code="Unsupported"
            )


def _same_machine(session: Session) -> None:
    """A copied machine stalls instead of acting as the original."""
    here = machine_id(session.paths)
    if session.state.machine_id and session.state.machine_id != here:
        raise Stalled(
            "this state belongs to another machine: the host was copied or restored on other hardware",
            f"on a copy: remove {session.paths.state} and run `limpet sync`",
            code="OtherMachine",
        )
    session.state.machine_id = here


def _wanted(session: Session) -> tuple[Manifest, Observed]:
    """Fetch and render, and meanwhile a first look at the host. Errors: LimpetError."""
    source, state = session.settings.source, session.state
    likely = session.held(state.attempt.release if state.attempt else session.known_good)
    with ThreadPoolExecutor(1, thread_name_prefix="observe") as pool:
        looking: Future[Observed] = pool.submit(session.observe, likely)
        session.journal.step("fetch")
        session.record.fetched = False
        session.tip = session.desired.fetch(state.pin_for(shown_url(source.url), source.ref))
        state.flapping.moved(session.tip.commit)
        session.record.fetched = session.source_answered = True
        session.fetched_tip = session.desired.newest_observed()
        if session.settings.policy.trailers:
            state.retry_once(commit.retries(session.tip.message), session.tip.commit)
        session.journal.step("render")
        manifest = session.desired.render(session.tip, repo_name(source.url))
        session.record.warnings += manifest.warnings
        session.wanted = manifest
        observed = looking.result()
    wanted, seen = session.look([Target(manifest)]), session.look([likely])
    complete = (
        wanted.paths <= seen.paths
        and set(wanted.images) <= set(seen.images)
        and wanted.adopting <= seen.adopting
    )
    return manifest, observed if complete else session.observe(Target(manifest))


def preview(session: Session) -> tuple[Choice, View, Plan]:
    """What a pass would do now, touching nothing. Errors: LimpetError."""
    session.load()
    recover.inventory(session)
    manifest, observed = _wanted(session)
    choice = choose(session, manifest, observed)
    observed = observed if choice.target.manifest is manifest else session.observe(choice.target)
    view, plan = session.decide(choice.target, session.held(session.known_good), observed=observed)
    prefetch.check_engine(plan, choice.target.manifest, observed)
    return choice, view, plan


def to_ask(session: Session, manifest: Manifest, observed: Observed) -> tuple[set[str], set[str]]:
    """The references that a pass asks registries for: because the manifest is new, and because their time has
    come. None while a person holds a release.
    """
    if held_by_hand(session):
        return set(), set()
    known = {release.manifest_digest for release in begun(session)}
    known |= {rejection.manifest_digest for rejection in session.state.rejected.values()}
    new = always(manifest) if manifest.digest not in known else set()
    return new, session.state.images.due(manifest, observed, session.clock.wall())


def _ask(session: Session, manifest: Manifest, observed: Observed) -> Observed:
    """Asks registries what `pull_policy` wants to be asked now; the host as it is after that. Of what is
    refreshed, one that does not answer is reported, and the image at hand stays. Errors: LimpetError of what
    a new manifest must ask.
    """
    new, due = to_ask(session, manifest, observed)
    if not new | due:
        return observed
    if new:
        may_start(session, begun=False)
    session.phase("prefetch")
    _, errors = prefetch.pull(new | due, session)
    for reference, error in errors.items():
        if reference in new or error.code == "RuntimeUnavailable":
            raise error
        session.record.trouble = session.record.trouble or error
        session.progress.step(f"{error.message}; going on with the image at hand")
    return session.observe(Target(manifest))


def _asking_again(session: Session, ending: Ending) -> Ending:
    """With the time of the next question to a registry; there is none while a person holds a release."""
    wanted = None if session.state.held else session.wanted
    due = session.state.images.next_due(wanted, session.clock.wall()) if wanted else None
    if due is None or ending.exit_code not in (0, EXIT_ROLLED_BACK):
        return ending
    return replace(ending, again_in=max(due, ASK_AT_MOST))


def _prepare(session: Session, choice: Choice, observed: Observed) -> Prepared:
    """Plans, pulls what is missing, checks the candidates. Nothing is touched. Errors: LimpetError."""
    release, target = choice.release, choice.target
    good = session.held(session.known_good)
    view, plan = session.decide(target, good, observed=observed)
    session.record.plan = plan
    prefetch.check_engine(plan, target.manifest, observed)
    errors: Mapping[str, LimpetError] = {}
    if missing := prefetch.missing(plan, target.manifest, observed, target.lock):
        prefetch.feasible(plan, view, session)
        session.phase("prefetch", release)
        pulled, errors = prefetch.pull(missing, session)
        if target.manifest is not session.wanted:
            _check_same(target.lock, pulled)
        target = Target(target.manifest, {**target.lock, **pulled})
        choice = replace(choice, release=replace(release, lock=target.lock), target=target)
        view, plan = session.decide(target, good)
        plan = prefetch.feasible(plan, view, session, errors)
        session.record.plan = plan
    prefetch.check_candidates(plan, target.manifest, session.host)
    return Prepared(choice, view, prefetch.feasible(plan, view, session))


def _check_same(lock: Mapping[str, str], pulled: Mapping[str, str]) -> None:
    """What is held because of an earlier pass has its own images and no others. Errors: Stalled."""
    for reference, image_id in pulled.items():
        if lock.get(reference, image_id) != image_id:
            was, now = short_id(lock[reference]), short_id(image_id)
            raise Stalled(
                f"image {reference} as it was released ({was}) is not on this host any more, and its "
                f"registry has {now}"
                " by that name",
                "load it (docker load), or push a commit that names one that can be had",
                code="ImageMissing",
            )


def _fall_back(session: Session) -> Prepared | None:
    """What a person holds, or what the host held before: the attempt at hand, else known good; None when
    there is neither. A rollback that was begun is finished.
    """
    if by_hand := held_by_hand(session):
        return _prepare(session, by_hand, session.observe(by_hand.target))
    attempt, good = session.state.attempt, session.known_good
    undoing = attempt is not None and attempt.phase == "rolling-back"
    release = attempt.release if attempt and not undoing else good
    target = session.held(release)
    if release is None or not (target.manifest.resources or undoing):
        return None
    rejection = session.state.rejected.get(attempt.release.id) if attempt and undoing else None
    return _prepare(session, Choice(release, target, rejection), session.observe(target))


def _carry_out(session: Session, prepared: Prepared) -> Ending:
    view, plan, state, good = prepared.view, prepared.plan, session.state, session.known_good
    release, rejection = prepared.choice.release, prepared.choice.rejection
    session.following = rejection is None and state.held is None
    if rejection and state.attempt and state.attempt.phase == "rolling-back":
        return transaction.roll_back(session, rejection.reason, "", session.held(state.attempt.release))
    attempting = good is None or release.id != good.id or state.attempt is not None
    if attempting:
        ending = transaction.attempt(session, release, view, plan)
    elif session.settings.converge.mode == "report" and plan.staged("apply"):
        session.record.drift = [str(change.key) for change in plan.changes if change.stage == "apply"]
        return Ending(
            "Converged",
            EXIT_HELD_BACK,
            f"{len(session.record.drift)} resources have drifted, and mode is report",
            'set converge.mode = "enforce" to have drift repaired',
        )
    else:
        ending = transaction.repair(session, view, plan)
    if rejection and ending.outcome == "Converged":
        if session.tip is not None:
            state.hold(rejection, session.tip.revision, session.clock.wall())
        return Ending("HoldingKnownGood", EXIT_ROLLED_BACK, rejection.reason, CORRECT_IT)
    if not attempting and session.tip is not None and session.record.trouble is None:
        transaction.prove(session, release)
    return ending
