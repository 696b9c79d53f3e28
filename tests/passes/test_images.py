"""When registries are asked, what a moved tag leads to, and what is removed: whole passes on a fake host, and
the rules.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from agent.decide.image_memory import Asked, Images, always, intervals, short_id
from agent.errors import Transient
from agent.kinds import files
from agent.model import Manifest
from agent.observed import Observed, ObservedContainer
from agent.settings.values import ConvergeSettings, Window
from tests.fakes.host import Died, FakeHost
from tests.fakes.passes import Passes, service
from tests.passes.moves import proved

DAY = 86400.0


def daily(passes: Passes, *more: Any) -> str:
    """A host that runs shop/web:1, refreshed daily; the image's id."""
    image_id = passes.host.add_image("shop/web:1", "web", version="one", local=False)
    passes.branch.push(service("shop/web:1", pull_every=DAY), *more)
    assert passes.run().exit_code == 0
    return image_id


def test_mounted_image_is_pulled_too(passes: Passes) -> None:
    """An image that a service mounts must be pulled with the service's own, and be in the release's lock."""
    own, mounted = (passes.host.add_image(name, local=False) for name in ("shop/web:1", "shop/files:1"))
    passes.host.engine_version, passes.host.engine_api = "28.0.0", (1, 48)
    passes.branch.push(
        service("shop/web:1", volumes=[{"type": "image", "source": "shop/files:1", "target": "/files"}])
    )
    assert passes.run().exit_code == 0
    assert sorted(passes.host.pulls) == ["shop/files:1", "shop/web:1"]
    assert passes.state.known_good[0].lock == {"shop/web:1": own, "shop/files:1": mounted}


# --- when a registry is asked -------------------------------------------------------------------------------


def test_asked_once_per_interval(passes: Passes) -> None:
    """A registry must be asked when the interval is over and not before, and the daemon be told when that
    is.
    """
    daily(passes)
    passes.clock.advance(DAY - 100)
    assert 50 < (passes.run().again_in or 0) < 100
    assert passes.host.pulls == ["shop/web:1"]
    passes.clock.advance(100)
    again = passes.run().again_in
    assert passes.host.pulls == ["shop/web:1"] * 2 and again == pytest.approx(DAY, abs=5)
    assert passes.run().outcome == "Converged" and len(passes.host.pulls) == 2


@pytest.mark.parametrize("jump", [-10 * DAY, 10 * DAY])
def test_clock_that_jumps(passes: Passes, jump: float) -> None:
    """A clock that jumps must lead to one question more at most, and asking must go on by the new time."""
    daily(passes)
    passes.clock.jump(jump)
    for _ in range(3):
        passes.run()
    assert len(passes.host.pulls) == 2
    passes.clock.advance(DAY)
    passes.run()
    assert len(passes.host.pulls) == 3
    passes.clock.jump(-jump)
    for _ in range(3):
        passes.run()
    assert len(passes.host.pulls) == 4


def test_short_interval_does_not_spin_the_daemon(passes: Passes) -> None:
    """However short an interval is, it must not make the daemon pass more often than once a minute."""
    passes.host.add_image("shop/web:1", "web")
    passes.branch.push(service("shop/web:1", pull_every=1.0))
    assert passes.run().again_in == 60.0


def test_image_that_is_there_already_is_asked_for(passes: Passes) -> None:
    """An image that came by other means must be refreshed when it says so, and left alone when it does
    not.
    """
    old = passes.host.add_image("shop/web:1", "web", version="loaded")
    passes.branch.push(service("shop/web:1"))
    passes.run()
    assert passes.running() == old and passes.host.pulls == []
    new = passes.host.add_image("shop/web:1", "web", version="newest", local=False)
    passes.branch.push(service("shop/web:1", pull_every=DAY))
    passes.run()
    assert passes.running() == new


@pytest.mark.parametrize("policy", ["missing", "never"])
def test_local_image_is_enough(passes: Passes, policy: str) -> None:
    """`missing` and `never` must not ask for what the host has, even in a new manifest; `never` must stall
    without it.
    """
    passes.host.add_image("shop/web:1", "web")
    for mark in ("a", "b"):
        passes.branch.push(service("shop/web:1", pull_policy=policy, environment={"MARK": mark}))
        assert passes.run().exit_code == 0
    assert passes.host.pulls == []
    passes.host.add_image("shop/web:2", "web", local=False)
    passes.branch.push(service("shop/web:2", pull_policy=policy))
    assert passes.run().exit_code == (0 if policy == "missing" else 78)


