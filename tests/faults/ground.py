"""The ground that all sweeps share: a site on which a scenario goes round, and what it must look like after
each move.

ground.start()                        the scenario's first state
seen = ground.measure(what)           goes round once, undisturbed; remembers the host after each move
for number, point in ground.visits(points): ...      the host is at the start of the move, its commit is made
    ...                               the fault
    ground.recover(number, where)     one clean pass; the same host, nothing left over, and the next pass is
    quiet
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from tests.faults.scenarios import Move, Names, Scenario
from tests.harness import snapshot
from tests.harness.hosts import Result
from tests.harness.registry import Registry
from tests.harness.site import Site

SERIAL = {"LIMPET_TEST_SERIAL": "1"}  # so that point N is the same step in every pass
MESSAGE = "change\n\nLimpet-Allow-Prune: 99"
QUIET = 10  # journal lines that a pass with nothing to do has at most
OVER = ("Converged", "RolledBack", "HoldingKnownGood")  # how a pass ends that has nothing left to do
SLOW = ("create ", "await ", "watch ", "step prefetch", "step gate", "step commit", "step prune")
T = TypeVar("T")


class Ground:
    """One scenario on one site. `visited` of `all` points were visited; `environment` is that of every
    pass.
    """

    GATE: ClassVar[Mapping[str, str]] = {"settle": "0.2s", "deadline": "20s"}

    def __init__(
        self, site: Site, scenario: Scenario, names: Names, registry: Registry | None = None
    ) -> None:
        self.site, self.scenario, self.names, self.registry = site, scenario, names, registry
        self.wanted: list[dict[str, object]] = []
        self.visited = self.all = 0
        self._at_start: dict[str, str] = {}
        self._steady: dict[str, object] = {}
        self._down: list[list[Counter[str]]] = []
        self.environment: Mapping[str, str] = SERIAL
        self._took = 0.0
        site.configure(gate=self.GATE)

    # --- going round ---

    def start(self) -> None:
        self.site.commit(self.scenario.start(self.names), MESSAGE)
        self.site.sync(env=self.environment)

    def begin(self, number: int) -> Move:
        """Commits move `number`; the pass that carries it out is the caller's."""
        self.names = Names(self.names.app, self.names.registry, self.names.round + 1)
        if number == 0 and self.scenario.before:
            self.scenario.before(self)
        move = self.scenario.moves[number](self.names)
        self.site.commit(move.detour or move.files, MESSAGE)
        self._at_start = self.site.ids(self.names.app)
        self._steady = self._lives()
        return move

    def measure(self, seen: Callable[[], T], run: Callable[[], T] | None = None) -> list[T]:
        """Goes round once; what `seen` says after each move, or `run`, which does the pass itself."""
        found = []
        for number in range(len(self.scenario.moves)) if self.scenario.once else ():
            self.begin(number)
            self.site.sync(env=self.environment)
        for number in range(len(self.scenario.moves)):
            move, started = self.begin(number), time.monotonic()
            seen()  # what it has seen by now was of the move before
            if run is None:
                self.site.sync(expect=move.exit_code if move.detour is None else 0, env=self.environment)
                self._took = time.monotonic() - started
            found.append(run() if run else seen())
            if run is None:
                self._down = [*self._down[:number], self._while_down(self.journal())]
            if move.detour is not None:
                self.recover(number)
            self._same(number, self.state(), "an undisturbed pass")
        return found

    def visits(
        self, points: Sequence[Sequence[T]], most: int | None, *, whole: bool = False
    ) -> Iterator[tuple[int, T]]:
        """Each point of each move, at most about `most` in all: the host is at the move's start, and its
        commit is made. `whole`: also of mirrored moves, which otherwise share their points.
        """
        left = self._chosen(points, most, whole)
        number = 0
        while any(left):
            self.begin(number)
            if left[number]:
                self.visited += 1
                yield number, left[number].pop(0)
            else:
                self.recover(number)
            number = (number + 1) % len(left)

    def _chosen(self, points: Sequence[Sequence[T]], most: int | None, whole: bool) -> list[list[T]]:
        if self.scenario.mirrored and not whole:
            points = [list(each)[offset :: len(points)] for offset, each in enumerate(points)]
        self.all = sum(map(len, points))
        if most is None:
            return [list(each) for each in points]
        if most < len(points):
            return [spread(each, int(number < most)) for number, each in enumerate(points)]
        return [spread(each, max(1, round(most * len(each) / self.all))) for each in points]

    def recover(self, number: int, where: object = "") -> None:
        """One clean pass must end in the same host as an undisturbed one; after a fault, the pass after it
        must be quiet.
        """
        move = self.scenario.moves[number](self.names)
        if move.detour is not None:
            self.site.commit(move.files, MESSAGE)
        clean = self.site.sync(expect=None, env=self.environment)
        told = f"{where}\n{clean}"
        assert clean.code == move.exit_code, told
        self._same(number, self.state(), told)
        self._untouched(told)
        if where and self._down:
            self._brief(number, told)
        if where:
            quiet = self.site.sync(expect=move.exit_code, env=self.environment)
            assert len(self.steps()) < QUIET, f"the pass after the clean one was not quiet\n{quiet}\n{told}"

    def condemned_nothing(self, number: int, result: Result, where: object) -> None:
        """A fault of the host is no fault of the release: the pass carries on or is temporary."""
        wanted = self.scenario.moves[number](self.names).exit_code
        allowed = {0, 75} if wanted == 0 else {4, 5, 75}
        assert result.code in allowed, f"{where}\n{result}"
        assert result.code == wanted or "hint: " in result.err or "hint" in result.out, f"{where}\n{result}"
        if wanted == 0:
            assert self.site.heartbeat()["rejected"] == [], f"{where}\n{result}"

    def duration(self) -> float:
        """Seconds that the last measured pass took."""
        return self._took

    # --- the passes that are struck ---

    @property
    def environ(self) -> dict[str, str]:
        return {**os.environ, **self.environment}

    def spawn(self, environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """A pass in a process group of its own, output in pipes."""
        argv = [sys.executable, "-I", "-m", "agent", "--root", str(self.site.root), "sync"]
        return subprocess.Popen(
            argv,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**self.environ, **(environment or {})},
        )

    def killed_at(self, line: object) -> Result:
        """A pass that kills itself after that line of its journal."""
        return self.site.sync(expect=None, env={**self.environment, "LIMPET_TEST_KILL_AT": str(line)})

    def steps(self) -> list[str]:
        """What each journal line of the last pass says."""
        return [
            " ".join(str(line[k]) for k in ("event", "name", "verb", "key") if k in line)
            for line in self.journal()
        ]

    def last(self) -> str:
        """The last line of the journal."""
        return (self.steps() or ["none"])[-1]

    def journal(self, name: str = "journal.jsonl") -> list[dict[str, Any]]:
        """A journal, line by line; empty before the first pass."""
        path = self.site.root / "var/lib/limpet" / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    # --- what must be equal ---

    def state(self) -> dict[str, object]:
        """Everything that must be equal after a move: containers, networks, volumes, images, files,
        inventory.
        """
        site, app = self.site, self.names.app
        files = snapshot.files(site.root, ignore=["var/lib/limpet", "run"])
        files |= {
            f"apps/{name}": state for name, state in snapshot.files(site.root / "var/lib/limpet/apps").items()
        }
        inventory = json.loads((site.root / "var/lib/limpet/inventory.json").read_text().splitlines()[1])
        web = f"{app}-web-1"
        return {
            "containers": snapshot.containers(site.engine, app),
            "networks": snapshot.networks(site.engine, app),
            "volumes": snapshot.volumes(site.engine, app),
            "files": files,
            "images": self._images(),
            "owned": {key: entry["digest"] for key, entry in inventory.items()},
            "originals": sorted(key for key, entry in inventory.items() if entry.get("original")),
            "hooked": [
                name
                for name, id in site.ids(app).items()
                if id in inventory.get(f"container/{name}", {}).get("hooked", ())
            ],
            "post_start": [
                site.engine.client.containers.get(name).exec_run(["test", "-e", "/tmp/hooked"]).exit_code
                for name, found in snapshot.containers(site.engine, app).items()
                if name == web and found["status"] == "running"
            ],
            "left over": sorted(str(path) for path in site.root.rglob("*.limpet-new-*")),
        }

    def _same(self, number: int, now: dict[str, object], where: str) -> None:
        if number == len(self.wanted):
            self.wanted.append(now)
        found = differences(self.wanted[number], now)
        assert found == [], "\n".join([*found, where])

    def _untouched(self, where: str) -> None:
        """What the scenario promises to leave alone: the same containers, never restarted."""
        if self.scenario.same:
            assert self.site.ids(self.names.app) == self._at_start, where
        assert self._lives() == self._steady, f"a service that did not change was touched\n{where}"

    def _lives(self) -> dict[str, object]:
        found: dict[str, object] = {}
        for service in self.scenario.steady:
            there = self.site.container(f"{self.names.app}-{service}-1")
            found[service] = (there["Id"], there["State"]["StartedAt"], there["RestartCount"])
        return found

    def _while_down(self, lines: Sequence[Mapping[str, Any]]) -> list[Counter[str]]:
        """Of each service in `brief`: what was done from the stop of its old container to the start of the
        new one.
        """
        return [_between(lines, f"container/{self.names.app}-{service}-1") for service in self.scenario.brief]

    def _brief(self, number: int, where: str) -> None:
        """While a service was down, the killed and the clean pass did what an undisturbed pass does
        meanwhile, none of it more than twice; besides, what every pass begins with, and what its neighbours'
        own stop and start take, but nothing that may take long. In actions, for seconds depend on the
        machine.
        """
        before = self.journal("journal.jsonl.1")
        over = (
            not before or before[-1].get("result") in OVER
        )  # it is not of the killed pass, or that had ended
        done = self._while_down([*([] if over else before), *self.journal()])
        for wanted, now in zip(self._down[number], done, strict=True):
            more = {what: count - wanted[what] for what, count in now.items() if count > wanted[what]}
            slow = [what for what in more if what not in wanted and what.startswith(SLOW)]
            begun = {"step fetch", "step render", "step apply"}
            assert not slow and all(count == 1 for what, count in more.items() if what not in begun), (
                f"{more}\n{where}"
            )

    def _images(self) -> list[str]:
        """The names that our images have, and those of ours that have none."""
        if not self.names.registry:
            return []
        return sorted(
            name
            for image in self.site.engine.client.api.images(all=True)
            for name in (*(image["RepoTags"] or ()), *(image["RepoDigests"] or ()))
            if name.startswith(f"{self.names.registry}/")
        )

    def forget_images(self) -> None:
        for name in self._images():
            self.site.engine.client.images.remove(name, force=True)


