"""When polls and passes are due: numbers in, numbers out."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.daemon.schedule import JITTER, NEVER, POLL_BACKOFF_CAP, Cadence, Schedule, phase
from agent.errors import (
    EXIT_FAILED,
    EXIT_HELD_BACK,
    EXIT_OK,
    EXIT_ROLLBACK_FAILED,
    EXIT_ROLLED_BACK,
    EXIT_STALLED,
    EXIT_TEMPORARY,
)

MINUTE = Cadence(poll=60.0, resync=600.0)


def schedule(
    *, place: float = 0.5, seed: int = 1, now: float = 1000.0, cadence: Cadence = MINUTE
) -> Schedule:
    return Schedule(cadence, phase=place, random=Random(seed), now=now)


@given(st.floats(0, 0.999), st.floats(0, 1e7), st.integers(0, 100))
def test_polls_keep_the_phase_of_the_host(place: float, now: float, seed: int) -> None:
    """Every poll must lie in its host's phase, later than now, at most one interval and the jitter away."""
    it = schedule(place=place, now=now, seed=seed)
    for _ in range(5):
        assert now < it.poll_at <= now + 60 * (1 + JITTER) + 1e-6
        late = (it.poll_at - place * 60) % 60
        assert late <= 60 * JITTER + 1e-6 or late >= 60 - 1e-6
        now = it.poll_at
        it.polling()
        assert it.poll_at == NEVER
        it.polled(now + 0.2, succeeded=True)


def test_hosts_are_spread_over_the_interval() -> None:
    """The phases of many hosts must fill the interval, and one host's must stay."""
    phases = [phase(f"{number:032x}") for number in range(1000)]
    tenths = [sum(tenth / 10 <= p < (tenth + 1) / 10 for p in phases) for tenth in range(10)]
    assert all(60 <= count <= 140 for count in tenths)
    assert phase("abc") == phase("abc")


@given(st.integers(1, 60), st.integers(0, 1000))
def test_failed_polls_back_off_up_to_a_cap(failures: int, seed: int) -> None:
    """The wait after n failures must lie between a second and the doubled interval, never above the cap."""
    it = schedule(seed=seed)
    for count in range(failures):
        assert it.poll_failures == count
        it.polling()
        it.polled(5000.0, succeeded=False)
    assert 1.0 <= it.poll_at - 5000.0 <= min(POLL_BACKOFF_CAP, 60 * 2.0 ** (failures - 1))
    it.polled(5000.0, succeeded=True)
    assert it.poll_failures == 0


def test_a_pass_that_reaches_the_source_ends_the_backoff_of_polls() -> None:
    """When a pass fetched, the next poll must come in its usual slot; a poll that runs must not be
    disturbed.
    """
    it = schedule()
    for _ in range(9):
        it.polling()
        it.polled(1000.0, succeeded=False)
    it.source_answered(1000.0)
    assert it.poll_at <= 1066.0
    assert it.poll_failures == 0
    it.polling()
    it.poll_failures = 3
    it.source_answered(1000.0)
    assert it.poll_at == NEVER


def test_backoff_is_full_jitter() -> None:
    """Hosts that fail together must come back spread over the whole wait."""
    waits = []
    for seed in range(300):
        it = schedule(seed=seed)
        for _ in range(10):
            it.passing()
            it.passed(0.0, EXIT_TEMPORARY)
        waits.append(it.pass_at)
    assert min(waits) < 60 and max(waits) > 540 and 240 < sum(waits) / len(waits) < 360


@pytest.mark.parametrize("exit_code", [EXIT_OK, EXIT_ROLLED_BACK, EXIT_HELD_BACK, EXIT_STALLED])
def test_an_answer_that_stands_waits_for_the_resync(exit_code: int) -> None:
    """Converged, rolled back, held back and stalled passes must be followed by one after the resync
    interval.
    """
    it = schedule()
    assert it.passing() == "start"
    it.passed(1000.0, exit_code)
    assert 1600.0 <= it.pass_at <= 1660.0
    assert it.passing() == "resync"


@pytest.mark.parametrize("exit_code", [EXIT_TEMPORARY, EXIT_FAILED, EXIT_ROLLBACK_FAILED])
def test_failures_are_retried_with_growing_waits(exit_code: int) -> None:
    """What failed for the time being must be retried, the first time within the first bound."""
    it = schedule()
    it.passing()
    it.passed(1000.0, exit_code)
    assert 1001.0 <= it.pass_at <= 1010.0
    assert (it.temporary, it.drift) == ((1, 0) if exit_code == EXIT_TEMPORARY else (0, 1))
    assert it.passing() == "retry"
    it.passed(1000.0, EXIT_OK)
    assert it.temporary == it.drift == 0


