"""The heartbeat: its state and its conditions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from agent.errors import Failed, Interrupted, LimpetError, Stalled, Transient
from agent.model import Key, Refusal, Release
from agent.report import heartbeat, sections
from agent.revision import Revision
from agent.store.orders import Orders, Suspension
from agent.store.state import State
from agent.store.verdicts import Attempt, HandRollback, Pin, RolledBack
from tests.unit.report.site import COMMIT, NEXT, SOURCE, Site, proved, release

# --- the state ----------------------------------------------------------------------------------------------


def test_first_beat_is_progressing(site: Site) -> None:
    """Before the first pass the host must not claim to be in order."""
    site.reporter.alive(poll_at=site.clock.wall() + 60)
    assert site.state == "Progressing"
    assert site.doc["outcome"] == "" and site.doc["release"] == ""


def test_synced(site: Site) -> None:
    """A converged, healthy pass must be Synced and Ready, with its revisions in full."""
    site.finish(proved(), created=2)
    doc = site.doc
    assert doc["state"] == "Synced"
    assert {doc["revision"][name] for name in ("observed", "attempted", "applied", "known_good", "pin")} == {
        f"main@sha1:{COMMIT}"
    }
    assert doc["revision"]["applied_at"] == "2023-11-14T22:13:20Z"
    assert doc["last_pass"]["created"] == 2 and doc["phase"] == "idle"
    assert site.condition("Ready")["status"] == "True"  # type: ignore[index]
    assert [c["type"] for c in doc["conditions"]] == list(heartbeat.ALWAYS)


def test_progressing_only_for_another_release(site: Site) -> None:
    """A new release in the works must show as Progressing; repairing the applied one must not flicker."""
    state = proved()
    site.finish(state)
    for phase in ("fetch", "observe", "apply"):
        site.reporter.phase(phase, revision=COMMIT, release=release().id)
        assert site.state == "Synced"
        assert site.condition("Reconciling") is not None
    site.reporter.phase("gate", revision=NEXT, release=release(2).id)
    assert site.state == "Progressing"
    assert site.doc["revision"]["attempted"] == f"main@sha1:{NEXT}"
    assert site.doc["revision"]["applied"] == f"main@sha1:{COMMIT}"


def test_phase_without_a_release_is_about_the_attempt(site: Site) -> None:
    """A phase that names no release must be Progressing while the state holds an attempt, and not for a
    repair.
    """
    state = proved()
    site.finish(state)
    site.reporter.phase("apply", revision=COMMIT)
    assert site.state == "Synced"
    state.attempt = Attempt(release(2, NEXT), Revision("main", NEXT), "applying", 1.0, 1.0, "b")
    site.store.save(state)
    site.reporter.phase("apply", revision=NEXT)
    assert site.state == "Progressing" and site.doc["attempted_release"] == release(2, NEXT).id


def test_rolled_back_is_sticky(site: Site) -> None:
    """RolledBack must stay through polls, offline spells, a lost heartbeat, no Docker, and end with a proved
    release.
    """
    state = proved()
    state.reject(
        release(2, NEXT),
        reason="web never got healthy",
        at=site.clock.wall(),
        revision=Revision("main", NEXT),
    )
    state.rolled_back = RolledBack(
        release(2).id, Revision("main", NEXT), "web never got healthy", site.clock.wall()
    )
    site.finish(state, "RolledBack", observed=NEXT, attempted=NEXT)
    for turn in range(10):
        site.clock.advance(60)
        site.reporter.source(commit=NEXT)
        site.finish(state, "HoldingKnownGood", observed=NEXT, attempted=NEXT)
        assert site.state == "RolledBack", turn
    site.reporter.path.unlink()
    site.reporter.alive(poll_at=site.clock.wall() + 60)
    assert site.state == "RolledBack"
    assert site.doc["rejected"][0]["reason"] == "web never got healthy"
    site.finish(
        state,
        "Temporary",
        error=Transient("no Docker", "start it", code="RuntimeUnavailable"),
        phase="observe",
    )
    assert site.state == "RolledBack" and site.condition("RuntimeUnavailable") is not None
    site.reporter.source(error=Transient("no answer", "wait"), failures=9)
    assert site.state == "RolledBack" and site.condition("SourceFresh")["status"] == "False"  # type: ignore[index]
    state.prove(release(3), Pin(SOURCE.url, SOURCE.ref, "c" * 40), site.clock.wall())
    site.reporter.source(commit="c" * 40)
    site.finish(state, observed="c" * 40, attempted="c" * 40)
    assert site.state == "Synced" and site.condition("RolledBack") is None


def test_rolled_back_says_since_when_and_what_to_do(site: Site) -> None:
    """A rollback must name the revision, the reason and the remedy."""
    state = proved()
    state.rolled_back = RolledBack(
        release(2).id, Revision("main", NEXT), "web never got healthy", site.clock.wall()
    )
    site.finish(state, "RolledBack")
    why, remedy = heartbeat.explanation(site.doc, "RolledBack")
    assert NEXT in why and "web never got healthy" in why
    assert f"limpet retry {release(2).id}" in remedy


def test_held_by_hand(site: Site) -> None:
    """A rollback by hand must show as RolledBack with its own reason."""
    state = proved()
    state.held = HandRollback(release().id, Revision("main", NEXT), "incident 7", 5.0)
    site.finish(state, "HoldingKnownGood")
    assert site.state == "RolledBack"
    assert site.condition("RolledBack")["reason"] == "HeldByHand"  # type: ignore[index]


@pytest.mark.parametrize(
    ("error", "phase", "state"),
    [
        (Transient("no Docker", "start it", code="RuntimeUnavailable"), "observe", "Degraded"),
        (Transient("no registry", "wait", code="Registry"), "prefetch", "Degraded"),
        (Transient("no answer from h", "wait", code="Dns"), "fetch", "Progressing"),
        (None, "", "Progressing"),
    ],
)
def test_a_rollback_by_hand_that_could_not_begin(
    site: Site, error: Transient | None, phase: str, state: str
) -> None:
    """While the asked for release is not back, the state must not be RolledBack, and say what is awaited."""
    before = proved()
    before.held = HandRollback(release(7).id, Revision("main", NEXT), "incident 7", 5.0)
    site.finish(before, "Temporary" if error else "", error=error, phase=phase)
    assert site.state == state and site.condition("RolledBack") is None
    why, _ = heartbeat.explanation(site.doc, state)
    assert release(7).id in why and "incident 7" in why and "is not back yet" in why
    assert error is None or error.message in why
    before.applied = release(7)
    site.finish(before, "HoldingKnownGood")
    assert site.state == "RolledBack"


@pytest.mark.parametrize(
    ("outcome", "error", "phase", "state"),
    [
        (
            "Stalled",
            Stalled("compose.yaml:3: unknown key", "remove it", code="BadInput"),
            "render",
            "Stalled",
        ),
        ("Temporary", Transient("registry: 503", "wait"), "prefetch", "Degraded"),
        ("Temporary", Transient("git: no answer", "wait"), "fetch", "Synced"),
        ("Failed", Failed("container/web cannot start", "look at its log"), "apply", "Degraded"),
        ("RollbackFailed", Failed("container/web cannot start", "look"), "rollback", "Degraded"),
        ("Degraded", Failed("container/web is not healthy", "look"), "gate", "Degraded"),
        ("Inconclusive", Transient("known good is not healthy either", "look"), "gate", "Degraded"),
        (
            "Temporary",
            Interrupted("the pass was asked to stop", "the next pass goes on"),
            "apply",
            "Progressing",
        ),
        ("HeldBack", None, "", "Synced"),
        ("Superseded", None, "", "Progressing"),
    ],
)
def test_state_after_outcome(
    site: Site, outcome: str, error: LimpetError | None, phase: str, state: str
) -> None:
    """Every outcome of a pass must lead to its state, with the error's message and hint for a person."""
    site.finish(proved(), outcome, error=error, phase=phase)
    assert site.state == state
    if state not in ("Synced", "Progressing"):
        why, hint = heartbeat.explanation(site.doc, state)
        assert error is not None and error.message in why and hint == error.hint
        assert site.doc["last_pass"]["error"] == {
            "code": error.code,
            "phase": phase,
            "resource": "",
            "retryable": error.retryable,
            "message": error.message,
            "hint": error.hint,
        }


