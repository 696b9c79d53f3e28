"""Images over time: when a registry is asked again, its last answer, and which images are Limpet's to remove.
Pure.

Rules:
1. A registry is asked again where `pull_policy` says so: `always` with each new manifest, and with the commit
   that says `always` first; `refresh`
   (also daily, weekly, every_…) when its interval is over, by the wall clock. After a clock was set back it
   is asked once more, and the interval counts from there.
2. The last answer of a registry is remembered, and is the meaning of such a reference from then on. So a
   killed pass finds the same release again, and a release that was rejected is neither pulled nor tried again
   until the registry gives another answer.
3. Own before pull: the images that are there are written down first, and only an image that was not among
   them becomes ours.
4. An image that is built or loaded on the host (`never`, `build`) is resolved anew with each new manifest,
   and with the commit that says so first.
5. An image of ours is removed when no retained release needs it and no container uses it: first the
   references by which it was pulled, where they still point at it, then the image itself when nothing names
   it. A name that a person gave it stays, and with it the image.
6. A person may want registries to be asked again (`limpet retry --pull`): for the images of what is not known
   good. The wish stays until they were asked, and the answers are the meaning of these references in that
   manifest.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from agent.model import Action, Json, Key, Manifest, Release

if TYPE_CHECKING:
    from agent.observed import Observed  # the daemon loads this module for what is remembered

Asking = Literal["", "may", "must"]
SHORT = 12  # hex digits that name an image, here and for people


@dataclass(frozen=True, slots=True)
class Asked:
    """The image id that a registry had for a reference, at wall time `at` (seconds)."""

    id: str
    at: float


@dataclass(slots=True)
class Images:
    """The memory of a host.

    asked: reference -> the last answer of its registry
    pulled: image id -> the references by which it was pulled
    pulling: the references of a pull that has begun and whose outcome is unknown
    before: the images that were there when that pull began
    collection_due: a release was decided or an image was pulled, and the images and contents that nobody
        needs have not been removed since
    ask: a person wants registries to be asked again; with `may` the image at hand does when they have none
    told: manifest digest -> the references whose last answer counts there, whatever a lock says
    policies: reference -> `always` or `local`, of the manifest whose images were settled last
    """

    asked: dict[str, Asked] = field(default_factory=dict)
    pulled: dict[str, tuple[str, ...]] = field(default_factory=dict)
    pulling: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    collection_due: bool = False
    ask: Asking = ""
    told: dict[str, tuple[str, ...]] = field(default_factory=dict)
    policies: dict[str, str] = field(default_factory=dict)

    # --- when to ask, and the answers ---

    def due(self, manifest: Manifest, observed: Observed, now: float) -> set[str]:
        """The references whose interval is over. A reference that was never asked for counts when the host
        has the image by other means; without the image it is pulled as soon as it is needed.
        """
        found = set()
        for reference, interval in intervals(manifest).items():
            asked = self.asked.get(reference)
            if asked is None and reference in observed.images:
                found.add(reference)
            if asked is not None and not 0 <= now - asked.at < interval:
                found.add(reference)
        return found

    def next_due(self, manifest: Manifest, now: float) -> float | None:
        """Seconds until a reference is due; None when none ever is."""
        waits = [
            self.asked[reference].at + interval - now
            for reference, interval in intervals(manifest).items()
            if reference in self.asked
        ]
        return max(0.0, min(waits)) if waits else None

    def last_resolved(self, manifest: Manifest, *, begun: bool) -> dict[str, str]:
        """Reference -> image id, where the last answer of the registry counts. `begun`: this manifest is
        known good or attempted, and the answers for `always` are in its lock.
        """
        wanted = {*intervals(manifest), *(() if begun else always(manifest)), *self.answers(manifest)}
        return {reference: self.asked[reference].id for reference in wanted if reference in self.asked}

    def answered(self, reference: str, image_id: str, at: float) -> None:
        self.asked[reference] = Asked(image_id, at)

    def answers(self, manifest: Manifest) -> tuple[str, ...]:
        """The references whose last answer counts in this manifest, whatever a lock says."""
        return self.told.get(manifest.digest, ())

    def changed(self, manifest: Manifest, how: str) -> set[str]:
        """The references that are `always` or `local` (`how`) since this manifest, and were not before."""
        before = self.policies
        return {ref for ref, now in policies(manifest).items() if now == how and before.get(ref) != how}

    def settled(self, manifest: Manifest, again: Iterable[str] = ()) -> None:
        """All that was to be asked for this manifest has been: no wish is left. `again`: the references that
        count anew in it.
        """
        self.ask, self.policies = "", policies(manifest)
        known = {*self.answers(manifest), *again} & self.asked.keys()
        self.told = {manifest.digest: tuple(sorted(known))} if known else {}

    def proved(self, release: Release) -> None:
        """A release is known good: its lock says from now on what was told."""
        told = self.told.get(release.manifest_digest, ())
        if all(ref in self.asked and release.lock.get(ref) == self.asked[ref].id for ref in told):
            self.told.pop(release.manifest_digest, None)

    def forget(self, references: Collection[str]) -> None:
        """Forgets the answers for all other references."""
        self.asked = {reference: asked for reference, asked in self.asked.items() if reference in references}

    # --- images of ours ---

    def begin(self, references: Iterable[str], there: Iterable[str]) -> None:
        """Starts a pull. If it repeats an interrupted one, the record of images that existed before that one
        is retained.
        """
        wanted = tuple(sorted(references))
        if not set(wanted) & set(self.pulling):
            self.before = tuple(sorted(short_id(image_id) for image_id in there))
        self.pulling = wanted

    def settle(self, resolved: Mapping[str, str]) -> None:
        """Takes the images that the references of a pull point at now: new images are ours."""
        for reference, image_id in resolved.items():
            if reference in self.pulling and (
                image_id in self.pulled or short_id(image_id) not in self.before
            ):
                self.pulled[image_id] = tuple(sorted({*self.pulled.get(image_id, ()), reference}))

    def end(self, lost: Iterable[str] = ()) -> None:
        """Ends a pull. `lost`: references whose outcome is unknown."""
        self.pulling = tuple(sorted(lost))
        self.before = self.before if self.pulling else ()

    def of(self, references: Collection[str]) -> set[str]:
        """The images of ours that were pulled by one of these references."""
        return {image_id for image_id, names in self.pulled.items() if set(names) & set(references)}

    def unneeded(self, needed: Collection[str]) -> dict[str, tuple[str, ...]]:
        """The images of ours that no release needs: image id -> the references by which it was pulled."""
        return {
            image_id: references for image_id, references in self.pulled.items() if image_id not in needed
        }

    def removals(self, needed: Collection[str], observed: Observed) -> list[Action]:
        """The removals that are possible now, given a look at all references of the images that nobody needs.
        An image that is gone, or has only names that others gave it, is ours no longer.
        """
        used = {container.image_id for container in observed.containers}
        removed: list[str] = []
        for image_id, references in sorted(self.unneeded(needed).items()):
            names = [reference for reference in references if observed.images.get(reference) == image_id]
            if image_id not in observed.image_ids or (not names and image_id in observed.tagged):
                del self.pulled[image_id]
            elif image_id not in used:
                removed += names or [image_id]
        return [_removal(number, name) for number, name in enumerate(removed, 1)]

    # --- as JSON ---

    def to_json(self) -> dict[str, Json]:
        return {
            "asked": {reference: [asked.id, asked.at] for reference, asked in self.asked.items()},
            "pulled": {image_id: list(references) for image_id, references in self.pulled.items()},
            "pulling": list(self.pulling),
            "before": list(self.before),
            "unswept": self.collection_due,
            **({"ask": self.ask} if self.ask else {}),
            **({"told": {digest: list(names) for digest, names in self.told.items()}} if self.told else {}),
            **({"policies": dict(self.policies)} if self.policies else {}),
        }

    @classmethod
    def from_json(cls, doc: Mapping[str, Json]) -> Images:
        return cls(
            {reference: Asked(*asked) for reference, asked in doc.get("asked", {}).items()},
            {image_id: tuple(references) for image_id, references in doc.get("pulled", {}).items()},
            tuple(doc.get("pulling", ())),
            tuple(doc.get("before", ())),
            doc.get("unswept", False),
            doc.get("ask", ""),
            {digest: tuple(names) for digest, names in doc.get("told", {}).items()},
            dict(doc.get("policies", {})),
        )


def _removal(number: int, name: str) -> Action:
    """`name`: a reference, or the id of an image that nothing names."""
    cause = "no retained release needs it"
    return Action(number, "remove", Key("image", name), cause, {"image": name}, stage="prune")


def intervals(manifest: Manifest) -> dict[str, float]:
    """Reference -> seconds between two questions, of the references that are refreshed; the shortest interval
    of all services counts.
    """
    found: dict[str, float] = {}
    for resource in manifest.of_kind("container"):
        if interval := resource.spec.get("pull_every"):
            reference = resource.spec["image"]
            found[reference] = min(interval, found.get(reference, interval))
    return found


def always(manifest: Manifest) -> set[str]:
    """The references that are asked for with each new manifest."""
    return {
        resource.spec["image"]
        for resource in manifest.of_kind("container")
        if resource.spec["pull_policy"] == "always"
    }


def local(manifest: Manifest) -> set[str]:
    """The references of images that somebody makes on this host: a tag means what it means here now."""
    return {
        resource.spec["image"]
        for resource in manifest.of_kind("container")
        if resource.spec["pull_policy"] in ("never", "build")
    }


def policies(manifest: Manifest) -> dict[str, str]:
    """Reference -> `always` or `local`, of those that are either."""
    return dict.fromkeys(sorted(local(manifest)), "local") | dict.fromkeys(sorted(always(manifest)), "always")


def not_proved_yet(
    manifest: Manifest, good: Manifest, lock: Mapping[str, str], asked: Mapping[str, Asked]
) -> set[str]:
    """The references of what is not known good: of containers that known good does not have so, and those
    that its lock resolves to another image than the registry had last.
    """
    found = set()
    for resource in manifest.of_kind("container"):
        same = good.resources.get(resource.key)
        images = resource.images()
        if same is None or same.digest != resource.digest:
            found.update(images)
        found.update(ref for ref in images if ref in asked and asked[ref].id != lock.get(ref))
    return found


def short_id(image_id: str) -> str:
    return image_id.removeprefix("sha256:")[:SHORT]