def test_always_asks_once_for_each_new_manifest(passes: Passes) -> None:
    """`always` must ask once when anything in the manifest is new: not in a resync, nor for what is rejected
    or known good.
    """
    first = passes.host.add_image("shop/web:1", "web", local=False)
    web, other = service("shop/web:1", pull_policy="always"), service("shop/other:1", "shop-other-1")
    passes.host.add_image("shop/other:1")
    passes.host.add_image("shop/bad:1", "sick")
    passes.branch.push(web)
    for _ in range(3):
        assert passes.run().exit_code == 0
    assert len(passes.host.pulls) == 1
    second = passes.host.add_image("shop/web:1", "web", version="v2", local=False)
    passes.branch.push(web, other)
    passes.run()
    passes.run()
    assert (passes.running(), len(passes.host.pulls)) == (second, 2)
    passes.branch.push(web, service("shop/bad:1", "shop-other-1"))
    assert [passes.run().exit_code for _ in range(3)] == [4, 4, 4]
    assert (passes.running(), len(passes.host.pulls)) == (second, 3)
    passes.branch.push(web, other)
    assert passes.run().exit_code == 0
    assert (passes.running(), len(passes.host.pulls)) == (second, 3)
    assert first != second


# --- a tag that moved ---------------------------------------------------------------------------------------


def moved(passes: Passes, kind: str, version: str) -> str:
    """Another image behind the tag, a day later."""
    passes.clock.advance(DAY)
    return passes.host.add_image("shop/web:1", kind, version=version, local=False)


def test_rejected_image_is_not_tried_again(passes: Passes) -> None:
    """A moved tag that fails its gate must be rolled back and not tried again, whenever it is asked for;
    another image must.
    """
    good = daily(passes)
    kept = passes.host._find("shop-web-1").seen.id
    moved(passes, "sick", "bad")
    assert passes.run().exit_code == 4
    for _ in range(3):
        passes.clock.advance(DAY)
        before = len(passes.host.done)
        assert passes.run().outcome == "HoldingKnownGood"
        assert (passes.running(), passes.host._find("shop-web-1").seen.id, len(passes.host.done)) == (
            good,
            kept,
            before,
        )
    assert len(passes.state.rejected) == 1
    better = moved(passes, "web", "better")
    assert passes.run().exit_code == 0
    assert passes.running() == better and passes.state.rolled_back is None


def test_tag_that_moves_back_ends_the_rollback(passes: Passes) -> None:
    """When the registry has known good's image again, there must be nothing left to hold back."""
    good = daily(passes)
    moved(passes, "sick", "bad")
    assert passes.run().exit_code == 4
    moved(passes, "web", "one")
    assert passes.run().outcome == "Converged"
    assert passes.running() == good and passes.state.rolled_back is None


def test_moved_tag_waits_for_its_window(tmp_path: Path) -> None:
    """A moved tag starts a release like a commit does: in a closed window it must wait, and drift be repaired
    meanwhile.
    """
    passes = Passes(tmp_path)
    good = daily(passes)
    new = moved(passes, "web", "two")
    passes.converge = ConvergeSettings(windows=(Window(deny="* * * * *", duration=3600.0, tz="UTC"),))
    assert passes.run().outcome == "HeldBack"
    assert passes.running() == good
    passes.host.stop_by_hand("shop-web-1")
    assert passes.run().outcome == "HeldBack"
    assert passes.host._find("shop-web-1").seen.state == "running"
    passes.converge = ConvergeSettings()
    pulls = len(passes.host.pulls)
    assert passes.run().exit_code == 0
    assert passes.running() == new and len(passes.host.pulls) == pulls


def test_registry_that_is_down(passes: Passes) -> None:
    """A registry that does not answer must leave what runs, be reported, and be asked again by the next
    pass.
    """
    good = daily(passes)
    new = moved(passes, "web", "two")
    passes.host.registry_down = True
    result = passes.run()
    assert (result.exit_code, passes.running()) == (75, good) and "shop/web:1" in result.reason
    assert passes.heartbeat()["last_pass"]["error"]["code"] == "RegistryUnavailable"
    passes.host.registry_down = False
    assert passes.run().exit_code == 0
    assert passes.running() == new


