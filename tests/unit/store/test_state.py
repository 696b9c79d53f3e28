"""The state: what is remembered, for how long, and what a kill leaves of it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from agent.revision import NOWHERE, Revision
from agent.store.state import State, StateStore
from agent.store.verdicts import Attempt, HandRollback, RolledBack
from tests.fakes import dying
from tests.unit.store.releases import pin, release

ROOT = Path(__file__).resolve().parents[3]


def full_state() -> State:
    state = State(machine_id="m1")
    state.prove(release(1), pin(1), 10.0)
    state.prove(release(2), pin(2), 20.0)
    state.attempt = Attempt(release(3), Revision("main", "3"), "gating", 30.0, 3.0, "boot", ("check/a",), 2)
    state.reject(release(4), reason="web never got healthy", at=40.0, revision=Revision("main", "4"))
    state.rolled_back = RolledBack(release(4).id, Revision("main", "4"), "web never got healthy", 41.0)
    state.held = HandRollback(release(1).id, Revision("main", "5"), "incident 7", 50.0)
    state.count(passes=3, corrected_total=2)
    return state


def test_state_comes_back(tmp_path: Path) -> None:
    """Every field of the state must survive a restart."""
    store = StateStore(tmp_path)
    state = full_state()
    assert store.save(state)
    assert StateStore(tmp_path).load() == state
    assert not store.save(state), "an unchanged state must not be written"


def test_first_state_is_empty(tmp_path: Path) -> None:
    """A first start must give an empty state without complaint."""
    store = StateStore(tmp_path / "none")
    assert store.load() == State() and store.damaged == [] and not store.lost


def test_lost_state_is_said(tmp_path: Path) -> None:
    """When both generations are gone, the state must start anew and say that pin and rejections are
    unknown.
    """
    store = StateStore(tmp_path)
    store.save(State(machine_id="a"))
    store.save(State(machine_id="b"))
    for path in tmp_path.glob("state.json*"):
        path.write_bytes(b"\0")
    again = StateStore(tmp_path)
    assert again.load() == State()
    assert again.lost and "state.json" in again.damaged[0]


def test_known_good_is_bounded_and_unique() -> None:
    """Known good must hold the last three proved releases, newest first, each once."""
    state = State()
    for number in (1, 2, 3, 4, 2):
        state.prove(release(number), pin(number), float(number))
    assert [good.id for good in state.known_good] == [release(n).id for n in (2, 4, 3)]
    assert state.pin == pin(2)


def test_proving_ends_a_rollback() -> None:
    """A proved release must end the attempt, the sticky rollback, and its own rejection, and no other's."""
    state = full_state()
    state.reject(release(5), reason="r", at=1.0, revision=Revision("main", "5"))
    state.prove(release(5), pin(5), 60.0)
    assert state.rolled_back is None and state.attempt is None
    assert release(5).id not in state.rejected and release(4).id in state.rejected


def test_applied_revision_and_time() -> None:
    """The applied revision must follow the attempt, then the pin, and the time must be when the release got
    there.
    """
    state = State()
    assert (state.applied_revision, state.applied_at) == (NOWHERE, 0.0)
    state.prove(release(1), pin(1), 10.0)
    state.prove(release(1), pin(2), 20.0)  # a commit that changes no content
    assert (state.applied_revision, state.applied_at) == (Revision("", pin(2).commit), 10.0)
    state.applied = release(3)
    state.attempt = Attempt(release(3), Revision("main", "3"), "applying", 30.0, 3.0, "boot")
    assert (state.applied_revision, state.applied_at) == (Revision("main", "3"), 30.0)
    state.applied, state.attempt = release(1), None
    state.rolled_back = RolledBack(release(3).id, Revision("main", "3"), "r", 40.0)
    assert (state.applied_revision, state.applied_at) == (Revision("", pin(2).commit), 40.0)


