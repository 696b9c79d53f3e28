"""A history on the fake host: the real passes, with events between them and misfortune within them.

`World.live(round)` does the events of a round and then its pass; `rules` are checked at every operation and
after every pass. What happened is in `story`, line by line.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

from agent.converge.account import Ending
from agent.errors import Failed, Transient
from agent.kinds import claims
from agent.model import Action, Key, Resource
from agent.observed import ObservedFile
from agent.settings.values import GateSettings
from agent.store.inventory import InventoryStore
from agent.store.orders import Orders, Suspension
from agent.testing import Serial
from tests.fakes.clock import FakeClock
from tests.fakes.dying import patched
from tests.fakes.host import RUNNING, Died, FakeHost
from tests.fakes.passes import Passes
from tests.histories.branch import HistoryBranch, pick
from tests.histories.outside import Outside
from tests.histories.releases import IMAGES
from tests.histories.steps import BAD, PATHS, Event
from tests.properties.strategies import NETWORKS, SERVICES

DOWN = Transient("the source does not answer", "wait", code="SourceUnavailable")
ROUNDS = 5  # as in agent.converge.one_pass
URL = "https://git.example.org/fleet.git"


class Host(FakeHost):
    """A fake host on which something goes wrong at the k-th moment, and that asks `watch` before each
    action, and `watch_look` before each look.
    """

    def __init__(self, store: Any) -> None:
        super().__init__(store=store)
        self.misfortune, self.moment, self.dead = "", 0, False
        self.watch: Any = lambda action, resource: None
        self.watch_look: Any = lambda: None
        self.asked_to_stop: Any = None

    def begin(self, misfortune: str = "", moment: int = 0) -> None:
        self._points, self.misfortune, self.moment, self.dead = 0, misfortune, moment, False
        self.restarted = False

    def _point(self) -> None:
        self._points += 1
        if self.dead:
            raise Died
        if self._points != self.moment:
            return
        match self.misfortune:
            case "killed":
                self.dead = True
                raise Died
            case "trouble":
                raise Transient("the Engine answered 500", "wait", code="EngineError")
            case "docker":
                self.down = True
                self._engine()
            case "docker-restarts":
                self.restart_engine()
            case "full":
                self.files.full = True
            case "asked-to-stop":
                self.asked_to_stop.set()

    def execute(self, action: Action, resource: Resource | None) -> None:
        with self._lock:
            if not self.dead:
                self.watch(action, resource)
            super().execute(action, resource)

    def observe(self, request: Any) -> Any:
        if self.dead:
            raise Died
        with self._lock:
            self.watch_look()
        return super().observe(request)


class Clock(FakeClock):
    """Calls `at_sleep` with the number of each sleep of a pass."""

    def __init__(self) -> None:
        super().__init__()
        self.at_sleep: Any = None
        self.sleeps = 0

    def sleep(self, seconds: float, wake: Any = None) -> bool:
        self.sleeps += 1
        if self.at_sleep:
            self.at_sleep(self.sleeps)
        return super().sleep(seconds, wake)


class World(Outside):
    """One host, its branch, and the people around it. `persons`: path -> what they have there, where Limpet
    has nothing. `crowded`: others bring and take things; the recorded histories are older.
    """

    def __init__(self, root: Path, red_port: int, *, crowded: bool = True) -> None:
        self.crowded = crowded
        clock = Clock()
        self.passes = Passes(root, clock=clock, url=URL, gate=GateSettings(settle=1.0, deadline=20.0))
        self.branch = HistoryBranch(self.passes.paths, red_port)
        self.passes.branch = self.branch
        self.host = self.passes.host = Host(self.branch.content)
        self.host.asked_to_stop = self.passes.cancel
        self.clock = clock
        self.persons: dict[str, ObservedFile] = {}
        self.strangers: list[str] = []  # ids of foreign containers that came and may leave
        self.outages: list[str] = []
        self.story: list[str] = []
        self.trouble = False  # something was wrong in the last pass
        self._furnish()

    def _furnish(self) -> None:
        host = self.host
        for reference, kind in {**IMAGES, **BAD}.items():
            host.add_image(reference, kind, local=reference.endswith(":1"))
        host.add_foreign_network("foreign")
        host.add_foreign_container("bystander", ports=("port/tcp/0.0.0.0/9000",), networks=("foreign",))
        host.files.make_directory("/etc")
        host.files.put("/etc/x", b"was here before", 0o640)
        host.files.put_link("/etc/y", "was/here")
        self.persons = {path: host.files.there[path] for path in ("/etc/x", "/etc/y")}
        self.bystanders = {id: at.seen for id, at in host.containers.items()}
        if self.crowded:
            self.furnish_outside()
        self.images = frozenset(host.image_ids())

    def say(self, line: str) -> None:
        self.story.append(line)

    # --- events between passes ---

    def happen(self, event: Event) -> None:
        """One event; what came of it is told."""
        name, *rest = event
        if name in ("push", "spoil", "tweak", "revert", "recommit"):
            manifest = self.branch.commit(event)
            what = "bad" if manifest.digest in self.branch.bad else "good"
            self.say(
                f"commit {self.branch.commits} ({name} "
                f"{' '.join(map(str, rest)) if name != 'push' else ''}), {what}: "
                f"{', '.join(map(str, sorted(manifest.resources)))}"
            )
        else:
            told = getattr(self, f"_{name}")(*rest)
            self.say(f"{name} {' '.join(map(str, rest))}: {told or 'nothing'}")

    def _reboot(self) -> str:
        self.host.reboot()
        self.bystanders = {
            id: self.host.containers[id].seen for id in self.bystanders
        }  # one of ours may have been quicker
        self.clock.reboot()
        shutil.rmtree(self.passes.paths.run, ignore_errors=True)
        return "the machine starts again"

    def _leave(self) -> str:
        """The strangers leave; with them goes all that is in the way of somebody."""
        if self.crowded:
            self.furnish_outside()
        gone = [self.host.containers.pop(id).seen.name for id in self.strangers]
        self.bystanders = {id: seen for id, seen in self.bystanders.items() if id not in self.strangers}
        self.strangers.clear()
        return ", ".join(gone)

    def _rewrite(self) -> str:
        self.branch.rewrite()
        return "the branch has another history"

    def _outage(self, what: str) -> str:
        self.outages.append(what)
        return "until the next pass has ended"

    def _time(self, how: str, seconds: float) -> str:
        if how == "pass" and seconds > 0:
            self.clock.advance(seconds)
        else:
            self.clock.jump(seconds)
        return "the clock is another"

    def _order(self, what: str, number: int) -> str:
        orders, state = Orders(self.passes.paths.state), self.passes.state
        match what:
            case "retry":
                orders.retry("all", self.clock.wall())
                return "all rejections are to be forgotten"
            case "suspend":
                orders.suspend("*", Suspension("a person", self.clock.wall()))
                return "everything is frozen"
            case "resume":
                for resource in list(orders.load().suspended):
                    orders.resume(resource)
                return "nothing is frozen"
            case "freeze":
                key = pick(map(str, self.inventory()), number)
                if key:
                    orders.suspend(key, Suspension("a person", self.clock.wall()))
                return f"{key} is frozen"
        release = state.known_good[number % len(state.known_good)] if state.known_good else None
        if release is None:
            return ""
        orders.roll_back(release.id, "a person", self.clock.wall())
        return f"back to {release.id}"

    # --- drift and intrusions ---

    def _drift(self, how: str, number: int) -> str:
        host = self.host
        if how in ("edit", "delete", "chmod"):
            return self._damage(
                how, pick([key.name for key in self.inventory() if key.kind == "file"], number)
            )
        if how == "network":
            idle = [
                name
                for name, there in host.networks.items()
                if there.owned
                and not any(
                    name in c.seen.networks for c in host.containers.values() if c.seen.state in RUNNING
                )
            ]
            if name := pick(idle, number):
                del host.networks[name]
            return f"{name} is removed"
        ours = [at.seen for at in host.containers.values() if at.seen.owned]
        name = pick([seen.name for seen in ours if seen.state in RUNNING or how == "vanish"], number)
        if name is None:
            return ""
        at = host._find(name)
        match how:
            case "stop":
                host.stop_by_hand(name)
            case "vanish":
                host.vanish(name)
            case "disconnect":
                if at.seen.networks:
                    host._container_disconnect(None, name, pick(at.seen.networks, number))
            case "pause":
                if at.seen.state == "running":
                    at.seen = replace(at.seen, state="paused")
            case _:
                with suppress(Failed):  # a person's restart fails too, when somebody has taken its port
                    host._container_restart(None, name)
        return f"{name}: {how}"

    def _damage(self, how: str, path: str | None) -> str:
        there = self.host.files.there.get(path or "")
        if path is None or there is None or there.type != "file":
            return ""
        match how:
            case "edit":
                self.host.files.put(path, b"edited by hand", 0o600)
            case "delete":
                del self.host.files.there[path]
            case _:
                self.host.files.there[path] = replace(there, mode=0o777)
        return f"{path}: {how}"

    def _intrude(self, how: str, number: int) -> str:
        host = self.host
        match how:
            case "name":
                name = SERVICES[number % len(SERVICES)]
                if not any(at.seen.name == name for at in host.containers.values()):
                    return self._stranger(name)
            case "port":
                port = f"port/tcp//{80 + number % 2}"
                held = {each for at in host.containers.values() for each in at.seen.ports}
                if not (
                    claims.clashing([port], held | host.ports_of_others) if self.crowded else port in held
                ):
                    return self._stranger(f"stranger-{len(self.strangers)}", ports=(port,))
            case "network":
                if name := pick([name for name in NETWORKS if name in host.networks], number):
                    return self._stranger(f"stranger-{len(self.strangers)}", networks=(name,))
            case _:
                path = PATHS[number % len(PATHS)]
                if self._holder(path) is None and not self._directory(path):
                    if how == "file":
                        host.files.put(path, b"a person's")
                    else:
                        host.files.put_link(path, "a/person's")
                    self.persons[path] = host.files.there[path]
                    return f"a {how} at {path}"
        return ""

    def _directory(self, path: str) -> bool:
        """Whether a directory is there, or none can be above."""
        there, above = self.host.files.there.get(path), self.host.files.there.get(path.rpartition("/")[0])
        return bool(there and there.type == "directory") or bool(above and above.type != "directory")

    def _stranger(self, name: str, **more: Any) -> str:
        id = self.host.add_foreign_container(name, **more)
        self.strangers.append(id)
        self.bystanders[id] = self.host.containers[id].seen
        return f"the foreign container {name} {more}"

    # --- what is there ---

    def inventory(self) -> dict[Key, Any]:
        """What the disk says is owned."""
        return dict(InventoryStore(self.passes.paths.state).load())

    def _holder(self, path: str) -> Key | None:
        return next((key for key in self.inventory() if key.name == path), None)

    # --- a pass ---

    def run(self, how: Event = ("pass",)) -> Ending | None:
        """One pass; None when it was killed."""
        name, moment = how[0], how[1] if len(how) > 1 else 0
        self.host.begin(name, moment)
        self.passes.cancel.clear()
        self.clock.sleeps, self.clock.at_sleep = 0, None
        self.branch.down = DOWN if "source" in self.outages else None
        self.host.registry_down, self.host.down = "registry" in self.outages, "docker" in self.outages
        self.trouble = bool(self.outages) or name != "pass"
        if name == "cut-off":
            self.clock.at_sleep = lambda sleeps: setattr(
                self.branch, "unreachable", "no route" if sleeps >= moment else ""
            )
        if name == "docker-restarts":
            self.clock.at_sleep = lambda sleeps: self.host.restart_engine() if sleeps == moment else None
        if name == "newer":
            self.clock.at_sleep = lambda sleeps: self.happen(how[2]) if sleeps == moment else None
        try:
            with mock.patch("agent.converge.apply.new_executor", Serial):
                return self._until_power_cut(moment) if name == "power" else self._rounds()
        except Died:
            self.say("  pass: killed")
            return None
        finally:
            self.branch.unreachable, self.host.down, self.host.files.full = "", False, False
            self.host.begin()
            self.outages.clear()

    def _rounds(self) -> Ending:
        for _ in range(ROUNDS):
            result: Ending = self.passes.run()
            self.say(f"  pass: {result.outcome} (exit {result.exit_code}) {result.reason}")
            if result.outcome != "Superseded":
                break
        return result

    def _until_power_cut(self, moment: int) -> Ending:
        """The process dies before the `moment`-th call that changes a file, in the middle of it, or after
        it.
        """
        count, result = 0, []

        def step() -> None:
            nonlocal count
            count += 1
            if count >= moment:
                self.host.dead = True
                raise Died

        def around(name: str, call: Any, args: Any, kwargs: Any) -> Any:
            step()
            if name == "write" and len(args[1]) > 1:
                half = call(args[0], args[1][: len(args[1]) // 2])
                step()
                done = half + call(args[0], args[1][half:])
            else:
                done = call(*args, **kwargs)
            step()
            return done

        patched(around, lambda: result.append(self._rounds()))
        return result[0]
