"""What a person on call reads and asks for: status, history, schema, version, retry, suspend, resume."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from agent import __version__
from agent.__main__ import main
from agent.cli import status
from agent.clock import SystemClock
from agent.errors import Failed, Stalled, Transient
from agent.installation import Paths
from agent.model import Key, Release
from agent.report.heartbeat_writer import Reporter
from agent.report.sections import PassReport, seconds_of
from agent.revision import Revision
from agent.settings.values import HostSettings, Settings, SourceSettings
from agent.store.history import History, HistoryEntry
from agent.store.locks import Lock
from agent.store.state import State, StateStore
from agent.store.verdicts import Pin, RolledBack

ROOT = Path(__file__).resolve().parents[3]
COMMIT = "1f2e3d4" + "0" * 33


class Site:
    """An installation below a directory, on the machine's own clock."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.paths = Paths(root)
        self.paths.settings.parent.mkdir(parents=True)
        self.paths.settings.write_text('[source]\nurl = "/srv/fleet"\nbranch = "main"\n')
        self.clock = SystemClock()
        self.reporter = Reporter(
            self.paths, Settings(HostSettings("web-01"), SourceSettings("/srv/fleet", "main")), self.clock
        )

    def proved(self) -> State:
        state = State()
        state.prove(
            Release("a" * 64, {}, Revision("main", COMMIT)),
            Pin("/srv/fleet", "refs/heads/main", COMMIT),
            self.clock.wall(),
        )
        return state

    def finish(self, state: State, outcome: str = "Converged", **more: Any) -> None:
        StateStore(self.paths.state).save(state)
        said: dict[str, Any] = {
            "observed": COMMIT,
            "attempted": COMMIT,
            "health": {"container/web": "healthy"},
            "fetched": True,
        }
        self.reporter.finish(PassReport("poll", self.clock.wall(), 1.5, outcome, **(said | more)), state)
        self.reporter.alive(poll_at=self.clock.wall() + 60)

    def edit(self, **values: Any) -> None:
        """Changes the heartbeat as time or a crash would."""
        doc = json.loads(self.reporter.path.read_bytes())
        self.reporter.path.write_text(json.dumps(doc | values))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def limpet(site: Site, capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = main(["--root", str(site.root), *argv])
    out, err = capsys.readouterr()
    return code, out, err


# --- status -------------------------------------------------------------------------------------------------


def test_healthy(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """A healthy host must exit 0 and say state, revision, resources, last pass and next look."""
    site.finish(site.proved(), created=2, replaced=1)
    code, out, _ = limpet(site, capsys, "status")
    lines = out.splitlines()
    assert code == 0
    assert lines[0] == f"Synced: at main@sha1:{COMMIT}"
    assert any(line.startswith("  applied     main@1f2e3d4, release ") for line in lines)
    assert "  resources   1: 1 healthy" in lines
    assert any("Converged" in line and "2 created, 1 replaced" in line for line in lines)
    assert any(re.fullmatch(r"  next        look in \d+ s", line) for line in lines)
    assert "LATE" not in out


def test_rolled_back(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """A rolled back host must exit 1 and say first the state and why, then what to do, then since when."""
    state = site.proved()
    state.reject(
        Release("b" * 64, {}),
        reason="web never got healthy",
        at=site.clock.wall(),
        revision=Revision("main", "b" * 40),
    )
    state.rolled_back = RolledBack(
        "rel2", Revision("main", "b" * 40), "web never got healthy", site.clock.wall()
    )
    site.finish(state, "RolledBack", error=Failed("web never got healthy", "see docker logs web"))
    code, out, _ = limpet(site, capsys, "status")
    lines = out.splitlines()
    assert code == 1
    assert lines[0].startswith("RolledBack: rolled back from main@sha1:bbb") and lines[0].endswith(
        "web never got healthy"
    )
    assert lines[1].startswith("  to do       push a commit") and "limpet retry rel2" in lines[1]
    assert lines[2].startswith("  since ")
    assert any(line.startswith("  rejected    main@bbbbbbb") for line in lines)


@pytest.mark.parametrize(
    ("outcome", "error", "word"),
    [
        ("Stalled", Stalled("compose.yaml:3: unknown key", "remove it"), "Stalled"),
        ("Temporary", Transient("registry.example.org said 503", "it is tried again"), "Degraded"),
    ],
)
def test_trouble(site: Site, capsys: pytest.CaptureFixture[str], outcome: str, error: Any, word: str) -> None:
    """Trouble must exit 1 with the message and the remedy at the top."""
    site.finish(site.proved(), outcome, error=error, phase="render")
    code, out, _ = limpet(site, capsys, "status")
    assert code == 1
    assert out.splitlines()[:2] == [f"{word}: {error.message}", f"  to do       {error.hint}"]
    assert out.count(error.message) <= 2, "the same must not be said again and again"
    assert "nothing was changed" in out


def test_unhealthy_resource_is_named(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """Each resource with a problem must be named with what it says."""
    site.finish(
        site.proved(), health={"container/web": "unhealthy"}, messages={"container/web": "connection refused"}
    )
    code, out, _ = limpet(site, capsys, "status")
    assert code == 1 and "  unhealthy   container/web: connection refused" in out.splitlines()


def test_no_heartbeat(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a heartbeat, the remedy must be said, and the exit code be an error."""
    code, out, err = limpet(site, capsys, "status")
    assert code == 1 and out == ""
    assert "there is no heartbeat" in err and "limpet sync" in err and "systemctl start limpet" in err


def test_late_without_a_daemon(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """A heartbeat past its time must exit 1 and say that no daemon runs, however green its content is."""
    site.finish(site.proved())
    site.edit(uptime_s=site.clock.monotonic() - 3600)
    code, out, _ = limpet(site, capsys, "status")
    lines = out.splitlines()
    assert code == 1 and lines[0] == "LATE: the heartbeat is 57 min overdue; the status below is out of date"
    assert "no daemon runs here" in lines[1] and lines[2].startswith("  it was      Synced: at main@sha1:")


def test_late_with_a_daemon(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """A daemon that runs and does not report must be said to hang."""
    site.finish(site.proved())
    site.edit(uptime_s=site.clock.monotonic() - 3600)
    with Lock(site.paths.run / "daemon.lock", "a daemon"):
        code, out, _ = limpet(site, capsys, "status")
    assert code == 1 and "the daemon hangs" in out


def test_after_one_pass_by_hand(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """After a single `limpet sync` the status must be healthy, and say that no further look is planned."""
    site.finish(site.proved())
    site.reporter.update(next={"poll_at": None})
    code, out, _ = limpet(site, capsys, "status")
    assert code == 0 and "no look is planned: no daemon runs here" in out


@pytest.mark.parametrize(
    ("written", "uptime", "boot", "late"),
    [
        ("2023-11-14T22:13:20Z", 1000.0, "b1", 0.0),  # now
        ("2023-11-14T22:13:20Z", 700.0, "b1", 120.0),  # 300 s old, 180 s allowed
        ("2020-01-01T00:00:00Z", 1000.0, "b1", 0.0),  # the wall clock jumped by years within the boot
        ("2023-11-14T22:08:20Z", 5000.0, "b0", 120.0),  # another boot: only the wall clock is left
        ("2024-11-14T22:08:20Z", 5000.0, "b0", 0.0),  # written in the future: not late
    ],
)
def test_lateness_by_the_right_clock(written: str, uptime: float, boot: str, late: float) -> None:
    """Within a boot lateness must be measured by the monotonic clock, else by the wall clock."""
    text = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds_of(written) + 180))
    doc = {"written_at": written, "due_by": text, "uptime_s": uptime, "boot_id": boot}
    assert status.lateness(doc, now=1_700_000_000.0, monotonic=1000.0, boot_id="b1") == late


def test_status_json(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` must print the heartbeat as it is, with the same exit code."""
    site.finish(site.proved(), drift=["file/etc/motd"])
    code, out, _ = limpet(site, capsys, "status", "--json")
    assert code == 1
    assert json.loads(out) == json.loads(site.reporter.path.read_bytes())


def test_status_without_settings(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """Status must work although the settings are wrong: that is when it is needed."""
    site.finish(site.proved())
    site.paths.settings.write_text("nonsense")
    assert limpet(site, capsys, "status")[0] == 0


def test_status_of_a_heartbeat_elsewhere(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """Status must look where the settings put the heartbeat."""
    site.finish(site.proved())
    site.reporter.path.rename(site.root / "beat.json")
    site.paths.settings.write_text(site.paths.settings.read_text() + '[heartbeat]\nfile = "/beat.json"\n')
    assert limpet(site, capsys, "status")[0] == 0


def test_plain_when_piped_coloured_on_a_terminal(site: Site) -> None:
    """Colours and rich must be for terminals only; the words must be the same."""
    site.finish(site.proved())
    argv = [sys.executable, "-X", "importtime", "-m", "agent", "--root", str(site.root), "status"]
    piped = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "\x1b" not in piped.stdout and "rich" not in piped.stderr
    main_end, child_end = pty.openpty()
    shown = subprocess.run(
        argv,
        cwd=ROOT,
        stdout=child_end,
        stderr=subprocess.DEVNULL,
        check=True,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "60"},
    )
    os.close(child_end)
    text = os.read(main_end, 65536).decode()
    os.close(main_end)
    assert shown.returncode == 0 and "\x1b[" in text
    assert re.sub(r"\x1b\[[\d;]*m", "", text).splitlines()[0] == piped.stdout.splitlines()[0]


def test_markup_is_text(site: Site) -> None:
    """A message with brackets must be shown as it is."""
    site.finish(site.proved(), "Failed", error=Failed("[bold]x[/bold] [/]", "do [y]"))
    main_end, child_end = pty.openpty()
    subprocess.run(
        [sys.executable, "-m", "agent", "--root", str(site.root), "status"],
        cwd=ROOT,
        stdout=child_end,
        check=False,
        env={**os.environ, "TERM": "dumb"},
    )
    os.close(child_end)
    text = os.read(main_end, 65536).decode()
    os.close(main_end)
    assert "[bold]x[/bold] [/]" in text and "do [y]" in text


# --- history ------------------------------------------------------------------------------------------------


def test_history(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """History must be a table, newest first: when, revision, result, duration, what, by whom."""
    history = History(site.paths.history)
    history.append(
        HistoryEntry(
            1_700_000_000.0,
            f"main@sha1:{COMMIT}",
            "a" * 16,
            "Converged",
            duration_s=3.21,
            created=2,
            corrective=1,
            by="Ada Lovelace <ada@example.org>",
            subject="Add the shop",
        )
    )
    history.append(
        HistoryEntry(
            1_700_000_100.0,
            "main@sha1:" + "b" * 40,
            "b" * 16,
            "RolledBack",
            message="web never got healthy\nmore",
        )
    )
    code, out, _ = limpet(site, capsys, "history")
    lines = out.splitlines()
    assert (
        code == 0
        and len(lines) == 3
        and lines[0].split() == ["WHEN", "REVISION", "RELEASE", "RESULT", "TOOK", "WHAT", "BY", "COMMIT"]
    )
    assert (
        "main@bbbbbbb" in lines[1]
        and "RolledBack: web never got healthy" in lines[1]
        and "more" not in lines[1]
    )
    assert "main@1f2e3d4" in lines[2] and "2 created, 1 repaired" in lines[2] and "3.2 s" in lines[2]
    assert "Ada Lovelace" in lines[2] and "ada@" not in lines[2] and lines[2].endswith("Add the shop")
    assert limpet(site, capsys, "history", "-n", "1")[1].count("\n") == 2


def test_history_json(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` must give one value per line."""
    entry = HistoryEntry(1.0, "r", "x", "Converged", created=1)
    History(site.paths.history).append(entry)
    assert json.loads(limpet(site, capsys, "history", "--json")[1]) == entry.to_json()


def test_empty_history(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """A host that applied nothing must say so."""
    assert limpet(site, capsys, "history") == (0, "nothing was applied yet\n", "")


# --- schema, version ----------------------------------------------------------------------------------------


def test_schemas(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """Every listed schema must be valid JSON Schema; an unknown name must list the known ones."""
    import jsonschema

    names = limpet(site, capsys, "schema")[1].split()
    assert {"heartbeat", "plan", "settings"} <= set(names)
    for name in names:
        jsonschema.Draft202012Validator.check_schema(json.loads(limpet(site, capsys, "schema", name)[1]))
    code, _, err = limpet(site, capsys, "schema", "nope")
    assert code == 1 and "heartbeat" in err


def test_version(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """The version must be the package's."""
    assert limpet(site, capsys, "version")[1].startswith(f"limpet {__version__} ")


# --- retry, suspend, resume ---------------------------------------------------------------------------------


def test_retry(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """Retry must forget all rejections, or the one that is named, at the next load, also beside a running
    pass.
    """
    state = site.proved()
    one, two = Release("b" * 64, {}), Release("c" * 64, {})
    for each in (one, two):
        state.reject(each, reason="bad", at=1.0, revision=Revision("main", each.manifest_digest[:40]))
    store = StateStore(site.paths.state)
    store.save(state)
    with Lock(site.paths.run / "lock", "a pass"):
        code, out, _ = limpet(site, capsys, "retry", "bbbb")
    assert code == 0 and one.id in out and two.id not in out and "limpet sync" in out
    assert list(store.load().rejected) == [two.id]
    code, out, _ = limpet(site, capsys, "retry", "zzz")
    assert code == 1 and two.id in out
    assert limpet(site, capsys, "retry")[0] == 0
    assert store.load().rejected == {}
    assert limpet(site, capsys, "retry") == (0, "no release is rejected\n", "")


def test_retry_of_a_revision_whose_branch_has_a_slash(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """A revision as it is shown must be taken for one, also when its branch's name has a slash."""
    state, revision = site.proved(), f"release/1.0@sha1:{COMMIT}"
    state.reject(Release("b" * 64, {}), reason="bad", at=1.0, revision=Revision.parse(revision))
    StateStore(site.paths.state).save(state)
    code, out, _ = limpet(site, capsys, "retry", revision)
    assert code == 0 and revision in out and StateStore(site.paths.state).load().rejected == {}


@pytest.mark.parametrize("word", ["container/shop-web-1", "all"])
def test_retry_of_what_flaps(site: Site, capsys: pytest.CaptureFixture[str], word: str) -> None:
    """Status must name what flaps; a retry of it, or of all, must forget that, and say of anything else that
    it does not flap, and what does.
    """
    state, name = site.proved(), "container/shop-web-1"
    store = StateStore(site.paths.state)
    state.flapping.leave({name: 5}, 1.0, COMMIT)
    site.finish(state, flapping=state.flapping.quarantined)
    assert (
        f"flapping    {name} is left alone until a new commit, or: limpet retry {name}"
        in limpet(site, capsys, "status")[1]
    )
    assert limpet(site, capsys, "retry", "container/x") == (1, f"container/x is not flapping\n  {name}\n", "")
    assert store.load().flapping.quarantined
    code, out, _ = limpet(site, capsys, "retry", word)
    assert code == 0 and name in out and not store.load().flapping.quarantined


def test_failures_in_a_row_are_shown(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """Why the next look comes sooner or later than usual must be in the heartbeat and in the status."""
    site.finish(site.proved())
    assert "backoff" not in limpet(site, capsys, "status")[1]
    site.reporter.alive(poll_at=site.clock.wall() + 60, backoff={"temporary": 3, "drift": 0})
    assert "  backoff     3 passes in a row: temporary" in limpet(site, capsys, "status")[1]


def test_until_when_and_for_what_a_failed_pass_waits_is_shown(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """A person must read when a failed pass is tried again at the latest, and what ends that sooner; nothing
    of it when no pass waits.
    """
    site.finish(site.proved())
    due = time.time() + 300
    failing = {"temporary": 3, "drift": 0}
    site.reporter.alive(backoff=failing, retry_at=due, waits_for="free space where /data is")
    clock = time.strftime("%H:%M:%S", time.localtime(int(due)))
    out = limpet(site, capsys, "status")[1]
    assert f"  tries again at {clock} (in 5 min) at the latest; waits for free space where /data is\n" in out
    site.reporter.alive(backoff=failing, retry_at=due)
    assert f"  tries again at {clock} (in 5 min)\n" in limpet(site, capsys, "status")[1]
    site.reporter.alive(backoff={"temporary": 0, "drift": 0})
    assert "tries again" not in limpet(site, capsys, "status")[1]


def test_suspend_and_resume(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """Suspensions of all and of one resource must survive, with reason and end, until resumed."""
    assert limpet(site, capsys, "suspend", "--reason", "incident 7", "--for", "2h")[0] == 0
    assert limpet(site, capsys, "suspend", "container/shop-web-1", "--reason", "debugging")[0] == 0
    found = StateStore(site.paths.state).load().suspended
    assert found["*"].reason == "incident 7" and found["*"].until - found["*"].since == 7200
    assert found["container/shop-web-1"].until == 0
    code, out, _ = limpet(site, capsys, "resume")
    assert code == 0 and "still suspended: container/shop-web-1" in out
    assert limpet(site, capsys, "resume", "container/shop-web-1")[0] == 0
    assert StateStore(site.paths.state).load().suspended == {}
    assert limpet(site, capsys, "suspend", "file/etc/motd", "--reason", "x")[0] == 0
    assert list(StateStore(site.paths.state).load().suspended) == [str(Key("file", "/etc/motd"))]
    assert limpet(site, capsys, "resume", "file/etc/motd")[0] == 0
    assert "was not suspended" in limpet(site, capsys, "resume")[1]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["suspend", "web", "--reason", "x"], "is not a resource"),
        (["suspend", "--reason", "x", "--for", "soon"], "not a duration"),
        (["resume", "web"], "is not a resource"),
    ],
)
def test_wrong_suspensions(
    site: Site, capsys: pytest.CaptureFixture[str], argv: list[str], said: str
) -> None:
    """What cannot be suspended must be refused with a remedy, and nothing be written."""
    code, _, err = limpet(site, capsys, *argv)
    assert code == 1 and said in err and "hint:" in err
    assert StateStore(site.paths.state).load().suspended == {}
