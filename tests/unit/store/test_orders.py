"""What a person asks for: it waits for no pass, and no pass undoes it."""

from __future__ import annotations

from pathlib import Path

from agent.model import EMPTY
from agent.revision import NOWHERE
from agent.store.locks import Lock
from agent.store.orders import Orders, Suspension
from agent.store.state import State, StateStore
from tests.unit.store.releases import release


def test_retry_is_carried_out_once(tmp_path: Path) -> None:
    """A retry must forget the rejection at the next load, survive until the state is saved, and not hit a
    later rejection.
    """
    store = StateStore(tmp_path)
    state = State()
    state.reject(release(1), reason="r", at=1.0, revision=NOWHERE)
    store.save(state)
    Orders(tmp_path).retry(release(1).id, now=100.0)
    assert release(1).id not in store.load().rejected
    state = store.load()  # the pass before died without saving
    assert release(1).id not in state.rejected
    store.save(state)
    state.reject(release(1), reason="failed again", at=2.0, revision=NOWHERE)
    store.save(state)
    assert release(1).id in store.load().rejected
    Orders(tmp_path).retry("all", now=50.0)  # the clock went back
    assert release(1).id not in store.load().rejected


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


def test_an_order_to_pull_stays_until_it_is_carried_out(tmp_path: Path) -> None:
    """`retry --pull` must reach the pass after it, also when the one before died unsaved; an order without it
    must be written as versions before wrote it.
    """
    store, orders = StateStore(tmp_path), Orders(tmp_path)
    orders.retry("all", now=1.0)
    assert "pull" not in (tmp_path / "orders.json").read_text()
    orders.retry(release(1).id, now=2.0, pull=True)
    assert [retry.pull for retry in orders.load().retries] == [False, True]
    for _ in range(2):
        state = store.load()
        assert state.images.ask == "must"
    store.save(state)
    assert store.load().images.ask == "must"
    state.images.settled(EMPTY)
    store.save(state)
    assert store.load().images.ask == ""
