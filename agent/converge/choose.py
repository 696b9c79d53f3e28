"""Which release the host is to be brought to, and whether it may be started now.

A person's word comes first (`limpet rollback`), then what the branch says, unless that was rejected: then
known good is held.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from agent.converge import prefetch
from agent.converge.context import Session
from agent.decide import commit
from agent.decide.image_memory import always
from agent.errors import CORRECT_IT, HeldBack, Stalled
from agent.kinds.base import Target
from agent.model import Manifest, Observed, Release
from agent.store.state import Rejection


@dataclass(frozen=True, slots=True)
class Choice:
    """The release to bring the host to. `rejection`: of the branch's release, or of the one that is being
    undone, which is why known good is held instead.
    """

    release: Release
    target: Target
    rejection: Rejection | None = None


def choose(session: Session, manifest: Manifest, observed: Observed) -> Choice:
    """The release to bring the host to: what a person holds, else what the branch says, unless it was
    rejected.
    """
    if by_hand := held_by_hand(session):
        return by_hand
    state, good, tip = session.state, session.known_good, session.tip
    assert tip is not None
    earlier: dict[str, str] = {}
    for known in filter(None, (good, state.attempt.release if state.attempt else None)):
        same = known.manifest_digest == manifest.digest
        earlier = {**earlier, **known.lock} if same else {**known.lock, **earlier}
    said = state.images.last_resolved(
        manifest, begun=manifest.digest in [release.manifest_digest for release in begun(session)]
    )
    resolved = prefetch.lock(manifest, observed, earlier, said)
    release = Release(manifest.digest, resolved, tip.revision, session.clock.wall())
    if good is not None and (refused := rejection(session, release, manifest)):
        held = session.held(good)
        if held.manifest.digest != good.manifest_digest:
            raise Stalled(
                "the manifest of known good was lost on this host, and the branch's release was rejected: "
                f"{refused.reason}",
                CORRECT_IT,
                code="ManifestMissing",
            )
        return Choice(good, held, refused)
    return Choice(release, Target(manifest, release.lock))


def held_by_hand(session: Session) -> Choice | None:
    """The release that `limpet rollback` holds; a branch that has moved since ends it, and so does the loss
    of its manifest.
    """
    state, tip = session.state, session.tip
    held = state.held
    if held is None:
        return None
    release = next((good for good in state.known_good if good.id == held.release), None)
    target = session.held(release)
    moved = tip is not None and held.revision not in ("", tip.revision)
    if release is None or moved or target.manifest.digest != release.manifest_digest:
        state.held = None
        return None
    last = f"{session.settings.source.ref_name}@sha1:{session.fetched_tip}" if session.fetched_tip else ""
    state.held = replace(held, revision=held.revision or (tip.revision if tip else last))
    return Choice(release, target)


def rejection(session: Session, release: Release, manifest: Manifest) -> Rejection | None:
    """Why this release must not be tried again; while an image is not resolved, or what its registry said to
    `always` is not known, the manifest alone decides: nothing is pulled for what was rejected.
    """
    rejected = session.state.rejected
    unknown = always(manifest) - session.state.images.asked.keys()
    if not unknown and all(image in release.lock for image in manifest.images()):
        return rejected.get(release.id)
    return next((r for r in rejected.values() if r.manifest_digest == release.manifest_digest), None)


def begun(session: Session) -> list[Release]:
    """The releases that have been started here: known good, and the attempt at hand."""
    attempt = session.state.attempt
    return [release for release in (session.known_good, attempt.release if attempt else None) if release]


def may_start(session: Session, *, begun: bool) -> None:
    """Windows hold back only the start of a release. Errors: HeldBack."""
    windows, tip = session.settings.converge.windows, session.tip
    if not windows or session.state.held or begun:
        return
    if tip is not None and session.settings.policy.trailers and commit.is_urgent(tip.message):
        return
    from agent.settings.windows import closed

    if held := closed(windows, session.clock.wall()):
        raise HeldBack(
            f"a new release waits: {held.reason}",
            "`Limpet-Urgent: yes` in the newest commit's message goes past windows",
            held.again_in,
        )
