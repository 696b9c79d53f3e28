"""Images and candidates, before anything is touched.

Rules:
1. An image reference is resolved when a release begins, and never again for it: what known good or the attempt at hand resolved
   stays, as long as the image is on the host. `pull_policy: always` asks the registry for each new manifest.
2. Nothing is pulled that no action needs.
3. Every `check` command has accepted its candidate file before any file is replaced.
4. Nothing is asked of the Engine that it is too old to understand: it would ignore it, or refuse it half-way.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from agent.errors import Stalled
from agent.host import Host
from agent.kinds.engine_versions import ENGINES, newer_keys
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


def check_engine(plan: Plan, manifest: Manifest, observed: Observed) -> None:
    """Whether this host's Engine knows every key of what is about to be created. Errors: Stalled, naming both versions."""
    for key in sorted({action.key for action in plan.actions if action.verb == "create"}):
        resource = manifest.resources.get(key)
        for name, needed in newer_keys(resource).items() if resource else ():
            if observed.engine_api < needed:
                raise Stalled(f"{key}: {name} needs Docker Engine {ENGINES[needed]} (API {_dotted(needed)}), and this host has "
                              f"{observed.engine_version or 'an older one'} (API {_dotted(observed.engine_api)})",
                              f"upgrade Docker Engine on this host, or take the key out at {resource.origin if resource else ''}",
                              code="EngineTooOld", resource=str(key))


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def check_candidates(plan: Plan, manifest: Manifest, host: Host) -> None:
    """Runs the `check` of every file that is about to be written. Errors: Failed, Stalled with what the command said."""
    written: set[Key] = {action.key for action in plan.actions if action.verb == "write"}
    for key in sorted(written):
        resource = manifest.resources.get(key)
        if resource is not None and resource.spec.get("check"):
            host.check_candidate(resource)