def test_degraded_by_health_drift_and_refusals(site: Site) -> None:
    """An unhealthy resource, drift that stays, and a refused change must each make the host Degraded, and say
    what.
    """
    site.finish(
        proved(),
        health={"container/web": "unhealthy", "container/db": "healthy"},
        messages={"container/web": "connection refused"},
    )
    assert site.state == "Degraded"
    assert site.doc["resources"]["problems"] == [
        {"resource": "container/web", "health": "unhealthy", "message": "connection refused"}
    ]
    assert site.doc["resources"]["by_health"] == {"unhealthy": 1, "healthy": 1}
    assert site.condition("Healthy")["status"] == "False"  # type: ignore[index]
    site.finish(proved(), drift=["file/etc/motd"])
    assert site.state == "Degraded" and site.condition("Drifted") is not None
    site.finish(
        proved(),
        "HeldBack",
        refusals=[Refusal(Key("file", "/etc/shadow"), "policy denies it", "change files_deny")],
    )
    assert site.state == "Degraded" and site.condition("Refused") is not None
    assert heartbeat.explanation(site.doc, "Degraded")[1] == "change files_deny"


def test_pending_health_is_no_problem(site: Site) -> None:
    """A container that is still starting must be Unknown, not unhealthy."""
    site.finish(proved(), health={"container/web": "starting"})
    assert site.state == "Synced"
    assert site.condition("Healthy")["status"] == "Unknown"  # type: ignore[index]