def test_rejected_is_bounded_oldest_first() -> None:
    """Twenty rejections must be remembered; the oldest go first, and a repeated one counts as new."""
    state = State()
    for number in range(20):
        state.reject(release(number), reason="r", at=float(number), revision=NOWHERE)
    state.reject(release(0), reason="again", at=20.0, revision=NOWHERE)
    state.reject(release(20), reason="r", at=21.0, revision=NOWHERE)
    assert len(state.rejected) == 20
    assert release(0).id in state.rejected and release(1).id not in state.rejected


def test_rejection_order_survives_a_restart(tmp_path: Path) -> None:
    """The order of rejections must survive, so that the oldest stays the first to go."""
    state = State()
    for number in (9, 3, 7):
        state.reject(release(number), reason="r", at=1.0, revision=NOWHERE)
    StateStore(tmp_path).save(state)
    assert list(StateStore(tmp_path).load().rejected) == [release(n).id for n in (9, 3, 7)]


def test_other_lock_is_another_release() -> None:
    """A rejected manifest with another image lock must have its own chance."""
    state = State()
    state.reject(release(1), reason="r", at=1.0, revision=NOWHERE)
    assert replace(release(1), lock={"nginx:1": "sha256:other"}).id not in state.rejected


@pytest.mark.parametrize(
    ("which", "gone"), [("all", 2), ("", 0), ("main@sha1:4", 1), ("4" * 3, 1), ("zzz", 0)]
)
def test_forgetting_rejections(which: str, gone: int) -> None:
    """Forgetting must take "all" or the beginning of a release, digest, revision or commit; nothing means
    nothing.
    """
    state = State()
    state.reject(release(1), reason="r", at=1.0, revision=Revision("main", "444"))
    state.reject(release(2), reason="r", at=1.0, revision=Revision("main", "555"))
    assert len(state.forget_rejected(which)) == gone
    assert len(state.rejected) == 2 - gone


def test_another_source_starts_a_new_pin() -> None:
    """The pin must count for its own url and ref only."""
    state = State(pin=pin(1))
    assert state.pin_for(pin(1).url, pin(1).ref) == pin(1).commit
    assert state.pin_for("https://other.example.org/x.git", pin(1).ref) == ""
    assert state.pin_for(pin(1).url, "refs/heads/next") == ""


def test_attempt_counts_across_a_reboot() -> None:
    """The elapsed time must be monotonic within a boot, whatever the wall clock, and never negative after
    one.
    """
    attempt = Attempt(release(1), NOWHERE, "gating", 1000.0, 50.0, "boot-1")
    assert attempt.elapsed(monotonic=80.0, wall=-5.0, boot_id="boot-1") == 30.0
    assert attempt.elapsed(monotonic=1.0, wall=1100.0, boot_id="boot-2") == 100.0
    assert attempt.elapsed(monotonic=1.0, wall=0.0, boot_id="boot-2") == 0.0


def test_all_remembered_releases_are_kept() -> None:
    """Known good, applied and attempted releases must be named, each once, so that their contents are
    kept.
    """
    state = full_state()
    state.applied = release(6)
    assert {r.id for r in state.releases()} == {release(n).id for n in (1, 2, 3, 6)}
    assert len(state.releases()) == 4


def test_saving_killed_anywhere(tmp_path: Path) -> None:
    """A pass killed while it saves must find the state before or after, and only ever one of them."""
    before, after = full_state(), full_state()
    after.prove(release(9), pin(9), 90.0)

    def reset() -> None:
        shutil.rmtree(tmp_path / "state", True)
        StateStore(tmp_path / "state").save(before)

    points = []
    for point in dying.survive(lambda: StateStore(tmp_path / "state").save(after), reset):
        points.append(point)
        assert StateStore(tmp_path / "state").load() in (before, after)
    assert len(points) > 10


def test_store_is_light() -> None:
    """Importing the store, the settings and the report must load no third-party package: they are on the hot
    path.
    """
    code = (
        "import sys, agent.report.heartbeat_writer, agent.settings, agent.store.manifests, "
        "agent.store.journal, "
        "agent.store.content, "
        "agent.store.inventory, agent.report.prometheus\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('pydantic', 'pydantic_settings', 'docker', "
        "'yaml', 'jinja2', "
        "'dulwich', 'paramiko', 'rich', 'urllib3', 'requests')])"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
