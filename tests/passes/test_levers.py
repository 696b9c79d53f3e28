"""The levers of a person mean what they say: going back twice, trying again, and commits that change nothing
but when images are pulled and how containers are changed.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from agent.cli import retry, rollback
from agent.errors import Stalled, Transient
from agent.model import Key, Need
from agent.store.orders import Orders
from tests.fakes.host import Died
from tests.fakes.passes import Passes, service
from tests.passes.moves import proved, roll_back_by_hand, with_images


def three(root: Path) -> tuple[Passes, list[str]]:
    """A host with three known good releases, and their ids, the oldest first."""
    passes = with_images(root, *((f"shop/web:{n}", "web") for n in range(1, 5)))
    return passes, [proved(passes, service(f"shop/web:{n}")) for n in (1, 2, 3)]


def go_back(passes: Passes, which: str = "") -> str:
    """`limpet rollback [which]` and a pass; the release that runs then."""
    roll_back_by_hand(passes, rollback.chosen(passes.state, which).id)
    assert passes.run().exit_code == 4
    applied = passes.state.applied
    assert applied is not None
    return applied.id


def try_again(passes: Passes, which: str = "all", *, pull: bool = False) -> int:
    """`limpet retry [--pull] [which]`: its exit code."""
    return retry.run(argparse.Namespace(root=passes.root, release=which, pull=pull))


# --- rollback -----------------------------------------------------------------------------------------------


def test_a_second_rollback_goes_further_back(tmp_path: Path) -> None:
    """`limpet rollback` typed again must go one release further back, and at the oldest say that there is
    nothing, with those that can be named.
    """
    passes, (first, second, third) = three(tmp_path)
    assert go_back(passes) == second
    assert go_back(passes) == first
    with pytest.raises(Stalled, match="nothing further back") as said:
        rollback.chosen(passes.state, "")
    assert second in said.value.hint and third in said.value.hint and first not in said.value.hint


def test_a_rollback_by_name_goes_anywhere(tmp_path: Path) -> None:
    """A release that was left must be had by its name, and from there a rollback goes back in the old
    order.
    """
    passes, (first, second, third) = three(tmp_path)
    assert [go_back(passes), go_back(passes)] == [second, first]
    assert go_back(passes, third) == third
    assert [go_back(passes), go_back(passes)] == [second, first]
    assert go_back(passes, second) == second and go_back(passes) == first


def test_what_was_left_stays_left_after_a_new_commit(tmp_path: Path) -> None:
    """When a new commit came after a rollback, going back must skip the release that a person had left."""
    passes, (first, second, _) = three(tmp_path)
    assert go_back(passes) == second
    fourth = proved(passes, service("shop/web:4"))
    assert [good.id for good in passes.state.known_good] == [fourth, second, first]
    assert [go_back(passes), go_back(passes)] == [second, first]


def test_following_the_branch_again_ends_it(tmp_path: Path) -> None:
    """After `limpet retry` the branch's release runs again, and a rollback goes to the one before it."""
    passes, (_, second, third) = three(tmp_path)
    assert go_back(passes) == second
    assert try_again(passes) == 0 and passes.run().exit_code == 0
    assert passes.state.known_good[0].id == third and passes.state.left == ()
    assert go_back(passes) == second


def test_a_rollback_that_is_not_there_yet_means_itself(tmp_path: Path) -> None:
    """Typed again before the host is there (Docker is down, say), it must mean the same release, also when
    the pass dies half-way.
    """
    passes, (_, second, _) = three(tmp_path)
    roll_back_by_hand(passes, second)
    assert rollback.chosen(passes.state, "").id == second
    passes.host._points, passes.host.die_at = 0, 2
    with pytest.raises(Died):
        passes.run()
    passes.host.die_at = None
    assert passes.state.attempt is not None
    assert rollback.chosen(passes.state, "").id == second
    assert go_back(passes) == second


def test_the_only_good_release_has_nothing_before_it(passes: Passes) -> None:
    """A host with one known good release must say so instead of going anywhere."""
    passes.host.add_image("shop/web:1")
    proved(passes, service("shop/web:1"))
    with pytest.raises(Stalled, match="nothing further back: no other release is known good"):
        rollback.chosen(passes.state, "")


