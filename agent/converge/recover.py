"""Makes good, from what can be proved, what Limpet has lost of its knowledge of this host.

Rules:
1. A lost inventory is rebuilt before anything is decided (`ownership.rebuilt`), from the releases that the
   state remembers; when the state was lost too, from every manifest in the store. A note says what was
   rebuilt and what is not known any more.
2. A missing inventory counts as lost only when something shows that Limpet has worked here. Otherwise a first
   pass would take what it finds for ours.
3. Before a release takes the place of known good, all of known good is on this host. Its lost parts are
   rendered again from its commit, which is in the cache of the source.
"""

from __future__ import annotations

from agent.converge.context import Context
from agent.converge.desired import Tip
from agent.decide import ownership
from agent.drivers.observe import Look
from agent.errors import Interrupted, LimpetError
from agent.kinds import readers
from agent.kinds.base import Target
from agent.model import EMPTY, PATH_KINDS, Release
from agent.store.history import History


def inventory(context: Context) -> bool:
    """Rebuilds a lost inventory; returns whether it was lost. Not durable yet. Errors: Transient."""
    if context.store.missing and context.inventory.entries:
        context.damage(
            "the state is missing: pin, known good and rejected releases are not known; it starts anew"
        )
    if not _lost(context):
        return False
    remembered = [context.target(release) for release in context.state.releases()]
    remembered = remembered or [Target(manifest) for manifest in context.desired.manifests.all()]
    paths = {key.name for held in remembered for key in held.manifest.resources if key.kind in PATH_KINDS}
    observed = context.host.observe(Look(frozenset(paths)))
    remembered = [readers.with_owners(held, observed) for held in remembered]
    found = ownership.rebuilt(remembered, context.target(context.known_good), observed)
    proved = sum(key.kind in PATH_KINDS for key in found)
    context.inventory.rebuild(found)
    context.damage(
        "the inventory was lost: what is owned was rebuilt from the labels on this host, and from "
        f"{proved} of {len(paths)} paths, which are as a remembered release has them; other paths count as "
        "somebody else's, and the saved originals of files that were there before Limpet do not come back"
    )
    return True


def _lost(context: Context) -> bool:
    state, store = context.state, context.store
    if context.inventory.lost or not context.inventory.missing:
        return context.inventory.lost
    applied = [release for release in (*state.known_good, state.applied) if release]
    if applied or not (store.missing or store.lost):
        return any(release.manifest_digest != EMPTY.digest for release in applied)
    return store.lost or bool(History(context.paths.history).tail(1))


def known_good(context: Context, repo_name: str) -> None:
    """Completes known good; a note says when that cannot be done. Errors: Interrupted."""
    good = context.known_good
    if good is None or _complete(context, good):
        return
    why = "rendered again from its commit it is another release"
    try:
        manifest = (
            EMPTY
            if good.manifest_digest == EMPTY.digest
            else context.desired.render(Tip(good.revision.commit, good.revision), repo_name)
        )
        if context.desired.manifests.put(manifest) == good.whole.manifest_digest and _complete(context, good):
            context.damage(
                f"what was lost of known good {good.revision} on this host was rendered again from its commit"
            )
            return
    except Interrupted:
        raise
    except LimpetError as error:
        why = error.message
    context.damage(
        f"known good {good.revision} is not complete on this host, and cannot be returned to: {why}"
    )


def _complete(context: Context, good: Release) -> bool:
    """Whether its manifest and every content are here and whole."""
    try:
        for digest in context.desired.manifests.get(good.manifest_digest).content():
            context.desired.content.get(digest)
    except LimpetError:
        return False
    return True
