"""What earlier versions did, as text: digests of all apps, random histories pass by pass, and the documents
they left.

Words for people are not recorded: they may be bettered at any time. Everything else is: verbs, order and
steps of plans, exit codes, the documents of the state, and what the heartbeat says to machines.
"""

from __future__ import annotations

import ast
import json
import shutil
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from agent.model import Plan, canonical_json, sha256
from agent.render.assembly import RenderContext
from agent.render.render import render
from tests.contract import composed
from tests.fakes.tree import MemoryTree
from tests.histories.rules import Rules
from tests.histories.steps import Round
from tests.histories.world import World

HERE = Path(__file__).parent
DIGESTS = HERE / "digests.json"
HISTORIES = HERE / "histories"
DOCUMENTS = HERE / "documents"

RED_PORT = 1  # of loopback: nothing listens there
WORDS = {"reason", "message", "hint", "cause", "error", "waiting", "warnings", "blocked_by", "since"}
OF_THE_MACHINE = {
    "system",
    "seq",
    "written_at",
    "agent_version",
    "uptime_s",
    "boot_id",
    "due_by",
    "last_progress_at",
    "host",
}


@cache
def digests() -> dict[str, dict[str, str]]:
    """App -> resource -> digest, and `manifest` -> that of the whole."""
    found = {}
    for name, app in composed.apps().items():
        manifest = render(
            MemoryTree({f"apps/{name}/{path}": text for path, text in app.files.items()}),
            RenderContext("host"),
        ).manifest
        found[name] = {str(key): resource.digest for key, resource in sorted(manifest.resources.items())}
        found[name]["manifest"] = manifest.digest
    return found


def wordless(value: Any) -> Any:
    """A document without what is for people, and without what differs from machine to machine."""
    if isinstance(value, dict):
        return {key: wordless(item) for key, item in value.items() if key not in WORDS | OF_THE_MACHINE}
    return [wordless(item) for item in value] if isinstance(value, list) else value


def conditions(heartbeat: dict[str, Any]) -> list[str]:
    return [f"{each['type']}={each['status']} {each['reason']}" for each in heartbeat["conditions"]]


def plan_lines(plan: Plan) -> Iterable[str]:
    """A plan without its causes."""
    for change in plan.changes:
        yield f"    {change.verb} {change.key} {change.stage}{' corrective' if change.corrective else ''}"
    for action in plan.actions:
        after = f" after {','.join(map(str, action.after))}" if action.after else ""
        may = "" if action.required else " (may fail)"
        args = canonical_json(action.args) if action.args else ""
        secret = f" secret {sha256(canonical_json(action.secret))[:8]}" if action.secret else ""
        yield f"    [{action.id}] {action.verb} {action.key} {args}{secret}{after} {action.stage}{may}"
    for refusal in plan.refused:
        yield f"    refused {refusal.key}"


class Recorder:
    """A world that lives a history, and writes down each pass."""

    def __init__(self, root: Path) -> None:
        self.world = World(root, RED_PORT, crowded=False)
        self.rules = Rules(self.world)
        self.lines: list[str] = []
        self._run = self.world.passes.run
        self.world.passes.run = self._recorded  # type: ignore[method-assign]

    def _recorded(self) -> Any:
        result = self._run()
        passes = self.world.passes
        state, heartbeat = wordless(passes.state.to_json()), passes.heartbeat()
        said = {
            key: value for key, value in wordless(heartbeat).items() if key not in ("conditions", "health")
        }
        again = "" if result.again_in is None else f" again in {result.again_in:g}"
        said_of_it = f"{heartbeat['state']}: {', '.join(conditions(heartbeat))}"
        self.lines.append(f"  {result.outcome} {result.exit_code}{again}; {said_of_it}")
        self.lines += plan_lines(passes.plan)
        self.lines.append(
            f"    state {sha256(canonical_json(state))[:12]} heartbeat {sha256(canonical_json(said))[:12]}"
        )
        return result

    def live(self, rounds: list[Round]) -> None:
        for number, one in enumerate(rounds, 1):
            self.lines.append(f"round {number}")
            self.rules.live(one)


def history_text(rounds: list[Round], root: Path) -> str:
    """One history with what came of it."""
    recorder = Recorder(root)
    recorder.live(rounds)
    shutil.rmtree(root)
    literal = "".join(f"    {one!r},\n" for one in rounds)
    return f"[\n{literal}]\n\n" + "\n".join(recorder.lines) + "\n"


def rounds_of(path: Path) -> list[Round]:
    """The history that a file of HISTORIES begins with."""
    rounds: list[Round] = ast.literal_eval(path.read_text().partition("\n\n")[0])
    return rounds


# Situations that another version may find when it is installed: how they come about, and how a pass in them
# ends.
WEB = {"image": "web:1", "ports": ["80"]}
DOC = {
    "network": {"front": {}},
    "file": {"/srv/app/a": {"content": "one"}},
    "directory": {},
    "symlink": {},
    "volume": {"data": {}},
    "container": {"web": {**WEB, "networks": {"front": {}}, "volumes": ["data"]}},
}
BAD_DOC = {**DOC, "container": {"web": {**WEB, "image": "sick:1"}}}
OTHER_DOC = {**DOC, "container": {"web": {**WEB, "image": "web:2"}}}
SITUATIONS: dict[str, tuple[list[Round], int]] = {
    "proved": ([([("push", DOC)], ("pass",)), ([("push", OTHER_DOC)], ("pass",))], 0),
    "rolled-back": ([([("push", DOC)], ("pass",)), ([("push", BAD_DOC)], ("pass",))], 4),
    "held-by-hand": (
        [
            ([("push", DOC)], ("pass",)),
            ([("push", OTHER_DOC)], ("pass",)),
            ([("order", "rollback", 1)], ("pass",)),
        ],
        4,
    ),
    "with-drift-left": (
        [([("push", DOC)], ("pass",)), ([("order", "freeze", 0), ("drift", "stop", 0)], ("pass",))],
        6,
    ),
}


def live(situation: str, root: Path) -> World:
    """A world in which the situation came about."""
    recorder = Recorder(root)
    recorder.live(SITUATIONS[situation][0])
    return recorder.world


def store(world: World, place: Path) -> None:
    """Keeps what a world has below its state directory."""
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(world.passes.paths.state, place, ignore=shutil.ignore_patterns("*.lock"))


def write_digests() -> None:
    DIGESTS.write_text(json.dumps(digests(), indent=1, sort_keys=True) + "\n")
