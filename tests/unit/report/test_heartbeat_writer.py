"""Who writes the heartbeat and who reads it: durable, bounded, together with others, without secrets."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from agent.errors import Failed, Stalled, Transient
from agent.model import Key, Refusal
from agent.report import bounds, sections
from agent.report.heartbeat_writer import Reporter, read
from agent.report.sections import PassReport
from agent.revision import Revision
from agent.settings.values import HeartbeatSettings, Settings, SourceSettings
from agent.store.history import History, HistoryEntry
from agent.store.verdicts import Attempt, RolledBack
from tests.fakes import dying
from tests.unit.report.site import COMMIT, NEXT, SOURCE, Site, proved, release

ROOT = Path(__file__).resolve().parents[3]


def test_written_as_promised(site: Site) -> None:
    """The file must be 0644 whatever the umask, durable, replaced, with a growing `seq` and nothing beside
    it.
    """
    mask = os.umask(0o077)
    try:
        calls = dying.trace(lambda: site.reporter.alive(poll_at=site.clock.wall() + 60))
    finally:
        os.umask(mask)
    names = [name for name, path in calls if name in ("fsync", "replace") and "lock" not in path]
    assert names[-3:] == ["fsync", "replace", "fsync"]
    assert site.reporter.path.stat().st_mode & 0o777 == 0o644
    site.reporter.alive(poll_at=site.clock.wall() + 60)
    assert site.doc["seq"] == 2
    assert {p.name for p in site.paths.run.iterdir()} == {"heartbeat.json", "heartbeat.lock"}


def test_killed_writer_leaves_a_heartbeat(site: Site) -> None:
    """A writer killed at any call must leave the old or the new heartbeat, and the next writer must clean up
    after it.
    """
    site.finish(proved())
    before = site.reporter.path.read_bytes()

    def write() -> None:
        site.reporter.phase("apply", revision=NEXT, release=release(2).id)

    for _ in dying.survive(write, lambda: site.reporter.path.write_bytes(before)):
        assert site.doc["seq"] in (1, 2)
        site.reporter.alive()
        assert {p.name for p in site.paths.run.iterdir()} == {"heartbeat.json", "heartbeat.lock"}


def test_alive_fields(site: Site) -> None:
    """Liveness must be told with times that a reader can check: when written, when due, in which boot."""
    site.reporter.alive(poll_at=site.clock.wall() + 60)
    doc = site.doc
    assert doc["written_at"] == "2023-11-14T22:13:20Z" and doc["due_by"] == "2023-11-14T22:16:20Z"
    assert doc["uptime_s"] == 1000.0 and doc["boot_id"] == "boot-1" and doc["interval_s"] == 60.0
    assert doc["next"]["poll_at"] == "2023-11-14T22:14:20Z"
    site.reporter.alive(poll_at=site.clock.wall() + 1800)
    assert site.doc["due_by"] == "2023-11-14T22:45:20Z", "a poll that backs off must move the due time"


def test_daemon_and_pass_do_not_overwrite_each_other(site: Site) -> None:
    """What the pass wrote must survive the daemon's beats, from several processes at once, and no beat may be
    lost.
    """
    site.finish(proved(), created=3)
    code = (
        "import sys; from pathlib import Path; from agent.report.heartbeat_writer import Reporter\n"
        "from agent.installation import Paths\n"
        "from agent.clock import SystemClock; from agent.settings.values import Settings, SourceSettings\n"
        "settings = Settings(source=SourceSettings(url=sys.argv[2], branch='main'))\n"
        "r = Reporter(Paths(Path(sys.argv[1])), settings, SystemClock())\n"
        "for n in range(10): r.source(commit=sys.argv[3])"
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(site.paths.root), SOURCE.url, letter * 40], cwd=ROOT
        )
        for letter in "cde"
    ]
    assert [child.wait() for child in children] == [0, 0, 0]
    assert site.doc["seq"] == 31
    assert site.doc["last_pass"]["created"] == 3
    assert site.doc["revision"]["applied"] == f"main@sha1:{COMMIT}"


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"schema": 2}', b"\0" * 50])
def test_damaged_heartbeat_is_written_anew(site: Site, damage: bytes) -> None:
    """A damaged heartbeat must be replaced, with what the state remembers."""
    site.finish(proved())
    site.reporter.path.write_bytes(damage)
    site.reporter.alive()
    assert site.doc["revision"]["pin"] == f"main@sha1:{COMMIT}"


def test_another_source_forgets_the_old_ones_answers(site: Site) -> None:
    """After the settings name another source, the answers of the old one must not count as its own."""
    site.reporter.source(commit=COMMIT)
    other = Reporter(
        site.paths,
        Settings(host=site.settings.host, source=SourceSettings(url="/srv/other", branch="main")),
        site.clock,
    )
    other.alive()
    assert site.doc["source"]["url"] == "/srv/other" and site.doc["source"]["last_success_at"] == ""


def test_history_and_counters(site: Site) -> None:
    """The newest ten entries of the history, newest first, and the counters must be there."""
    for number in range(12):
        History(site.paths.history).append(
            HistoryEntry(float(number + 1), f"main@sha1:{COMMIT}", f"{number:016x}", "Converged")
        )
    state = proved()
    state.count(passes=7, corrected_total=2)
    site.finish(state, corrective=1)
    assert [entry["release"] for entry in site.doc["history"]] == [f"{n:016x}" for n in range(11, 1, -1)]
    assert site.doc["counters"]["passes"] == 7 and site.doc["drift"]["corrected_total"] == 2


def test_attempt_of_a_killed_pass(site: Site) -> None:
    """After a reboot in the middle of a gate, the first beat must say which release was being brought in."""
    state = proved()
    state.applied = release(2, NEXT)
    state.attempt = Attempt(
        release(2, NEXT), Revision("main", NEXT), "gating", site.clock.wall(), 5.0, "boot-0"
    )
    site.store.save(state)
    site.reporter.alive()
    assert site.doc["attempted_release"] == release(2).id
    assert (
        site.doc["revision"]["applied"] == f"main@sha1:{NEXT}"
        and site.doc["revision"]["known_good"] == f"main@sha1:{COMMIT}"
    )


@given(length=st.integers(0, 3000), count=st.integers(0, 3000))
@examples(max_examples=25, deadline=None)
def test_never_larger_than_promised(
    tmp_path_factory: pytest.TempPathFactory, length: int, count: int
) -> None:
    """However much there is to say, the heartbeat must stay valid and within 64 KiB, and say what it left
    out.
    """
    site = Site(tmp_path_factory.mktemp("large"))
    long = "ü" * length
    names = [f"container/{long[:200]}{n}" for n in range(count)]
    state = proved()
    state.counters = {f"counter-{n}{long}": n for n in range(count // 10)}
    for number in range(20):
        state.reject(release(number), reason=long, at=1.0, revision=Revision("", long))
    site.finish(
        state,
        drift=names,
        health=dict.fromkeys(names, "unhealthy"),
        messages=dict.fromkeys(names, long),
        refusals=[Refusal(Key("file", name), long, long) for name in names],
        warnings=[long] * count,
        error=Failed(long, long),
        damaged=[long] * count,
    )
    assert site.reporter.path.stat().st_size <= bounds.MAX_BYTES
    doc = site.doc
    assert doc["resources"]["total"] == len(names) and doc["state"] == ("Degraded" if names else "Synced")
    site.reporter.alive()
    assert site.doc["state"] == doc["state"], "what was left out must not change the state"
    said = "problems" in doc["truncated"] or "resources.problems" in doc["truncated"]
    assert said == (len(doc["resources"]["problems"]) < count)


def test_what_is_cut_does_not_change_the_state(site: Site) -> None:
    """Refusals that had to be cut for the size must keep the host Degraded at the next beat, and be said to
    be cut.
    """
    site.finish(
        proved(),
        "HeldBack",
        refusals=[Refusal(Key("file", f"/f{n}"), "𝄞" * 600, "𝄞" * 600) for n in range(40)],
    )
    assert "refused" in site.doc["truncated"] and len(site.doc["refused"]) == 1
    site.reporter.alive()
    assert site.state == "Degraded"


def test_secret_canary(tmp_path: Path) -> None:
    """A credential in the settings' URLs or in any error must not reach the heartbeat or the metrics."""
    url = "https://deploy:CANARY@git.example.org/fleet.git"
    site = Site(tmp_path, heartbeat=HeartbeatSettings(prometheus="/metrics"))
    (tmp_path / "metrics").mkdir()
    settings = Settings(source=SourceSettings(url=url, branch="main"), heartbeat=site.settings.heartbeat)
    reporter = Reporter(site.paths, settings, site.clock)
    error = Transient(f"cannot reach {url}", f"try curl {url}", resource=url)
    reporter.source(error=error, failures=3)
    state = proved()
    state.rolled_back = RolledBack("r", Revision("", url), url, 1.0)
    reporter.finish(
        PassReport(
            "poll",
            1.0,
            1.0,
            "Failed",
            error=error,
            warnings=[url],
            damaged=[url],
            drift=[url],
            health={url: "dead"},
            messages={url: url},
        ),
        state,
    )
    assert b"CANARY" not in reporter.path.read_bytes() + (tmp_path / "metrics/limpet.prom").read_bytes()


def test_read_says_what_to_do(tmp_path: Path) -> None:
    """No heartbeat, or a damaged one, must be an error with a remedy."""
    with pytest.raises(Stalled) as caught:
        read(tmp_path / "none.json")
    assert "limpet sync" in caught.value.hint
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(Stalled, match="is damaged"):
        read(tmp_path / "bad.json")


def test_times() -> None:
    """Times must come back as they were written; nothing is 0."""
    assert sections.seconds_of("2023-11-14T22:13:20Z") == 1_700_000_000.0
    assert sections.seconds_of("") == sections.seconds_of(None) == 0.0
