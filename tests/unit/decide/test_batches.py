"""Which containers of a service give way together: keys in, lists out."""

from __future__ import annotations

import pytest

from agent.decide.batches import ServiceUpdate, batches
from agent.kinds.update_policy import UpdatePolicy, policy_of
from agent.model import Key
from tests.plan.cases import view

A, B, C, D, E = (Key("container", name) for name in "abcde")


def update(most: int, *updating: Key, settled: tuple[Key, ...] = (), ratio: float = 0.0) -> ServiceUpdate:
    policy = policy_with(most, ratio)
    return ServiceUpdate(policy, settled, updating, False)


def policy_with(most: int, ratio: float) -> UpdatePolicy:
    """The policy of a service that says so many at once, and so many failures."""
    said = {"parallelism": most, "max_failure_ratio": ratio}
    at = view({"desired": {"container": {"a": {"image": "web:1", "update": said}}}})
    found = policy_of(at.target.manifest.resources[A], at)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("most", "found"),
    [
        (1, [[], [A], [B], [C], [D]]),
        (2, [[], [A, B], [C, D]]),
        (3, [[], [A, B, C], [D]]),
        (4, [[], [A, B, C, D]]),
        (0, [[], [A, B, C, D]]),
    ],
)
def test_as_many_at_once_as_are_allowed(most: int, found: list[list[Key]]) -> None:
    """Each batch must be full before the next begins; 0 means all at once."""
    assert batches(update(most, A, B, C, D), lambda _: set()) == found


def test_what_does_not_give_way_comes_first() -> None:
    """The settled containers must be the first batch, and take no place of those that give way."""
    assert batches(update(1, B, C, settled=(A,)), lambda _: set()) == [[A], [B], [C]]


def test_what_an_earlier_batch_waits_for_goes_with_it() -> None:
    """A container that must give way for one of an earlier batch joins it, and so do the batches between."""
    needed = {D: {B}}
    assert batches(update(1, A, B, C, D, E), lambda key: needed.get(key, set())) == [[], [A], [B, C, D], [E]]
    assert batches(update(1, B, C, settled=(A,)), lambda key: {A} if key == C else set()) == [[A, B, C]]


def test_a_batch_that_was_joined_is_full() -> None:
    """After containers had to go together, the next one must begin a batch of its own."""
    assert batches(update(2, A, B, C, D), lambda key: {A} if key == C else set()) == [[], [A, B, C], [D]]


@pytest.mark.parametrize(("most", "followers"), [(1, {B, C}), (2, {C}), (3, set()), (0, set())])
def test_followers_wait_for_an_earlier_batch(most: int, followers: set[Key]) -> None:
    """All but the first batch must wait for one of their own service."""
    assert update(most, A, B, C).followers == followers


@pytest.mark.parametrize(("ratio", "tolerated"), [(0.0, 0), (0.24, 0), (0.25, 1), (0.5, 2), (1.0, 4)])
def test_failures_are_tolerated_by_their_share_of_the_whole_service(ratio: float, tolerated: int) -> None:
    """The share must be of all containers, those that are settled included, and be rounded down."""
    assert update(1, B, C, D, settled=(A,), ratio=ratio).tolerated == tolerated
