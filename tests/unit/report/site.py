"""One installation whose heartbeat is looked at, with a clock to turn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema

from agent.cli import schema
from agent.installation import Paths
from agent.model import Release
from agent.report.heartbeat_writer import Reporter, read
from agent.report.sections import PassReport
from agent.revision import Revision
from agent.settings.values import HostSettings, Settings, SourceSettings
from agent.store.state import State, StateStore
from agent.store.verdicts import Pin
from tests.fakes.clock import FakeClock

COMMIT, NEXT = "a" * 40, "b" * 40


SCHEMA = jsonschema.Draft202012Validator(json.loads(schema.schema_text("heartbeat")))


SOURCE = SourceSettings(url="https://git.example.org/fleet.git", branch="main")


class Site:
    """One installation below a directory, with a clock to turn."""

    def __init__(self, root: Path, **settings: Any) -> None:
        self.paths = Paths(root)
        self.clock = FakeClock()
        self.settings = Settings(host=HostSettings("web-01", {"role": "web"}), source=SOURCE, **settings)
        self.reporter = Reporter(self.paths, self.settings, self.clock)
        self.store = StateStore(self.paths.state)

    @property
    def doc(self) -> dict[str, Any]:
        doc = read(self.reporter.path)
        SCHEMA.validate(doc)
        return doc

    @property
    def state(self) -> str:
        return str(self.doc["state"])

    def condition(self, kind: str) -> dict[str, Any] | None:
        return next((c for c in self.doc["conditions"] if c["type"] == kind), None)

    def finish(self, state: State, outcome: str = "Converged", **more: Any) -> None:
        self.store.save(state)
        more = {"observed": COMMIT, "attempted": COMMIT, "health": {"container/web": "healthy"}} | more
        self.reporter.finish(PassReport("poll", self.clock.wall(), 1.5, outcome, **more), state)


def release(number: int = 1, commit: str = COMMIT) -> Release:
    return Release(f"{number:064x}", {}, Revision("main", commit), 1.0)


def proved(number: int = 1, commit: str = COMMIT) -> State:
    state = State()
    state.prove(release(number, commit), Pin(SOURCE.url, SOURCE.ref, commit), 1_700_000_000.0)
    return state
