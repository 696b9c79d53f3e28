"""A dry run on the fake host: it says what a pass would do, and can change nothing."""

from __future__ import annotations

from typing import Any

import pytest

from agent.converge.preview import preview
from agent.store.orders import Orders
from agent.store.read_only import read_only
from agent.store.state import State, StateStore
from tests.fakes.passes import Passes, service


def documents(passes: Passes) -> dict[str, bytes]:
    """Every file of the state directory but what may be rendered at any time."""
    state = passes.paths.state
    return {
        str(path.relative_to(state)): path.read_bytes()
        for path in sorted(state.rglob("*"))
        if path.is_file() and "manifests" not in path.parts and path.suffix != ".lock"
    }


def proved(passes: Passes) -> None:
    for version in (1, 2):
        passes.host.add_image(f"shop/web:{version}", "web")
        passes.branch.push(service(f"shop/web:{version}"))
        assert passes.run().exit_code == 0


def test_a_dry_run_says_what_the_pass_then_does(passes: Passes) -> None:
    """What a dry run plans must be what the next pass does, and the host be untouched until then."""
    proved(passes)
    passes.host.add_image("shop/web:3", "web")
    passes.branch.push(service("shop/web:3"))
    done = len(passes.host.done)
    planned = preview(passes.new_context())
    assert len(passes.host.done) == done
    assert passes.run().exit_code == 0
    assert str(planned.plan) == str(passes.plan)


def test_a_dry_run_does_not_end_a_rollback_by_hand(passes: Passes) -> None:
    """A dry run must not end what a person holds, though it says that the next pass does."""
    proved(passes)
    state = passes.state
    Orders(passes.paths.state).roll_back(state.known_good[1].id, "incident 7", 1.0)
    assert passes.run().exit_code == 4
    before = documents(passes)
    assert preview(passes.new_context()).held is not None
    passes.host.add_image("shop/web:3", "web")
    passes.branch.push(service("shop/web:3"))
    moved = preview(passes.new_context())
    assert moved.held is None and moved.plan.actions
    assert documents(passes) == before and passes.state.held is not None


def test_the_state_of_a_dry_run_cannot_be_changed(passes: Passes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The state that a dry run is given must refuse every change, and never be saved."""
    proved(passes)
    saved: list[State] = []
    monkeypatch.setattr(StateStore, "save", lambda self, state: saved.append(state))
    context = passes.new_context()
    preview(context)
    assert not saved
    state: Any = context.state
    for change in (
        lambda: setattr(state, "held", None),
        lambda: setattr(state.images, "collection_due", True),
        lambda: state.count(passes=1),
        lambda: state.known_good.clear(),
        lambda: state.rejected.pop("x", None),
    ):
        with pytest.raises((TypeError, AttributeError)):
            change()


def test_read_only_is_equal_in_content(passes: Passes) -> None:
    """A read-only state must say the same as the state it was made of."""
    proved(passes)
    assert read_only(passes.state).to_json() == passes.state.to_json()