# --- retry --------------------------------------------------------------------------------------------------


def test_a_first_release_that_failed_is_tried_anew(passes: Passes) -> None:
    """`limpet retry` must ask for the images of a first release that failed, and bring the repaired ones
    in.
    """
    passes.host.add_image("shop/web:1", "sick", version="broken", local=False)
    passes.branch.push(service("shop/web:1"))
    assert [passes.run().exit_code for _ in range(2)] == [1, 1]
    repaired = passes.host.add_image("shop/web:1", "web", version="repaired", local=False)
    assert passes.run().exit_code == 1 and len(passes.host.pulls) == 1
    assert try_again(passes) == 0
    assert passes.run().exit_code == 0 and passes.running() == repaired
    pulls = len(passes.host.pulls)
    assert passes.run().exit_code == 0 and len(passes.host.pulls) == pulls == 2


def test_a_first_release_begins_anew_with_a_new_deadline(passes: Passes) -> None:
    """When the registry has the same image, the release must get its whole time once more."""
    passes.host.add_image("shop/web:1", "sick", local=False)
    passes.branch.push(service("shop/web:1"))
    assert passes.run().exit_code == 1
    begun = passes.state.attempt
    passes.clock.advance(1000.0)
    assert try_again(passes) == 0
    assert passes.run().exit_code == 1
    again = passes.state.attempt
    assert begun and again and again.started_monotonic > begun.started_monotonic + 999


@pytest.mark.parametrize("down", [True, False])
def test_retry_without_a_registry_uses_what_is_there(passes: Passes, down: bool) -> None:
    """On a host whose images were loaded by hand, `limpet retry` must try the newly loaded one although no
    registry has it.
    """
    passes.host.add_image("shop/web:1", "sick", version="loaded")
    passes.branch.push(service("shop/web:1"))
    assert passes.run().exit_code == 1
    again = passes.host.add_image("shop/web:1", "web", version="loaded again")
    passes.host.registry.pop("shop/web:1", None)
    passes.host.registry_down = down
    assert try_again(passes) == 0
    passes.run()
    assert passes.running() == again
    passes.run()
    assert passes.run().exit_code == 0 and passes.state.known_good[0].lock == {"shop/web:1": again}


def rejected(passes: Passes) -> str:
    """A host on which a commit with a broken image was rolled back; known good's image."""
    for name in ("shop/web:1", "shop/db:1"):
        passes.host.add_image(name, "web", version="one", local=False)
    proved(passes, service("shop/web:1"), service("shop/db:1", "shop-db-1"))
    good = passes.running()
    passes.host.add_image("shop/web:2", "sick", version="broken", local=False)
    passes.branch.push(service("shop/web:2"), service("shop/db:1", "shop-db-1"))
    assert passes.run().exit_code == 4
    return good


def test_a_repaired_image_under_the_same_tag(passes: Passes) -> None:
    """`limpet retry --pull` must bring the repaired image in, and ask for no image that is known good."""
    rejected(passes)
    repaired = passes.host.add_image("shop/web:2", "web", version="repaired", local=False)
    passes.host.add_image("shop/db:1", "web", version="other", local=False)
    passes.host.pulls.clear()
    assert try_again(passes, pull=True) == 0
    assert passes.run().exit_code == 0 and passes.running() == repaired
    assert passes.host.pulls == ["shop/web:2"]
    assert passes.run().exit_code == 0 and passes.host.pulls == ["shop/web:2"]


def test_a_repaired_image_that_known_good_has_too(passes: Passes) -> None:
    """Also when known good uses the tag with another configuration, the release that failed must get the
    repaired image; and when it fails again, neither image is tried once more.
    """
    passes.host.add_image("shop/web:1", "web", version="one", local=False)
    proved(passes, service("shop/web:1"))
    good = passes.running()
    moved = service("shop/web:1", config={"healthcheck": {"test": ["CMD", "false"]}})
    sick = passes.host.add_image("shop/web:1", "sick", version="two", local=False)
    passes.branch.push(moved, service("shop/none:1", "shop-a-1"))
    passes.host.add_image("shop/none:1", "sick", local=False)
    assert passes.run().exit_code == 4
    assert try_again(passes, pull=True) == 0
    assert passes.run().exit_code == 4 and passes.running() == good
    assert passes.host.pulls.count("shop/web:1") == 2
    done = len(passes.host.done)
    assert [passes.run().outcome for _ in range(3)] == ["HoldingKnownGood"] * 3
    assert len(passes.host.done) == done and passes.host.pulls.count("shop/web:1") == 2
    assert sick in {entry.id for entry in passes.state.images.asked.values()}