def test_offline(site: Site) -> None:
    """One failed poll must not cry; three in a row must be Offline; an answer must end it, and the running
    set stays said.
    """
    site.finish(proved(), fetched=True)
    for failures, state in ((1, "Synced"), (2, "Synced"), (3, "Offline")):
        site.reporter.source(
            error=Transient("git.example.org did not answer in 30 s", "check the network"), failures=failures
        )
        assert site.state == state
    assert "did not answer" in heartbeat.explanation(site.doc, "Offline")[0]
    site.reporter.source(commit=COMMIT)
    assert site.state == "Synced" and site.doc["source"]["failures"] == 0


def test_never_reached_source_is_offline(site: Site) -> None:
    """A source that never answered must be Offline at once: a new host with a wrong address."""
    site.finish(
        State(),
        "Temporary",
        observed="",
        attempted="",
        health=None,
        phase="fetch",
        fetched=False,
        error=Transient("git.example.org cannot be reached", "check source.url"),
    )
    assert site.state == "Offline"
    assert heartbeat.explanation(site.doc, "Offline")[1] == "check source.url"
    assert site.doc["source"]["failures"] == 1


def test_suspended(site: Site) -> None:
    """Everything suspended must win over all other states at the next beat, and end with its time; one
    resource must only be a condition.
    """
    site.finish(proved())
    orders = Orders(site.paths.state)
    orders.suspend("*", Suspension("incident 7", site.clock.wall(), site.clock.wall() + 100))
    site.reporter.alive()
    assert site.state == "Suspended"
    assert heartbeat.explanation(site.doc, "Suspended")[0] == "incident 7 (until 2023-11-14T22:15:00Z)"
    site.clock.advance(101)
    site.reporter.alive()
    assert site.state == "Synced" and site.condition("Suspended") is None
    orders.suspend("container/web", Suspension("debugging", 1.0))
    site.reporter.alive()
    assert site.state == "Synced" and site.condition("Suspended")["message"] == "container/web: debugging"  # type: ignore[index]
    orders.resume("container/web")
    site.reporter.alive()
    assert site.condition("Suspended") is None


def test_crashed_pass(site: Site) -> None:
    """A pass that died must not leave the heartbeat in its phase, and the error must stay until the next
    pass.
    """
    site.finish(proved())
    site.reporter.phase("apply", revision=NEXT, release=release(2).id)
    site.reporter.crashed(Failed("the pass was killed by signal 9", "see the log", code="Crashed"))
    assert site.state == "Degraded" and site.doc["phase"] == "idle"
    site.reporter.alive(poll_at=site.clock.wall() + 60)
    assert site.doc["last_pass"]["error"]["code"] == "Crashed"


def test_settings_that_became_wrong(site: Site) -> None:
    """A pass that could not begin because a person is needed must be Stalled."""
    site.finish(proved())
    site.reporter.crashed(Stalled("limpet.toml:3: unknown key", "remove it", code="BadInput"))
    assert site.state == "Stalled" and heartbeat.explanation(site.doc, "Stalled") == (
        "limpet.toml:3: unknown key",
        "remove it",
    )


