"""What can be proved of a lost inventory: paths, what containers did, what was put aside for an adoption."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from agent.decide import ownership
from agent.kinds import files, oneshots
from agent.kinds.base import Target
from agent.model import Key, Owned, sha256
from agent.observed import Observed, ObservedContainer
from tests.plan.cases import instance, release

WEB, MIGRATE, MOTD = Key("container", "web"), Key("container", "migrate"), Key("file", "/etc/motd")
KEPT = ObservedContainer("0123456789abcdef", "web.kept-0123456789ab", False, "exited", "sha256:web:1")


def target(**kinds: Mapping[str, Mapping[str, Any]]) -> Target:
    return release({"desired": kinds}, "desired")


def seen(*containers: ObservedContainer, **paths: Any) -> Observed:
    return Observed(paths, containers, {}, {}, {}, frozenset())


def rebuilt(proved: Target, *containers: ObservedContainer, remembered: Target | None = None) -> Any:
    return ownership.rebuilt([remembered or proved], proved, seen(*containers))


def test_what_a_container_of_known_good_did_is_done() -> None:
    """Its `post_start` must count as run and its files as told; of another one nothing must be known."""
    proved = target(
        file={"/etc/app": {"content": "one"}},
        container={"web": {"image": "web:1", "on_change": {"/etc/app": "signal:HUP"}}},
    )
    web = instance(proved, "web")
    assert rebuilt(proved, web)[WEB] == Owned(
        web.digest,
        ("file/etc/app",),
        ("name/web",),
        "shop",
        notified={"id": "id-web", "/etc/app": sha256("one")},
        hooked=("id-web",),
    )
    for other in (
        replace(web, digest="d0"),
        replace(web, image_id="sha256:web:2"),
        replace(web, owned=False),
        replace(web, name="web.kept-id-web"),
    ):
        assert rebuilt(proved, other) == {}


def test_a_container_that_reacts_to_nothing_knows_nothing() -> None:
    """Without `on_change` no file must be remembered as told."""
    proved = target(container={"web": {"image": "web:1"}})
    assert rebuilt(proved, instance(proved, "web"))[WEB].notified == {}


def test_a_one_shot_of_known_good_has_run() -> None:
    """It must count as run, whether its container is there or not; not so when its image is unknown."""
    proved = target(container={"migrate": {"image": "once:1", "oneshot": True}})
    mark = oneshots.completed_mark(proved.manifest.resources[MIGRATE], "sha256:once:1")
    assert rebuilt(proved)[MIGRATE].completed == mark
    assert rebuilt(replace(proved, lock={})) == {}


def test_paths_are_known_by_being_as_a_remembered_release_has_them() -> None:
    """The first release that has it so must count, and what differs must be left to others."""
    new, old = (target(file={"/etc/motd": {"content": text}}) for text in ("new", "old"))
    lying = {text: files_as(held) for text, held in (("new", new), ("old", old))}
    for there, held in (("new", new), ("old", old)):
        found = ownership.rebuilt([new, old], new, seen(**{"/etc/motd": lying[there]}))
        assert {key: owned.digest for key, owned in found.items()} == {
            MOTD: held.manifest.resources[MOTD].digest
        }
    edited = replace(lying["new"], content=sha256("edited"))
    assert ownership.rebuilt([new, old], new, seen(**{"/etc/motd": edited})) == {}


def files_as(held: Target) -> Any:
    """The file as the release has it."""
    from tests.plan.cases import observed

    found = observed({"applied": {"file": {"/etc/motd": {"content": "x"}}}}).files["/etc/motd"]
    there = replace(found, content=held.manifest.resources[MOTD].spec["content"])
    assert files.is_as(held.manifest.resources[MOTD], there)
    return there


def test_what_was_put_aside_for_an_adoption_is_given_back() -> None:
    """A container that a person started and an unproved release put aside must be known by its name, and run
    again as its service says.
    """
    adopting = target(
        container={
            "web": {"image": "web:2", "adopt": True, "ports": ["80"], "config": {"restart": "on-failure:3"}}
        }
    )
    plain = target(container={"web": {"image": "web:1"}})
    found = rebuilt(plain, KEPT, remembered=adopting)
    assert found[WEB].digest == adopting.manifest.resources[WEB].digest
    assert found[WEB].adopted == {
        "id": KEPT.id,
        "digest": "",
        "original": {
            "name": "web",
            "policy": "on-failure:3",
            "running": True,
            "claims": ["port/tcp/0.0.0.0/80"],
        },
    }
    for other in (
        replace(KEPT, owned=True),
        replace(KEPT, name="web.kept-0123456789ac"),
        replace(KEPT, name="web"),
    ):
        assert rebuilt(plain, other, remembered=adopting) == {}
    assert rebuilt(plain, KEPT, remembered=plain) == {}


def test_what_a_proved_release_adopts_stays_adopted() -> None:
    """When known good adopts it, the container that was put aside must count as known good's."""
    adopting = target(container={"web": {"image": "web:2", "adopt": True}})
    assert rebuilt(adopting, KEPT)[WEB].adopted == {
        "id": KEPT.id,
        "digest": adopting.manifest.resources[WEB].digest,
    }


def test_policies_of_what_was_put_aside() -> None:
    """What is given back must have the restart policy that its service says, or none."""
    for said, policy in (
        ({}, "no"),
        ({"restart": "always"}, "always"),
        ({"restart": "on-failure"}, "on-failure"),
    ):
        adopting = target(container={"web": {"image": "web:2", "adopt": True, "config": said}})
        found = rebuilt(target(), KEPT, remembered=adopting)
        assert found[WEB].adopted["original"]["policy"] == policy
