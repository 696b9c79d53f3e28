"""The rules of a pass, checked from outside: at every operation, after every pass, and when the history has
ended.

1. Never make it worse: a pass that does not begin or end a release leaves alone what runs and is known good.
2. A rollback stays rolled back: what was rejected is not applied again, and known good's very containers come
   back.
3. No verdict without cause: a good release is never rejected, a bad one never known good.
4. Level-triggered: passes in a world that stands still become quiet, and what they leave is what was wanted.
5. Own before create, disown after delete.
6. What is not ours is never touched; originals come back.
7. History only goes forward.
8. Applied means converged.

`moments` has the rules that hold at each moment.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agent.converge.account import Ending
from agent.kinds import files
from agent.kinds.lenders import lenders
from agent.model import Action, Key, Manifest, Resource
from agent.store.durable import MARK
from agent.store.state import State
from tests.fakes.host import RUNNING
from tests.histories.branch import bad
from tests.histories.moments import FINE, Moments
from tests.histories.releases import VPN
from tests.histories.steps import Event, Round
from tests.histories.world import World

MAKING = ("create", "write", "mkdir", "link")
HURTING = ("stop", "remove", "rename", "disconnect")
NOTHING_BEGUN = ("Temporary", "Stalled", "HeldBack", "HoldingKnownGood")  # outcomes
QUIET_WITHIN = 4  # passes in a world that stands still


class Rules:
    """Lives a history and holds the rules to it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.host, self.branch = world.host, world.branch
        self.moments = Moments(world)
        self.host.watch = self.before_action
        self.host.watch_look = self.moments.look
        self.good = ""  # the release whose containers are `proved`
        self.proved: dict[str, str] = {}  # name -> id
        self.condemned: set[str] = set()
        self.pin = ""
        self.excused: set[str] = set()  # bad manifests of which not all was applied
        self.hurt: list[Action] = []

    # --- at every operation ---

    def before_action(self, action: Action, resource: Resource | None) -> None:
        self.moments.action(action)
        state, inventory = self.world.passes.state, self.world.inventory()
        paths = action.key.kind in ("file", "directory", "symlink")
        if action.key.kind != "image" and (action.verb in MAKING or paths):
            assert action.key in inventory, f"{action.verb} {action.key} before it is owned"
        attempt = state.attempt
        if attempt and attempt.phase != "rolling-back" and action.stage == "apply" and not state.held:
            assert attempt.release.id not in state.rejected, (
                f"{action.verb} {action.key} of a rejected release"
            )
        at = self.host.find(str(action.args.get("container")))
        assert at is None or at.seen.owned, f"{action.verb} {action.key}: {at.seen.name} is not ours"
        if action.verb == "remove" and action.key.kind == "container":
            self._not_known_good(str(action.args["container"]), state)
        if action.verb in HURTING and action.key.kind == "container":
            self.hurt.append(action)

    def _not_known_good(self, container: str, state: State) -> None:
        if state.known_good and state.known_good[0].id == self.good:
            lost = [
                name
                for name, id in self.proved.items()
                if container in (id, name)
                and id in self.host.containers
                and self.host._find(container).seen.id == id
            ]
            assert not lost, f"known good's {lost[0]} is removed"

    # --- a round ---

    def live(self, one: Round) -> None:
        events, how = one
        for event in events:
            self.world.happen(event)
        self.forget_lost()
        self.a_pass(how)

    def forget_lost(self) -> None:
        """What somebody else removed cannot come back, nor what lived by it; a person's word ends what was
        condemned.
        """
        self.proved = {name: id for name, id in self.proved.items() if id in self.host.containers}
        while lost := [name for name, id in self.proved.items() if self._outlived(id)]:
            for name in lost:
                del self.proved[name]
        self.condemned &= set(self.world.passes.state.rejected)

    def _outlived(self, id: str) -> bool:
        """Whether a container by which it lives is another one by now."""
        seen = self.host.containers[id].seen
        made = self.branch.made[Key("container", seen.key_name), seen.digest]
        ours = {name for _, name in lenders(made)} - {VPN}
        return not ours <= self.proved.keys() or not self.host.containers.keys() >= {*seen.shares.values()}

    def a_pass(self, how: Event = ("pass",)) -> Ending | None:
        before, serving = self.world.passes.state, self.serving()
        self.hurt.clear()
        result = self.world.run(how)
        self.after_pass(before, serving, result)
        if (
            result is not None
            and not self.world.trouble
            and result.exit_code in (FINE if self.world.crowded else (0, 4))
        ):
            self.nothing_to_do(result)
        return result

    def serving(self) -> set[str]:
        """Ids of known good's containers that run and are well."""
        found = (self.host.containers[id].seen for id in self.proved.values() if id in self.host.containers)
        return {seen.id for seen in found if seen.state == "running" and seen.health in ("", "healthy")}

    def after_pass(self, before: State, serving: set[str], result: Ending | None) -> None:
        state = self.world.passes.state
        self._forward(state)
        self._bystanders()
        self._verdicts(state)
        if state.known_good and state.known_good[0].id != self.good:
            self._prove(state)
        if result is None:
            return
        self.moments.after_pass(state, result)
        same = [good.id for good in state.known_good] == [good.id for good in before.known_good]
        if same and state.attempt is before.attempt is None and result.outcome in NOTHING_BEGUN:
            names = {
                self.host.containers[id].seen.name for id in serving if id in self.host.containers
            } | serving
            hurt = [action for action in self.hurt if str(action.args.get("container")) in names]
            assert not hurt, (
                f"a pass that ended {result.outcome} did {hurt[0].verb} {hurt[0].key}: {hurt[0].cause}"
            )
        if result.outcome == "RolledBack":
            now = {name: self.id_of(name) for name in self.proved}
            assert now == self.proved, f"known good's containers did not come back: {self.proved} -> {now}"
        if result.exit_code == 0:
            assert state.pin and state.pin.commit == self.branch.tip and state.attempt is None
            assert state.known_good[0].manifest_digest == self.branch.manifest.digest
            self.faithful(self.branch.manifest, dict(state.known_good[0].lock))
        elif result.exit_code == 4 and state.attempt is None:
            plan = self.world.passes.plan
            good = state.known_good[0]
            if not plan.refusals and not self.world.trouble and good.manifest_digest not in self.excused:
                self.faithful(self.branch.manifests.get(good.manifest_digest), dict(good.lock))

    def _prove(self, state: State) -> None:
        """Another release is known good: its containers are those that must come back from now on."""
        good = state.known_good[0]
        self.good = good.id
        manifest = self.branch.manifests.get(good.manifest_digest)
        self.proved = {}
        for at in self.host.containers.values():
            resource = manifest.resources.get(Key("container", at.seen.name))
            wanted = (resource.digest, good.lock.get(resource.spec["image"])) if resource else ()
            if at.seen.owned and wanted == (at.seen.digest, at.seen.image_id):
                self.proved[at.seen.name] = at.seen.id

    def _forward(self, state: State) -> None:
        pin = state.pin.commit if state.pin else ""
        assert not pin or self.branch.descends(pin, self.pin), f"the pin went from {self.pin} to {pin}"
        self.pin = pin

    def _bystanders(self) -> None:
        world, inventory = self.world, self.world.inventory()
        for id, was in world.bystanders.items():
            now = self.host.containers[id].seen if id in self.host.containers else None
            same = now and (now.name, now.state, now.networks) == (was.name, was.state, was.networks)
            assert same, f"the foreign container {was.name} was touched: {now}"
        here = {key.name for key in inventory}
        for path, there in world.persons.items():
            if path not in here:
                assert self.host.files.there.get(path) == there, f"{path} is not what a person had there"

    def _verdicts(self, state: State) -> None:
        undoing = (
            {state.attempt.release.id} if state.attempt and state.attempt.phase == "rolling-back" else set()
        )
        for id in state.rejected.keys() - undoing:  # a rollback that has not ended may find it not guilty
            digests = {state.rejected[id].manifest_digest, state.rejected[id].whole_digest}
            reason = state.rejected[id].reason
            contrast = reason.startswith("source:")  # it was away with the release, and back with known good
            assert digests & self.branch.bad or contrast, f"a good release was rejected: {reason}"
            self.condemned.add(id)
        if self.world.passes.plan.refused:
            self.excused |= {
                self.branch.manifest.digest,
                *(good.manifest_digest for good in state.known_good[:1]),
            }
        for good in state.known_good:
            assert good.manifest_digest not in self.branch.bad - self.excused, (
                f"a bad release is known good: {good.revision}"
            )
        gone = self.condemned - set(state.rejected)
        assert not gone or len(state.rejected) >= 20, "a rejection was forgotten"

    def nothing_to_do(self, result: Ending) -> None:
        """A second pass must change nothing, and end the same, or complain of a branch with another
        history.
        """
        done = len(self.host.done)
        again = self.world.run()
        complaint = set() if self.branch.descends(self.branch.tip, self.pin) else {78}
        assert again is not None and again.exit_code in complaint | {result.exit_code}, again
        left = [f"{action.verb} {action.key}: {action.cause}" for action in self.host.done[done:]]
        assert not left, f"the second pass did {left}"

    # --- what is there ---

    def id_of(self, name: str) -> str:
        return next((id for id, at in self.host.containers.items() if at.seen.name == name), "")

    def faithful(self, manifest: Manifest, lock: dict[str, str]) -> None:
        """The host is what a manifest says, and nothing else of ours is there."""
        host, inventory = self.host, self.world.inventory()
        there = {at.seen.name: at.seen for at in host.containers.values() if at.seen.owned}
        for resource in manifest.of_kind("container"):
            seen, done = there.pop(resource.key.name, None), resource.key.name in self.completed()
            assert seen or done, f"{resource.key} is missing"
            if seen is not None:
                same = (seen.digest, seen.image_id) == (resource.digest, lock[resource.spec["image"]])
                assert same, f"{resource.key} is another"
                assert resource.spec["oneshot"] or seen.state == "running", f"{resource.key} is {seen.state}"
        assert not there, f"containers are left over: {sorted(there)}"
        ours = {name for name, network in host.networks.items() if network.owned}
        wanted = {
            resource.key.name: resource
            for resource in manifest.of_kind("network")
            if not resource.spec["external"]
        }
        assert ours == wanted.keys(), f"networks {ours}, wanted {wanted.keys()}"
        assert all(host.networks[name].digest == resource.digest for name, resource in wanted.items())
        for resource in manifest.of_kind("file"):
            file = host.files.there.get(resource.key.name)
            content = file.content if file and file.type == "file" else None
            assert content == resource.spec.get("content"), f"{resource.key} has another content"
        for resource in manifest.of_kind("symlink"):
            assert host.files.there[resource.key.name].target == resource.spec["target"], resource.key
        owned = {key for key in manifest.resources if not manifest.resources[key].spec.get("external")}
        above = {parent for key in owned if key.kind in files.KINDS for parent in files.parents(key.name)}
        implied = {
            key
            for key in inventory
            if key not in owned and files.implied(key, inventory) and key.name in above
        }
        assert inventory.keys() == owned | implied, f"owned: {inventory.keys() ^ owned}"

    def completed(self) -> set[str]:
        """Names of one-shots that ran to success; their containers may be gone."""
        return {text.partition("/")[2] for text in self.world.passes.state.ran} | {
            key.name for key, entry in self.world.inventory().items() if entry.completed
        }

    # --- the end ---

    def end(self, fresh: Rules) -> None:
        """With everything up and one good commit the host must become what a fresh host with only that commit
        is.
        """
        world = self.world
        world.happen(("leave",))
        world.happen(("order", "resume", 0))
        world.happen(("order", "retry", 0))
        good = (doc for doc in reversed(self.branch.docs) if not bad(doc) and "outside" not in doc["network"])
        last = next(good, self.branch.docs[0])
        for each in (self, fresh):
            each.world.persons = dict(world.persons)
            each.world.happen(("push", last))
        for path, there in world.persons.items():
            fresh.world.host.files._put(path, there)  # with the directories above it
        fresh.world.host.content.blobs |= world.host.content.blobs
        for each in (self, fresh):
            each.forget_lost()
            for _ in range(QUIET_WITHIN):
                each.a_pass()
        ends = [each.quiet() for each in (self, fresh)]
        assert ends[0] == ends[1] and ends[0] in (0, 6), (
            f"it ends with exit code {ends[0]}, a fresh host with {ends[1]}"
        )
        apart = self.put_off()
        mine, wanted = (
            {name: what for name, what in each.snapshot().items() if not apart & set(name.split(maxsplit=1))}
            for each in (self, fresh)
        )
        assert mine == wanted, "\n".join(
            f"{key}: {wanted.get(key)} on a fresh host, here {mine.get(key)}"
            for key in sorted({*mine, *wanted})
            if mine.get(key) != wanted.get(key)
        )
        self.no_leftovers()

    def put_off(self) -> set[str]:
        """The names of what known good has in another form than the branch, because the change is refused."""
        good = self.world.passes.state.known_good[0]
        held, wanted = (
            self.branch.manifests.get(good.manifest_digest).resources,
            self.branch.manifest.resources,
        )
        differing = {
            key
            for key in {*held, *wanted}
            if key not in held or key not in wanted or held[key].digest != wanted[key].digest
        }
        return {key.name for key in differing} | {str(key) for key in differing}

    def quiet(self) -> int:
        """The exit code of a pass that does nothing."""
        done = len(self.host.done)
        result = self.world.run()
        left = [f"{action.verb} {action.key}: {action.cause}" for action in self.host.done[done:]]
        assert result is not None and not left, f"after {QUIET_WITHIN} passes it still does {left}"
        return result.exit_code

    def snapshot(self) -> dict[str, Any]:
        """The host as a person compares it. Not compared are directories that came with a file, which may
        have been there before, and what a one-shot that ran to success leaves: its container may be gone.
        What is refused may have been ours, and a directory above a person's path may have been made by
        either.
        """
        found: dict[str, Any] = {}
        inventory = {key: owned for key, owned in self.world.inventory().items() if owned.digest}
        refused = {each["resource"] for each in self.world.passes.heartbeat()["refused"]}
        done = self.completed()
        for at in self.host.containers.values():
            seen, networks = at.seen, self.host.networks
            if seen.name in done and seen.state == "exited":
                continue
            joined = {name: id for name, id in seen.networks.items() if name in networks}
            stale = [name for name, id in joined.items() if id not in ("", networks[name].id)]
            found[f"container {seen.name}"] = (
                seen.digest,
                seen.image_id,
                seen.state,
                at.policy,
                sorted(seen.networks),
                stale,
                seen.ports if seen.state in RUNNING else (),
            )
        found |= {f"network {n.name}": (n.owned, n.digest) for n in self.host.networks.values()}
        found |= {
            f"path {path}": there
            for path, there in self.host.files.there.items()
            if there.type != "directory" or Key("directory", path) in inventory
        }
        theirs = {str(above) for path in self.world.persons for above in Path(path).parents}
        found |= {
            f"owned {key}": (
                entry.digest,
                entry.claims,
                entry.needs,
                entry.original if key.name not in theirs else None,
            )
            for key, entry in inventory.items()
            if key.kind != "volume" and str(key) not in refused
        }
        return found

    def no_leftovers(self) -> None:
        """Nothing is kept that no remembered release needs."""
        world, state = self.world, self.world.passes.state
        releases = state.releases()
        needed = {image for release in releases for image in release.lock.values()} | {
            a.id for a in state.images.asked.values()
        }
        used = {at.seen.image_id for at in self.host.containers.values()}
        extra = self.host.image_ids() - world.images - needed - used
        assert not extra, f"images are left over: {extra}"
        manifests = {each.manifest_digest for release in releases for each in (release, release.whole)}
        assert {path.stem for path in world.passes.paths.manifests.iterdir()} == manifests
        brought = {release.manifest_digest for release in releases} | {self.branch.manifest.digest}
        contents = {
            digest for manifest in brought for digest in self.branch.manifests.get(manifest).content()
        }
        originals = [entry.original for entry in world.inventory().values() if entry.original]
        contents |= {original["content"] for original in originals if "content" in original}
        assert {path.name for path in world.passes.paths.content.iterdir()} == contents
        temporary = [path for path in Path(world.passes.root).rglob("*") if MARK in path.name]
        assert not temporary, f"temporary files are left over: {temporary}"
