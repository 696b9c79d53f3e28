"""The part of a release that can be brought in now: what is refused stays as known good has it. Pure.

Rules:
1. What is refused stays in its old form, or is not there yet where known good has none. So known good never
   holds what was not judged, and the rest comes in later as a release of its own.
2. The old form keeps what it needs: files and networks stay as it uses them, and what the release removes
   but the old form needs stays too.
3. Half of a change is never made. What needs the new form of something that waits, waits with it; so does
   what would take a port, an address, a path or data from an old form. What would only go to make room for
   something that waits, stays.
4. Where nothing of a release can come in, it waits as a whole: known good stays as it is.
5. One image reference has one meaning in a release: where an old form needs the old one, the others wait.
6. A check of a port that comes only with what waits is not asked yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from agent.check import Check
from agent.kinds import claims, succession
from agent.kinds.base import Target
from agent.model import Key, Manifest, Refusal, Resource


def possible(wanted: Target, good: Target, refusals: Iterable[Refusal]) -> Target:
    """The release without what is refused. It is `wanted` itself when nothing new is refused; then the
    refusals are about drift. `good`: known good; empty when there is none.
    """
    held = _Held(wanted, good)
    for refusal in refusals:
        held.wait(refusal.key, refusal.cause, refusal.hint)
    while held.grow():
        pass
    held.wait_as_a_whole()
    return held.target()


class _Held:
    """What stays as known good has it.

    waiting: resources of the release that stay in their old form, or are not there yet, and why
    staying: resources that the release does not have any more, and that stay, with what ends it
    """

    def __init__(self, wanted: Target, good: Target) -> None:
        self.wanted, self.good = wanted, good
        self.new, self.old = wanted.manifest.resources, good.manifest.resources
        self.waiting: dict[Key, Refusal] = {}
        self.staying: dict[Key, str] = {}
        self.takes = _without(self.new, self.old)
        self.leaves = _without(self.old, self.new)

    def wait(self, key: Key, cause: str, hint: str) -> None:
        if key in self.new and key not in self.waiting:
            self.waiting[key] = Refusal(key, cause, hint)

    def grow(self) -> bool:
        """Takes in what the rules hold together with what is held already. Whether there was anything."""
        before = (len(self.waiting), len(self.staying))
        for key in self._held():
            self._keep_needs(key)
            self._keep_predecessors(key)
        for key in sorted(self.new.keys() - self.waiting.keys()):
            if self._differs(key) and (reason := self._reason_to_wait(key)):
                holder, cause = reason
                self.wait(key, cause, self._hint(holder))
        return before != (len(self.waiting), len(self.staying))

    def wait_as_a_whole(self) -> None:
        """Keeps all of known good where nothing of the release can come in."""
        if self.new and self.waiting.keys() >= self.new.keys():
            hint = next(iter(self.waiting.values())).hint
            self.staying |= dict.fromkeys(self.old.keys() - self.new.keys(), hint)

    def _held(self) -> list[Key]:
        return sorted({*self.waiting, *self.staying})

    def _keep_needs(self, key: Key) -> None:
        """Keeps what an old form needs. A container that it waits for may change: it runs in either form."""
        for need in self.old[key].needs if key in self.old else ():
            if need.key not in self.old:
                continue
            if need.key not in self.new:
                self.staying.setdefault(need.key, self._hint(key))
            elif need.key.kind != "container" and self._differs(need.key):
                self.wait(need.key, f"stays as {key} uses it, which is refused", self._hint(key))

    def _keep_predecessors(self, key: Key) -> None:
        """Keeps what would go to make room for something that waits."""
        going = self.old.keys() - self.new.keys() - self.staying.keys() if key in self.waiting else ()
        for old in going:
            if claims.clashing(self.takes[key], self.leaves[old]):
                self.staying[old] = self._hint(key)

    def _hint(self, key: Key) -> str:
        """What a person can do so that something is not held any more."""
        return self.waiting[key].hint if key in self.waiting else self.staying[key]

    def _reason_to_wait(self, key: Key) -> tuple[Key, str] | None:
        """What is held and keeps this one waiting, and why."""
        for need in self.new[key].needs:
            if need.required and need.key in self.waiting and self._differs(need.key):
                return need.key, f"waits for {need.key}, which is refused"
        for other in self._held():
            if other != key and other in self.old and (cause := self._taken(key, other)):
                return other, cause
        return None

    def _taken(self, key: Key, other: Key) -> str:
        """What the old form of another resource has that this one wants; empty when there is nothing."""
        if taken := claims.clashing(self.takes[key], self.leaves[other]):
            return f"{taken[0].partition('/')[2]} is held by {other}, which stays"
        if _in_the_way(key, other):
            return f"{other} stays, and is in its place"
        image = self._other_image(key, other)
        return f"image {image} stays as {other} uses it" if image else ""

    def _differs(self, key: Key) -> bool:
        """Whether the release changes a resource."""
        new, old = self.new[key], self.old.get(key)
        if old is None or old.digest != new.digest:
            return True
        return key.kind == "container" and bool(self._other_image(key, key))

    def _other_image(self, key: Key, other: Key) -> str:
        """The image reference that means one thing to the new form of `key`, and another to the old form of
        `other`; empty when there is none.
        """
        if not key.kind == other.kind == "container":
            return ""
        shared = set(self.new[key].images()) & set(self.old[other].images())
        now, then = self.wanted.lock, self.good.lock
        return next((each for each in sorted(shared) if now.get(each) != then.get(each)), "")

    # --- the result ---

    def target(self) -> Target:
        waiting = {key: refusal for key, refusal in self.waiting.items() if self._differs(key)}
        if not waiting and not self.staying:
            return self.wanted
        kept = {key: self.old[key] for key in {*waiting, *self.staying} if key in self.old}
        resources = {key: each for key, each in self.new.items() if key not in waiting} | kept
        manifest = Manifest(resources, tuple(self._checks(waiting)), self.wanted.manifest.warnings)
        old = {image for each in kept.values() if each.key.kind == "container" for image in each.images()}
        lock = {
            image: found[image]
            for image in manifest.images()
            if image in (found := self.good.lock if image in old else self.wanted.lock)
        }
        refusals = tuple(waiting[key] for key in sorted(waiting))
        return self.wanted.part(manifest, lock, refusals)

    def _checks(self, waiting: Iterable[Key]) -> Iterator[Check]:
        coming = {claim for key in waiting for claim in self.takes[key]}
        before = {check.name: check for check in self.good.manifest.checks}
        for check in self.wanted.manifest.checks:
            port = _port(check)
            if not port or not claims.clashing([claims.port("tcp", "", port)], coming):
                yield check
            elif check.name in before:
                yield before[check.name]


def _without(these: Mapping[Key, Resource], those: Mapping[Key, Resource]) -> dict[Key, set[str]]:
    """What each resource holds here and does not hold there."""
    return {
        key: _holds(resource) - (_holds(those[key]) if key in those else set())
        for key, resource in these.items()
    }


def _holds(resource: Resource) -> set[str]:
    data = succession.held(resource) if resource.key.kind == "container" else set()
    return {*resource.claims, *data}


def _in_the_way(one: Key, other: Key) -> bool:
    """Whether one of two paths must be a directory for the other's sake, and is none."""
    return any(
        upper.kind in ("file", "symlink") and lower.name.startswith(f"{upper.name}/")
        for upper, lower in ((one, other), (other, one))
    )


def _port(check: Check) -> str:
    """The port that a check asks; empty where it asks none."""
    scheme, _, rest = (check.http or f"tcp://{check.tcp}").partition("://")
    _, _, port = rest.partition("/")[0].rpartition(":")
    return port if port.isdecimal() else {"http": "80", "https": "443"}.get(scheme, "")
