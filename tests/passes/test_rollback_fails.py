"""Rollbacks that fail, and what is remembered of releases that failed: whole passes on a fake host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.errors import EXIT_ROLLBACK_FAILED, Failed, Transient
from agent.kinds import files
from agent.model import Key, Need
from agent.report.heartbeat_writer import Reporter
from agent.settings.values import Settings, SourceSettings
from agent.store.orders import Orders
from tests.fakes.host import KINDS, Died
from tests.fakes.passes import Passes, service
from tests.passes.moves import die_in_the_rollback, proved, with_images

DOWN = Transient("Docker does not answer", "systemctl status docker", code="RuntimeUnavailable")
WHY = "container/shop-web-1: its health check fails"


@pytest.fixture
def passes(tmp_path: Path) -> Passes:
    return with_good(tmp_path)


def with_good(root: Path) -> Passes:
    found = with_images(root, ("good:1", "web"), ("bad:1", "sick"), ("bad:2", "sick"), ("db:1", "idle"))
    proved(found, service("good:1"))
    return found


def back(passes: Passes) -> bool:
    return bool(passes.running() == passes.host.images["good:1"])


def assert_failed(passes: Passes, what: str) -> None:
    """The pass and the heartbeat must say that the rollback failed, why, and what to do; no success of any
    kind.
    """
    result = passes.run()
    assert (result.outcome, result.exit_code) == ("RollbackFailed", EXIT_ROLLBACK_FAILED), result
    assert what in result.reason, result
    heartbeat = passes.heartbeat()
    assert (heartbeat["outcome"], heartbeat["state"]) == ("RollbackFailed", "Degraded")
    error = heartbeat["last_pass"]["error"]
    assert error["code"] and what in error["message"] and error["hint"]
    ready = next(c for c in heartbeat["conditions"] if c["type"] == "Ready")
    assert ready["status"] == "False" and "rolling back failed" in ready["message"]


def assert_rolled_back(passes: Passes) -> None:
    """It ended at last, with the reason it began for."""
    result = passes.run()
    assert (result.outcome, result.exit_code) == ("RolledBack", 4), result
    assert WHY in result.reason and back(passes)
    heartbeat = passes.heartbeat()
    assert heartbeat["state"] == "RolledBack" and WHY in heartbeat["rolled_back"]["reason"]
    assert passes.state.attempt is None and len(passes.state.rejected) == 1


def bad_commit(passes: Passes) -> None:
    passes.branch.push(service("bad:1"))


@pytest.mark.parametrize("verb", ["stop", "remove", "policy", "rename", "start"])
@pytest.mark.parametrize("kind", [Failed, Transient])
def test_an_action_that_fails(passes: Passes, verb: str, kind: type[Failed] | type[Transient]) -> None:
    """Whatever action of a rollback fails, for good or for the time being, each pass must say so, and try
    again.
    """
    bad_commit(passes)
    reached = passes.host.execute

    def execute(action, resource):  # type: ignore[no-untyped-def]
        attempt = passes.state.attempt
        if attempt is not None and attempt.phase == "rolling-back" and action.verb == verb:
            raise kind(f"cannot {verb} it", "help it")
        reached(action, resource)

    passes.host.execute = execute  # type: ignore[method-assign]
    for _ in range(3):
        assert_failed(passes, f"cannot {verb} it")
    passes.host.execute = reached  # type: ignore[method-assign]
    assert_rolled_back(passes)


def test_killed_at_any_action(tmp_path: Path) -> None:
    """Wherever a pass of a release that fails is killed, the next one must end rolled back, with the
    reason.
    """
    point, reached = 0, True
    while reached:
        passes, point = with_good(tmp_path / str(point)), point + 1
        bad_commit(passes)
        passes.host.die_at = passes.host._points + point
        try:
            passes.run()
            reached = False
        except Died:
            assert_rolled_back(passes)
    assert point > 20


def test_docker_is_down(passes: Passes) -> None:
    """A rollback that Docker does not let happen must have failed in this pass and in the next, which cannot
    even look.
    """
    bad_commit(passes)
    die_in_the_rollback(passes)
    passes.host.down = True
    for _ in range(2):
        assert_failed(passes, "Docker does not answer")
        heartbeat = passes.heartbeat()
        assert heartbeat["last_pass"]["error"]["code"] == "RuntimeUnavailable", "the error's own code is lost"
        assert "RuntimeUnavailable" in [condition["type"] for condition in heartbeat["conditions"]]
    passes.host.down = False
    assert_rolled_back(passes)


def test_docker_goes_down_in_its_gate(passes: Passes) -> None:
    """A rollback that is not judged is not done."""
    bad_commit(passes)
    started: list[str] = []
    reached, observed = passes.host.execute, passes.host.observe

    def execute(action, resource):  # type: ignore[no-untyped-def]
        reached(action, resource)
        attempt = passes.state.attempt
        if attempt is not None and attempt.phase == "rolling-back" and action.verb == "start":
            started.append(action.verb)

    def observe(request):  # type: ignore[no-untyped-def]
        if started:
            raise DOWN
        return observed(request)

    passes.host.execute, passes.host.observe = execute, observe  # type: ignore[method-assign]
    assert_failed(passes, "Docker does not answer")
    started.clear()
    passes.host.observe = observed  # type: ignore[method-assign]
    assert_rolled_back(passes)


@pytest.mark.parametrize("restart", ["none", "killed", "reboot", "source down"])
def test_a_port_that_was_taken(tmp_path: Path, restart: str) -> None:
    """While a foreign container has the port of known good's service, the rollback must not be called done,
    whatever happens between the passes; the rest of known good comes back at once, and the service when the
    port is free.
    """
    passes = Passes(tmp_path)
    for reference, kind in (("good:1", "web"), ("bad:1", "sick"), ("db:1", "idle")):
        passes.host.add_image(reference, kind)
    port = {"ports": [{"mode": "ingress", "protocol": "tcp", "target": 80, "published": 80}]}
    proved(passes, published("good:1", port), service("db:1", "shop-db-1"))
    passes.branch.push(published("bad:1", {}))
    observed = passes.host.observe

    def observe(request):  # type: ignore[no-untyped-def]
        attempt = passes.state.attempt
        if (
            attempt is not None
            and attempt.phase == "gating"
            and not any(c.seen.name == "thief" for c in containers())
        ):
            passes.host.add_foreign_container("thief", ports=("port/tcp//80",))
        return observed(request)

    def containers() -> list[Any]:
        return list(passes.host.containers.values())

    passes.host.observe = observe  # type: ignore[method-assign]
    assert_failed(passes, "thief")
    passes.host.observe = observed  # type: ignore[method-assign]
    assert passes.host._find("shop-db-1").seen.state == "running"
    if restart == "killed":
        passes.host.die_at = passes.host._points + 1
    if restart == "reboot":
        passes.clock.reboot()
        passes.paths.host("/run/limpet/heartbeat.json").unlink()
    if restart == "source down":
        passes.branch.down = Transient("the source does not answer", "wait", code="SourceUnavailable")
    for _ in range(2):
        assert_failed(passes, "thief")
    passes.host.vanish("thief")
    if restart == "killed":
        with pytest.raises(Died):
            passes.run()
    assert_rolled_back(passes)


def published(image: str, more: dict[str, Any]) -> Any:
    from agent.kinds import container

    return container.container_resource(
        "shop-web-1",
        app="shop",
        service="web",
        number=1,
        config={"image": image, **more},
        inputs={},
        folded={},
    )


def test_what_the_failed_release_put_in_the_way(tmp_path: Path) -> None:
    """A file that a release replaced by a directory with files must be back when its rollback is done, in the
    same pass; somebody else's file in there must not be lost for it.
    """
    passes = Passes(tmp_path)
    for reference, kind in (("good:1", "web"), ("bad:1", "sick")):
        passes.host.add_image(reference, kind)

    def file(path: str) -> Any:
        return files.file(path, content=passes.host.content.put(b"x"), size=1)

    proved(passes, service("good:1"), file("/etc/shop"))
    passes.branch.push(service("bad:1"), file("/etc/shop/conf.d/one"), files.directory("/etc/shop/conf.d"))
    assert_rolled_back(passes)
    assert passes.host.files.read("/etc/shop") == b"x"
    passes.branch.push(service("bad:1", environment={"A": "2"}), file("/etc/shop/conf.d/one"))
    reached = passes.host.execute

    def execute(action, resource):  # type: ignore[no-untyped-def]
        reached(action, resource)
        if action.key.name == "/etc/shop/conf.d/one":
            passes.host.files.put("/etc/shop/conf.d/theirs", b"a person's")

    passes.host.execute = execute  # type: ignore[method-assign]
    for _ in range(2):
        assert_failed(passes, "a directory is in its place")
    assert passes.host.files.read("/etc/shop/conf.d/theirs") == b"a person's"


def test_after_an_earlier_rollback(passes: Passes) -> None:
    """An earlier rollback that went well must not hide that this one failed."""
    bad_commit(passes)
    assert_rolled_back(passes)
    passes.branch.push(service("bad:2"))
    reached = passes.host.execute

    def execute(action, resource):  # type: ignore[no-untyped-def]
        attempt = passes.state.attempt
        if attempt is not None and attempt.phase == "rolling-back" and action.verb == "start":
            raise Failed("cannot start it", "help it")
        reached(action, resource)

    passes.host.execute = execute  # type: ignore[method-assign]
    assert_failed(passes, "cannot start it")
    crashed = Transient("the pass was killed by signal 9", "see the log", code="PassCrashed")
    Reporter(
        passes.paths, Settings(source=SourceSettings(url="file:///srv/fleet", branch="main")), passes.clock
    ).crashed(crashed)
    assert passes.heartbeat()["state"] == "Degraded"


def test_known_goods_image_is_gone(passes: Passes) -> None:
    """When the old container and its image were removed by hand and no registry has it, each pass must say
    that the rollback failed, and which image it needs; when it can be had, the rollback ends.
    """
    good = passes.host.images["good:1"]
    bad_commit(passes)
    die_in_the_rollback(passes)
    for id in [id for id, c in passes.host.containers.items() if c.seen.image_id == good]:
        del passes.host.containers[id]
    passes.host.images.pop("good:1")
    passes.host.unnamed.discard(good)
    passes.host.registry.pop("good:1")
    for _ in range(2):
        assert_failed(passes, "good:1")
    passes.host.registry["good:1"] = good
    assert_rolled_back(passes)


def test_what_known_good_never_had_does_not_fail_it(tmp_path: Path) -> None:
    """What was refused for known good from the first is no reason to call a rollback failed."""
    passes = Passes(tmp_path)
    for reference, kind in (("good:1", "web"), ("bad:1", "sick"), ("db:1", "idle")):
        passes.host.add_image(reference, kind)
    passes.host.add_foreign_container("shop-db-1")
    db = service("db:1", "shop-db-1")
    passes.branch.push(service("good:1"), db)
    assert passes.run().exit_code == 6
    passes.branch.push(service("bad:1"), db)
    assert_rolled_back(passes)


def test_a_good_commit_ends_it(passes: Passes) -> None:
    """A newer commit must be tried though a rollback could not be finished, and end it when it is good."""
    bad_commit(passes)
    passes.host.errors["rename container/shop-web-1"] = Failed("cannot rename it", "help it")
    passes.run()
    passes.host.errors.clear()
    proved(passes, service("good:1", environment={"A": "2"}))
    assert passes.state.attempt is None and passes.heartbeat()["state"] == "Synced"


def test_a_lost_manifest_empties_no_host(passes: Passes) -> None:
    """When known good's manifest was lost while its release is held, nothing must be removed, whatever the
    trailer allows.
    """
    bad_commit(passes)
    assert_rolled_back(passes)
    passes.branch.manifests.path(passes.state.known_good[0].manifest_digest).unlink()
    passes.branch.push(service("bad:1"), message="More\n\nLimpet-Allow-Prune: 99")
    before = len(passes.host.done)
    result = passes.run()
    assert result.exit_code == 78 and "was lost" in result.reason
    assert len(passes.host.done) == before and back(passes)


# --- rejected -----------------------------------------------------------------------------------------------


def test_equal_content_stays_rejected(passes: Passes) -> None:
    """A commit that changes nothing that is used, and a revert of a revert, must not try the rejected release
    again, and the host must say that it holds known good.
    """
    bad_commit(passes)
    assert_rolled_back(passes)
    before = len(passes.host.done)
    bad_commit(passes)  # the same content: only a README changed
    result = passes.run()
    assert (result.outcome, result.exit_code, len(passes.host.done)) == ("HoldingKnownGood", 4, before)
    passes.branch.push(service("good:1"))
    assert passes.run().exit_code == 0 and passes.heartbeat()["state"] == "Synced"
    bad_commit(passes)
    passes.clock.reboot()
    for _ in range(2):
        result = passes.run()
        assert (result.outcome, result.exit_code, len(passes.host.done)) == ("HoldingKnownGood", 4, before)
        heartbeat = passes.heartbeat()
        assert heartbeat["state"] == "RolledBack" and WHY in heartbeat["rolled_back"]["reason"]
        assert heartbeat["rolled_back"]["from_revision"] == f"main@sha1:{passes.branch.commits:040x}"


def retry(which: str) -> str:
    return f"Try again\n\nLimpet-Retry: {which}\n"


@pytest.mark.parametrize("which", ["all", "release", "manifest", "revision"])
def test_a_trailer_tries_again_once(passes: Passes, which: str) -> None:
    """`Limpet-Retry` must let the release be tried once for each commit, by whatever name `limpet retry`
    takes.
    """
    bad_commit(passes)
    passes.run()
    ((release, rejection),) = passes.state.rejected.items()
    name = {
        "all": "all",
        "release": release[:8],
        "manifest": rejection.manifest_digest[:8],
        "revision": rejection.revision.commit,
    }[which]
    passes.branch.push(service("bad:1"), message=retry(name))
    assert passes.run().outcome == "RolledBack"
    passes.clock.reboot()
    for _ in range(2):
        assert passes.run().outcome == "HoldingKnownGood"
    passes.branch.push(service("bad:1"), message=retry(name if which != "revision" else "all"))
    passes.host.behaviours[passes.host.images["bad:1"]] = KINDS["web"]
    assert passes.run().exit_code == 0 and passes.state.rejected == {}


def test_a_trailer_that_names_another_release(passes: Passes) -> None:
    """A trailer must forget only what it names."""
    bad_commit(passes)
    passes.run()
    passes.branch.push(service("bad:1"), message=retry("0123456789abcdef"))
    assert passes.run().outcome == "HoldingKnownGood"


def test_a_trailer_that_the_owner_does_not_allow(passes: Passes) -> None:
    """Where `policy.trailers` is off, a commit must not make a host try a rejected release."""
    bad_commit(passes)
    passes.run()
    passes.trailers = False
    passes.branch.push(service("bad:1"), message=retry("all"))
    assert passes.run().outcome == "HoldingKnownGood"


def test_a_trailer_in_a_killed_pass(passes: Passes) -> None:
    """A pass that is killed while it carries the trailer out must be followed by one that ends as if nothing
    had happened.
    """
    bad_commit(passes)
    passes.run()
    passes.branch.push(service("bad:1"), message=retry("all"))
    die_in_the_rollback(passes)
    assert_rolled_back(passes)
    assert passes.run().outcome == "HoldingKnownGood"


@pytest.mark.parametrize("verb", ["create", "stop", "rename", "policy", "start", "await"])
def test_what_may_pass_rejects_nothing(passes: Passes, verb: str) -> None:
    """When Docker does not answer at any action of a release, nothing must be rejected; the next pass goes on
    with it.
    """
    waits = service("db:1", "shop-db-1", needs=(Need(Key("container", "shop-web-1"), "healthy"),))
    passes.branch.push(service("good:1", environment={"A": "2"}), waits)
    passes.host.errors[f"{verb} container/shop-web-1"] = DOWN
    result = passes.run()
    assert (result.exit_code, passes.state.rejected) == (75, {})
    passes.host.errors.clear()
    assert passes.run().exit_code == 0 and passes.state.rejected == {}


def test_docker_that_goes_down_in_the_gate_rejects_nothing(passes: Passes) -> None:
    """When Docker does not answer while the gate looks, nothing must be rejected, and the gate goes on
    later.
    """
    passes.branch.push(service("good:1", environment={"A": "2"}))
    observed = passes.host.observe

    def observe(request):  # type: ignore[no-untyped-def]
        attempt = passes.state.attempt
        if attempt is not None and attempt.phase == "gating":
            raise DOWN
        return observed(request)

    passes.host.observe = observe  # type: ignore[method-assign]
    for _ in range(2):
        assert passes.run().exit_code == 75 and passes.state.rejected == {}
        passes.host.observe = observed if passes.host.observe is not observe else observe  # type: ignore[method-assign]
    passes.host.observe = observed  # type: ignore[method-assign]
    assert passes.run().exit_code == 0 and passes.state.rejected == {}


def test_retry_by_hand_of_an_unfinished_rollback(passes: Passes) -> None:
    """`limpet retry` while a rollback cannot be finished must try the release again."""
    bad_commit(passes)
    die_in_the_rollback(passes)
    passes.host._find("shop-web-1").behaviour = KINDS["web"]
    Orders(passes.paths.state).retry("all", passes.clock.wall())
    assert passes.run().exit_code == 0 and passes.running() == passes.host.images["bad:1"]
