"""Images and candidates, before anything is touched.

Rules:
1. An image reference is resolved when a release begins, and never again for it: what known good or the attempt at hand resolved
   stays, as long as the image is on the host. `pull_policy: always` asks the registry for each new manifest.
2. Nothing is pulled that no action needs.
3. Every `check` command has accepted its candidate file before any file is replaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from agent.errors import Stalled
from agent.host import Host
from agent.model import Key, Manifest, Observed, Plan
from agent.progress import Progress

PULLS = 3  # at a time


def lock(manifest: Manifest, observed: Observed, earlier: Mapping[str, str]) -> dict[str, str]:
    """Reference -> image id, for all references that need no pull. `earlier`: the lock of the release it grew out of."""
    found = {}
    for reference in manifest.images():
        known = earlier.get(reference, "")
        image_id = known if known in observed.image_ids else observed.images.get(reference, known)
        if image_id:
            found[reference] = image_id
    return found


def missing(plan: Plan, manifest: Manifest, observed: Observed, resolved: Mapping[str, str], *, fresh: bool) -> list[str]:
    """The references to pull for this plan, sorted. `fresh`: the manifest is new, so `pull_policy: always` counts."""
    wanted = set()
    for action in plan.actions:
        resource = manifest.resources.get(action.key)
        if action.verb != "create" or resource is None or resource.key.kind != "container":
            continue
        reference, policy = resource.spec["image"], resource.spec["pull_policy"]
        local = resolved.get(reference, "") in observed.image_ids
        if local and not (fresh and policy == "always"):
            continue
        if policy == "never":
            raise Stalled(f"image {reference} is not on this host and its pull_policy is never",
                          f"load it (docker load) or change pull_policy at {resource.origin}", code="ImageMissing",
                          resource=str(resource.key))
        wanted.add(reference)
    return sorted(wanted)


def pull(references: list[str], host: Host, progress: Progress) -> dict[str, str]:
    """Reference -> image id after pulling. Errors: Transient (registry does not answer), Stalled (it refuses)."""
    if not references:
        return {}
    with ThreadPoolExecutor(PULLS, thread_name_prefix="pull") as pool:
        return dict(zip(references, pool.map(lambda reference: host.pull(reference, progress.pull), references), strict=True))


def check_candidates(plan: Plan, manifest: Manifest, host: Host) -> None:
    """Runs the `check` of every file that is about to be written. Errors: Failed, Stalled with what the command said."""
    written: set[Key] = {action.key for action in plan.actions if action.verb == "write"}
    for key in sorted(written):
        resource = manifest.resources.get(key)
        if resource is not None and resource.spec.get("check"):
            host.check_candidate(resource)