@given(st.integers(1, 60), st.integers(0, 1000))
def test_what_was_repaired_is_looked_at_again(times: int, seed: int) -> None:
    """After a repair the next look must come sooner than the resync, and with each repair in a row later, up
    to the resync; a look that finds nothing must start the count again.
    """
    it = schedule(seed=seed)
    for _ in range(times):
        it.passing()
        it.passed(1000.0, EXIT_OK, corrected=True)
    assert 1001.0 <= it.pass_at <= 1000.0 + min(600.0, 60 * 2.0 ** (times - 1))
    assert (it.drift, it.temporary) == (times, 0)
    it.passing()
    it.passed(1000.0, EXIT_OK)
    assert it.drift == 0 and it.pass_at >= 1600.0


def test_temporary_failures_and_drift_are_counted_apart() -> None:
    """A temporary failure must neither count as drift nor forget it; a new revision must forget both."""
    it = schedule()
    for code, corrected in (
        (EXIT_OK, True),
        (EXIT_FAILED, False),
        (EXIT_TEMPORARY, False),
        (EXIT_TEMPORARY, False),
    ):
        it.passing()
        it.passed(1000.0, code, corrected=corrected)
    assert (it.temporary, it.drift) == (2, 2)
    it.want("poll", 1000.0)
    assert (it.temporary, it.drift) == (0, 0)


def test_passes_and_polls_count_their_failures_apart() -> None:
    """A source that does not answer must not slow down the retries of a pass."""
    it = schedule()
    for _ in range(9):
        it.polling()
        it.polled(1000.0, succeeded=False)
    it.passing()
    it.passed(1000.0, EXIT_TEMPORARY)
    assert it.temporary == 1
    assert it.pass_at <= 1010.0


def test_a_new_revision_forgets_the_failures() -> None:
    """A new revision must get a pass at once, whatever the backoff says, with a fresh count."""
    it = schedule()
    for _ in range(9):
        it.passing()
        it.passed(1000.0, EXIT_TEMPORARY)
    it.want("poll", 1001.0)
    assert it.pass_at <= 1001.0
    assert it.passing() == "poll"
    it.passed(1002.0, EXIT_TEMPORARY)
    assert it.temporary == 1


def test_wishes_during_a_pass_become_one_pass() -> None:
    """Whatever is wanted while a pass runs must lead to one pass right after it, for the weightiest
    reason.
    """
    it = schedule()
    it.passing()
    for trigger in ("poll", "sync", "settings"):
        it.want(trigger, 1000.0)
    assert it.pass_at == NEVER
    it.passed(1010.0, EXIT_TEMPORARY)
    assert (it.pass_at, it.passing()) == (1010.0, "sync")
    it.passed(1011.0, EXIT_OK)
    assert it.pass_at > 1600.0


def test_a_pass_that_saw_the_newer_revision_needs_no_other() -> None:
    """A wish that the running pass has fulfilled must be forgotten, and no other."""
    it = schedule()
    it.passing()
    it.want("poll", 1000.0)
    it.unwant("poll")
    it.passed(1000.0, EXIT_OK)
    assert it.pass_at > 1600.0
    it.passing()
    it.want("sync", 1000.0)
    it.unwant("poll")
    it.passed(1000.0, EXIT_OK)
    assert it.pass_at == 1000.0


def test_the_next_look_is_known_during_a_poll() -> None:
    """The time of the next look must be finite, never past, and at most an interval away, also while a poll
    runs.
    """
    it = schedule(place=0.0, now=1000.0)
    it.passing()
    assert it.next_look(1000.0) == it.poll_at
    it.polling()
    assert it.next_look(1000.0) == 1060.0
    it.passed(1000.0, EXIT_HELD_BACK, again_in=5.0)
    assert it.next_look(1000.0) == 1005.0
    assert it.next_look(1010.0) == 1010.0


def test_a_pass_may_ask_for_an_earlier_one_but_not_for_a_later_one() -> None:
    """`again_in` must bring the next pass forward, and never put it off."""
    it = schedule()
    it.passing()
    it.passed(1000.0, EXIT_HELD_BACK, again_in=30.0)
    assert it.pass_at == 1030.0
    it.passing()
    it.passed(1000.0, EXIT_HELD_BACK, again_in=1e6)
    assert it.pass_at <= 1660.0


def test_shorter_intervals_count_at_once() -> None:
    """New settings must not have to wait for the end of an old, longer interval."""
    it = schedule(cadence=Cadence(poll=86400.0, resync=86400.0))
    it.passing()
    it.passed(1000.0, EXIT_OK)
    it.change(MINUTE, 1000.0)
    assert it.poll_at <= 1066.0
    assert it.pass_at <= 1660.0


def test_a_poll_may_be_asked_for_at_once() -> None:
    """A poll that somebody asks for must be due at once, and one that runs must not be followed by another
    for it.
    """
    it = schedule()
    it.poll_soon(1001.0)
    assert it.poll_at == 1001.0
    it.polling()
    it.poll_soon(1002.0)
    assert it.poll_at == NEVER
    it.polled(1003.0, succeeded=True)
    assert it.poll_at > 1003.0