def test_source_that_is_down_asks_nobody(passes: Passes) -> None:
    """Without a word from the branch no registry must be asked: known good is held with its own images."""
    good = daily(passes)
    moved(passes, "web", "two")
    passes.branch.down = Transient("git.example.org does not answer", "wait")
    assert passes.run().exit_code == 75
    assert passes.running() == good and len(passes.host.pulls) == 1


@pytest.mark.parametrize(
    ("kind", "point"), [*(("web", n) for n in range(1, 26, 3)), *(("sick", n) for n in range(2, 38, 3))]
)
def test_killed_at_any_point(passes: Passes, kind: str, point: int) -> None:
    """A pass for a moved tag that is killed at any action or pull must be finished by the next one, without
    another question, and with nothing left over.
    """
    ids = [daily(passes)]
    for number in range(3):
        ids.append(moved(passes, "web", f"good {number}"))
        assert passes.run().exit_code == 0
    ids.append(moved(passes, kind, "newest"))
    passes.host._points, passes.host.die_at, pulls = 0, point, len(passes.host.pulls)
    try:
        result = passes.run()
    except Died:
        passes.host.die_at = None
        result = passes.run()
    passes.host.die_at = None
    assert (result.exit_code, passes.running()) == ((0, ids[4]) if kind == "web" else (4, ids[3]))
    assert passes.host.image_ids() == set(ids[2:] if kind == "web" else ids[1:])
    assert passes.state.images.pulled.keys() == passes.host.image_ids()
    assert passes.state.known_good[0].lock == {"shop/web:1": passes.running()}
    assert len(passes.host.pulls) - pulls <= 2
    done = len(passes.host.done)
    assert passes.run().exit_code == result.exit_code and len(passes.host.done) == done


@pytest.mark.parametrize("code", ["RuntimeUnavailable", "EngineError"])
def test_a_pull_whose_answer_is_lost(passes: Passes, code: str) -> None:
    """An image that came although the Engine was in trouble must be used by the next pass, and be removed
    like any other.
    """
    good, pull = daily(passes), passes.host.pull
    passes.host.add_image("shop/web:2", "sick", version="two", local=False)

    def lost(reference: str, progress: Any = None) -> str:
        pull(reference, progress)
        raise Transient("the connection to Docker broke", "the next pass tries again", code=code)

    passes.host.pull = lost  # type: ignore[method-assign]
    passes.branch.push(service("shop/web:2"))
    assert passes.run().exit_code == 75
    assert passes.run().outcome == "RolledBack" and passes.running() == good
    assert passes.host.image_ids() == {good} and len(passes.host.pulls) == 2


@pytest.mark.parametrize("came", [True, False])
def test_a_pull_that_nobody_repeats(passes: Passes, came: bool) -> None:
    """After a pull that lost the Engine and whose commit was taken back, its image must go, and one that a
    person pulls later by the same name must stay.
    """
    daily(passes)
    tool, pull = passes.host.add_image("shop/tool:1", "web", version="tool", local=False), passes.host.pull

    def lost(reference: str, progress: Any = None) -> str:
        if came:
            pull(reference, progress)
        raise Transient(
            "the connection to Docker broke", "the next pass tries again", code="RuntimeUnavailable"
        )

    passes.host.pull = lost  # type: ignore[method-assign]
    passes.branch.push(service("shop/tool:1"))
    assert passes.run().exit_code == 75
    passes.host.pull = pull  # type: ignore[method-assign]
    passes.branch.push(service("shop/web:1", pull_every=DAY))
    assert passes.run().exit_code == 0
    assert tool not in passes.host.image_ids()
    passes.host.images["shop/tool:1"] = tool
    for number in range(5):
        passes.host.add_image(f"shop/new:{number}", "web", local=False)
        passes.branch.push(service(f"shop/new:{number}"))
        assert passes.run().exit_code == 0
    assert tool in passes.host.image_ids()


