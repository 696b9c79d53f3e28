"""The rules that hold at each moment, between any two actions and looks, and what must be true of a pass by
what others have in the way. `rules` has the others.

9.  No two writers: two containers never have the same volume, host path or device at the same time, unless
    one release wants both to have it.
10. What runs keeps what it needs: nothing is removed that a running container of ours uses.
11. Nothing converged that was not judged: a container that runs as known good has it was there when a gate
    passed.
12. Nobody lives in a dead namespace after a pass that says that all is well.
13. A refusal ends in exit code 6, says the remedy, and is there only as long as something is in the way; and
    no pass fails because of nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from agent.converge.account import Ending
from agent.kinds import claims
from agent.model import PATH_KINDS, Action, Key, Manifest, Resource
from agent.observed import ObservedContainer
from agent.store.state import State
from tests.fakes.host import RUNNING
from tests.histories.world import World

Made = tuple[Key, str, str]  # a container of a release: key, digest, image id
FINE = (0, 4, 6)  # exit codes of passes in which nothing goes wrong


class Moments:
    """Watches a world. `judged`: the containers that were there when a gate passed."""

    def __init__(self, world: World) -> None:
        self.world, self.host, self.branch = world, world.host, world.branch
        self.judged: set[Made] = set()
        self._together: set[frozenset[str]] = set()  # ids of those that already run with the same data
        self._begun: set[str] = set()  # manifests of what was known good and of what was begun since
        self._good = ""  # the release whose containers are in `judged`

    # --- before each action and each look ---

    def look(self) -> None:
        self.one_writer()
        self.remember_judged()

    def action(self, action: Action) -> None:
        self.look()
        if action.verb == "remove" and action.key.kind != "container":
            self.keeps_what_it_needs(action)

    def running(self) -> list[ObservedContainer]:
        """Ours."""
        return [at.seen for at in self.host.containers.values() if at.seen.owned and at.seen.state in RUNNING]

    def one_writer(self) -> None:
        found = [(seen, data) for seen in self.running() if (data := self._data(seen))]
        together: set[frozenset[str]] = set()
        for (one, first), (other, second) in combinations(found, 2):
            if shared := set(claims.clashing(first, second)):
                pair = frozenset((one.id, other.id))
                wanted = pair in self._together or shared <= self._on_purpose(one, other)
                wanted = (
                    wanted or self.host.restarted
                )  # what just gave way is started by a dockerd that starts
                assert wanted, f"{one.name} and {other.name} write {sorted(shared)} at the same time"
                together.add(pair)
        self._together = together

    def _data(self, seen: ObservedContainer) -> set[str]:
        resource = self.branch.made.get((Key("container", seen.key_name), seen.digest))
        if resource is None:
            return set()
        volumes = {f"volume/{name}" for name in seen.volumes} if _shares_volumes(resource) else set()
        return _written(resource) | volumes

    def _on_purpose(self, one: ObservedContainer, other: ObservedContainer) -> set[str]:
        """What a release wants both to have, or what a service wants its old and its new container to have
        for a while.
        """
        if one.key_name == other.key_name:
            return self._data(one) | self._data(other) if self._starts_first(one.key_name) else set()
        found: set[str] = set()
        for manifest in self._wanted_now():
            both = [manifest.resources.get(Key("container", seen.key_name)) for seen in (one, other)]
            data = [self._wanted_data(resource, manifest) for resource in both if resource]
            if len(data) == 2:
                found |= {*claims.clashing(*data), *claims.clashing(*reversed(data))}
        return found

    def _starts_first(self, name: str) -> bool:
        """Whether a service wants its new container to run beside the old one."""
        made = [each for (key, _), each in self.branch.made.items() if key.name == name]
        orders = [(each.spec.get(key) or {}).get("order") for each in made for key in ORDERS]
        return "start-first" in orders

    def _wanted_data(self, resource: Resource, manifest: Manifest) -> set[str]:
        found = _written(resource)
        for entry in resource.spec["config"].get("volumes_from") or ():
            lender = manifest.resources.get(Key("container", entry))
            found |= self._wanted_data(lender, manifest) if lender else set()
        return found

    def _wanted_now(self) -> Iterator[Manifest]:
        """What is brought in, what was held before, and what was begun since then."""
        state = self.world.passes.state
        attempt = [state.attempt.release] if state.attempt else []
        applied = [state.applied] if state.applied else []
        digests = [release.manifest_digest for release in (*attempt, *applied, *state.known_good[:1])]
        self._begun = {*digests, *(self._begun if attempt else ())}
        yield from (self.branch.manifests.get(digest) for digest in sorted(self._begun) if self._has(digest))
        yield self.branch.manifest

    def _has(self, digest: str) -> bool:
        return (self.world.passes.paths.manifests / f"{digest}.json").exists()

    def keeps_what_it_needs(self, action: Action) -> None:
        key = action.key
        for seen in self.running():
            mounted = key.kind not in ("network", "volume", "image") and (
                key.name in self.host.containers[seen.id].alone
            )
            used = (key.kind == "network" and key.name in seen.networks) or (
                key.kind == "volume" and key.name in seen.volumes
            )
            if self.host.restarted or (mounted and self._starts_first(seen.key_name)):
                continue
            assert not mounted and not used, f"remove {key}, which {seen.name} uses: {action.cause}"

    # --- what was judged ---

    def remember_judged(self) -> None:
        """At the first moment after a gate has passed: what is there has passed it."""
        state = self.world.passes.state
        good = state.known_good[0] if state.known_good else None
        if good is None or good.id == self._good:
            return
        self._good = good.id
        there = {
            (Key("container", seen.key_name), seen.digest, seen.image_id)
            for seen in (at.seen for at in self.host.containers.values())
            if seen.owned and seen.name == seen.key_name
        }
        wanted = self._of(self.branch.manifests.get(good.manifest_digest), dict(good.lock))
        self.judged |= there & wanted

    def _of(self, manifest: Manifest, lock: dict[str, str]) -> set[Made]:
        return {
            (each.key, each.digest, lock.get(each.spec["image"], ""))
            for each in manifest.of_kind("container")
        }

    # --- after a pass ---

    def after_pass(self, state: State, result: Ending) -> None:
        self.look()
        if result.exit_code in (0, 4) and state.attempt is None:
            self.nobody_lives_in_the_past(result)
        if result.exit_code in FINE and state.attempt is None and state.known_good:
            self.all_was_judged(state)
        self.no_refusal_without_cause(result)

    def nobody_lives_in_the_past(self, result: Ending) -> None:
        ours = {seen.name for seen in self.running()}
        dead = ours & {*self.host.in_dead_namespaces()}
        refused = {refusal.key.name for refusal in self.world.passes.plan.refused}
        assert self.world.trouble or not dead - refused, (
            f"{sorted(dead)} live in dead namespaces after {result.outcome}"
        )

    def all_was_judged(self, state: State) -> None:
        good = state.known_good[0]
        there = {(Key("container", s.key_name), s.digest, s.image_id) for s in self.running()}
        wanted = self._of(self.branch.manifests.get(good.manifest_digest), dict(good.lock))
        never = sorted(str(key) for key, _, _ in (there & wanted) - self.judged)
        assert not never, f"known good, but never judged: {never}"

    def no_refusal_without_cause(self, result: Ending) -> None:
        refusals = self.world.passes.plan.refused
        mute = [str(refusal.key) for refusal in refusals if not refusal.hint or not refusal.cause]
        assert not mute, f"refused without a word: {mute}"
        never = {each.key for each in refusals if each.key.kind in PATH_KINDS or each.key.name == "outside"}
        if self.world.trouble or self.world.hindrances() or never:
            return
        assert not refusals, f"nothing is in the way, but {[(str(r.key), r.cause) for r in refusals]}"
        codes = {0, 4} | ({1} if self.branch.manifest.digest in self.branch.bad else set())
        codes |= set() if self.branch.descends(self.branch.tip, self.world.pin()) else {78}
        assert result.exit_code in codes, f"nothing is in the way, but {result.outcome}: {result.reason}"


ORDERS = ("update", "rollback")


def _written(resource: Resource) -> set[str]:
    """What a container has by its own definition; in histories nothing is mounted to be read only."""
    config = resource.spec["config"]
    prefixes = {"volume": "volume/", "bind": "bind"}
    mounts = {f"{prefixes[mount['type']]}{mount['source']}" for mount in config.get("volumes") or ()}
    return mounts | {f"device{device.partition(':')[0]}" for device in config.get("devices") or ()}


def _shares_volumes(resource: Resource) -> bool:
    return bool(resource.spec["config"].get("volumes_from"))