def _between(lines: Sequence[Mapping[str, Any]], key: str) -> Counter[str]:
    """The steps and actions that began between the first stop and the last start of a container; none when it
    did not start.
    """
    marks = [(line["event"], line.get("verb"), line.get("key")) for line in lines]
    ends = [place for place, mark in enumerate(marks) if mark == ("end", "start", key)]
    if ("begin", "stop", key) not in marks or not ends:
        return Counter()
    within = lines[marks.index(("begin", "stop", key)) : ends[-1] + 1]
    return Counter(
        f"{line.get('verb', line['event'])} {line.get('key', line.get('name'))}"
        for line in within
        if line["event"] in ("begin", "step")
    )


def differences(wanted: object, now: object, path: str = "") -> list[str]:
    """What differs, to the leaf; no restart policy and the policy "no" are the same."""
    if isinstance(wanted, dict) and isinstance(now, dict):
        return [
            line
            for key in sorted({*wanted, *now}, key=str)
            for line in differences(wanted.get(key), now.get(key), f"{path}/{key}")
        ]
    same = wanted == now or (path.endswith("/restart/Name") and {wanted, now} <= {"", "no"})
    return [] if same else [f"{path}: {wanted!r} -> {now!r}"]


def spread(points: Sequence[T], most: int) -> list[T]:
    """At most `most` of the points, evenly, the first and the last among them."""
    chosen = {round(i * (len(points) - 1) / max(1, most - 1)) for i in range(min(most, len(points)))}
    return [points[i] for i in sorted(chosen)]


def end(process: subprocess.Popen[str], timeout: float = 120) -> Result:
    """How a spawned pass ended."""
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        raise AssertionError(f"the pass did not end within {timeout:g} s\n{out}{err}") from None
    argv = process.args
    assert isinstance(argv, list)
    return Result(tuple(map(str, argv)), process.returncode, out, err)
