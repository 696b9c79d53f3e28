"""Whole passes in memory: the real steps, state and heartbeat on a fake host and branch, with a clock turned
by hand.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.converge.account import Account, Ending
from agent.converge.context import Context
from agent.converge.desired import Tip
from agent.converge.one_pass import one_round
from agent.errors import LimpetError
from agent.installation import Paths
from agent.kinds import container
from agent.model import Manifest, Plan, Resource
from agent.report.heartbeat_writer import Reporter, read
from agent.report.progress import Silent
from agent.revision import Revision
from agent.settings.values import ConvergeSettings, GateSettings, PolicySettings, Settings, SourceSettings
from agent.store.content import Content
from agent.store.manifests import Manifests
from agent.store.state import State, StateStore
from tests.fakes.clock import FakeClock
from tests.fakes.host import FakeHost


def service(image: str, name: str = "shop-web-1", **more: Any) -> Resource:
    """A container of the app `shop`."""
    config = {
        "image": image,
        "environment": more.pop("environment", {}),
        "volumes": more.pop("volumes", []),
        **more.pop("config", {}),
    }
    about: dict[str, Any] = {
        "app": "shop",
        "service": name.split("-")[1],
        "number": 1,
        "inputs": more.pop("inputs", {}),
        "folded": more.pop("folded", {}),
    }
    return container.container_resource(name, config=config, **about, **more)


class Branch:
    """What the source says: one manifest, or one for each name of the repository (`named`). `down`: an error
    that every fetch raises.
    """

    def __init__(self, paths: Paths) -> None:
        self.content, self.manifests = Content(paths.content), Manifests(paths.manifests)
        self.manifest, self.commits, self.message = Manifest({}), 0, ""
        self.down: LimpetError | None = None
        self.named: Callable[[str], list[Resource]] | None = None

    def push(self, *resources: Resource, message: str = "") -> None:
        self.manifest, self.message = Manifest({resource.key: resource for resource in resources}), message
        self.commits += 1
        self.named = None

    def fetch(self, pin: str) -> Tip:
        if self.down:
            raise self.down
        commit = f"{self.commits:040x}"
        return Tip(commit, Revision("main", commit), self.message)

    def push_named(self, named: Callable[[str], list[Resource]]) -> None:
        """A commit with an app that is called after the repository."""
        self.push()
        self.named = named

    def render(self, tip: Tip, name: str) -> Manifest:
        if self.named is not None:
            self.manifest = Manifest({resource.key: resource for resource in self.named(name)})
        self.manifests.put(self.manifest)
        return self.manifest

    def newest_observed(self) -> str:
        return f"{self.commits:040x}"

    def source_answers(self) -> str:
        return ""


@dataclass
class Passes:
    """One installation below `root`; `run()` is a pass."""

    root: Path
    converge: ConvergeSettings = field(default_factory=ConvergeSettings)
    gate: GateSettings = field(default_factory=lambda: GateSettings(settle=1.0))
    trailers: bool = True
    host: FakeHost = field(default_factory=FakeHost)
    clock: FakeClock = field(default_factory=FakeClock)
    url: str = "file:///srv/fleet"
    cancel: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.paths = Paths(self.root)
        self.paths.host("/etc").mkdir(parents=True)
        self.paths.host("/etc/machine-id").write_text("0" * 32 + "\n")
        self.branch = Branch(self.paths)
        self.context = self.new_context()  # of the last pass
        self.account = Account("sync", 0.0, 0.0)  # of the last pass

    def run(self) -> Ending:
        self.context = self.new_context()
        self.account = Account("sync", self.clock.wall(), self.clock.monotonic())
        return one_round(self.context, self.account, "sync")

    def new_context(self) -> Context:
        """What the next pass works with."""
        settings = Settings(
            source=SourceSettings(url=self.url, branch="main"),
            converge=self.converge,
            gate=self.gate,
            policy=PolicySettings(trailers=self.trailers),
        )
        reporter = Reporter(self.paths, settings, self.clock)
        branch: Any = self.branch
        return Context(self.paths, settings, self.host, branch, self.clock, Silent(), reporter, self.cancel)

    @property
    def state(self) -> State:
        return StateStore(self.paths.state).load()

    @property
    def plan(self) -> Plan:
        """The plan of the last pass."""
        return self.account.plan

    def heartbeat(self) -> dict[str, Any]:
        return read(self.paths.host("/run/limpet/heartbeat.json"))

    def running(self, name: str = "shop-web-1") -> str:
        """The image id of the container that has this name."""
        return str(self.host._find(name).seen.image_id)
