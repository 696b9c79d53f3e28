"""What nothing needs any more goes: resources and their ownership, manifests, contents, images.

It happens after the verdict (after a commit, a rollback or a repair), and what a killed pass left is looked
for by the next one.
"""

from __future__ import annotations

from dataclasses import replace

from agent.converge.context import Session
from agent.converge.prefetch import recover
from agent.decide import ownership
from agent.decide.image_memory import always, intervals
from agent.drivers.observe import Look
from agent.kinds import oneshots
from agent.kinds.base import Target, View
from agent.model import EMPTY, Action, Plan


def prune(session: Session, target: Target, *, applied: Target | None = None) -> tuple[View, Plan]:
    """Removes what nothing needs any more, and disowns it; what is seen then, and the plan that remains.
    `applied`: the release that was rolled back. It looks again until nothing is left: a directory is empty
    only when its files are gone. Errors: LimpetError, after a save.
    """
    view, plan = session.decide(target, target, applied=applied)
    session.inventory.own(ownership.settled(view))
    done: Plan | None = None
    while (leftover := plan.staged("prune")) and plan != done:
        session.phase("prune")
        if (
            not session.state.images.collection_due
        ):  # what nobody needs then is looked for even if this pass is killed
            session.state.images.collection_due = True
            session.save()
        session.execute(leftover, target.manifest)
        done, (view, plan) = plan, session.decide(target, target, applied=applied)
    view = replace(view, inventory=session.inventory.entries)
    session.inventory.own(
        ownership.owned_entries(plan, view, session.host.save_original)
    )  # what is right now that its place is free
    session.inventory.disown(ownership.disowned(view.inventory, view, plan))
    session.inventory.save()
    collect(session, always=True)
    session.state.ran = oneshots.remembered_runs(
        oneshots.seen(view), [session.held(release) for release in session.state.releases()]
    )
    session.save()
    collect_images(session)
    return view, plan


def collect(session: Session, *, always: bool = False) -> None:
    """Forgets manifests and contents that neither a remembered release needs nor what the branch says now.
    Releases that are never begun leave them too, so each pass looks; contents only when a manifest went or
    others are there than after the last look (a killed pass has stored some), or `always`.
    """
    wanted, releases = session.wanted, session.state.releases()
    held = {release.manifest_digest for release in releases} | ({wanted.digest} if wanted else set())
    content = session.desired.content
    if (
        not session.desired.manifests.collect(held)
        and not always
        and content.stamp() == session.state.contents
    ):
        return
    keep = {digest for release in releases for digest in session.held(release).manifest.content()}
    keep |= wanted.content() if wanted else set()
    originals = (owned.original for owned in session.inventory.entries.values() if owned.original)
    keep |= {str(original["content"]) for original in originals if original.get("content")}
    content.collect(keep)
    session.state.contents = content.stamp()


def collect_images(session: Session) -> None:
    """Removes what Limpet pulled and no kept release needs. What is in use stays, for the next release.
    Errors: LimpetError.
    """
    images, wanted, releases = session.state.images, session.wanted, session.state.releases()
    if wanted is None:
        return
    recover(session)
    images.end()
    asks = {*always(wanted), *intervals(wanted)}
    images.forget({*asks, *(reference for release in releases for reference in release.lock)})
    needed = {image_id for release in releases for image_id in release.lock.values()}
    needed |= {images.asked[reference].id for reference in asks if reference in images.asked}
    decided = {release.manifest_digest for release in releases}.union(
        r.manifest_digest for r in session.state.rejected.values()
    )
    full = session.record.trouble is not None and session.record.trouble.code == "DiskFull"
    keep = wanted.digest not in decided and not full  # it waits, and would pull them again
    waiting = images.of(wanted.images()) - needed if keep else set()
    needed |= waiting
    done: list[Action] | None = None
    while session.settings.converge.prune and (ours := images.unneeded(needed)):
        look = Look(
            images=tuple(sorted({reference for references in ours.values() for reference in references}))
        )
        actions = images.removals(needed, session.host.observe(look))
        if not actions or actions == done:
            break
        session.execute(actions, EMPTY)
        done = actions
    images.collection_due = bool(waiting)
    session.save()
