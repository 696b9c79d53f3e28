"""Which release the host is to be brought to, and whether it may be started now. Changes nothing.

A person's word comes first (`limpet rollback`), then what the branch says, as far as it can be brought in now
(`decide/hold.py`), unless that was rejected: then known good is held.
"""

from __future__ import annotations

from collections import ChainMap
from dataclasses import replace

from agent.converge import prefetch
from agent.converge.context import Context, Wanted
from agent.decide import hold, trailers
from agent.decide.handling import handling_of
from agent.decide.image_memory import always, local
from agent.errors import CORRECT_IT, HeldBack, Stalled
from agent.kinds.base import Target
from agent.model import Manifest, Release
from agent.observed import Observed
from agent.revision import Revision
from agent.store.verdicts import HandRollback, Rejection


def choose(
    context: Context, wanted: Wanted, held: HandRollback | None, observed: Observed
) -> tuple[Target, Rejection | None]:
    """The release to bring the host to: what a person holds, else what the branch says as far as it is
    possible now, unless that was rejected. With known good comes the rejection because of which it is held.
    Errors: Stalled, Transient.
    """
    if held is not None:
        return held_target(context, held), None
    good, tip, manifest = context.known_good, wanted.tip, wanted.manifest
    assert tip is not None and manifest is not None
    lock = _resolved(context, manifest, observed)
    release = Release(manifest.digest, lock, tip.revision, context.clock.wall())
    if good is not None and (refused := rejection(context, release, manifest)):
        return _instead(context, good, refused), refused
    target = _as_far_as_possible(context, wanted, Target(manifest, lock, release), observed)
    assert target.release is not None
    refused = rejection(context, target.release, target.manifest) if target.put_off else None
    if good is not None and refused is not None:
        return _instead(context, good, refused), refused
    return target, None


def _instead(context: Context, good: Release, refused: Rejection) -> Target:
    """Known good, which is held against a rejected release. Errors: Stalled."""
    target = context.target(good)
    if target.manifest.digest != good.manifest_digest:
        raise Stalled(
            "the manifest of known good was lost on this host, and the branch's release was rejected: "
            f"{refused.reason}",
            CORRECT_IT,
            code="ManifestMissing",
        )
    return target


def _as_far_as_possible(context: Context, wanted: Wanted, whole: Target, observed: Observed) -> Target:
    """The release without what is refused now. Errors: Transient."""
    good = context.target(context.known_good)
    if whole.same(good):
        return whole  # what is refused of it is drift
    target, seen = whole, observed
    while True:
        _, plan = context.plan_for(wanted, target, good, observed=seen)
        part = hold.possible(target, good, plan.refusals)
        if part is target:
            return target
        target, seen = part, context.observe(part)


def _resolved(context: Context, manifest: Manifest, observed: Observed) -> dict[str, str]:
    """Reference -> image id, of those that need no pull: as the releases that were begun had them."""
    known = [each for release in begun(context) for each in (release, release.whole)]
    same = [release for release in known if release.manifest_digest == manifest.digest]
    others = [release for release in known if release not in same]
    earlier = dict(ChainMap(*(dict(release.lock) for release in (*reversed(same), *others))))
    if not same:
        for reference in local(manifest) & observed.images.keys():  # it means what it means here now
            earlier.pop(reference, None)
    asked = context.state.images.last_resolved(manifest, begun=bool(same))
    return prefetch.lock(manifest, observed, earlier, asked)


def still_put_off(context: Context, wanted: Wanted, held: Target) -> Target:
    """A release, with what is still refused of the one that it is a part of: the branch is not known
    now. Errors: Transient.
    """
    if held.release is None or not held.release.part_of:
        return held
    whole = context.target(held.release.part_of)
    if not whole.manifest.resources:
        return held
    _, plan = context.plan_for(wanted, whole, held)
    return replace(held, put_off=hold.possible(whole, held, plan.refusals).put_off)


def _is_remade(reference: str, manifest: Manifest, observed: Observed) -> bool:
    """Whether a reference means what it means on this host now, and not what it meant before."""
    return reference in local(manifest) and reference in observed.images


def held_target(context: Context, held: HandRollback) -> Target:
    """The release that `limpet rollback` holds; an empty target when it is not known good any more."""
    return context.target(next((good for good in context.state.known_good if good.id == held.release), None))


def still_held(context: Context, wanted: Wanted) -> HandRollback | None:
    """The rollback by hand that holds now: a branch that has moved since ends it, and so does the loss of
    its manifest. The revision at which the branch is when it is seen first is noted in it.
    """
    held, tip = context.state.held, wanted.tip
    if held is None:
        return None
    target = held_target(context, held)
    moved = tip is not None and bool(held.revision) and held.revision != tip.revision
    if target.release is None or moved or target.manifest.digest != target.release.manifest_digest:
        return None
    newest = Revision(context.settings.source.ref_name, wanted.newest) if wanted.newest else Revision()
    return replace(held, revision=held.revision or (tip.revision if tip else newest))


def rejection(context: Context, release: Release, manifest: Manifest) -> Rejection | None:
    """Why this release must not be tried again. While an image is not resolved, or what its registry said to
    `always` is not known, the manifest alone decides: nothing is pulled for what was rejected. Where
    only its handling is another one, it gets another chance.
    """
    handling = handling_of(manifest)
    rejected = {id: r for id, r in context.state.rejected.items() if not r.handling or r.handling == handling}
    unknown = always(manifest) - context.state.images.asked.keys()
    if not unknown and all(image in release.lock for image in manifest.images()):
        return rejected.get(release.id)
    return next((r for r in rejected.values() if r.manifest_digest == release.manifest_digest), None)


def begun(context: Context) -> list[Release]:
    """The releases that have been started here: known good, and the attempt at hand."""
    attempt = context.state.attempt
    return [release for release in (context.known_good, attempt.release if attempt else None) if release]


def may_start(context: Context, wanted: Wanted, *, begun: bool) -> None:
    """Windows hold back only the start of a release. Errors: HeldBack."""
    windows, tip = context.settings.converge.windows, wanted.tip
    if not windows or context.state.held or begun:
        return
    if tip is not None and context.settings.policy.trailers and trailers.is_urgent(tip.message):
        return
    from agent.settings.windows import closed

    if held := closed(windows, context.clock.wall()):
        raise HeldBack(
            f"a new release waits: {held.reason}",
            "`Limpet-Urgent: yes` in the newest commit's message goes past windows",
            held.again_in,
        )
