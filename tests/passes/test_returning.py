"""The ways back to known good, where several of them meet: whole passes on a fake host."""

from __future__ import annotations

import pytest

from agent.errors import Transient
from tests.fakes.host import KINDS
from tests.fakes.passes import Passes, service
from tests.passes.moves import die_in_the_rollback, motd, proved, roll_back_by_hand

DAY = 86400.0
DOWN = Transient("the source does not answer", "wait", code="SourceUnavailable")


def test_by_hand_saves_what_is_in_the_place(passes: Passes) -> None:
    """A file that a person made where a release had one must be saved by a rollback by hand to it, and come
    back.
    """
    passes.host.add_image("shop/web:1", "web")
    first = proved(passes, service("shop/web:1"), motd(passes, "ours"))
    proved(passes, service("shop/web:1"))
    passes.host.files.put("/etc/motd", b"a person's")
    roll_back_by_hand(passes, first)
    assert passes.run().exit_code == 4 and passes.host.files.read("/etc/motd") == b"ours"
    proved(passes, service("shop/web:1"))
    assert passes.host.files.read("/etc/motd") == b"a person's"


def test_by_hand_without_a_source_ends_with_the_next_commit(passes: Passes) -> None:
    """A rollback by hand on a host that cannot reach its source must end with the first commit that it sees
    then.
    """
    passes.host.add_image("shop/web:1", "web")
    first = proved(passes, service("shop/web:1"), motd(passes, "one"))
    proved(passes, service("shop/web:1"), motd(passes, "two"))
    passes.branch.down = Transient("the source does not answer", "wait")
    roll_back_by_hand(passes, first)
    for _ in range(2):
        assert passes.run().exit_code in (4, 75) and passes.host.files.read("/etc/motd") == b"one"
    passes.branch.down = None
    proved(passes, service("shop/web:1"), motd(passes, "three"))
    assert passes.host.files.read("/etc/motd") == b"three"


def test_by_hand_that_cannot_begin_is_not_told_as_done(
    passes: Passes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While Docker does not answer, a rollback by hand must be told as awaited, and as done when it is."""

    def gone(*arguments: object, **more: object) -> None:
        raise Transient("Docker does not answer", "start it", code="RuntimeUnavailable")

    passes.host.add_image("shop/web:1", "web")
    first = proved(passes, service("shop/web:1"), motd(passes, "one"))
    proved(passes, service("shop/web:1"), motd(passes, "two"))
    roll_back_by_hand(passes, first)
    with monkeypatch.context() as patch:
        patch.setattr(passes.host, "observe", gone)
        assert passes.run().exit_code == 75
    assert passes.heartbeat()["state"] == "Degraded"
    assert passes.run().exit_code == 4 and passes.heartbeat()["state"] == "RolledBack"


@pytest.mark.parametrize("down", [False, True])
def test_by_hand_that_fails_is_not_tried_again(passes: Passes, down: bool) -> None:
    """A release that a person went back to and that failed its gate must not be started again by the pass
    that goes on with a killed rollback, whether the source answers or not.
    """
    old = passes.host.add_image("shop/web:1", "web")
    new = passes.host.add_image("shop/web:2", "web", version="v2")
    first = proved(passes, service("shop/web:1"))
    proved(passes, service("shop/web:2"))
    passes.host.behaviours[old] = KINDS["sick"]
    roll_back_by_hand(passes, first)
    die_in_the_rollback(passes)
    passes.branch.down = DOWN if down else None
    before = len(passes.host.done)
    passes.run()
    assert passes.running() == new and passes.state.attempt is None and passes.state.held is None
    started = [action for action in passes.host.done[before:] if action.verb == "start"]
    assert len(started) == 1, started


def test_killed_rollback_ends_without_the_source(passes: Passes) -> None:
    """A rollback that is killed must be finished though the source is down, and be told as the rollback that
    it is.
    """
    good = passes.host.add_image("shop/web:1", "web")
    passes.host.add_image("shop/web:2", "sick")
    proved(passes, service("shop/web:1"))
    passes.branch.push(service("shop/web:2"))
    die_in_the_rollback(passes)
    passes.branch.down = DOWN
    result = passes.run()
    assert (result.outcome, passes.running()) == ("RolledBack", good)
    assert passes.state.rolled_back and passes.state.attempt is None


def test_killed_first_rollback_of_an_adoption_ends_without_the_source(passes: Passes) -> None:
    """What a person started must run again when the first release, which adopts it, failed and its rollback
    was killed, though the source is down.
    """
    passes.host.add_image("shop/web:1", "web")
    passes.host.add_image("shop/web:2", "sick")
    theirs = passes.host.add_compose_container(service("shop/web:1"), "shop-web-1")
    passes.branch.push(service("shop/web:2", adopt=True))
    die_in_the_rollback(passes)
    passes.branch.down = DOWN
    assert passes.run().outcome == "RolledBack"
    there = passes.host.containers[theirs].seen
    assert (there.name, there.state) == ("shop-web-1", "running")


def test_held_release_asks_no_registry(passes: Passes) -> None:
    """While a person holds a release no pass must be asked for because a registry is due: it would ask
    nobody.
    """
    passes.host.add_image("shop/web:1", "web")
    first = proved(passes, service("shop/web:1"))
    passes.host.add_image("shop/web:2", "web", local=False)
    proved(passes, service("shop/web:2", pull_every=DAY))
    roll_back_by_hand(passes, first)
    assert passes.run().exit_code == 4
    passes.clock.advance(2 * DAY)
    pulls = len(passes.host.pulls)
    result = passes.run()
    assert (result.exit_code, result.again_in, len(passes.host.pulls)) == (4, None, pulls)


def test_by_hand_without_a_manifest_follows_the_branch(passes: Passes) -> None:
    """A release whose manifest was lost must not be taken for one that holds nothing: the host stays with its
    branch.
    """
    passes.host.add_image("shop/web:1", "web")
    new = passes.host.add_image("shop/web:2", "web", version="v2")
    first = proved(passes, service("shop/web:1"))
    lost = passes.state.known_good[0].manifest_digest
    proved(passes, service("shop/web:2"))
    roll_back_by_hand(passes, first)
    passes.branch.manifests.path(lost).unlink()
    assert passes.run().exit_code == 0 and passes.running() == new and passes.state.held is None


def test_known_good_never_gets_another_image(passes: Passes) -> None:
    """When known good's image was removed from the host and its tag has moved, the rejected image must not
    run in its place.
    """
    good = passes.host.add_image("shop/web:1", "web", local=False)
    proved(passes, service("shop/web:1", pull_every=DAY))
    bad = passes.host.add_image("shop/web:1", "sick", version="v2", local=False)
    passes.clock.advance(2 * DAY)
    assert passes.run().outcome == "RolledBack"
    passes.host.vanish("shop-web-1")
    passes.host.unnamed.discard(good)
    before = len(passes.host.done)
    for _ in range(2):
        result = passes.run()
        assert result.exit_code == 78 and bad.removeprefix("sha256:")[:12] in result.reason
    assert len(passes.host.done) == before