def test_pull_waits_for_its_registry(passes: Passes) -> None:
    """While the registry does not answer, the order must wait, what runs stay, and the repaired image come
    when it does.
    """
    good = rejected(passes)
    repaired = passes.host.add_image("shop/web:2", "web", version="repaired", local=False)
    passes.host.registry_down = True
    assert try_again(passes, pull=True) == 0
    assert [passes.run().exit_code for _ in range(2)] == [75, 75] and passes.running() == good
    passes.host.registry_down = False
    assert passes.run().exit_code == 0 and passes.running() == repaired


@pytest.mark.parametrize("point", range(1, 26, 2))
def test_an_order_to_pull_survives_any_kill(passes: Passes, point: int) -> None:
    """Wherever the pass that obeys is killed, the next one must finish, with the repaired image."""
    rejected(passes)
    repaired = passes.host.add_image("shop/web:2", "web", version="repaired", local=False)
    assert try_again(passes, pull=True) == 0
    passes.host._points, passes.host.die_at = 0, point
    try:
        passes.run()
    except Died:
        passes.host.die_at = None
        passes.run()
    assert passes.running() == repaired and passes.state.known_good[0].lock["shop/web:2"] == repaired
    assert passes.state.images.ask == "" and passes.state.images.told == {}


def test_nothing_to_retry_is_said(passes: Passes, capsys: pytest.CaptureFixture[str]) -> None:
    """On a host whose release is good `retry --pull` must order nothing."""
    passes.host.add_image("shop/web:1")
    proved(passes, service("shop/web:1"))
    assert try_again(passes, pull=True) == 0
    assert "no release is rejected" in capsys.readouterr().out
    assert Orders(passes.paths.state).load().retries == ()


# --- commits that change no digest --------------------------------------------------------------------------


@pytest.mark.parametrize("failed", ["first", "rejected", "good"])
def test_a_commit_that_only_says_always(passes: Passes, failed: str) -> None:
    """A commit that changes nothing but `pull_policy: always` must ask the registry once, whatever became of
    the release, and bring a repaired image in.
    """
    if failed == "rejected":
        passes.host.add_image("shop/web:1", "web", local=False)
        proved(passes, service("shop/web:1"))
    kind = "web" if failed == "good" else "sick"
    passes.host.add_image("shop/web:2", kind, version="broken", local=False)
    passes.branch.push(service("shop/web:2"))
    passes.run()
    repaired = passes.host.add_image("shop/web:2", "web", version="repaired", local=False)
    passes.host.pulls.clear()
    passes.run()
    assert passes.host.pulls == []
    passes.branch.push(service("shop/web:2", pull_policy="always"))
    assert passes.run().exit_code == 0 and passes.running() == repaired
    assert passes.run().exit_code == 0 and passes.host.pulls == ["shop/web:2"]


def test_always_for_the_image_that_is_there_re_creates_nothing(passes: Passes) -> None:
    """When the registry has the same image, the commit must move the revision and touch no container."""
    passes.host.add_image("shop/web:1", "web", local=False)
    proved(passes, service("shop/web:1"))
    kept, done = passes.host._find("shop-web-1").seen.id, len(passes.host.done)
    proved(passes, service("shop/web:1", pull_policy="always"))
    assert passes.host._find("shop-web-1").seen.id == kept and len(passes.host.done) == done
    assert len(passes.host.pulls) == 2
    assert passes.state.pin and passes.state.pin.commit == f"{passes.branch.commits:040x}"


