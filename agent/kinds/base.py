"""The terms of a kind: the fate of one resource, decided from its desired and its observed state. Pure.

A fate is decided before any action exists (`ok`, `create`, `replace`, …). Its steps fall into parts, and the
planner orders parts across resources. A kind knows nothing of that order:

    prepare      harmless beforehand: a container created under a candidate name
    start-first  the new container runs beside the old one before that gives way (`order: start-first`)
    release      gives claims up: stop, rename away, disconnect; or remove
    start        takes the claims and makes it so: write, create, rename, start

`prune` steps run only after the gate has passed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from agent.model import (
    EMPTY,
    PATH_KINDS,
    Inventory,
    Key,
    Manifest,
    Owned,
    Refusal,
    Release,
    Resource,
    Spec,
    canonical_json,
    sha256,
)
from agent.observed import Observed, ObservedContainer

Part = Literal["prepare", "start-first", "release", "start", "prune"]


@dataclass(frozen=True, slots=True)
class Step:
    """One host operation of a fate; `args`, `secret` and `required` are those of its action."""

    part: Part
    verb: str
    args: Spec = field(default_factory=dict)
    secret: Spec = field(default_factory=dict)
    required: bool = True


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one resource. The verbs "ok", "forget" (nothing is left of it) and "keep" (others wait
    for it, or take its place) have no steps; a refusal has neither. `started_first`: the present name of a
    new container that must be good before the old one gives way; empty when the old one gives way first.
    """

    key: Key
    verb: str
    cause: str = ""
    steps: tuple[Step, ...] = ()
    refusal: Refusal | None = None
    started_first: str = ""

    def part(self, part: Part) -> list[Step]:
        return [step for step in self.steps if step.part == part]


@dataclass(frozen=True, slots=True)
class Target:
    """A release with its manifest, as the planner sees it: the desired, the applied, or the known good one.

    release: None for a manifest that is only looked at
    put_off: what of the branch's release is not in it yet, and why
    """

    manifest: Manifest = EMPTY
    lock: Mapping[str, str] = field(default_factory=dict)
    release: Release | None = field(default=None, compare=False)
    put_off: tuple[Refusal, ...] = field(default=(), compare=False)

    def resolved(self, pulled: Mapping[str, str]) -> Target:
        """The same with the image ids (by reference) that were pulled for it."""
        lock = {**self.lock, **pulled}
        return replace(self, lock=lock, release=replace(self.release, lock=lock) if self.release else None)

    def part(self, manifest: Manifest, lock: Mapping[str, str], put_off: tuple[Refusal, ...]) -> Target:
        """The part of it that can be brought in now. `put_off`: what is left out of it besides, and why."""
        release = self.release and replace(
            self.release,
            manifest_digest=manifest.digest,
            lock=lock,
            part_of=self.release.whole,
        )
        return Target(manifest, lock, release, (*self.put_off, *put_off))

    def image(self, resource: Resource) -> str:
        """The image id this release uses for a container, empty when it is not resolved yet."""
        return self.lock.get(resource.spec["image"], "")

    def content(self, path: str) -> str:
        """The content digest of the file at `path`, or the resource's own digest for a directory or link;
        empty when the release has nothing there.
        """
        resources = self.manifest.resources
        resource = next(
            (resources[key] for kind in PATH_KINDS if (key := Key(kind, path)) in resources), None
        )
        return str(resource.spec.get("content") or resource.digest) if resource else ""

    def same(self, other: Target) -> bool:
        """Whether they are one release."""
        return self is other or (self.lock == other.lock and self.manifest.digest == other.manifest.digest)

    def has(self, key: Key, digest: str, image_id: str) -> bool:
        """Whether this very container belongs to this release."""
        resource = self.manifest.resources.get(key)
        return resource is not None and resource.digest == digest and self.image(resource) == image_id


@dataclass(frozen=True, slots=True)
class Lender:
    """A container by which others live (`lenders`).

    id: empty when it is still to be created
    started: when its run began; empty when it does not run, or is still to be started
    created: when it was created
    volumes: the names of its volumes
    """

    id: str = ""
    started: str = ""
    created: str = ""
    volumes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class View:
    """All that a decision may look at.

    target: the release that the host is brought to
    observed: the host
    inventory: the resources that are ours
    applied: the release that was applied last
    known_good: the release that was proved last
    recreated: names of networks that this plan removes now, to make them anew or to make room for others:
        whatever is attached to them gives way
    lenders: container -> how it will be when others of this plan begin to live by it; those of others follow
        from `observed`
    past: earlier releases, given when there are containers that belong to none of the others
    ran: `kind/name` of one-shots -> the marks of those that ran to success (`oneshots`)
    """

    target: Target
    observed: Observed
    inventory: Inventory
    applied: Target = Target()
    known_good: Target = Target()
    recreated: frozenset[str] = frozenset()
    lenders: Mapping[str, Lender] = field(default_factory=dict)
    past: tuple[Target, ...] = ()
    ran: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def resource(self, key: Key, digest: str) -> Resource | None:
        """The resource that a container was made from, whichever release it belongs to; None when it is not
        remembered.
        """
        found = (
            held.manifest.resources.get(key)
            for held in (self.target, self.applied, self.known_good, *self.past)
        )
        return next(
            (resource for resource in found if resource is not None and resource.digest == digest), None
        )

    def containers(self, name: str) -> list[ObservedContainer]:
        """Our containers whose final name is `name`, whatever they are called now."""
        return [c for c in self.observed.containers if c.owned and c.key_name == name]

    def owned(self, key: Key) -> Owned | None:
        return self.inventory.get(key)

    @property
    def returning(self) -> bool:
        """Whether the host is brought (back) to known good."""
        return bool(self.target.manifest.resources) and self.target == self.known_good

    @property
    def repairing(self) -> bool:
        """Whether drift of known good is repaired: no release is brought in or undone."""
        return self.target.same(self.known_good) and self.target.same(self.applied)

    def corrective(self, key: Key) -> bool:
        """Whether an action on `key` repairs drift: the release that was applied wanted the same."""
        before, now = self.applied.manifest.resources.get(key), self.target.manifest.resources.get(key)
        if before is None or now is None or before.digest != now.digest:
            return False
        if key.kind != "container":  # no digest has the owner that an image says
            return all(before.spec.get(word) == now.spec.get(word) for word in ("owner", "group"))
        return self.applied.image(before) == self.target.image(now) and not any(
            self.applied.content(path) != self.target.content(path) for path in now.spec["on_change"]
        )


def ok(key: Key) -> Fate:
    return Fate(key, "ok")


def refuse(key: Key, cause: str, hint: str) -> Fate:
    return Fate(key, "refuse", cause, refusal=Refusal(key, cause, hint))


def digest(kind: str, spec: Mapping[str, Any]) -> str:
    """The digest of a spec under scheme 1: empty values count as not set."""
    return sha256(
        canonical_json([1, kind, {k: v for k, v in spec.items() if v not in (None, "", (), [], {}, False)}])
    )
