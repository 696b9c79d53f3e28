"""The journal, and the kills that the fault tests hang on its lines."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agent.model import Action, Key
from agent.store.journal import Journal
from agent.testing import KILL_AT, KILL_BY
from tests.fakes import dying

ROOT = Path(__file__).resolve().parents[3]


FILE, WEB = Key("file", "/etc/motd"), Key("container", "shop-web-1")


ACTION = Action(1, "create", WEB, "not there")


def test_journal_of_a_pass(tmp_path: Path) -> None:
    """A pass must leave its lines in order, with the number of kill points in the last; the pass before stays
    beside it.
    """
    for what in ("first", "second"):
        journal = Journal(tmp_path / "state" / "journal.jsonl", wall=lambda: 5.0)
        journal.start(what)
        journal.step("apply")
        journal.begin(ACTION)
        journal.end(ACTION, "done")
        journal.finish("Converged")
    lines = [json.loads(line) for line in (tmp_path / "state" / "journal.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["start", "step", "begin", "end", "finish"]
    assert [line["n"] for line in lines] == [1, 2, 3, 4, 5] and lines[-1]["writes"] == 5
    assert lines[2] | {"key": "container/shop-web-1", "verb": "create", "cause": "not there"} == lines[2]
    assert '"first"' in (tmp_path / "state" / "journal.jsonl.1").read_text()


def test_journal_waits_for_the_disk_only_at_the_ends(tmp_path: Path) -> None:
    """Lines of actions must not wait for the disk: correctness never depends on them."""
    journal = Journal(tmp_path / "journal.jsonl")

    def run() -> None:
        journal.start("x")
        for _ in range(10):
            journal.begin(ACTION)
        journal.finish("Converged")

    assert sum(call == "fsync" for call, _ in dying.trace(run)) == 2


@pytest.mark.parametrize("number", [1, 2, 3, 5])
def test_kill_hook(tmp_path: Path, number: int) -> None:
    """With LIMPET_TEST_KILL_AT=N the process must die by SIGKILL right after its N-th line, and that line
    must be there.
    """
    code = (
        "import sys; from pathlib import Path; from agent.model import Action, Key; from "
        "agent.store.journal import Journal\n"
        "from agent import testing; testing.install()\n"
        "j = Journal(Path(sys.argv[1])); j.start('x'); a = Action(1, 'create', Key('file', '/x'), 'c')\n"
        "j.step('apply'); j.begin(a); j.end(a, 'done'); j.finish('Converged')"
    )
    child = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "journal.jsonl")],
        cwd=ROOT,
        check=False,
        env={**os.environ, KILL_AT: str(number)},
    )
    assert child.returncode == -signal.SIGKILL
    assert len((tmp_path / "journal.jsonl").read_text().splitlines()) == number


@pytest.mark.parametrize(("at", "last"), [("step apply", "apply"), ("begin create", "create")])
def test_kill_hook_by_name(tmp_path: Path, at: str, last: str) -> None:
    """With LIMPET_TEST_KILL_AT="EVENT NAME" the process must get the signal of LIMPET_TEST_KILL_BY right
    after that line.
    """
    code = (
        "import sys; from pathlib import Path; from agent.model import Action, Key; from "
        "agent.store.journal import Journal\n"
        "from agent import testing; testing.install()\n"
        "j = Journal(Path(sys.argv[1])); j.start('x'); a = Action(1, 'create', Key('file', '/x'), 'c')\n"
        "j.step('apply'); j.begin(a); j.end(a, 'done'); j.finish('Converged')"
    )
    child = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "journal.jsonl")],
        cwd=ROOT,
        check=False,
        env={**os.environ, KILL_AT: at, KILL_BY: "SIGTERM"},
    )
    assert child.returncode == -signal.SIGTERM
    assert last in (tmp_path / "journal.jsonl").read_text().splitlines()[-1]
