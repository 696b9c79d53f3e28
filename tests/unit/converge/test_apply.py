"""The executor: the order of the plan, in parallel where it is free, nothing new after a failure, all of it
journalled.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agent.converge.apply import apply
from agent.errors import Failed, Interrupted, Transient
from agent.model import EMPTY, Action, Key, Outcome, Resource
from agent.report.progress import Silent
from agent.store.journal import Journal
from agent.testing import Serial
from tests.fakes.host import FakeHost


class Recorder(FakeHost):
    """A host that does what it is told to by name of the key, and remembers the order."""

    def __init__(self, **does: Callable[[], object]) -> None:
        super().__init__()
        self.does = does
        self.begun: list[str] = []
        self.ended: list[str] = []

    def execute(self, action: Action, resource: Resource | None) -> None:
        self.begun.append(action.key.name)
        self.does.get(action.key.name, lambda: None)()
        self.ended.append(action.key.name)


def fail(error: Exception) -> Callable[[], None]:
    def raising() -> None:
        raise error

    return raising


def action(number: int, name: str, *after: int) -> Action:
    return Action(number, "start", Key("container", name), "because", {}, after)


def run(
    tmp_path: Path, host: Recorder, *actions: Action, stop: threading.Event | None = None
) -> list[Outcome]:
    journal = Journal(tmp_path / "journal")
    journal.start("test")
    try:
        return apply(actions, EMPTY, host, journal, Silent(), stop or threading.Event())
    finally:
        journal.finish("done")


def results(outcomes: list[Outcome]) -> dict[str, str]:
    return {outcome.action.key.name: outcome.result for outcome in outcomes}


def test_actions_wait_for_those_before_them(tmp_path: Path) -> None:
    """An action must begin only when all those before it have ended."""
    host = Recorder()
    outcomes = run(tmp_path, host, action(1, "a"), action(2, "b", 1), action(3, "c", 1), action(4, "d", 2, 3))
    assert set(results(outcomes).values()) == {"done"}
    assert (host.ended[0], host.ended[-1]) == ("a", "d")


def test_actions_outside_the_stage_are_not_waited_for(tmp_path: Path) -> None:
    """An action that comes after one that is not run now must run."""
    assert results(run(tmp_path, Recorder(), action(7, "a", 3))) == {"a": "done"}


def test_free_actions_run_in_parallel(tmp_path: Path) -> None:
    """Two actions without an order must be able to wait for each other."""
    both = threading.Barrier(2, timeout=10)
    host = Recorder(a=both.wait, b=both.wait)
    assert set(results(run(tmp_path, host, action(1, "a"), action(2, "b"))).values()) == {"done"}


def test_serial_runs_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The executor of the kill sweeps must run actions one after another, by number."""
    monkeypatch.setattr("agent.converge.apply.new_executor", Serial)
    host = Recorder()
    run(tmp_path, host, *[action(n, f"a{n}") for n in range(1, 9)])
    assert host.begun == host.ended == [f"a{n}" for n in range(1, 9)]


def test_nothing_new_is_begun_after_a_failure(tmp_path: Path) -> None:
    """After a failure what runs must be awaited, and nothing else started, whether it waits for the failed
    one or not.
    """
    begun, looks = threading.Event(), threading.Semaphore(0)

    class Looked(threading.Event):
        """Asked once before anything is begun, and again when something has ended."""

        def is_set(self) -> bool:
            looks.release()
            return False

    def slow() -> None:
        begun.set()
        assert looks.acquire(timeout=10) and looks.acquire(timeout=10)

    def failing() -> None:
        assert begun.wait(10)
        raise Failed("no", "hint")

    host = Recorder(slow=slow, failing=failing)
    actions = action(1, "slow"), action(2, "failing"), action(3, "then", 2), action(4, "other", 1)
    outcomes = run(tmp_path, host, *actions, stop=Looked())
    assert results(outcomes) == {"slow": "done", "failing": "failed", "then": "skipped", "other": "skipped"}


def test_failure_names_its_resource(tmp_path: Path) -> None:
    """An error must carry the key of the action it came from, unless it knows better."""
    host = Recorder(a=fail(Transient("down")), b=fail(Failed("no", resource="container/x")))
    errors = [outcome.error for outcome in run(tmp_path, host, action(1, "a"), action(2, "b"))]
    assert {error.resource for error in errors if isinstance(error, (Transient, Failed))} <= {
        "container/a",
        "container/x",
    }
    assert any(isinstance(error, Transient) and error.resource == "container/a" for error in errors)


def test_stop_finishes_what_is_at_hand(tmp_path: Path) -> None:
    """When the pass is asked to stop, the action at hand must be finished and the rest skipped."""
    stop = threading.Event()
    outcomes = run(tmp_path, Recorder(a=stop.set), action(1, "a"), action(2, "b", 1), stop=stop)
    assert results(outcomes) == {"a": "done", "b": "skipped"}


def test_interrupted_wait_is_an_outcome(tmp_path: Path) -> None:
    """An action that was interrupted must be a retryable failure."""
    (outcome,) = run(tmp_path, Recorder(a=fail(Interrupted("stopped"))), action(1, "a"))
    assert isinstance(outcome.error, Interrupted)
    assert outcome.error.retryable


def test_bug_ends_the_process(tmp_path: Path) -> None:
    """What is no LimpetError must escape."""
    with pytest.raises(ZeroDivisionError):
        run(tmp_path, Recorder(a=fail(ZeroDivisionError())), action(1, "a"), action(2, "b", 1))


def test_every_action_is_journalled_before_and_after(tmp_path: Path) -> None:
    """The journal must have a line before and a line after each action, with its result."""
    run(tmp_path, Recorder(b=fail(Failed("no"))), action(1, "a"), action(2, "b", 1))
    lines = [json.loads(line) for line in (tmp_path / "journal").read_text().splitlines()]
    seen = [
        (line["event"], line["key"], line.get("result"))
        for line in lines
        if line["event"] in ("begin", "end")
    ]
    assert seen == [
        ("begin", "container/a", None),
        ("end", "container/a", "done"),
        ("begin", "container/b", None),
        ("end", "container/b", "failed"),
    ]


def test_nothing_to_do_is_done(tmp_path: Path) -> None:
    """An empty plan must end at once."""
    assert run(tmp_path, Recorder()) == []


def test_what_is_not_required_may_fail(tmp_path: Path) -> None:
    """The failure of an action that is not required must be kept, and must stop nothing that comes after
    it.
    """
    host = Recorder(a=fail(Failed("no")))
    first = replace(action(1, "a"), required=False)
    outcomes = run(tmp_path, host, first, action(2, "b", 1))
    assert results(outcomes) == {"a": "excused", "b": "done"}
    assert str(outcomes[0].error) == "no"
