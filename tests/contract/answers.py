"""What Docker Compose makes of the apps, asked once and stored beside each as `compose.json`.

    python -m tests.contract.answers            # asks of what changed, of all with --all
    python -m tests.contract.answers NAME…

Rules:
1. An answer says what it was asked of: the app, the version of Compose, the Engine's API. It is not an answer
   to any other question: then Compose is asked.
2. It is in the names, networks and ports of the app's own files, and is placed with them.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.model import canonical_json, sha256
from tests.contract import composed
from tests.contract.composed import PROJECT, App, Compose
from tests.contract.inspection import Flat, differences, inspected
from tests.harness import images
from tests.harness.engine import Engine, private_engine

VERSION = "1.29.2"  # of the Compose whose answers are stored
BY_CHANCE = re.compile(r"(Config\.)?Labels\.com\.docker\.compose\.config-hash")  # it holds the directory


def question(app: App, engine: Engine) -> dict[str, str]:
    """What an answer is stored for; `app` as it lies in its directory."""
    api = str(engine.client.version()["ApiVersion"])
    digest = sha256(canonical_json([dict(app.files), dict(app.case)]))[:16]
    return {"app": digest, "compose": VERSION, "engine": api}


def stored(app: App, placed: App, engine: Engine) -> dict[str, Flat] | None:
    """The stored answer, placed; None when there is none to this question."""
    if app.answer.get("question") != question(app, engine):
        return None
    return dict(placed.answer["things"])


def ask(compose: Compose, engine: Engine, app: App, project: str, scratch: Path) -> dict[str, Flat]:
    """What Compose makes of a placed app; it is gone afterwards."""
    assert compose.version == VERSION, f"docker-compose here is {compose.version}"
    directory = scratch / project
    directory.mkdir(parents=True)
    composed.surround(engine, app)
    compose.up(app, project, directory)
    things = inspected(engine, project, str(directory))
    engine.remove_all(project)
    shutil.rmtree(directory)
    return {name: {field: _by_chance(field, flat[field]) for field in flat} for name, flat in things.items()}


def _by_chance(field: str, value: Any) -> Any:
    return "(by chance)" if BY_CHANCE.fullmatch(field) else value


def differ(name: str, kept: Mapping[str, Flat], said: Mapping[str, Flat]) -> list[str]:
    """`APP THING FIELD: stored -> said`."""
    return [
        f"{name} {thing} {each}"
        for thing in sorted({*kept, *said})
        for each in differences(kept.get(thing, {}), said.get(thing, {}))
    ]


def store(names: list[str], everything: bool = False) -> None:
    """Asks and writes; prints what changes."""
    with tempfile.TemporaryDirectory(prefix="limpet-answers-") as scratch:
        pools = [{"base": "10.16.0.0/12", "size": 24}]
        with private_engine(Path(scratch) / "engine", **{"default-address-pools": pools}) as private:
            engine = private.engine
            images.load_all(engine.client, ("v1",))
            composed.load_images(engine.client)
            compose = Compose(engine, Path(scratch))
            for name, app in composed.apps().items():
                asked = question(app, engine)
                is_current = app.answer.get("question") == asked and not everything
                if app.case.get("expect") or app.case.get("api") or (is_current and name not in names):
                    continue
                if names and name not in names:
                    continue
                things = ask(compose, engine, app, PROJECT, Path(scratch) / name)
                print("\n".join(differ(name, app.answer.get("things") or {}, things)) or f"{name}: the same")
                text = json.dumps({"question": asked, "things": things}, indent=1, sort_keys=True)
                (composed.DIRECTORY / name / composed.ANSWER).write_text(f"{text}\n", encoding="utf-8")
            compose.close()


if __name__ == "__main__":
    store([name for name in sys.argv[1:] if name != "--all"], "--all" in sys.argv)
