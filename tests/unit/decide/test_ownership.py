"""The inventory's entries: own before create, disown after delete, the original comes back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.decide import ownership
from agent.decide.brakes import BrakePolicy, brakes
from agent.decide.plan import plan
from agent.kinds import files, oneshots
from agent.model import Key, Outcome, Owned, Spec, sha256
from tests.plan.cases import Case, view

FILE = Key("file", "/etc/motd")
LINK = Key("symlink", "/etc/motd")
WAS = {"type": "file", "content": "was", "mode": 420, "uid": 0, "gid": 0}


def entries(case: Case, **policy: Any) -> tuple[dict[Key, Owned], list[str]]:
    """What is written before the plan is applied, and the paths whose original is saved."""
    saved: list[str] = []

    def save(path: str) -> Spec:
        if path in ("/etc", "/apps"):
            return {"type": "directory"}
        if path.startswith("/new"):
            return {"type": "absent"}
        saved.append(path)
        return WAS

    at = view(case)
    return ownership.owned_entries(brakes(plan(at), at, BrakePolicy(**policy)), at, save), saved


def text(content: str, **rest: Any) -> Mapping[str, Any]:
    return {"file": {"/etc/motd": {"content": content, **rest}}}


def test_everything_desired_is_owned_before_it_is_made() -> None:
    """Every resource that an action may make must be owned first, with its needs and claims."""
    container = {"web": {"image": "a:1", "networks": {"net": {}}, "ports": ["80"]}}
    file = {"/apps/f": {"content": "x", "app": "shop"}}
    found, _ = entries(
        {"desired": {"network": {"net": {}}, "volume": {"v": {}}, "file": file, "container": container}}
    )
    assert set(map(str, found)) == {"network/net", "volume/v", "file/apps/f", "container/web"}
    owned = found[Key("container", "web")]
    assert (owned.needs, owned.claims, owned.app) == (
        ("network/net",),
        ("name/web", "port/tcp/0.0.0.0/80"),
        "shop",
    )


def test_external_things_are_not_owned() -> None:
    """An external network or volume must never be owned: it is never ours to delete."""
    found, _ = entries(
        {
            "desired": {"network": {"net": {"external": True}}, "volume": {"v": {"external": True}}},
            "network": {"net": {"owned": False}},
            "volume": {"v": {"owned": False}},
        }
    )
    assert found == {}


def test_refused_things_are_not_owned() -> None:
    """What is refused must not be owned, nor what was there saved."""
    assert entries({"desired": text("ours"), **text("theirs")}, files_deny=("/etc/**",)) == ({}, [])


def test_unchanged_entries_are_not_written() -> None:
    """When all is owned as it is, nothing must be written."""
    case = {
        "known_good": "applied",
        "desired": "applied",
        "applied": {**text("ours"), "container": {"web": {"image": "a:1"}}},
    }
    assert entries(case) == ({}, [])


def test_what_was_there_is_saved_on_takeover() -> None:
    """A file that was there before must be saved before it is owned."""
    found, saved = entries({"desired": text("ours"), **text("theirs")})
    assert saved == ["/etc/motd"]
    assert found[FILE].original == WAS


def test_original_is_saved_once() -> None:
    """Later changes must keep the first original, and save nothing."""
    case = {"applied": text("one"), "desired": text("two"), "inventory": {str(FILE): {"original": WAS}}}
    found, saved = entries(case)
    assert saved == []
    assert found[FILE].original == WAS
    assert found[FILE].digest != view(case).inventory[FILE].digest


def test_nothing_there_is_no_original() -> None:
    """A path at which nothing was must have no original."""
    found, saved = entries({"desired": text("ours")})
    assert (found[FILE].original, saved) == (None, [])


def test_our_own_file_is_no_original_of_a_link() -> None:
    """When a path becomes another kind, what was there before the first kind stays its original."""
    case = {"applied": text("ours"), "desired": {"symlink": {"/etc/motd": {"target": "/run/motd"}}}}
    assert entries(case)[1] == []
    assert entries(case)[0][LINK].original is None
    assert entries({**case, "inventory": {str(FILE): {"original": WAS}}})[0][LINK].original == WAS


def test_identical_file_is_an_original() -> None:
    """A file that was there before, and is just as wanted, must be saved: it stays when the repository drops
    it.
    """
    found, saved = entries({"desired": text("ours"), **text("ours")})
    assert (found[FILE].original, saved) == (WAS, ["/etc/motd"])


def test_directories_made_on_the_way_are_owned() -> None:
    """Missing directories above what is written must be owned as well, each once; those that are there, or
    are resources, not.
    """
    found, _ = entries(
        {
            "desired": {
                "file": {path: {"content": "x"} for path in ("/new/a/f", "/new/a/g", "/new/d/h", "/etc/f")},
                "directory": {"/new/d": {}},
            }
        }
    )
    made = {str(key) for key, owned in found.items() if owned == files.IMPLIED}
    assert made == {"directory/new", "directory/new/a"}


def test_lost_inventory_takes_our_files_for_ours() -> None:
    """When the inventory was lost, a file that is as the applied release wants it must not become its own
    original.
    """
    found, saved = entries({"applied": text("ours"), "desired": "applied", "unowned": [str(FILE)]})
    assert (found[FILE].original, saved) == (None, [])


def test_directory_that_was_there_is_remembered() -> None:
    """A directory that was there before must have an original, so that it stays."""
    lying = {"type": "directory", "mode": "0755", "empty": True}
    assert entries({"desired": {"directory": {"/srv/a": {}}}, "file": {"/srv/a": lying}})[1] == ["/srv/a"]


def test_changing_container_claims_old_and_new() -> None:
    """While a container changes, its entry must claim what either instance holds; settled, only what it holds
    then.
    """
    case = {
        "applied": {"container": {"web": {"image": "a:1", "ports": ["80"]}}},
        "desired": {"container": {"web": {"image": "a:1", "ports": ["81"]}}},
    }
    found, _ = entries(case)
    assert found[Key("container", "web")].claims == ("name/web", "port/tcp/0.0.0.0/80", "port/tcp/0.0.0.0/81")
    after = {
        "applied": case["desired"],
        "desired": "applied",
        "inventory": {"container/web": {"claims": found[Key("container", "web")].claims}},
    }
    assert ownership.settled(view(after))[Key("container", "web")].claims == (
        "name/web",
        "port/tcp/0.0.0.0/81",
    )


PROXY = Key("container", "proxy")
READER: dict[str, Any] = {
    "file": {"/etc/motd": {"content": "one"}},
    "container": {"proxy": {"image": "a:1", "on_change": {"/etc/motd": "signal:HUP"}}},
}
DELIVERED = {"id": "id-proxy", "/etc/motd": sha256("one")}


def test_what_a_container_was_told_is_remembered() -> None:
    """What a container was told must be remembered with its id, and then there is nothing to do."""
    case = {"known_good": "applied", "applied": READER, "desired": "applied"}
    assert ownership.notified_entries([PROXY], view(case))[PROXY].notified == DELIVERED
    assert not plan(view({**case, "inventory": {str(PROXY): {"notified": DELIVERED}}})).actions


def test_signal_that_is_sent_is_not_delivered_until_it_was_told() -> None:
    """While a change is signalled, the entry must not say that the old content is what the container knows: a
    rollback signals again.
    """
    case: dict[str, Any] = {
        "known_good": "applied",
        "applied": READER,
        "inventory": {str(PROXY): {"notified": DELIVERED}},
        "desired": {"base": "applied", "file": {"/etc/motd": {"content": "two"}}},
    }
    found, _ = entries(case)
    assert found[PROXY].notified == {"id": "id-proxy", "/etc/motd": ""}
    back = {
        "known_good": READER,
        "applied": case["desired"] | {"base": "known_good"},
        "desired": "known_good",
        "inventory": {str(PROXY): {"notified": found[PROXY].notified}},
    }
    assert [action.verb for action in plan(view(back)).actions] == ["write", "signal"]


ALONE: dict[str, Any] = {
    "file": {"/etc/motd": {"content": "one"}},
    "container": {"proxy": {"image": "a:1", "inputs": ["/etc/motd"]}},
}


def test_restart_for_a_file_that_was_put_back_survives_a_kill() -> None:
    """A pass that is killed after it put a file back must leave the restart of what mounts it alone to the
    next pass.
    """
    case = {
        "known_good": "applied",
        "applied": ALONE,
        "desired": "applied",
        "file": {"/etc/motd": {"content": "edited"}},
    }
    assert [action.verb for action in plan(view(case)).actions] == ["write", "restart"]
    found, _ = entries(case)
    after = {**case, "file": {}, "inventory": {str(PROXY): {"notified": found[PROXY].notified}}}
    assert [action.verb for action in plan(view(after)).actions] == ["restart"]
    told = ownership.notified_entries([PROXY], view(after))[PROXY].notified
    assert not plan(view({**after, "inventory": {str(PROXY): {"notified": told}}})).actions


def test_one_shot_that_ran_is_remembered() -> None:
    """A one-shot that ran to success must be remembered by digest and image; one that failed or runs must
    not.
    """
    job = {"container": {"job": {"image": "a:1", "oneshot": True}}}
    case = {"applied": job, "desired": "applied"}
    at = view(case)
    resource = at.target.manifest.resources[Key("container", "job")]
    assert ownership.settled(at)[resource.key].completed == oneshots.completed_mark(resource, "sha256:a:1")
    for state in ({"exit_code": 7}, {"state": "running"}, {"state": "created"}):
        assert (
            ownership.settled(
                view({**case, "container": [{"of": "applied/job", "exit_code": None, **state}]})
            )
            == {}
        )


def test_a_service_forgets_that_it_was_a_one_shot() -> None:
    """Once a service that was a one-shot is proved as an ordinary one, its run must count no more: later it
    runs again.
    """
    web = {"container": {"web": {"image": "a:1"}}}
    at = view({"applied": web, "desired": "applied", "inventory": {"container/web": {"completed": "now"}}})
    assert at.inventory[Key("container", "web")].completed
    assert ownership.settled(at)[Key("container", "web")].completed == ""


def test_disowned_is_what_is_gone() -> None:
    """What nothing is left of must be disowned; what is desired, pending or refused must not."""
    case = {
        "applied": {"file": {path: {"content": "x"} for path in ("/etc/a", "/etc/b", "/boot/c", "/etc/d")}},
        "desired": {"base": "applied", "drop": ["file/etc/a", "file/etc/b", "file/boot/c"]},
        "gone": ["file/etc/a"],
    }
    at = view(case)
    remaining = brakes(plan(at), at, BrakePolicy(files_deny=("/boot/**",)))
    assert list(ownership.disowned(at.inventory, at, remaining)) == [Key("file", "/etc/a")]


HOOKED = {
    "container": {
        "web": {"image": "a:1", "config": {"post_start": [{"command": ["warm"]}, {"command": ["go"]}]}}
    }
}
WEB = Key("container", "web")


def test_a_container_that_is_being_started_counts_as_one_without_its_hooks() -> None:
    """Before Limpet starts a container the inventory must say that its post_start has not run: a killed pass
    leaves it so.
    """
    stopped = [{"of": "applied/web", "id": "id-web", "state": "exited"}]
    case = {
        "known_good": "applied",
        "applied": HOOKED,
        "desired": "applied",
        "container": stopped,
        "inventory": {str(WEB): {"hooked": ["id-web", "id-o"]}},
    }
    found, _ = entries(case)
    assert found[WEB].hooked == ("id-o",)


def test_only_hooks_that_all_ended_well_are_remembered() -> None:
    """A container must be remembered when all commands of its post_start are done, with those that are still
    there.
    """
    kept = [{"of": "applied/web", "name": "web.kept-1", "id": "id-kept"}]
    at = view(
        {
            "applied": HOOKED,
            "desired": "applied",
            "container": kept,
            "inventory": {str(WEB): {"hooked": ["id-gone", "id-kept"]}},
        }
    )
    actions = [action for action in plan(at).actions if action.verb == "post_start"]
    assert len(actions) == 2
    done = [Outcome(action, "done") for action in actions]
    assert ownership.hooked(done, at.observed, at.inventory)[WEB].hooked == ("id-kept", "id-web")
    for result in ("failed", "skipped"):
        assert ownership.hooked([done[0], Outcome(actions[1], result)], at.observed, at.inventory) == {}
