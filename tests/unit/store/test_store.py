"""State, orders, inventory, journal, history, locks."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import Stalled, Transient
from agent.model import Action, Key, Owned, Release
from agent.store.history import History, HistoryEntry
from agent.store.inventory import InventoryStore
from agent.store.journal import KILL_AT, KILL_BY, Journal
from agent.store.locks import Lock, holder
from agent.store.orders import Orders, Suspension
from agent.store.state import Attempt, HandRollback, Pin, RolledBack, State, StateStore
from tests.fakes import dying

ROOT = Path(__file__).resolve().parents[3]


def release(number: int, at: float = 1.0) -> Release:
    return Release(f"{number:064x}", {"nginx:1": f"sha256:{number}"}, f"main@sha1:{number:040x}", at)


def pin(number: int) -> Pin:
    return Pin("https://git.example.org/fleet.git", "refs/heads/main", f"{number:040x}")


# --- state --------------------------------------------------------------------------------------------------


def full_state() -> State:
    state = State(machine_id="m1")
    state.prove(release(1), pin(1), 10.0)
    state.prove(release(2), pin(2), 20.0)
    state.attempt = Attempt(release(3), "main@sha1:3", "gating", 30.0, 3.0, "boot", ("check/a",), 2)
    state.reject(release(4), reason="web never got healthy", at=40.0, revision="main@sha1:4")
    state.rolled_back = RolledBack(release(4).id, "main@sha1:4", "web never got healthy", 41.0)
    state.held = HandRollback(release(1).id, "main@sha1:5", "incident 7", 50.0)
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
    state.reject(release(5), reason="r", at=1.0, revision="main@sha1:5")
    state.prove(release(5), pin(5), 60.0)
    assert state.rolled_back is None and state.attempt is None
    assert not state.is_rejected(release(5)) and state.is_rejected(release(4))


def test_applied_revision_and_time() -> None:
    """The applied revision must follow the attempt, then the pin, and the time must be when the release got
    there.
    """
    state = State()
    assert (state.applied_revision, state.applied_at) == ("", 0.0)
    state.prove(release(1), pin(1), 10.0)
    state.prove(release(1), pin(2), 20.0)  # a commit that changes no content
    assert (state.applied_revision, state.applied_at) == (pin(2).commit, 10.0)
    state.applied = release(3)
    state.attempt = Attempt(release(3), "main@sha1:3", "applying", 30.0, 3.0, "boot")
    assert (state.applied_revision, state.applied_at) == ("main@sha1:3", 30.0)
    state.applied, state.attempt = release(1), None
    state.rolled_back = RolledBack(release(3).id, "main@sha1:3", "r", 40.0)
    assert (state.applied_revision, state.applied_at) == (pin(2).commit, 40.0)


def test_rejected_is_bounded_oldest_first() -> None:
    """Twenty rejections must be remembered; the oldest go first, and a repeated one counts as new."""
    state = State()
    for number in range(20):
        state.reject(release(number), reason="r", at=float(number), revision="")
    state.reject(release(0), reason="again", at=20.0, revision="")
    state.reject(release(20), reason="r", at=21.0, revision="")
    assert len(state.rejected) == 20
    assert state.is_rejected(release(0)) and not state.is_rejected(release(1))


def test_rejection_order_survives_a_restart(tmp_path: Path) -> None:
    """The order of rejections must survive, so that the oldest stays the first to go."""
    state = State()
    for number in (9, 3, 7):
        state.reject(release(number), reason="r", at=1.0, revision="")
    StateStore(tmp_path).save(state)
    assert list(StateStore(tmp_path).load().rejected) == [release(n).id for n in (9, 3, 7)]


def test_other_lock_is_another_release() -> None:
    """A rejected manifest with another image lock must have its own chance."""
    state = State()
    state.reject(release(1), reason="r", at=1.0, revision="")
    assert not state.is_rejected(replace(release(1), lock={"nginx:1": "sha256:other"}))


@pytest.mark.parametrize(
    ("which", "gone"), [("all", 2), ("", 0), ("main@sha1:4", 1), ("4" * 3, 1), ("zzz", 0)]
)
def test_forgetting_rejections(which: str, gone: int) -> None:
    """Forgetting must take "all" or the beginning of a release, digest, revision or commit; nothing means
    nothing.
    """
    state = State()
    state.reject(release(1), reason="r", at=1.0, revision="main@sha1:444")
    state.reject(release(2), reason="r", at=1.0, revision="main@sha1:555")
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
    attempt = Attempt(release(1), "", "gating", 1000.0, 50.0, "boot-1")
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


# --- orders -------------------------------------------------------------------------------------------------


def test_retry_is_carried_out_once(tmp_path: Path) -> None:
    """A retry must forget the rejection at the next load, survive until the state is saved, and not hit a
    later rejection.
    """
    store = StateStore(tmp_path)
    state = State()
    state.reject(release(1), reason="r", at=1.0, revision="")
    store.save(state)
    Orders(tmp_path).retry(release(1).id, now=100.0)
    assert not store.load().is_rejected(release(1))
    state = store.load()  # the pass before died without saving
    assert not state.is_rejected(release(1))
    store.save(state)
    state.reject(release(1), reason="failed again", at=2.0, revision="")
    store.save(state)
    assert store.load().is_rejected(release(1))
    Orders(tmp_path).retry("all", now=50.0)  # the clock went back
    assert not store.load().is_rejected(release(1))


def test_orders_do_not_wait_for_a_pass(tmp_path: Path) -> None:
    """A person must be able to suspend while a pass holds the pass lock, and the pass's save must not undo
    it.
    """
    store = StateStore(tmp_path)
    with Lock(tmp_path / "lock", "a pass"):
        state = store.load()
        Orders(tmp_path).suspend("*", Suspension("incident 7", 100.0))
        state.count(passes=1)
        store.save(state)
    assert store.load().suspended == {"*": Suspension("incident 7", 100.0)}


def test_orders_keep_the_state_private(tmp_path: Path) -> None:
    """An order given before the first pass must leave the state directory private."""
    Orders(tmp_path / "limpet").retry("all", now=1.0)
    assert (tmp_path / "limpet").stat().st_mode & 0o777 == 0o700


def test_suspension_ends_by_itself() -> None:
    """A suspension with a time must end then; one without must last."""
    state = State(suspended={"*": Suspension("a", 1.0, 10.0), "file/x": Suspension("b", 1.0)})
    assert state.suspension("*", 9.9) and not state.suspension("*", 10.0)
    assert state.suspension("file/x", 1e12)
    assert state.suspension("file/y", 1.0) is None


def test_resume(tmp_path: Path) -> None:
    """Resuming must end exactly that suspension, and say whether there was one."""
    orders = Orders(tmp_path)
    orders.suspend("*", Suspension("a", 1.0))
    orders.suspend("file/x", Suspension("b", 1.0))
    assert orders.resume("*") and not orders.resume("*")
    assert list(orders.load().suspended) == ["file/x"]


# --- inventory ----------------------------------------------------------------------------------------------

FILE, WEB = Key("file", "/etc/motd"), Key("container", "shop-web-1")
OWNED = Owned("d1", ("network/shop_default",), ("port/80",), "shop", {"content": "c"}, {"/x": "y"}, "d0")


def test_inventory_comes_back(tmp_path: Path) -> None:
    """Every field of an entry must survive a restart, also a path with slashes as its name."""
    InventoryStore(tmp_path).own({FILE: OWNED, WEB: Owned("d2")})
    assert InventoryStore(tmp_path).load() == {FILE: OWNED, WEB: Owned("d2")}


def test_own_is_durable_disown_waits(tmp_path: Path) -> None:
    """An owned entry must be on disk when `own` returns; a disowned one goes with the next write."""
    store = InventoryStore(tmp_path)
    store.load()
    store.own({FILE: OWNED, WEB: OWNED})
    store.disown([WEB])
    assert WEB not in store.entries
    assert WEB in InventoryStore(tmp_path).load()
    store.save()
    assert InventoryStore(tmp_path).load() == {FILE: OWNED}


def test_own_that_cannot_be_written_fails(tmp_path: Path) -> None:
    """When ownership cannot be recorded, the caller must hear of it before it creates anything."""
    store = InventoryStore(tmp_path)
    with pytest.raises(Transient):
        dying.failing(lambda: store.own({FILE: OWNED}), "fsync", dying.NO_SPACE)


def test_lost_inventory_is_said(tmp_path: Path) -> None:
    """A lost inventory must be told apart from an empty one, so that it is rebuilt from the host."""
    store = InventoryStore(tmp_path)
    store.load()
    assert not store.lost
    store.own({FILE: OWNED})
    (tmp_path / "inventory.json").write_bytes(b"")
    again = InventoryStore(tmp_path)
    assert again.load() == {} and again.lost and again.damaged


def test_inventory_from_many_threads(tmp_path: Path) -> None:
    """Entries owned and disowned by several threads at once must all count."""
    store = InventoryStore(tmp_path)
    keys = [Key("file", f"/f{n}") for n in range(24)]

    def work(part: list[Key]) -> None:
        for key in part:
            store.own({key: OWNED})
        store.disown(part[::2])

    threads = [threading.Thread(target=work, args=(keys[n::4],)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.save()
    assert len(InventoryStore(tmp_path).load()) == 12


# --- journal ------------------------------------------------------------------------------------------------

ACTION = Action(1, "create", WEB, "not there")


def test_journal_of_a_pass(tmp_path: Path) -> None:
    """A pass must leave its lines in order, with the number of kill points in the last; the pass before stays
    beside it.
    """
    for what in ("first", "second"):
        journal = Journal(tmp_path / "state" / "journal.jsonl", wall=lambda: 5.0, environ={})
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
    journal = Journal(tmp_path / "journal.jsonl", environ={})

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


# --- history ------------------------------------------------------------------------------------------------


def entry(number: int) -> HistoryEntry:
    return HistoryEntry(
        float(number + 1), f"main@sha1:{number:040x}", f"{number:016x}", "Converged", created=number
    )


def test_history_newest_first(tmp_path: Path) -> None:
    """The tail must be newest first, entries equal to what was appended."""
    history = History(tmp_path / "state" / "history.jsonl")
    for number in range(5):
        history.append(entry(number))
    assert history.tail(2) == [entry(4), entry(3)]
    assert history.tail(0) == [] and len(history.tail(99)) == 5


def test_history_is_bounded(tmp_path: Path) -> None:
    """The history must not grow for ever, and keep the newest."""
    history = History(tmp_path / "history.jsonl", keep=20)
    for number in range(200):
        history.append(entry(number))
    assert 20 <= len(history.read()) <= 70
    assert history.tail(1) == [entry(199)]


@given(cut=st.integers(1, 200))
@settings(max_examples=30, deadline=None)
def test_torn_line_costs_only_itself(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    """A line that a power cut tore must be left out, and neither the lines before nor the next one may
    suffer.
    """
    path = tmp_path_factory.mktemp("torn") / "history.jsonl"
    history = History(path)
    history.append(entry(1))
    first = path.stat().st_size
    history.append(entry(2))
    with path.open("r+b") as file:
        file.truncate(max(first, path.stat().st_size - cut))
    history.append(entry(3))
    found = history.read()
    assert found[0] == entry(1) and found[-1] == entry(3)
    assert found in ([entry(1), entry(3)], [entry(1), entry(2), entry(3)])


def test_history_of_a_newer_version(tmp_path: Path) -> None:
    """Keys of a newer Limpet must be left out, not lose the line."""
    path = tmp_path / "history.jsonl"
    path.write_text(
        json.dumps({"at": 1.0, "revision": "r", "release": "x", "outcome": "Converged", "colour": "red"})
        + "\n"
    )
    assert History(path).read() == [HistoryEntry(1.0, "r", "x", "Converged")]


# --- locks --------------------------------------------------------------------------------------------------

HOLD = (
    "import sys; from pathlib import Path; from agent.store.locks import Lock\n"
    "lock = Lock(Path(sys.argv[1]), 'a pass'); lock.acquire(); print('held', flush=True); sys.stdin.read()"
)


def test_second_holder_is_refused_with_the_pid(tmp_path: Path) -> None:
    """A second pass must be Transient (exit 75) and name the holder; the lock must be free once the holder is
    killed.
    """
    path = tmp_path / "run" / "lock"
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert child.stdout is not None and child.stdout.readline() == b"held\n"
        with pytest.raises(Transient, match=rf"a pass is running already \(pid {child.pid}\)") as caught:
            Lock(path, "a pass").acquire()
        assert caught.value.exit_code == 75 and caught.value.code == "Locked"
        assert holder(path) == child.pid
    finally:
        child.kill()
        child.wait()
    with Lock(path, "a pass"):
        assert holder(path) == os.getpid()
    assert holder(path) is None


def test_lock_is_not_inherited(tmp_path: Path) -> None:
    """A child that outlives the holder must not keep the lock."""
    path = tmp_path / "lock"
    with Lock(path, "a pass"):
        child = subprocess.Popen(["sleep", "60"])
    try:
        assert holder(path) is None
    finally:
        child.kill()
        child.wait()


def test_waiting_for_a_lock(tmp_path: Path) -> None:
    """A writer that may wait must get the lock as soon as it is free."""
    path = tmp_path / "lock"
    first = Lock(path, "a writer")
    first.acquire()
    threading.Timer(0.1, first.release).start()
    with Lock(path, "a writer", wait=10.0):
        pass


def test_lock_is_no_link(tmp_path: Path) -> None:
    """A planted link must not make the agent write elsewhere."""
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "lock").symlink_to(tmp_path / "victim")
    with pytest.raises(Stalled):
        Lock(tmp_path / "lock", "a pass").acquire()
    assert (tmp_path / "victim").read_text() == "precious"


def test_store_is_light() -> None:
    """Importing the store, the settings and the report must load no third-party package: they are on the hot
    path.
    """
    code = (
        "import sys, agent.report.writer, agent.settings, agent.store.manifests, agent.store.journal, "
        "agent.store.content, "
        "agent.store.inventory, agent.report.prometheus\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('pydantic', 'pydantic_settings', 'docker', "
        "'yaml', 'jinja2', "
        "'dulwich', 'paramiko', 'rich', 'urllib3', 'requests')])"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
