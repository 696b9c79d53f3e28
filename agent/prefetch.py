"""Images and candidates, before anything is touched.

Rules:
1. An image reference is resolved when a release begins, and never again for it: what known good or the attempt at hand resolved
   stays, as long as the image is on the host. Only `pull_policy` makes a registry be asked again (see `images`).
2. Nothing else is pulled that no action needs.
3. A pull is written down before it begins and when it has ended; what a killed pass has pulled is found by the next pull or
   prune.
4. Every `check` command has accepted its candidate file before any file is replaced.
5. Nothing is asked of the Engine that it is too old to understand: it would ignore it, or refuse it half-way.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from agent.errors import Interrupted, LimpetError, Stalled
from agent.host import Host
from agent.kinds.engine_versions import ENGINES, newer_keys
from agent.model import Key, Manifest, Observed, Plan
from agent.progress import Progress
from agent.report import Reporter
from agent.session import Session

PULLS = 3  # at a time
INTERVAL = 1.0  # seconds between two heartbeats of pulls at least


def lock(manifest: Manifest, observed: Observed, earlier: Mapping[str, str], said: Mapping[str, str]) -> dict[str, str]:
    """Reference -> image id, for all references that need no pull. `earlier`: the lock of the release it grew out of; `said`:
    what registries said last, where that counts."""
    found = {}
    for reference in manifest.images():
        known = earlier.get(reference, "")
        image_id = known if known in observed.image_ids else observed.images.get(reference, known)
        if image_id := said.get(reference, image_id):
            found[reference] = image_id
    return found


def missing(plan: Plan, manifest: Manifest, observed: Observed, resolved: Mapping[str, str]) -> list[str]:
    """The references to pull for this plan, sorted."""
    wanted = set()
    for action in plan.actions:
        resource = manifest.resources.get(action.key)
        if action.verb != "create" or resource is None or resource.key.kind != "container":
            continue
        lacking = [image for image in resource.images() if resolved.get(image, "") not in observed.image_ids]
        if lacking and resource.spec["pull_policy"] == "never":
            raise Stalled(f"image {lacking[0]} is not on this host and its pull_policy is never",
                          f"load it (docker load) or change pull_policy at {resource.origin}", code="ImageMissing",
                          resource=str(resource.key))
        wanted.update(lacking)
    return sorted(wanted)


def pull(references: Iterable[str], session: Session) -> tuple[dict[str, str], dict[str, LimpetError]]:
    """Pulls them all: reference -> image id of those that came, reference -> error (Transient: the registry does not answer,
    Stalled: it refuses) of the others. Errors: Interrupted; Transient, Stalled when it cannot be written down."""
    wanted, images, host = sorted(references), session.state.images, session.host
    if not wanted:
        return {}, {}
    recover(session)
    images.begin(wanted, session.observed.image_ids)
    session.save()
    meter = Meter(session.progress, session.reporter)
    pulled: dict[str, str] = {}
    errors: dict[str, LimpetError] = {}
    with ThreadPoolExecutor(PULLS, thread_name_prefix="pull") as pool:
        running = {reference: pool.submit(host.pull, reference, meter.pull) for reference in wanted}
        for reference, future in running.items():
            try:
                pulled[reference] = future.result()
            except LimpetError as error:
                errors[reference] = error
    images.settle(pulled)
    for reference, image_id in pulled.items():
        images.answered(reference, image_id, session.clock.wall())
    images.end()
    session.save()
    for trouble in errors.values():
        if isinstance(trouble, Interrupted):
            raise trouble
    return pulled, errors


def recover(session: Session) -> None:
    """Finds what a killed pass has pulled. What was pulled and has not got its name yet is found by the pull that repeats it."""
    images = session.state.images
    if images.pulling:
        there = {reference: session.host.image_id(reference) for reference in images.pulling}
        images.settle({reference: image_id for reference, image_id in there.items() if image_id})


class Meter:
    """Shows pulls to a person, and in the heartbeat as bytes. A heartbeat that cannot be written does not end a pull."""

    def __init__(self, progress: Progress, reporter: Reporter) -> None:
        self._progress, self._reporter = progress, reporter
        self._bytes: dict[str, tuple[int, int]] = {}
        self._written = time.monotonic()
        self._lock = threading.Lock()

    def pull(self, reference: str, done: int, total: int) -> None:
        self._progress.pull(reference, done, total)
        self._bytes[reference] = done, total
        if not self._lock.acquire(blocking=False):
            return  # another pull says it for this one
        try:
            if time.monotonic() - self._written >= INTERVAL:
                with suppress(LimpetError):
                    self._reporter.pulls(dict(self._bytes))
                self._written = time.monotonic()
        finally:
            self._lock.release()


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
