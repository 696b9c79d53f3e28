"""Removes what nothing needs any more: resources and their ownership, manifests, contents, images.

It happens after the verdict (after a commit, a rollback or a repair). The next pass looks for what a killed
pass left.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from agent.converge.account import Account
from agent.converge.context import Context, Wanted
from agent.converge.prefetch import recover
from agent.decide import ownership
from agent.decide.image_memory import always, intervals
from agent.drivers.observe import Look
from agent.errors import LimpetError
from agent.kinds import oneshots
from agent.kinds.base import Target, View
from agent.model import EMPTY, Action, Manifest, Plan


@dataclass(frozen=True, slots=True)
class Pruned:
    """The host after a prune: what is seen, the plan that remains, and the first removal that failed."""

    view: View
    plan: Plan
    error: LimpetError | None


def prune(
    context: Context, account: Account, wanted: Wanted, target: Target, *, applied: Target | None = None
) -> Pruned:
    """Removes what nothing needs any more, and disowns it. Looks again until nothing is left, because a
    directory is empty only when its files are gone. Errors: LimpetError, after a save.

    wanted: what the branch says; what it needs stays.
    target: the release that is held from now on.
    applied: the release that was rolled back.
    """
    view, plan = context.plan_for(wanted, target, target, applied=applied)
    context.inventory.own(ownership.settled(view))
    error: LimpetError | None = None
    done: Plan | None = None
    while (leftover := plan.staged("prune")) and plan != done:
        context.phase("prune", wanted)
        images = context.state.images
        if not images.collection_due:  # what nobody needs then is looked for even if this pass is killed
            images.collection_due = True
            context.save()
        failure = context.execute(account, leftover, target.manifest).blamed()
        error = error or failure
        done = plan
        view, plan = context.plan_for(wanted, target, target, applied=applied)
    account.saw(view.observed)
    view = replace(view, inventory=context.inventory.entries)
    # a resource that was in the way is right now that its place is free
    context.inventory.own(ownership.owned_entries(plan, view, context.host.save_original))
    context.inventory.disown(ownership.disowned(view.inventory, view, plan))
    context.inventory.save()
    collect(context, wanted, always=True)
    remembered = [context.target(release) for release in context.state.releases()]
    context.state.ran = oneshots.remembered_runs(oneshots.seen(view), remembered)
    context.save()
    failure = collect_images(context, account, wanted)
    return Pruned(view, plan, error or failure)


def collect(context: Context, wanted: Wanted, *, always: bool = False) -> None:
    """Forgets manifests and contents that neither a remembered release nor the branch needs now. Releases
    that are never begun leave some too, so each pass looks. It looks at contents only when a manifest went,
    when other contents are there than after the last look (a killed pass has stored some), or `always`.
    """
    manifest, releases = wanted.manifest, context.state.releases()
    held = {each.manifest_digest for release in releases for each in (release, release.whole)}
    held |= {manifest.digest} if manifest else set()
    content = context.desired.content
    gone = context.desired.manifests.collect(held)
    if not gone and not always and content.stamp() == context.state.contents:
        return
    keep = {digest for release in releases for digest in context.target(release).manifest.content()}
    keep |= manifest.content() if manifest else set()
    originals = (owned.original for owned in context.inventory.entries.values() if owned.original)
    keep |= {str(original["content"]) for original in originals if original.get("content")}
    content.collect(keep)
    context.state.contents = content.stamp()


def collect_images(context: Context, account: Account, wanted: Wanted) -> LimpetError | None:
    """Removes the images that Limpet pulled and no remembered release needs; returns the first removal that
    failed. An image in use stays until a later release. Errors: LimpetError.
    """
    images, manifest = context.state.images, wanted.manifest
    if manifest is None:
        return None
    recover(context)
    images.end()
    asks = {*always(manifest), *intervals(manifest), *images.answers(manifest)}
    releases = [each for release in context.state.releases() for each in (release, release.whole)]
    images.forget({*asks, *(reference for release in releases for reference in release.lock)})
    needed = {image_id for release in releases for image_id in release.lock.values()}
    needed |= {images.asked[reference].id for reference in asks if reference in images.asked}
    waiting = images.of(manifest.images()) - needed if _waits(context, wanted, manifest) else set()
    error = _remove_images(context, account, needed | waiting)
    images.collection_due = bool(waiting)
    context.save()
    return error


def _waits(context: Context, wanted: Wanted, manifest: Manifest) -> bool:
    """Whether a release waits that would pull its images again. On a full disk they go all the same."""
    state = context.state
    decided = {each.manifest_digest for release in state.releases() for each in (release, release.whole)}
    decided |= {
        digest for each in state.rejected.values() for digest in (each.manifest_digest, each.whole_digest)
    }
    full = wanted.trouble is not None and wanted.trouble.code == "DiskFull"
    return manifest.digest not in decided and not full


def _remove_images(context: Context, account: Account, needed: set[str]) -> LimpetError | None:
    images, done = context.state.images, list[Action]()
    error: LimpetError | None = None
    while context.settings.converge.prune and (ours := images.unneeded(needed)):
        references = {reference for references in ours.values() for reference in references}
        actions = images.removals(needed, context.host.observe(Look(images=tuple(sorted(references)))))
        if not actions or actions == done:
            break
        failure = context.execute(account, actions, EMPTY).blamed()
        error = error or failure
        done = actions
    return error
