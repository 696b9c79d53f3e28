"""Which release the host is to be brought to, and whether it may be started now. Changes nothing.

A person's word comes first (`limpet rollback`), then what the branch says, unless that was rejected: then
known good is held.
"""

from __future__ import annotations

from dataclasses import replace

from agent.converge import prefetch
from agent.converge.context import Context, Wanted
from agent.decide import trailers
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
    """The release to bring the host to: what a person holds, else what the branch says, unless it was
    rejected. With known good comes the rejection because of which it is held. Errors: Stalled.
    """
    if held is not None:
        return held_target(context, held), None
    good, tip, manifest = context.known_good, wanted.tip, wanted.manifest
    assert tip is not None and manifest is not None
    lock = _resolved(context, manifest, observed)
    release = Release(manifest.digest, lock, tip.revision, context.clock.wall())
    if good is not None and (refused := rejection(context, release, manifest)):
        target = context.target(good)
        if target.manifest.digest != good.manifest_digest:
            raise Stalled(
                "the manifest of known good was lost on this host, and the branch's release was rejected: "
                f"{refused.reason}",
                CORRECT_IT,
                code="ManifestMissing",
            )
        return target, refused
    return Target(manifest, lock, release), None


def _resolved(context: Context, manifest: Manifest, observed: Observed) -> dict[str, str]:
    """Reference -> image id, of those that need no pull: as the releases that were begun had them."""
    known = begun(context)
    earlier: dict[str, str] = {}
    for release in known:
        same = release.manifest_digest == manifest.digest
        earlier = {**earlier, **release.lock} if same else {**release.lock, **earlier}
    was_begun = manifest.digest in [release.manifest_digest for release in known]
    if not was_begun:
        anew = {reference for reference in earlier if _is_remade(reference, manifest, observed)}
        earlier = {reference: id for reference, id in earlier.items() if reference not in anew}
    asked = context.state.images.last_resolved(manifest, begun=was_begun)
    return prefetch.lock(manifest, observed, earlier, asked)


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
    `always` is not known, the manifest alone decides: nothing is pulled for what was rejected.
    """
    rejected = context.state.rejected
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
