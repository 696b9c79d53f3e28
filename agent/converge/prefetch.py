"""Images and candidates, before anything is touched.

Rules:
1. An image reference is resolved when a release begins, and never again for it: the
   resolution of known good or of the attempt at hand stays for as long as the image is on the host. Only
   `pull_policy` makes Limpet ask a registry again (see `decide/image_memory.py`).
2. Only images that an action needs are pulled.
3. A pull is written down before it begins and when it has ended. The images of a killed pass, or of one whose
   Engine was in trouble, are found by the next pull, or by the next pass that has nothing to pull.
4. Every `check` command has accepted its candidate file before any file is replaced.
5. A release that does not fit on the disks is not begun, and a pull that would fill one is ended. In a
   repair of known good, only the parts that lack space or an image are put off; the rest is done.
6. The Engine is not asked for anything that it is too old to understand: it would ignore the key, or refuse
   it half-way.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from agent.converge.context import Context
from agent.decide import space
from agent.decide.plan import deferred
from agent.disk import IMAGES, STATE
from agent.drivers.host import Host
from agent.errors import Interrupted, LimpetError, Stalled
from agent.kinds.base import View
from agent.kinds.engine.versions import ENGINES, newer_keys
from agent.model import Key, Manifest, Plan
from agent.observed import Observed
from agent.report.heartbeat_writer import Reporter
from agent.report.progress import Progress

PULLS = 3  # at a time
INTERVAL = 1.0  # seconds between two heartbeats of pulls at least


def lock(
    manifest: Manifest, observed: Observed, earlier: Mapping[str, str], said: Mapping[str, str]
) -> dict[str, str]:
    """Reference -> image id, for all references that need no pull.

    manifest, observed: the release to be, and the host.
    earlier: the locks of the releases that were begun before, the most similar one last.
    said: the image ids that registries gave last, where they count.
    """
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
            raise Stalled(
                f"image {lacking[0]} is not on this host and its pull_policy is never",
                f"load it (docker load) or change pull_policy at {resource.origin}",
                code="ImageMissing",
                resource=str(resource.key),
            )
        wanted.update(lacking)
    return sorted(wanted)


def pull(
    context: Context, references: Iterable[str], observed: Observed
) -> tuple[dict[str, str], dict[str, LimpetError]]:
    """Pulls them all: reference -> image id of those that came, reference -> error (Transient: the registry
    does not answer, Stalled: it refuses) of the others. `observed`: the host before. Errors: Interrupted;
    Transient, Stalled when it cannot be written down.
    """
    wanted, images, host = sorted(references), context.state.images, context.host
    if not wanted:
        return {}, {}
    if full := _room(host):
        return {}, dict.fromkeys(wanted, full)
    recover(context)
    images.begin(wanted, observed.image_ids)
    images.collection_due = True
    context.save()
    meter = PullMeter(context.progress, context.reporter, lambda coming: _room(host, coming))
    pulled, errors = _pull_all(host, wanted, meter)
    images.settle(pulled)
    for reference, image_id in pulled.items():
        images.answered(reference, image_id, context.clock.wall())
    images.end(reference for reference, error in errors.items() if _unheard(error))
    if full := _room(host):
        pulled, errors = {}, {**dict.fromkeys(pulled, full), **errors}
    context.save()
    for trouble in errors.values():
        if isinstance(trouble, Interrupted):
            raise trouble
    return pulled, errors


def _pull_all(
    host: Host, references: Sequence[str], meter: PullMeter
) -> tuple[dict[str, str], dict[str, LimpetError]]:
    pulled: dict[str, str] = {}
    errors: dict[str, LimpetError] = {}
    with ThreadPoolExecutor(PULLS, thread_name_prefix="pull") as pool:
        running = {reference: pool.submit(host.pull, reference, meter.pull) for reference in references}
        for reference, future in running.items():
            try:
                pulled[reference] = future.result()
            except LimpetError as error:
                errors[reference] = error
    return pulled, errors


def _unheard(error: LimpetError) -> bool:
    """Whether the Engine may have the image all the same, because no registry refused it."""
    return error.retryable and error.code != "RegistryUnavailable"


def _room(host: Host, coming: int = 0) -> LimpetError | None:
    """Why no image may be pulled, or pulled any further, while `coming` bytes are on their way."""
    disk = host.disks([IMAGES]).get(IMAGES)
    return space.images_lack(disk, coming) if disk else None


def feasible(
    context: Context, plan: Plan, view: View, errors: Mapping[str, LimpetError]
) -> tuple[Plan, LimpetError | None]:
    """The part of the plan that can be carried out now, and why it is not all: a release is all or nothing; a
    repair of known good leaves out what lacks space or an image. `errors`: reference -> why it was not
    pulled. Errors: the LimpetError that stops a release.
    """
    attempt = context.state.attempt
    repairing = attempt is None and view.target.same(view.known_good)
    found = [(error, _creations(plan, view, reference)) for reference, error in errors.items()]
    if attempt is None or attempt.phase != "rolling-back":
        found += _shortages(context, plan, view, 0 if repairing else space.RESERVE)
    if not found:
        return plan, None
    first = found[0][0]
    if not repairing or first.code == "RuntimeUnavailable":
        raise first
    keys = {key for _, many in found for key in many}
    return deferred(plan, keys), first if keys else None


def _shortages(context: Context, plan: Plan, view: View, reserve: int) -> list[tuple[LimpetError, list[Key]]]:
    """What does not fit on the disks when `reserve` bytes must be left, with the resources that it stops."""
    if not plan.staged("apply"):
        return []
    disks = context.host.disks([STATE, *space.places(plan)])
    lacking = space.lacking(plan, view, disks, reserve)
    return [(shortage.error, list(shortage.keys)) for shortage in lacking]


def _creations(plan: Plan, view: View, reference: str) -> list[Key]:
    """The containers that are created from an image."""
    resources = view.target.manifest.resources
    return [
        action.key
        for action in plan.actions
        if action.verb == "create"
        and action.key.kind == "container"
        and reference in resources[action.key].images()
    ]


def recover(context: Context) -> None:
    """Finds the images that a killed pass has pulled. An image that has no name yet is found by the pull that
    repeats it.
    """
    images = context.state.images
    if images.pulling:
        there = {reference: context.host.image_id(reference) for reference in images.pulling}
        images.settle({reference: image_id for reference, image_id in there.items() if image_id})


class PullMeter:
    """Shows pulls to a person, and in the heartbeat as bytes. A heartbeat that cannot be written does not end
    a pull; a disk that would become full does. `room`: says why that many more bytes must not come.
    """

    def __init__(
        self,
        progress: Progress,
        reporter: Reporter,
        room: Callable[[int], LimpetError | None] = lambda coming: None,
    ) -> None:
        self._progress, self._reporter, self._room = progress, reporter, room
        self._bytes: dict[str, tuple[int, int]] = {}
        self._coming: dict[str, int] = {}  # at least: what is unpacked is larger
        self._written = time.monotonic()
        self._lock = threading.Lock()

    def pull(self, reference: str, done: int, total: int, packed: int = 0) -> None:
        self._progress.pull(reference, done, total)
        self._bytes[reference], self._coming[reference] = (done, total), total - done + packed
        if full := self._room(sum(list(self._coming.values()))):
            raise full
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
    """Whether this host's Engine knows every key of what is about to be created. Errors: Stalled, naming both
    versions.
    """
    for key in sorted({action.key for action in plan.actions if action.verb == "create"}):
        resource = manifest.resources.get(key)
        for name, needed in newer_keys(resource).items() if resource else ():
            if observed.engine_api < needed:
                raise Stalled(
                    f"{key}: {name} needs Docker Engine {ENGINES[needed]} (API {_dotted(needed)}), and "
                    "this host has "
                    f"{observed.engine_version or 'an older one'} (API {_dotted(observed.engine_api)})",
                    "upgrade Docker Engine on this host, or take the key out at "
                    f"{resource.origin if resource else ''}",
                    code="EngineTooOld",
                    resource=str(key),
                )


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def check_candidates(plan: Plan, manifest: Manifest, host: Host) -> None:
    """Runs the `check` of every file that is about to be written. Errors: Failed, Stalled with what the
    command said.
    """
    written: set[Key] = {action.key for action in plan.actions if action.verb == "write"}
    for key in sorted(written):
        resource = manifest.resources.get(key)
        if resource is not None and resource.spec.get("check"):
            host.check_candidate(resource)