def test_images_of_commits_that_are_never_begun(passes: Passes) -> None:
    """An image that was pulled for a commit whose file is refused must be pulled once while the branch says
    so, and go when it does not.
    """
    good = daily(passes)
    passes.host.check = lambda resource, content: "wrong"
    wrong = files.file("/etc/x", content=passes.host.content.put(b"x"), size=1, check=("false",))
    for number in range(3):
        newest = passes.host.add_image(f"shop/new:{number}", "web", version=f"{number}", local=False)
        passes.branch.push(service(f"shop/new:{number}"), wrong)
        pulls = len(passes.host.pulls)
        assert [passes.run().exit_code for _ in range(3)] == [1, 1, 1]
        assert passes.host.image_ids() == {good, newest} and len(passes.host.pulls) == pulls + 1
    passes.branch.push(service("shop/web:1", pull_every=DAY))
    assert passes.run().exit_code == 0
    assert passes.host.image_ids() == {good}


# --- what is removed ----------------------------------------------------------------------------------------


def test_only_images_of_kept_releases_stay(passes: Passes) -> None:
    """After many releases exactly the images of the three kept ones must be there."""
    ids = []
    for number in range(6):
        ids.append(passes.host.add_image(f"shop/web:{number}", "web", local=False))
        passes.branch.push(service(f"shop/web:{number}"))
        assert passes.run().exit_code == 0
    assert passes.host.image_ids() == set(ids[3:]) == set(passes.state.images.pulled)
    before = len(passes.host.done)
    assert passes.run().exit_code == 0 and len(passes.host.done) == before


def test_rejected_image_behind_a_tag_is_kept_until_the_tag_moves(passes: Passes) -> None:
    """What a registry said last must stay on the host though it was rejected, so that it is not pulled again
    every day.
    """
    good = daily(passes)
    bad = moved(passes, "sick", "bad")
    passes.run()
    assert passes.host.image_ids() == {good, bad}
    better = moved(passes, "web", "better")
    passes.run()
    assert passes.host.image_ids() == {good, better}


def test_prune_off(passes: Passes) -> None:
    """With converge.prune = false no image may be removed."""
    passes.converge = ConvergeSettings(prune=False)
    for number in range(5):
        passes.host.add_image(f"shop/web:{number}", "web", local=False)
        passes.branch.push(service(f"shop/web:{number}"))
        passes.run()
    assert len(passes.host.image_ids()) == 5


# --- the rules alone ----------------------------------------------------------------------------------------


def observed(images: dict[str, str], ids: set[str] = frozenset(), used: set[str] = frozenset()) -> Observed:  # type: ignore[assignment]
    return Observed(
        images=images,
        image_ids=frozenset({*images.values(), *ids}),
        tagged=frozenset(images.values()),
        containers=tuple(ObservedContainer(i, i, False, "exited", i) for i in used),
    )


def removed(images: Images, needed: set[str], seen: Observed) -> list[str]:
    return [action.args["image"] for action in images.removals(needed, seen)]


def test_what_is_taken_away() -> None:
    """Our name where it still points at the image, the image when nothing names it, and nothing else."""
    for seen, gone, ours in (
        (observed({"a:1": "x"}), ["a:1"], True),
        (observed({"a:1": "x", "mine": "x"}), ["a:1"], True),
        (observed({"a:1": "y"}, {"x"}), ["x"], True),
        (observed({"a:1": "y", "mine": "x"}), [], False),  # only a person's name is left: it is theirs
        (observed({"a:1": "y"}), [], False),  # somebody else removed it
        (observed({"a:1": "x"}, used={"x"}), [], True),  # later
    ):
        images = Images(pulled={"x": ("a:1",)})
        assert (removed(images, set(), seen), "x" in images.pulled) == (gone, ours)
    assert removed(Images(pulled={"x": ("a:1",)}), {"x"}, observed({"a:1": "x"})) == []


def test_what_was_there_before_is_not_ours() -> None:
    """A pull must make only an image ours that was not there before, also when a killed pull is repeated."""
    old, new = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"
    images = Images()
    images.begin(["a:1", "b:1"], [old])
    images.settle({"a:1": old, "b:1": new})
    assert images.pulled == {new: ("b:1",)}
    killed = Images()
    killed.begin(["b:1"], [old])
    killed = Images.from_json(killed.to_json())
    killed.begin(["b:1"], [old, new])  # it came, and the pass was killed before it was written down
    killed.settle({"b:1": new})
    killed.end()
    assert killed.pulled == {new: ("b:1",)}


def test_shortest_interval_counts() -> None:
    """Services that share a reference must be served by the shortest interval among them."""
    manifest = Manifest(
        {
            r.key: r
            for r in (
                service("a:1", "s-a-1", pull_every=60.0),
                service("a:1", "s-b-1", pull_every=30.0),
                service("b:1", "s-c-1"),
                service("c:1", "s-d-1", pull_policy="always"),
            )
        }
    )
    assert intervals(manifest) == {"a:1": 30.0} and always(manifest) == {"c:1"}