def test_phase_of_an_error_is_known(site: Site) -> None:
    """An error must carry the phase in which the pass was, and `fetch` when the source did not answer."""
    site.reporter.phase("prefetch", revision=COMMIT)
    site.finish(proved(), "Temporary", error=Transient("registry: 503", "wait"), fetched=True)
    assert site.doc["last_pass"]["error"]["phase"] == "prefetch" and site.state == "Degraded"
    site.finish(proved(), "Temporary", error=Transient("git: no answer", "wait"), fetched=False)
    assert site.doc["last_pass"]["error"]["phase"] == "fetch" and site.state == "Synced"


def test_images_of_the_applied_release(site: Site) -> None:
    """The heartbeat must name each reference's image as `docker images` does, a hundred at most, and say what
    it left out.
    """
    lock = {f"shop/web:{number:03}": f"sha256:{number:064x}" for number in range(150)}
    state = State()
    state.prove(Release("1" * 64, lock), Pin(SOURCE.url, SOURCE.ref, COMMIT), 1_700_000_000.0)
    site.finish(state)
    assert site.doc["images"][149 - 50] == {"reference": "shop/web:099", "id": "0" * 12}
    assert len(site.doc["images"]) == 100 and "images" in site.doc["truncated"]
    state.prove(
        Release("1" * 64, {"a": "sha256:1234567890abcdef"}),
        Pin(SOURCE.url, SOURCE.ref, COMMIT),
        1_700_000_000.0,
    )
    site.finish(state)
    assert site.doc["images"] == [{"reference": "a", "id": "1234567890ab"}] and site.doc["truncated"] == []


def test_pulls_are_shown_in_bytes_while_they_run(site: Site) -> None:
    """While images are pulled the heartbeat must show their bytes; with the next phase they must be gone."""
    site.reporter.phase("prefetch", revision=COMMIT)
    site.clock.advance(5)
    site.reporter.pulls({"b:1": (0, 0), "a:1": (10, 20)})
    assert site.doc["pulls"] == [
        {"reference": "a:1", "bytes": 10, "total": 20},
        {"reference": "b:1", "bytes": 0, "total": 0},
    ]
    assert sections.seconds_of(site.doc["last_progress_at"]) == int(site.clock.wall())
    site.reporter.phase("apply")
    assert site.doc["pulls"] == []
    site.reporter.pulls({"a:1": (10, 20)})
    site.finish(proved())
    assert site.doc["pulls"] == []


def test_waiting_for_a_window(site: Site) -> None:
    """A revision that waits must be said, with why."""
    site.finish(proved(), "HeldBack", observed=NEXT, blocked_by=["window opens at 02:00"])
    assert site.state == "Synced"
    assert "waits: window opens at 02:00" in heartbeat.explanation(site.doc, "Synced")[0]


# --- conditions ---------------------------------------------------------------------------------------------


def test_since_is_kept_while_nothing_changes(site: Site) -> None:
    """`since` must stand while status and reason do, whatever the message, and move when they change."""
    site.finish(proved())
    first = site.condition("Ready")["since"]  # type: ignore[index]
    site.clock.advance(100)
    site.finish(proved(commit=NEXT), observed=NEXT)
    assert site.condition("Ready")["since"] == first  # type: ignore[index]
    site.finish(proved(), drift=["file/x"])
    assert site.condition("Ready")["since"] == "2023-11-14T22:15:00Z"  # type: ignore[index]


@pytest.mark.parametrize(
    ("found", "status"),
    [
        (("none", "", ""), "Unknown"),
        (("tip", "verified", "ops"), "True"),
        (("tip", "unsigned", ""), "False"),
        (("history", "", ""), "Unknown"),
    ],
)
def test_source_verified(site: Site, found: tuple[str, str, str], status: str) -> None:
    """Verification must be True only when a signature was checked."""
    verification = dict(zip(("mode", "result", "signer"), found, strict=True))
    site.reporter.update(source={"verification": verification})
    assert site.condition("SourceVerified")["status"] == status  # type: ignore[index]


def test_system_conditions(site: Site, tmp_path: Path) -> None:
    """A wanted reboot and a full disk must be conditions."""
    (tmp_path / "run").mkdir(exist_ok=True)
    (tmp_path / "run/reboot-required").touch()
    site.finish(proved())
    assert site.condition("RebootRequired") is not None and site.condition("DiskPressure") is None
    site.reporter.update(system={"disk_free_bytes": 1000})
    assert site.condition("DiskPressure") is not None


