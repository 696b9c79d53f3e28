"""A soak: the same round of work over and over (changes, rejections, drift, commits that cannot be begun,
people's orders), and what is there after each round. After a warm-up, in which the bounds of the design fill
up (three known goods, twenty rejections), nothing may grow: the later half is compared with the earlier one.
"""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.kinds import files
from agent.model import Resource
from agent.store.history import History
from agent.store.locks import holder
from agent.store.orders import Orders
from agent.store.state import KNOWN_GOOD, REJECTED
from tests.fakes.passes import Passes, service
from tests.harness.site import Site
from tests.harness.wait import eventually
from tests.histories.world import Host

ALL = 2000  # passes
WARM_UP = 24  # rounds: more than the rejections that are remembered
Sizes = dict[str, int]


class Soak:
    """One host whose branch is never the same again."""

    def __init__(self, root: Path) -> None:
        self.passes = Passes(root)
        self.host = self.passes.host = Host(self.passes.branch.content)
        self.passes.cancel.clear()
        self.round = self.done = 0

    def a_pass(self, *resources: Resource, want: int) -> None:
        if resources:
            self.passes.branch.push(*resources, message="soak\n\nLimpet-Allow-Prune: 99")
        result = self.passes.run()
        self.done += 1
        assert result.exit_code == want, f"round {self.round}: {result}"

    def release(self, kind: str = "web", *, step: str = "", missing: bool = False) -> list[Resource]:
        """A release that was never there before: its own images, networkless, with files."""
        name = f"shop/{kind}:{self.round}{step}"
        if not missing:
            self.host.add_image(name, kind, version=name, local=False)
        text = f"{name}\n".encode()
        digest = self.passes.branch.content.put(text)
        motd = files.file("/etc/motd", content=digest, size=len(text))
        own = files.file(f"/etc/{'a' if self.round % 2 else 'b'}", content=digest, size=len(text))
        return [service(name, "shop-web-1"), service(name, "shop-web-2"), motd, own]

    def live(self) -> None:
        """One round of work."""
        self.round += 1
        good = self.release()
        self.a_pass(*good, want=0)
        self.a_pass(want=0)
        self.host.vanish("shop-web-1")
        self.a_pass(want=0)
        self.host.files.put("/etc/motd", b"edited")
        self.a_pass(want=0)
        for step in "ab":
            self.a_pass(*self.release("sick", step=step), want=4)
        self.a_pass(want=4)
        self.a_pass(*self.release(step="never", missing=True), want=78)
        self.a_pass(*good, want=0)
        self.a_pass(*self.release(step="next"), want=0)
        Orders(self.passes.paths.state).roll_back(
            self.passes.state.known_good[1].id, "soak", self.passes.clock.wall()
        )
        self.a_pass(want=4)
        self.a_pass(want=4)
        Orders(self.passes.paths.state).retry("none", self.passes.clock.wall())
        self.a_pass(want=0)
        self.a_pass(want=0)
        self.passes.clock.advance(7200)
        self.host.done.clear()  # what the fake host remembers for other tests

    def sizes(self) -> Sizes:
        """What is there now. History has a bound of its own."""
        gc.collect()
        state = self.passes.state
        there = [
            path for path in self.passes.root.rglob("*") if path.is_file() and path.name != "history.jsonl"
        ]
        return {
            "files": len(there),
            "bytes": sum(path.stat().st_size for path in there) // 2048,
            "descriptors": len(os.listdir("/proc/self/fd")),
            "objects": len(gc.get_objects()) // 5000,
            "containers": len(self.host.containers),
            "images": len(self.host.image_ids()),
            "paths": len(self.host.files.there),
            "known good": len(state.known_good),
            "rejected": len(state.rejected),
            "pulled": len(state.images.pulled),
            "asked": len(state.images.asked),
        }


def asked(request: pytest.FixtureRequest, sample: int) -> int:
    """How many passes a soak takes; fewer than the sample would show nothing."""
    sweep = request.config.getoption("--sweep")
    return sample if sweep == "sample" else ALL if sweep == "all" else max(sample, int(sweep))


def grown(earlier: list[Sizes], later: list[Sizes]) -> dict[str, tuple[int, int]]:
    """What is more at the most of the later rounds than of the earlier ones."""
    most = {
        name: (max(sizes[name] for sizes in earlier), max(sizes[name] for sizes in later))
        for name in later[0]
    }
    return {name: (before, after) for name, (before, after) in most.items() if after > before}


@pytest.fixture
def soak(tmp_path: Path) -> Iterator[Soak]:
    fast = (
        Path("/dev/shm") / f"limpet-soak-{os.getpid()}"
        if os.access("/dev/shm", os.W_OK)
        else tmp_path / "soak"
    )
    fast.mkdir()
    yield Soak(fast)
    shutil.rmtree(fast)


