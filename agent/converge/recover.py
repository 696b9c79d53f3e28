"""What was lost of what Limpet knows of this host, made good from what can be proved.

Rules:
1. A lost inventory is rebuilt before anything is decided (`ownership.rebuilt`), from the releases that the
   state remembers; when the state was lost too, from every manifest in the store. It is said what was rebuilt
   and what is not known any more.
2. An inventory that is not there is lost only when something shows that Limpet has worked here: else what a
   first pass finds would be taken for ours.
3. Before a release takes the place of known good, all of that is on this host. What is lost of it is rendered
   again from its commit, which is in the cache of the source.
"""

from __future__ import annotations

from agent.converge.context import Session
from agent.converge.desired import Tip
from agent.decide import ownership
from agent.drivers.observe import Look
from agent.errors import Interrupted, LimpetError
from agent.kinds.base import Target
from agent.model import EMPTY, PATH_KINDS, Release
from agent.store.history import History


def inventory(session: Session) -> bool:
    """Rebuilds what is owned when that was lost; whether it was. Not durable yet. Errors: Transient."""
    if session.store.missing and session.inventory.entries:
        session.damage(
            "the state is missing: pin, known good and rejected releases are not known; it starts anew"
        )
    if not _lost(session):
        return False
    remembered = [session.held(release) for release in session.state.releases()]
    remembered = remembered or [Target(manifest) for manifest in session.desired.manifests.all()]
    paths = {key.name for held in remembered for key in held.manifest.resources if key.kind in PATH_KINDS}
    observed = session.host.observe(Look(frozenset(paths)))
    found = ownership.rebuilt(remembered, session.held(session.known_good), observed)
    proved = sum(key.kind in PATH_KINDS for key in found)
    session.inventory.rebuild(found)
    session.damage(
        "the inventory was lost: what is owned was rebuilt from the labels on this host, and from "
        f"{proved} of "
        f"{len(paths)} paths, which are as a remembered release has them; other paths are taken for "
        "somebody else's, "
        "and what was saved of files that were there before Limpet does not come back"
    )
    return True


def _lost(session: Session) -> bool:
    state, store = session.state, session.store
    if session.inventory.lost or not session.inventory.missing:
        return session.inventory.lost
    applied = [release for release in (*state.known_good, state.applied) if release]
    if applied or not (store.missing or store.lost):
        return any(release.manifest_digest != EMPTY.digest for release in applied)
    return store.lost or bool(History(session.paths.history).tail(1))


def known_good(session: Session, repo_name: str) -> None:
    """Completes known good; says when that cannot be done. Errors: Interrupted."""
    good = session.known_good
    if good is None or _complete(session, good):
        return
    why = "rendered again from its commit it is another release"
    try:
        manifest = (
            EMPTY
            if good.manifest_digest == EMPTY.digest
            else session.desired.render(Tip(good.revision.partition("@sha1:")[2], good.revision), repo_name)
        )
        if session.desired.manifests.put(manifest) == good.manifest_digest:
            session.damage(
                f"what was lost of known good {good.revision} on this host was rendered again from its commit"
            )
            return
    except Interrupted:
        raise
    except LimpetError as error:
        why = error.message
    session.damage(
        f"known good {good.revision} is not complete on this host, and cannot be returned to: {why}"
    )


def _complete(session: Session, good: Release) -> bool:
    """Whether its manifest and every content are here and whole."""
    try:
        for digest in session.desired.manifests.get(good.manifest_digest).content():
            session.desired.content.get(digest)
    except LimpetError:
        return False
    return True