STATES = st.fixed_dictionaries(
    {
        "phase": st.sampled_from(heartbeat.PHASES),
        "outcome": st.sampled_from(("", *heartbeat.OUTCOMES)),
        "release": st.sampled_from(["", "r1"]),
        "attempted_release": st.sampled_from(["", "r1", "r2"]),
        "rolled_back": st.sampled_from(
            [None, {"from_release": "r2", "from_revision": "x", "reason": "bad", "at": ""}]
        ),
        "held": st.sampled_from(
            [None, *({"release": id, "revision": "x", "reason": "by hand", "at": ""} for id in ("r1", "r2"))]
        ),
        "suspended": st.sampled_from(
            [
                [],
                [{"resource": "*", "reason": "r", "since": "", "until": ""}],
                [{"resource": "file/x", "reason": "r", "since": "", "until": "2023-11-14T22:15:00Z"}],
            ]
        ),
        "refused": st.sampled_from([[], [{"resource": "file/x", "cause": "c", "hint": "h"}]]),
        "resources": st.sampled_from(
            [
                {"total": 0, "by_health": {}, "problems": [], "truncated": False},
                {"total": 2, "by_health": {"healthy": 2}, "problems": [], "truncated": False},
                {"total": 2, "by_health": {"exited": 1, "starting": 1}, "problems": [], "truncated": True},
            ]
        ),
        "drift": st.sampled_from(
            [
                {"mode": "report", "now": [], "corrected_total": 0, "flapping": []},
                {"mode": "report", "now": ["file/x"], "corrected_total": 0, "flapping": []},
            ]
        ),
        "last_pass": st.sampled_from(
            [
                None,
                {"error": None},
                {
                    "error": {
                        "code": "RuntimeUnavailable",
                        "phase": "fetch",
                        "resource": "",
                        "retryable": True,
                        "message": "m",
                        "hint": "h",
                    }
                },
            ]
        ),
        "failures": st.integers(0, 4),
        "success": st.sampled_from(["", "2023-11-14T22:15:00Z"]),
        "blocked": st.sampled_from([[], ["window"]]),
        "system": st.sampled_from([{}, {"reboot_required": True, "disk_free_bytes": 1}]),
    }
)


@given(facts=STATES)
@examples(max_examples=400, deadline=None)
def test_state_is_total_and_agrees_with_conditions(facts: dict[str, Any]) -> None:
    """Any facts must give one known state, an explanation, and conditions that agree; equal facts, equal
    answer.
    """
    doc = {
        "revision": {
            "observed": "o",
            "attempted": "a",
            "applied": "b",
            "applied_at": "",
            "known_good": "",
            "pin": "",
        },
        "source": {
            "url": "u",
            "branch": "main",
            "failures": facts["failures"],
            "last_success_at": facts["success"],
            "error": {"message": "no answer", "hint": "h"} if facts["failures"] else None,
            "verification": {"mode": "none", "result": "", "signer": ""},
        },
        "next": {"poll_at": "", "blocked_by": facts["blocked"]},
        **facts,
    }
    one, two = heartbeat.concluded(doc, {}, "t"), heartbeat.concluded(doc, {}, "t")
    assert one == two
    state, found = one["state"], {c["type"]: c["status"] for c in one["conditions"]}
    assert state in heartbeat.STATES
    assert all(heartbeat.explanation(doc, state)[:1])
    assert list(found)[:4] == list(heartbeat.ALWAYS) and len(found) == len(one["conditions"])
    assert (found["Ready"] == "True") == (state == "Synced")
    there = facts["held"] and facts["held"]["release"] == facts["release"]
    assert ("RolledBack" in found) == (
        bool(facts["rolled_back"] or there) and facts["outcome"] != "RollbackFailed"
    )
    assert facts["outcome"] != "RollbackFailed" or state in ("Suspended", "Progressing", "Degraded")
    if state == "Synced":
        assert there or not facts["held"]
        assert (
            facts["release"]
            and found["Healthy"] != "False"
            and "Drifted" not in found
            and "Refused" not in found
        )
        assert "Stalled" not in found and "RolledBack" not in found and found["SourceFresh"] != "False"