def test_two_thousand_passes_in_memory(
    soak: Soak, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    """Over passes of every kind nothing must grow: no file, no descriptor, no object, no container, no image,
    no memory of what was.
    """
    passes = asked(request, 420)
    found: list[Sizes] = []
    while soak.done < passes:
        soak.live()
        found.append(soak.sizes())
    later = found[WARM_UP:]
    half = len(later) // 2
    assert not grown(later[:half], later[half:]), f"{later[0]} became {later[-1]}"
    assert (later[-1]["known good"], later[-1]["rejected"]) == (KNOWN_GOOD, REJECTED)
    history = History(soak.passes.paths.history)
    assert len(history.read()) <= history.keep + 50
    with capsys.disabled():
        print(f" {soak.done} passes, at the end {later[-1]}", end="")


# --- on the real parts --------------------------------------------------------------------------------------

REAL_WARM_UP = 2  # rounds
SLACK = {"resident KiB": 1024, "state bytes": 4096}  # what may be more without being growth
COMPOSE = """\
name: {app}
services:
  web:
    image: 'limpet-test/{image}:v1'
    environment: {{MARK: '{mark}'}}
    networks: [front]
    volumes: ['./conf:/conf:ro']
  db: {{image: 'limpet-test/idle:v1', restart: always, networks: [front], volumes: ['data:/data']}}
networks: {{front: {{labels: {{mark: '{network}'}}}}}}
volumes: {{data: {{}}}}
"""


class RealSoak:
    """A daemon that is asked for pass after pass."""

    def __init__(self, site: Site, prefix: str) -> None:
        self.site, self.prefix = site, prefix
        self.round = self.done = 0
        site.configure(source={"poll": "1h"}, gate={"settle": "0.2s", "deadline": "20s"})
        self.log = (site.root / "log").open("wb")
        argv = [sys.executable, "-I", "-m", "agent", "--root", str(site.root), "run"]
        self.daemon = subprocess.Popen(argv, stderr=self.log, stdout=self.log)

    def a_pass(self, want: int) -> None:
        self.site.sync(expect=want)
        self.done += 1

    def commit(self, image: str = "idle", mark: str = "") -> None:
        mark = mark or f"{self.round}"
        self.site.commit(
            {
                "compose.yaml": COMPOSE.format(
                    app=self.prefix, image=image, mark=mark, network=self.round // 4
                ),
                "conf/web.conf": mark,
                "files/etc/soak.conf": mark,
                f"files/etc/{self.round % 2}.conf": mark,
                f"files/etc/{1 - self.round % 2}.conf": None,
            },
            "soak\n\nLimpet-Allow-Prune: 99",
        )

    def live(self) -> None:
        """One round of work: a change, drift, a rejection, its revert, nothing."""
        self.round += 1
        self.commit()
        self.a_pass(0)
        self.site.engine.client.containers.get(f"{self.prefix}-web-1").remove(force=True)
        (self.site.root / "etc/soak.conf").write_text("edited")
        self.a_pass(0)
        self.commit("sick", f"bad {self.round}")
        self.a_pass(4)
        self.a_pass(4)
        self.commit()
        self.a_pass(0)
        self.a_pass(0)

    def idle(self) -> tuple[int, int]:
        """How many descriptors the daemon has, and how many files are in its run-time directory, at a moment
        when it writes nothing: after a pass it still writes the heartbeat, with a lock and a file for that.
        """

        def here() -> tuple[int, int]:
            there = [path for path in (self.site.root / "run").rglob("*") if path.is_file()]
            return len(os.listdir(f"/proc/{self.daemon.pid}/fd")), len(there)

        def still() -> tuple[int, int]:
            before = here()
            time.sleep(0.2)
            assert not holder(self.site.root / "run/limpet/heartbeat.lock") and here() == before
            return before

        return eventually(still, what="a daemon that writes nothing")

    def sizes(self) -> Sizes:
        """What is there now: of the daemon, below its root, and on the Engine."""
        descriptors, run_time_files = self.idle()
        process, state = Path(f"/proc/{self.daemon.pid}"), self.site.root / "var/lib/limpet"
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        client = self.site.engine.client
        bounded = {"git", "history.jsonl", "journal.jsonl", "journal.jsonl.1"}
        there = [path for path in state.rglob("*") if path.is_file() and not bounded & {*path.parts}]
        return {
            "resident KiB": int(status["VmRSS"].split()[0]),
            "descriptors": descriptors,
            "threads": int(status["Threads"]),
            "state files": len(there),
            "state bytes": sum(path.stat().st_size for path in there),
            "run-time files": run_time_files,
            "host files": len(list((self.site.root / "etc").rglob("*"))),
            "containers": len(self.site.engine.containers(self.prefix)),
            "networks": len(client.networks.list(names=[self.prefix])),
            "volumes": len(client.volumes.list(filters={"name": self.prefix})),
        }


@pytest.fixture
def real_soak(site: Site, prefix: str) -> Iterator[RealSoak]:
    soak = RealSoak(site, prefix)
    yield soak
    soak.daemon.terminate()
    soak.daemon.wait(90)
    soak.log.close()


def test_passes_of_a_daemon(
    real_soak: RealSoak, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    """Over changes, rejections and drift on the real parts neither the daemon nor what it leaves on the host
    may grow.
    """
    passes = asked(request, 24)
    everything = passes > 12 * WARM_UP
    warm_up = WARM_UP if everything else REAL_WARM_UP
    found: list[Sizes] = []
    while real_soak.done < passes:
        real_soak.live()
        found.append(real_soak.sizes())
    later = found[warm_up:]
    half = len(later) // 2
    bounded = {"state files", "state bytes"} if not everything else set()  # rejections fill up first
    more = {
        name: change
        for name, change in grown(later[:half], later[half:]).items()
        if name not in bounded and change[1] - change[0] > SLACK.get(name, 0)
    }
    assert not more, f"{more}: {later[0]} became {later[-1]}"
    with capsys.disabled():
        print(f" {real_soak.done} passes, first {later[0]}, at the end {later[-1]}", end="")