@examples(max_examples=100, deadline=None)
@given(interval=st.floats(1, 1e7), times=st.lists(st.floats(-1e9, 4e9), min_size=1, max_size=20))
def test_any_clock(interval: float, times: list[float]) -> None:
    """Whatever the clock does: asked at one moment is not due at that moment, and is due an interval
    later.
    """
    manifest = Manifest({r.key: r for r in (service("a:1", pull_every=interval),)})
    images, seen = Images(), observed({"a:1": "x"})
    for now in times:
        if images.due(manifest, seen, now):
            images.answered("a:1", "x", now)
        assert images.due(manifest, seen, now) == set()
        assert images.due(manifest, seen, now + 2 * interval) == {"a:1"}
        assert 0 <= (images.next_due(manifest, now) or 0.0) <= interval + 1e-3 * abs(now)


@examples(max_examples=100, deadline=None)
@given(data=st.data())
def test_images_of_others_survive(data: st.DataObject) -> None:
    """Whatever is pulled, moved, named by hand, used and pruned in whatever order: no image that was there
    before us, that a container uses or that a person named may go, and in the end nothing of ours is left
    over that nobody needs.
    """
    host, images = FakeHost(), Images()
    foreign = {host.add_image(f"their/{n}:1") for n in range(2)}
    named: set[str] = set()
    needed: set[str] = set()
    for step in range(data.draw(st.integers(1, 15))):
        what = data.draw(st.sampled_from(["pull", "name", "need", "prune", "lose"]))
        reference = data.draw(st.sampled_from(["a:1", "b:1", "their/0:1"]))
        if what == "pull":
            host.registry[reference] = data.draw(
                st.sampled_from([*sorted(foreign), f"sha256:{step:064}", "sha256:" + "f" * 64])
            )
            images.begin([reference], host.image_ids())
            images.settle({reference: host.pull(reference)})
            images.end()
        elif what == "name" and host.image_ids():
            named.add(data.draw(st.sampled_from(sorted(host.image_ids()))))
            host._tag(f"mine/{step}:1", sorted(named)[-1])
            named = {i for i in named if i in {v for k, v in host.images.items() if k.startswith("mine/")}}
        elif what == "need":
            needed = set(data.draw(st.lists(st.sampled_from(sorted(host.image_ids())), max_size=2)))
        elif what == "lose":
            needed = set()
        else:
            for _ in range(4):
                for action in images.removals(needed, seen_by(host)):
                    host.execute(action, None)
            left = host.image_ids() & images.pulled.keys() - needed
            assert not left
        there = host.image_ids()
        assert foreign <= there and named <= there and needed & there == needed


def seen_by(host: FakeHost) -> Observed:
    return Observed(
        images=dict(host.images),
        image_ids=frozenset(host.image_ids()),
        tagged=frozenset(host.images.values()),
    )


def test_state_keeps_it() -> None:
    """What is remembered must survive a restart."""
    images = Images({"a:1": Asked("x", 3.5)}, {"x": ("a:1", "b:1")}, ("c:1",), (short_id("sha256:abc"),))
    assert Images.from_json(images.to_json()) == images


@pytest.mark.parametrize("policy", ["never", "build"])
def test_an_image_that_was_made_anew_on_the_host(passes: Passes, policy: str) -> None:
    """An image that was built or loaded again under its tag must be used by the next commit, whatever that
    changes, and by no pass before; and a rollback goes back to the old one.
    """
    passes.host.add_image("app:latest", "web", version="v1")
    other = service("app:latest", "shop-other-1", environment={"A": "1"}, pull_policy=policy)
    web = service("app:latest", pull_policy=policy)
    proved(passes, web)
    old = passes.running()
    new = passes.host.add_image("app:latest", "web", version="v2")
    passes.host.unnamed.add(old)
    assert passes.run().exit_code == 0 and passes.running() == old
    proved(passes, web, other)
    assert passes.running() == new != old
    passes.host.unnamed.add(new)
    passes.host.add_image("app:latest", "sick", version="v3")
    passes.branch.push(web)
    assert passes.run().exit_code == 4 and passes.running() == new
