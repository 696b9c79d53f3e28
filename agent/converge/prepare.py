"""What a pass goes for, made ready: fetched, rendered, chosen, planned, images pulled. Nothing is touched.

Rules:
1. Trouble with what the branch says leads to what the host held before: the attempt at hand, else known good.
   Its drift is repaired, and the pass ends with that trouble.
2. The host is looked at while the branch is fetched and rendered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from agent.converge import naming, prefetch, recover
from agent.converge.account import Account
from agent.converge.choose import begun, choose, held_target, may_start, still_held, still_put_off
from agent.converge.context import Context, Wanted
from agent.converge.prune import collect
from agent.decide import trailers
from agent.decide.image_memory import always, local, not_proved_yet, short_id
from agent.errors import Interrupted, LimpetError, Stalled
from agent.fetch.address import repo_name, shown_url
from agent.kinds.base import Target, View
from agent.model import Manifest, Plan
from agent.observed import Observed
from agent.settings.secret_files import open_secrets
from agent.store.verdicts import HandRollback, Rejection


def bring_in(context: Context, account: Account) -> tuple[Wanted, View, Plan, Rejection | None]:
    """What the branch says, and a release that can be applied: planned, its images on the host, its
    candidates checked. Trouble with the branch's release leads to what the host held before; it is in
    `Wanted.trouble` then. Errors: LimpetError when there is nothing to go on with.
    """
    wanted = Wanted(newest=context.desired.newest_observed())
    try:
        with FirstLook(context) as looking:
            wanted = fetch_tip(context, account)
            heed(context, wanted)
            wanted = render_tip(context, account, wanted, looking.result)
            observed = looking.observed(wanted)
        if wanted.repository != repo_name(context.settings.source.url):
            context.state.repository = wanted.repository
        context.state.held = still_held(context, wanted)
        collect(context, wanted)
        observed, trouble = _ask(context, account, wanted, observed)
        wanted = replace(wanted, trouble=trouble)
        target, rejection = choose(context, wanted, context.state.held, observed)
        assert target.release is not None
        may_start(context, wanted, begun=target.release.id in [release.id for release in begun(context)])
        if context.known_good and target.release.id != context.known_good.id:
            recover.known_good(context, wanted.repository)
        if target.manifest is not wanted.manifest:
            observed = context.observe(target, deep=True)
        view, plan, trouble = prepare_target(context, account, wanted, target, observed)
        return replace(wanted, trouble=wanted.trouble or trouble), view, plan, rejection
    except Interrupted:
        raise
    except LimpetError as error:
        if error.code == "RuntimeUnavailable":
            raise
        account.went_on_after(error)
        context.progress.step(f"{error.message}; going on with what this host held before")
        wanted = replace(wanted, trouble=error)
        context.state.held = still_held(context, wanted)
        found = _fall_back(context, account, wanted)
        if found is None:
            raise
        return wanted, *found


class FirstLook:
    """A look at the host while the branch is fetched and rendered: at what is likely to be brought in."""

    def __init__(self, context: Context) -> None:
        self._context = context
        attempt = context.state.attempt
        self._likely = context.target(attempt.release if attempt else context.known_good)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="observe")
        self._looking: Future[Observed] = self._pool.submit(context.observe, self._likely, deep=True)

    def __enter__(self) -> FirstLook:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def result(self) -> Observed:
        """What was seen. Errors: Transient."""
        return self._looking.result()

    def observed(self, wanted: Wanted) -> Observed:
        """What was seen, or a new look when that does not show all that is wanted. Errors: Transient."""
        observed, target = self.result(), Target(wanted.manifest) if wanted.manifest else Target()
        complete = self._context.look([self._likely]).shows(self._context.look([target]))
        return observed if complete else self._context.observe(target, deep=True)


def fetch_tip(context: Context, account: Account) -> Wanted:
    """The newest commit of the branch. Errors: Transient, Stalled."""
    source = context.settings.source
    context.journal.step("fetch")
    account.warn(open_secrets(context.settings, context.paths))
    account.asks()
    tip = context.desired.fetch(context.state.pin_for(shown_url(source.url), source.ref))
    account.fetched(tip)
    return Wanted(tip, newest=context.desired.newest_observed())


def heed(context: Context, wanted: Wanted) -> None:
    """What the newest commit says to the memory: another commit gives what flaps its chance, and its
    trailers may let rejected releases be tried again.
    """
    assert wanted.tip is not None
    context.state.flapping.moved(wanted.tip.commit)
    if context.settings.policy.trailers:
        context.state.retry_once(trailers.retries(wanted.tip.message), wanted.tip.commit)


def render_tip(context: Context, account: Account, wanted: Wanted, look: Callable[[], Observed]) -> Wanted:
    """With the manifest of the newest commit. `look`: what is on the host. Errors: BadInput, Stalled,
    Transient.
    """
    assert wanted.tip is not None
    context.journal.step("render")
    name, manifest = naming.rendered(context, wanted.tip, look)
    wanted = replace(wanted, manifest=manifest, repository=name)
    account.warn(warnings_of(context, wanted))
    return wanted


def warnings_of(context: Context, wanted: Wanted) -> list[str]:
    """What a person should know of what the branch says."""
    assert wanted.manifest is not None
    return [*wanted.manifest.warnings, *naming.told(context, wanted.repository, wanted.manifest)]


def to_ask(
    context: Context, wanted: Wanted, held: HandRollback | None, observed: Observed
) -> tuple[set[str], set[str]]:
    """The references that a pass asks registries for: because the manifest or its policy is new or a person
    wants it, and because their time has come. None while a person holds a release.
    """
    if held is not None or wanted.manifest is None:
        return set(), set()
    state = context.state
    known = {release.whole.manifest_digest for release in begun(context)}
    known |= {
        digest for each in state.rejected.values() for digest in (each.manifest_digest, each.whole_digest)
    }
    new = always(wanted.manifest) if wanted.manifest.digest not in known else set()
    new |= state.images.changed(wanted.manifest, "always") | asked_by_hand(context, wanted.manifest)
    return new, state.images.due(wanted.manifest, observed, context.clock.wall())


def asked_by_hand(context: Context, manifest: Manifest) -> set[str]:
    """The references that a person wants to be asked for again: those of what is not known good."""
    state, good = context.state, context.target(context.known_good)
    if not state.images.ask:
        return set()
    return not_proved_yet(manifest, good.manifest, good.lock, state.images.asked) - local(manifest)


def made_here(context: Context, manifest: Manifest, observed: Observed) -> set[str]:
    """The references that mean from this pass on what the host has by that name."""
    images, good = context.state.images, context.target(context.known_good)
    found = images.changed(manifest, "local")
    if images.ask:
        found |= not_proved_yet(manifest, good.manifest, good.lock, images.asked) & local(manifest)
    return found & observed.images.keys()


def _ask(
    context: Context, account: Account, wanted: Wanted, observed: Observed
) -> tuple[Observed, LimpetError | None]:
    """Asks registries what `pull_policy` wants to be asked now: the host as it is after that, and the first
    refresh that failed. The image at hand stays then. Errors: LimpetError of what must be asked.
    """
    manifest, images, held = wanted.manifest, context.state.images, context.state.held
    if held is not None or manifest is None:
        return observed, None
    new, due = to_ask(context, wanted, held, observed)
    by_hand, here = asked_by_hand(context, manifest), made_here(context, manifest, observed)
    again = {*images.changed(manifest, "always"), *by_hand, *here}
    for reference in here:
        images.answered(reference, observed.images[reference], context.clock.wall())
    if not new | due:
        images.settled(manifest, again)
        return observed, None
    if new:
        may_start(context, wanted, begun=False)
    context.phase("prefetch", wanted)
    pulled, errors = prefetch.pull(context, new | due, observed)
    dispensable = (by_hand - always(manifest)) & observed.images.keys() if images.ask == "may" else set()
    trouble = _go_on_without(context, account, errors, new - dispensable)
    images.settled(manifest, again & {*pulled, *here})
    return context.observe(Target(manifest)), trouble


def _go_on_without(
    context: Context, account: Account, errors: Mapping[str, LimpetError], needed: set[str]
) -> LimpetError | None:
    """The first question that failed and that is not `needed`. Errors: LimpetError of what is."""
    trouble: LimpetError | None = None
    for reference, error in errors.items():
        if reference in needed or error.code == "RuntimeUnavailable":
            raise error
        trouble = trouble or error
        account.went_on_after(error)
        context.progress.step(f"{error.message}; going on with the image at hand")
    return trouble


def prepare_target(
    context: Context, account: Account, wanted: Wanted, target: Target, observed: Observed
) -> tuple[View, Plan, LimpetError | None]:
    """Plans, pulls what is missing, checks the candidates. Nothing is touched. With it comes why a part of a
    repair is put off. Errors: LimpetError.
    """
    good, release = context.target(context.known_good), target.release
    view, plan = context.plan_for(wanted, target, good, observed=observed)
    account.saw(view.observed)
    account.planned(plan)
    prefetch.check_engine(plan, target.manifest, observed)
    trouble: LimpetError | None = None
    if missing := prefetch.missing(plan, target.manifest, observed, target.lock):
        _, trouble = _feasible(context, account, view, plan, {})
        context.phase("prefetch", wanted, release)
        pulled, errors = prefetch.pull(context, missing, view.observed)
        _check_same(target, wanted, pulled)
        target = target.resolved(pulled)
        seen = context.observe(target, deep=True)
        view, plan = context.plan_for(wanted, target, good, observed=seen)
        account.saw(view.observed)
        plan, late = _feasible(context, account, view, plan, errors)
        trouble = trouble or late
        account.planned(plan)
    prefetch.check_candidates(plan, target.manifest, context.host)
    plan, late = _feasible(context, account, view, plan, {})
    return view, plan, trouble or late


def _feasible(
    context: Context, account: Account, view: View, plan: Plan, errors: Mapping[str, LimpetError]
) -> tuple[Plan, LimpetError | None]:
    """The plan as far as it can be carried out now, and why not all of it. Errors: LimpetError of a
    release.
    """
    possible, trouble = prefetch.feasible(context, plan, view, errors)
    late = {str(change.key) for change in plan.changes} - {str(change.key) for change in possible.changes}
    account.drifted(late)
    account.went_on_after(trouble)
    return possible, trouble


def _check_same(target: Target, wanted: Wanted, pulled: Mapping[str, str]) -> None:
    """What is held because of an earlier pass has its own images and no others. Errors: Stalled."""
    follows = target.manifest is wanted.manifest or bool(target.put_off)
    new = set(wanted.manifest.images()) if follows and wanted.manifest else set()
    for reference, image_id in pulled.items():
        lock = {} if reference in new else target.lock
        if lock.get(reference, image_id) != image_id:
            was, now = short_id(lock[reference]), short_id(image_id)
            raise Stalled(
                f"image {reference} as it was released ({was}) is not on this host any more, and its "
                f"registry has {now} by that name",
                "load it (docker load), or push a commit that names one that can be had",
                code="ImageMissing",
            )


def _fall_back(
    context: Context, account: Account, wanted: Wanted
) -> tuple[View, Plan, Rejection | None] | None:
    """What a person holds, or what the host held before: the attempt at hand, else known good; None when
    there is neither. A rollback that was begun is finished.
    """
    if (chosen := held_now(context, wanted)) is None:
        return None
    target, rejection = chosen
    view, plan, _ = prepare_target(context, account, wanted, target, context.observe(target))
    return view, plan, rejection


def held_now(context: Context, wanted: Wanted) -> tuple[Target, Rejection | None] | None:
    """What a person holds, or what the host held before: the attempt at hand, else known good; with the
    rejection when a rollback was begun. None when there is neither. Errors: Transient.
    """
    held = context.state.held
    return (held_target(context, held), None) if held is not None else _held_before(context, wanted)


def _held_before(context: Context, wanted: Wanted) -> tuple[Target, Rejection | None] | None:
    """What the host holds without a person's word; with the rejection when a rollback to it was begun."""
    attempt, good = context.state.attempt, context.known_good
    if attempt and attempt.phase == "rolling-back":
        target = context.target(good)
        return (target, context.state.rejected.get(attempt.release.id)) if target.release else None
    target = still_put_off(context, wanted, context.target(attempt.release if attempt else good))
    return (target, None) if target.release and target.manifest.resources else None