def test_new_intervals_disturb_nothing_that_runs() -> None:
    """While a poll or a pass runs, other intervals must not start a second one beside it."""
    it = schedule()
    it.polling()
    it.passing()
    it.change(Cadence(poll=1.0, resync=2.0), 1000.0)
    assert (it.poll_at, it.pass_at) == (NEVER, NEVER)
    it.polled(1000.0, succeeded=True)
    it.passed(1000.0, EXIT_OK)
    assert it.poll_at <= 1002.2 and 1002.0 <= it.pass_at <= 1002.2


def test_longer_intervals_put_nothing_off() -> None:
    """What is due sooner than the new intervals say must stay due."""
    it = schedule()
    poll_at = it.poll_at
    it.change(Cadence(poll=86400.0, resync=86400.0), 999.0)
    assert (it.poll_at, it.pass_at) == (poll_at, 1000.0)


def test_an_answer_during_a_good_spell_moves_no_poll() -> None:
    """A pass that reaches a source which never failed must leave the polls where they are."""
    it = schedule()
    poll_at = it.poll_at
    it.source_answered(poll_at - 1.0)
    assert it.poll_at == poll_at


@pytest.mark.parametrize(
    ("wishes", "told"),
    [
        (("resync", "poll"), "poll"),
        (("poll", "resync"), "poll"),
        (("sync", "settings"), "sync"),
        (("retry", "poll"), "poll"),
        (("poll", "poll"), "poll"),
    ],
)
def test_the_weightiest_reason_is_told(wishes: tuple[str, ...], told: str) -> None:
    """Of several reasons for a pass that is due, the weightiest must be told, whatever came first."""
    it = schedule()
    it.passing()
    it.passed(1000.0, EXIT_OK)
    for wish in wishes:
        it.want(wish, 1001.0)
    assert (it.pass_at, it.passing()) == (1001.0, told)


def test_a_reason_that_is_not_due_yet_is_not_told() -> None:
    """A pass that is brought forward must be told why, not what it would have been for later."""
    it = schedule()
    it.passing()
    it.passed(1000.0, EXIT_TEMPORARY)
    it.want("resync", 1000.5)
    assert (it.pass_at, it.passing()) == (1000.5, "resync")


def test_a_wish_never_puts_off_what_is_overdue() -> None:
    """A pass that is due already must stay due at its time when something more is wanted."""
    it = schedule(now=1000.0)
    it.want("sync", 1005.0)
    assert (it.pass_at, it.trigger) == (1000.0, "sync")


def test_repairs_that_fail_are_retried_sooner_than_repairs_that_work() -> None:
    """What could not be repaired must be tried again within the retry's bound; what could be is looked at
    within a poll.
    """
    waits: dict[bool, list[float]] = {True: [], False: []}
    for seed in range(200):
        for failed in (True, False):
            it = schedule(seed=seed)
            it.passing()
            it.passed(0.0, EXIT_FAILED if failed else EXIT_OK, corrected=not failed)
            waits[failed].append(it.pass_at)
    assert 8.0 < max(waits[True]) <= 10.0 and 50.0 < max(waits[False]) <= 60.0


def test_the_backoff_is_at_least_a_second() -> None:
    """However the dice fall, a failure must not be retried within the second."""
    for seed in range(200):
        it = schedule(seed=seed)
        it.polling()
        it.polled(1000.0, succeeded=False)
        it.passing()
        it.passed(1000.0, EXIT_TEMPORARY)
        assert it.poll_at >= 1001.0 and it.pass_at >= 1001.0


def test_polls_back_off_by_their_own_interval_and_cap() -> None:
    """Of many hosts the longest wait must double with each failure, up to half an hour, or to an interval
    that is longer.
    """
    for poll, failures, longest in (
        (60.0, 1, 60.0),
        (60.0, 3, 240.0),
        (60.0, 9, 1800.0),
        (7200.0, 4, 7200.0),
    ):
        waits = []
        for seed in range(200):
            it = schedule(seed=seed, cadence=Cadence(poll=poll, resync=600.0))
            for _ in range(failures):
                it.polling()
                it.polled(1000.0, succeeded=False)
            assert it.poll_failures == failures
            waits.append(it.poll_at - 1000.0)
        assert 0.9 * longest < max(waits) <= longest


def test_a_wait_ends_when_what_it_waited_for_is_there() -> None:
    """The retry must be due at once, count as a further try, and wait longer when it fails again; a resync
    must not be drawn forward.
    """
    assert schedule().retry_at is None
    it = schedule()
    for count in (1, 2, 3):
        it.passing()
        it.passed(1000.0, EXIT_TEMPORARY)
        assert it.retry_at == it.pass_at > 1000.0
        it.end_wait(1000.0)
        assert (it.pass_at, it.trigger, it.temporary) == (1000.0, "retry", count)
    it.passing()
    it.end_wait(1000.0)
    assert it.pass_at == NEVER
    it.passed(1000.0, EXIT_OK)
    it.end_wait(1000.0)
    assert it.pass_at >= 1600.0 and it.retry_at is None