def test_always_waits_for_its_registry(passes: Passes) -> None:
    """While the registry does not answer, what runs must stay, and the question be asked again."""
    passes.host.add_image("shop/web:1", "web", local=False)
    proved(passes, service("shop/web:1"))
    old = passes.running()
    new = passes.host.add_image("shop/web:1", "web", version="new", local=False)
    passes.branch.push(service("shop/web:1", pull_policy="always"))
    passes.host.registry_down = True
    assert [passes.run().exit_code for _ in range(2)] == [75, 75] and passes.running() == old
    passes.host.registry_down = False
    assert passes.run().exit_code == 0 and passes.running() == new


def test_a_commit_that_only_says_build(passes: Passes) -> None:
    """A commit that changes nothing but `pull_policy: build` must take the image that was built here."""
    passes.host.add_image("app:latest", "web", version="v1")
    proved(passes, service("app:latest"))
    passes.host.unnamed.add(passes.running())
    built = passes.host.add_image("app:latest", "web", version="v2")
    assert passes.run().exit_code == 0 and passes.running() != built
    proved(passes, service("app:latest", pull_policy="build"))
    assert passes.running() == built and passes.host.pulls == []


SOONER = (Need(Key("container", "shop-db-1"), "healthy"),)


@pytest.mark.parametrize(
    "change",
    [{"update": {"parallelism": 1, "order": "start-first"}}, {"oneshot": True}, {"needs": SOONER}],
    ids=["update", "oneshot", "needs"],
)
def test_a_commit_that_only_changes_how_it_is_started(passes: Passes, change: dict[str, Any]) -> None:
    """A release that failed must be tried again, once, when a commit changes how it is started or judged and
    nothing else; another commit without such a change must not try it.
    """
    passes.host.add_image("shop/db:1")
    db = service("shop/db:1", "shop-db-1")
    proved(passes, db)
    passes.host.add_image("shop/web:2", "sick")
    passes.branch.push(service("shop/web:2"), db)
    assert passes.run().exit_code == 4
    passes.branch.push(service("shop/web:2"), db, message="nothing new")
    assert passes.run().outcome == "HoldingKnownGood"
    passes.branch.push(service("shop/web:2", **change), db)
    assert passes.run().outcome in ("RolledBack", "Converged")
    done = len(passes.host.done)
    assert passes.run().outcome in ("HoldingKnownGood", "Converged") and len(passes.host.done) == done


def test_update_config_alone_counts_from_the_next_release(passes: Passes) -> None:
    """A commit that only changes `update_config` must re-create nothing, and be how a rollback and the next
    release are done.
    """
    for number in (1, 2):
        passes.host.add_image(f"shop/web:{number}")
    proved(passes, service("shop/web:1"))
    done = len(passes.host.done)
    how = {"parallelism": 1, "order": "start-first"}
    release = proved(passes, service("shop/web:1", update=how, rollback=how))
    assert len(passes.host.done) == done
    stored = passes.new_context().desired.manifests.get(passes.state.known_good[0].manifest_digest)
    assert stored.resources[Key("container", "shop-web-1")].spec["rollback"] == how
    assert release == passes.state.known_good[0].id
    proved(passes, service("shop/web:2", update=how, rollback=how))
    done = len(passes.host.done)
    assert go_back(passes) == release
    verbs = [action.verb for action in passes.host.done[done:]]
    assert verbs.index("start") < verbs.index("stop"), verbs


def test_an_answer_that_failed_is_not_asked_for_again(passes: Passes) -> None:
    """A moved image behind a new `always` that fails must be rolled back to known good's own, and stay so."""
    passes.host.add_image("shop/web:1", "web", local=False)
    proved(passes, service("shop/web:1"))
    good = passes.running()
    passes.host.add_image("shop/web:1", "sick", version="new", local=False)
    passes.branch.push(service("shop/web:1", pull_policy="always"))
    assert passes.run().exit_code == 4 and passes.running() == good
    assert [passes.run().exit_code for _ in range(3)] == [4] * 3
    assert len(passes.host.pulls) == 2 and passes.running() == good
    passes.branch.down = Transient("the source does not answer", "wait")
    assert passes.run().exit_code == 75 and passes.running() == good
