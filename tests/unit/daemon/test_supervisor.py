"""The daemon's loop with real children: small scripts that the tests write, and may change while the daemon
runs.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.daemon import control
from agent.store.watch_list import WatchList, write_watch_list
from tests.fakes.events_engine import EventsEngine

WITHIN = 60.0  # seconds until a test gives up

# Runs the supervisor below ROOT: the settings are ROOT/settings.json, a child is ROOT/VERB.py.
DRIVER = """
import json, os, sys
from pathlib import Path
from random import Random
from agent.daemon import supervisor, waits
from agent.report import log
from agent.clock import SystemClock
from agent.errors import LimpetError, Stalled
from agent.installation import Paths
from agent.report.heartbeat_writer import Reporter
from agent.settings.values import ConvergeSettings, EngineSettings, GateSettings, Settings, SourceSettings

root = Path(sys.argv[1])
for name, value in json.loads(sys.argv[2]).items():
    if name == "PROBE":
        waits.PROBE = value
        continue
    setattr(supervisor, name, supervisor.TimeLimits(**value) if isinstance(value, dict) else value)

def load():
    try:
        doc = json.loads((root / "settings.json").read_text())
    except ValueError:
        raise Stalled("settings.json:1: is wrong", "correct it") from None
    return Settings(
        source=SourceSettings(url="file:///nowhere", branch="main", poll=doc["poll"]),
        converge=ConvergeSettings(resync=doc["resync"]),
        gate=GateSettings(deadline=doc.get("deadline", 1.0)),
        engine=EngineSettings(socket=str(root / "docker.sock")),
    )

def reporter(settings):
    return Reporter(Paths(root), settings, SystemClock())

def command(verb, *arguments):
    return [sys.executable, "-I", "-S", str(root / f"{verb}.py"), str(root), *arguments]

log.set_up()
daemon = supervisor.Supervisor(Paths(root), load=load, reporter=reporter, command=command,
                               clock=SystemClock(), random=Random(1), phase=0.5,
                               retry=float(os.environ.get("RETRY", "0.05")))
try:
    sys.exit(daemon.run())
except LimpetError as error:
    print("limpet:", error, file=sys.stderr)
    sys.exit(error.exit_code)
"""

# What every script of a child starts with: it writes down that it ran, and can answer.
PRELUDE = """
import json, os, signal, sys, time
root = sys.argv[1]
def note(file, text):
    with open(f"{root}/{file}", "a") as out: out.write(text + "\\n")
def say(**event): print(json.dumps(event), flush=True)
"""
POLL = (
    PRELUDE
    + """
note("polls", "poll")
asked = json.loads(sys.stdin.read())
say(commit=open(f"{root}/tip").read(), url=asked["url"])
"""
)
PASS = (
    PRELUDE
    + """
note("passes", sys.argv[3])
note("arguments", " ".join(sys.argv[4:]))
"""
)


class Daemon:
    """A running supervisor, and what its children wrote down."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.engine = EventsEngine(root / "docker.sock")
        self.process: subprocess.Popen[str] | None = None
        self.settings(poll=60.0, resync=600.0)
        self.tip("c1")
        self.script("_fetch", POLL)
        self.answers(0, "converged")

    def settings(self, **values: float) -> None:
        (self.root / "settings.json").write_text(json.dumps(values))

    def tip(self, commit: str) -> None:
        """What the source has from now on."""
        (self.root / "tip.new").write_text(commit)
        (self.root / "tip.new").rename(self.root / "tip")

    def script(self, verb: str, text: str) -> None:
        """What the next child of this verb does."""
        (self.root / f"{verb}.new").write_text(text)
        (self.root / f"{verb}.new").rename(self.root / f"{verb}.py")

    def answers(self, exit_code: int, sentence: str, **more: Any) -> None:
        """Passes end so from now on, having seen the tip."""
        result = {"exit_code": exit_code, "sentence": sentence, **more}
        self.script(
            "_pass",
            PASS + f"result = json.loads({json.dumps(json.dumps(result))})\n"
            "say(result=result | {'observed': open(f'{root}/tip').read()})\nsys.exit(result['exit_code'])\n",
        )

    def start(self, constants: dict[str, Any] | None = None, **environ: str) -> None:
        with (self.root / "log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", DRIVER, str(self.root), json.dumps(constants or {})],
                stderr=log,
                text=True,
                env={**os.environ, **environ},
            )

    def stop(self) -> int:
        """SIGTERM, as systemd does; the exit status."""
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(WITHIN)

    def send(self, number: signal.Signals) -> None:
        assert self.process
        self.process.send_signal(number)

    def lines(self, file: str) -> list[str]:
        path = self.root / file
        return path.read_text().splitlines() if path.exists() else []

    def heartbeat(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.root / "run/limpet/heartbeat.json").read_text())
        return document

    def log(self) -> str:
        return (self.root / "log").read_text()

    def sync(self) -> Iterator[dict[str, Any]]:
        """Asks for a pass; the events of the answer."""
        socket.setdefaulttimeout(WITHIN)
        try:
            answer = control.ask(self.root / "run/limpet", {"verb": "sync"})
        finally:
            socket.setdefaulttimeout(None)
        assert answer is not None
        return answer

    def ready(self) -> None:
        """Returns when the daemon answers."""
        until(lambda: "started:" in self.log(), self)


class Systemd:
    """The socket that systemd listens on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.messages: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(0.05)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._receive)
        self._thread.start()

    def _receive(self) -> None:
        while not self._end.is_set():
            with contextlib.suppress(TimeoutError):
                self.messages.append(self._socket.recv(65536).decode())

    def close(self) -> None:
        self._end.set()
        self._thread.join()
        self._socket.close()

    def got(self, text: str) -> bool:
        return any(text in message for message in self.messages)


@pytest.fixture
def systemd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Systemd]:
    systemd = Systemd(tmp_path_factory.mktemp("n") / "s")
    yield systemd
    systemd.close()


def until(true: Callable[[], bool], daemon: Daemon | None = None) -> None:
    """Waits for a state, not for a time."""
    deadline = time.monotonic() + WITHIN
    while not true():
        alive = daemon is None or daemon.process is None or daemon.process.poll() is None
        assert alive and time.monotonic() < deadline, "it did not happen" + (
            f":\n{daemon.log()}" if daemon else ""
        )
        time.sleep(0.01)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path)
    yield daemon
    if daemon.process and daemon.process.poll() is None:
        daemon.process.kill()
        daemon.process.wait()
    daemon.engine.close()
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.fsencode(tmp_path) in (entry / "cmdline").read_bytes():
                os.kill(int(entry.name), signal.SIGKILL)


def test_the_first_pass_starts_at_once(daemon: Daemon) -> None:
    """A started daemon must not wait for its first poll before it converges the host."""
    daemon.start()
    until(lambda: "converged" in daemon.log(), daemon)
    assert daemon.lines("passes") == ["start"]
    assert daemon.lines("polls") == []
    assert daemon.stop() == 0


def test_a_converged_host_is_checked_at_resync_and_polled_between(daemon: Daemon) -> None:
    """Exit 0 must lead to the normal schedule: polls, and a pass per resync."""
    daemon.settings(poll=0.1, resync=1.0)
    daemon.start()
    until(lambda: len(daemon.lines("passes")) >= 2, daemon)
    assert daemon.lines("passes")[1] == "resync"
    assert len(daemon.lines("polls")) >= 3


@pytest.mark.parametrize("exit_code", [4, 6])
def test_rolled_back_and_held_back_are_no_failures(daemon: Daemon, exit_code: int) -> None:
    """Exits 4 and 6 must lead to the normal schedule."""
    daemon.answers(exit_code, "held")
    daemon.settings(poll=0.05, resync=600.0)
    daemon.start()
    until(lambda: len(daemon.lines("polls")) >= 5, daemon)
    assert daemon.lines("passes") == ["start"]


def test_a_new_revision_starts_a_pass_and_an_old_one_does_not(daemon: Daemon) -> None:
    """A poll must start a pass exactly when the source has another revision than the last pass saw."""
    daemon.settings(poll=0.05, resync=600.0)
    daemon.start()
    until(lambda: len(daemon.lines("polls")) >= 4, daemon)
    assert daemon.lines("passes") == ["start"]
    daemon.tip("c2")
    until(lambda: len(daemon.lines("passes")) == 2, daemon)
    polls = len(daemon.lines("polls"))
    until(lambda: len(daemon.lines("polls")) >= polls + 4, daemon)
    assert daemon.lines("passes") == ["start", "poll"]


def test_a_temporary_failure_is_tried_again(daemon: Daemon) -> None:
    """Exit 75 must be retried with backoff until it works."""
    daemon.answers(75, "the registry does not answer")
    daemon.start()
    until(lambda: daemon.lines("passes")[:3] == ["start", "retry", "retry"], daemon)
    daemon.answers(0, "converged")
    until(lambda: "converged" in daemon.log(), daemon)
    assert "the registry does not answer, next look in" in daemon.log()


def test_docker_that_is_back_ends_the_backoff(daemon: Daemon) -> None:
    """A pass that waits for Docker must be tried as soon as Docker listens again, however long the backoff
    is; until then the heartbeat says what is waited for, and until when.
    """
    daemon.settings(poll=60.0, resync=36000.0)
    daemon.engine.down()
    daemon.answers(75, "Docker does not answer", waits_for={"code": "RuntimeUnavailable", "place": ""})
    daemon.start({"PROBE": 0.05}, RETRY="36000")
    until(lambda: "Docker does not answer, next look" in daemon.log(), daemon)
    until(lambda: daemon.heartbeat()["next"]["waits_for"] == "Docker to answer", daemon)
    assert daemon.heartbeat()["next"]["retry_at"] and daemon.lines("passes") == ["start"]
    daemon.answers(0, "converged")
    daemon.engine.up()
    until(lambda: "converged" in daemon.log(), daemon)
    assert daemon.lines("passes")[:2] == ["start", "retry"]
    until(lambda: daemon.heartbeat()["next"]["retry_at"] == "", daemon)
    assert daemon.heartbeat()["next"]["waits_for"] == ""


def test_what_needs_a_person_waits_for_a_new_revision(daemon: Daemon) -> None:
    """Exit 78 must not be retried before a new revision, however often the source is polled."""
    daemon.answers(78, "compose.yaml:3: unknown key")
    daemon.settings(poll=0.05, resync=600.0)
    daemon.start()
    until(lambda: len(daemon.lines("polls")) >= 5, daemon)
    assert daemon.lines("passes") == ["start"]
    daemon.tip("c2")
    until(lambda: daemon.lines("passes") == ["start", "poll"], daemon)


@pytest.mark.parametrize(
    "how", ["os.kill(os.getpid(), signal.SIGSEGV)", "raise RuntimeError('a bug')", "sys.exit(0)"]
)
def test_a_crashed_pass_is_reported_and_tried_again(daemon: Daemon, how: str) -> None:
    """A pass that ends without a result must be reported as such, whatever its exit status, and retried."""
    daemon.script("_pass", PASS + how)
    daemon.start()
    until(lambda: daemon.lines("passes")[:2] == ["start", "retry"], daemon)
    assert "without a result; it is tried again" in daemon.log()
    assert daemon.heartbeat()["last_pass"]["error"]["code"] == "PassCrashed"
    daemon.answers(0, "converged")
    until(lambda: "converged" in daemon.log(), daemon)


def test_a_crashing_pass_is_not_started_by_every_poll(daemon: Daemon) -> None:
    """A revision whose pass crashes must wait for the backoff, however often the source is polled."""
    daemon.script("_pass", PASS + "sys.exit(1)")
    daemon.settings(poll=0.05, resync=600.0)
    daemon.start(RETRY="600")
    until(lambda: len(daemon.lines("polls")) >= 6, daemon)
    assert daemon.lines("passes") == ["start", "poll"]


def test_a_pass_that_says_nothing_is_ended(daemon: Daemon) -> None:
    """A pass that hangs, and ignores SIGTERM, must be killed; the next one must run."""
    daemon.script(
        "_pass",
        PASS + "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nnote('pids', str(os.getpid()))\n"
        "time.sleep(600)",
    )
    daemon.start({"PASS_SILENCE": 0.2, "PASS_GRACE": 0.2})
    until(lambda: bool(daemon.lines("pids")), daemon)
    daemon.answers(0, "converged")
    until(lambda: "converged" in daemon.log(), daemon)
    assert "the pass was stopped: was silent for 1 s" in daemon.log()
    assert not Path(f"/proc/{daemon.lines('pids')[0]}").exists()


def test_a_source_that_fails_keeps_the_heartbeat_alive(daemon: Daemon) -> None:
    """The heartbeat must be written at least once per poll, also when polls fail, with the number of
    failures.
    """
    daemon.script(
        "_fetch",
        PRELUDE + "note('polls', 'poll')\n"
        "say(error={'class': 'Transient', 'code': 'Network', 'message': 'no route', 'hint': ''})",
    )
    daemon.settings(poll=0.05, resync=600.0)
    daemon.start()
    until(lambda: len(daemon.lines("polls")) >= 4, daemon)
    until(lambda: daemon.heartbeat()["source"]["failures"] >= 4, daemon)
    first = daemon.heartbeat()
    assert first["source"]["error"]["message"] == "no route"
    assert first["next"]["poll_at"]
    until(lambda: daemon.heartbeat()["seq"] > first["seq"], daemon)
    assert "the source cannot be read (2 in a row): no route" in daemon.log()


def test_a_poll_that_hangs_keeps_the_heartbeat_alive(daemon: Daemon) -> None:
    """However long a fetch takes, the heartbeat must stay fresh."""
    daemon.script(
        "_fetch", PRELUDE + "note('polls', 'poll')\nnote('pids', str(os.getpid()))\ntime.sleep(600)"
    )
    daemon.settings(poll=0.2, resync=600.0)
    daemon.start()
    until(lambda: bool(daemon.lines("polls")), daemon)
    seq = daemon.heartbeat()["seq"]
    until(lambda: daemon.heartbeat()["seq"] >= seq + 4, daemon)
    assert daemon.lines("polls") == ["poll"]
    assert daemon.stop() == 0


def test_a_source_that_answers_again_is_said(daemon: Daemon, systemd: Systemd) -> None:
    """The status must say that the source fails, and what holds again once it answers."""
    daemon.settings(poll=0.1, resync=600.0)
    daemon.start(NOTIFY_SOCKET=str(systemd.path))
    until(lambda: systemd.got("STATUS=converged"), daemon)
    daemon.script("_fetch", PRELUDE + "say(error={'class': 'Transient', 'message': 'no route', 'hint': ''})")
    until(lambda: systemd.got("STATUS=the source cannot be read (1 in a row): no route; next try in"), daemon)
    daemon.script("_fetch", POLL)
    until(lambda: "the source answers again" in daemon.log(), daemon)
    until(lambda: systemd.messages[-1].startswith("STATUS=converged"), daemon)


def test_a_poll_beside_a_fetching_pass_is_no_failure(daemon: Daemon) -> None:
    """A poll that finds the fetch lock taken must not count as a source that fails."""
    daemon.script(
        "_fetch",
        PRELUDE + "note('polls', 'poll')\n"
        "say(error={'class': 'Transient', 'code': 'Locked', 'message': 'another fetch', 'hint': ''})",
    )
    daemon.settings(poll=0.05, resync=600.0)
    daemon.start()
    until(lambda: len(daemon.lines("polls")) >= 5, daemon)
    assert "cannot be read" not in daemon.log()
    assert daemon.heartbeat()["source"]["failures"] == 0


def test_polls_go_on_while_a_pass_runs(daemon: Daemon) -> None:
    """A pass that waits in its gate must not stop the polls; a revision seen meanwhile gets its pass right
    after.
    """
    daemon.script(
        "_pass",
        PASS + "observed = open(f'{root}/tip').read()\n"
        "while not os.path.exists(f'{root}/go'): time.sleep(0.01)\n"
        "say(result={'exit_code': 0, 'sentence': 'converged', 'observed': observed})",
    )
    daemon.settings(poll=0.05, resync=600.0)
    daemon.start()
    until(lambda: daemon.lines("passes") == ["start"], daemon)
    daemon.tip("c2")
    polls = len(daemon.lines("polls"))
    until(lambda: len(daemon.lines("polls")) >= polls + 3, daemon)
    assert daemon.lines("passes") == ["start"]
    (daemon.root / "go").touch()
    until(lambda: daemon.lines("passes") == ["start", "poll"], daemon)


def test_a_revision_that_the_pass_missed_is_not_forgotten(daemon: Daemon) -> None:
    """A revision that a poll saw while an older one was applied must get its pass without another poll."""
    daemon.script(
        "_fetch",
        PRELUDE + "tip = open(f'{root}/tip').read()\n"
        "if os.path.exists(f'{root}/told'): note('polls', 'hangs'); time.sleep(600)\n"
        "if tip == 'c2': note('told', tip)\nsay(commit=tip)",
    )
    daemon.script(
        "_pass",
        PASS + "while not os.path.exists(f'{root}/go'): time.sleep(0.01)\n"
        "say(result={'exit_code': 0, 'sentence': 'converged', 'observed': 'c1'})",
    )
    daemon.settings(poll=0.1, resync=600.0)
    daemon.start()
    until(lambda: daemon.lines("passes") == ["start"], daemon)
    daemon.tip("c2")
    until(lambda: daemon.lines("polls") == ["hangs"], daemon)
    (daemon.root / "go").touch()
    until(lambda: daemon.lines("passes") == ["start", "poll"], daemon)


def test_passes_never_overlap(daemon: Daemon) -> None:
    """While a pass runs no second one may start, whoever asks."""
    daemon.script(
        "_pass",
        PASS + "assert not os.path.exists(f'{root}/busy')\nopen(f'{root}/busy', 'w')\n"
        "time.sleep(0.1)\nos.unlink(f'{root}/busy')\nsay(result={'exit_code': 0, 'sentence': 'converged'})",
    )
    daemon.settings(poll=0.02, resync=0.05)
    daemon.start()
    daemon.ready()
    for _ in range(4):
        results = [list(daemon.sync())[-1]["result"]["exit_code"]]
        assert results == [0]
    assert "without a result" not in daemon.log()


def test_sync_streams_progress_and_ends_with_the_result(daemon: Daemon) -> None:
    """A client must see the steps of its pass and then the pass's exit code."""
    daemon.start()
    until(lambda: "converged" in daemon.log(), daemon)
    daemon.script(
        "_pass",
        PASS + "say(step='pulling 2 images')\nsay(pull='a', bytes=1, total=2)\n"
        "say(result={'exit_code': 4, 'sentence': 'rolled back'})",
    )
    events = list(daemon.sync())
    assert events == [
        {"step": "pulling 2 images"},
        {"pull": "a", "bytes": 1, "total": 2},
        {"result": {"exit_code": 4, "sentence": "rolled back"}},
    ]
    assert daemon.lines("passes") == ["start", "sync"]
    assert "pulling 2 images" in daemon.log()


def test_several_clients_share_one_pass(daemon: Daemon) -> None:
    """Clients that ask while a pass runs must share the one pass that follows it."""
    daemon.script(
        "_pass",
        PASS + "while not os.path.exists(f'{root}/go'): time.sleep(0.01)\n"
        "say(result={'exit_code': 0, 'sentence': sys.argv[3]})",
    )
    daemon.start()
    until(lambda: daemon.lines("passes") == ["start"], daemon)
    answers = [daemon.sync() for _ in range(3)]
    first = [next(answer) for answer in answers]
    assert first == [{"step": "a pass is running; another one follows it"}] * 3
    (daemon.root / "go").touch()
    assert [list(answer)[-1]["result"]["sentence"] for answer in answers] == ["sync"] * 3
    assert daemon.lines("passes") == ["start", "sync"]


def test_sync_during_a_pass_looks_at_the_source_at_once(daemon: Daemon) -> None:
    """Who asks while a pass waits must not wait for its gate: a newer revision, if there is one, has to be
    seen now.
    """
    daemon.script(
        "_pass",
        PASS + "while not os.path.exists(f'{root}/go'): time.sleep(0.01)\n"
        "say(result={'exit_code': 0, 'sentence': 'converged'})",
    )
    daemon.start()
    until(lambda: daemon.lines("passes") == ["start"], daemon)
    assert daemon.lines("polls") == []
    answer = daemon.sync()
    until(lambda: daemon.lines("polls") == ["poll"], daemon)
    (daemon.root / "go").touch()
    assert list(answer)[-1] == {"result": {"exit_code": 0, "sentence": "converged"}}


def test_a_client_that_leaves_changes_nothing(daemon: Daemon) -> None:
    """Ctrl-C in `sync` must leave the daemon's pass alone."""
    daemon.script(
        "_pass",
        PASS + "for n in range(100): say(step='x' * 1000)\n"
        "while not os.path.exists(f'{root}/go'): time.sleep(0.01)\n"
        "say(result={'exit_code': 0, 'sentence': 'converged'})",
    )
    daemon.start()
    daemon.ready()
    answer = daemon.sync()
    next(answer)
    answer.close()  # type: ignore[attr-defined]
    (daemon.root / "go").touch()
    until(lambda: daemon.log().count("converged") == 2, daemon)
    assert daemon.stop() == 0


def test_sigterm_lets_the_pass_finish_the_action_at_hand(daemon: Daemon) -> None:
    """SIGTERM must be passed on to the pass, whose answer still reaches who waits; the daemon then exits
    0.
    """
    daemon.script(
        "_pass",
        PASS + "def end(*_):\n  note('ended', 'TERM')\n"
        "  say(result={'exit_code': 75, 'sentence': 'interrupted'})\n  sys.exit(75)\n"
        "signal.signal(signal.SIGTERM, end)\nsay(step='working')\ntime.sleep(600)",
    )
    daemon.start()
    daemon.ready()
    until(lambda: daemon.log().count("working") == 1, daemon)
    assert daemon.stop() == 0
    assert daemon.lines("ended") == ["TERM"]
    assert "stopping: the running pass finishes the action at hand" in daemon.log()


def test_a_pass_that_does_not_finish_is_killed_at_the_end(daemon: Daemon) -> None:
    """A stopping daemon must not wait for a hanging pass longer than its service may."""
    daemon.script(
        "_pass",
        PASS + "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nnote('pids', str(os.getpid()))\n"
        "time.sleep(600)",
    )
    daemon.start({"STOP_WITHIN": 0.3})
    until(lambda: bool(daemon.lines("pids")), daemon)
    assert daemon.stop() == 0
    assert not Path(f"/proc/{daemon.lines('pids')[0]}").exists()


def test_a_second_daemon_is_refused(daemon: Daemon) -> None:
    """A second `run` on one root must exit 75 and name the pid of the first."""
    daemon.start()
    daemon.ready()
    assert daemon.process
    second = subprocess.run(
        [sys.executable, "-c", DRIVER, str(daemon.root), "{}"], capture_output=True, text=True
    )
    assert second.returncode == 75
    assert f"a daemon is running already (pid {daemon.process.pid})" in second.stderr
    assert daemon.stop() == 0


def test_a_killed_daemon_leaves_nothing_that_blocks_the_next(daemon: Daemon) -> None:
    """After SIGKILL a new daemon must start beside the leftovers, and answer."""
    daemon.start()
    daemon.ready()
    assert daemon.process
    daemon.process.kill()
    daemon.process.wait()
    until(
        lambda: control.ask(daemon.root / "run/limpet", {"verb": "sync"}) is None
    )  # a child may be about to exec
    daemon.start()
    until(lambda: daemon.log().count("started:") == 2, daemon)
    assert list(daemon.sync())[-1]["result"]["exit_code"] == 0


def test_hup_reads_the_settings_again(daemon: Daemon) -> None:
    """SIGHUP must put new settings to work with a pass."""
    daemon.start()
    until(lambda: "converged" in daemon.log(), daemon)
    daemon.settings(poll=0.05, resync=600.0)
    daemon.send(signal.SIGHUP)
    until(lambda: "settings" in daemon.lines("passes"), daemon)
    until(lambda: len(daemon.lines("polls")) >= 2, daemon)


def test_wrong_settings_leave_the_old_ones(daemon: Daemon) -> None:
    """Settings that are wrong must be said, and must not end a running daemon."""
    daemon.start()
    until(lambda: "converged" in daemon.log(), daemon)
    (daemon.root / "settings.json").write_text("not json")
    daemon.send(signal.SIGHUP)
    said = "the settings cannot be read again, so the old ones stay: settings.json:1: is wrong"
    until(lambda: said in daemon.log(), daemon)
    assert list(daemon.sync())[-1]["result"]["exit_code"] == 0


def test_wrong_settings_are_said_once(daemon: Daemon) -> None:
    """A settings file that stays wrong must be said once, not at every poll."""
    settings = daemon.root / "etc/limpet/limpet.toml"
    settings.parent.mkdir(parents=True)
    daemon.settings(poll=0.05, resync=600.0)
    daemon.start()
    until(lambda: len(daemon.lines("polls")) >= 2, daemon)
    (daemon.root / "settings.json").write_text("not json")
    settings.write_text("[source]\n")
    until(lambda: "the old ones stay" in daemon.log(), daemon)
    polls = len(daemon.lines("polls"))
    until(lambda: len(daemon.lines("polls")) >= polls + 5, daemon)
    assert daemon.log().count("the old ones stay") == 1


def test_changed_settings_are_noticed_without_a_signal(daemon: Daemon) -> None:
    """A changed settings file must be noticed at the next poll."""
    settings = daemon.root / "etc/limpet/limpet.toml"
    settings.parent.mkdir(parents=True)
    daemon.settings(poll=0.05, resync=600.0)
    daemon.start()
    until(lambda: len(daemon.lines("polls")) >= 2, daemon)
    settings.write_text("[source]\n")
    until(lambda: daemon.lines("passes") == ["start", "settings"], daemon)


def test_a_pass_can_ask_for_the_next_one(daemon: Daemon) -> None:
    """A pass that is held back for a known time must be followed by one at that time."""
    daemon.answers(6, "outside the window", again_in=0.2)
    daemon.start()
    until(lambda: daemon.lines("passes")[:2] == ["start", "retry"], daemon)


def test_systemd_hears_of_the_daemon_s_life(daemon: Daemon, systemd: Systemd) -> None:
    """READY, STATUS, RELOADING with its time, READY again and STOPPING must be sent in that order."""
    daemon.start(NOTIFY_SOCKET=str(systemd.path))
    until(lambda: systemd.got("STATUS=converged, next look in "), daemon)
    daemon.send(signal.SIGHUP)
    until(lambda: systemd.got("STATUS=settings read again"), daemon)
    assert daemon.stop() == 0
    words = [message.split("\n") for message in systemd.messages]
    order = [line.split("=")[0] for lines in words for line in lines if not line.startswith("STATUS")]
    assert order == ["READY", "RELOADING", "MONOTONIC_USEC", "READY", "STOPPING"]


def test_the_watchdog_is_fed_while_the_loop_turns(daemon: Daemon, systemd: Systemd) -> None:
    """WATCHDOG=1 must come at least twice per WATCHDOG_USEC, also during a long pass; no child may send
    it.
    """
    daemon.script("_pass", PASS + "note('environ', str(sorted(os.environ)))\ntime.sleep(600)")
    daemon.start(NOTIFY_SOCKET=str(systemd.path), WATCHDOG_USEC="200000")
    until(lambda: systemd.messages.count("WATCHDOG=1") >= 5, daemon)
    assert "NOTIFY_SOCKET" not in daemon.lines("environ")[0]
    assert "WATCHDOG_USEC" not in daemon.lines("environ")[0]
    daemon.send(signal.SIGSTOP)
    time.sleep(0.3)
    fed = systemd.messages.count("WATCHDOG=1")
    time.sleep(0.5)
    assert systemd.messages.count("WATCHDOG=1") == fed
    daemon.send(signal.SIGCONT)
    until(lambda: systemd.messages.count("WATCHDOG=1") > fed, daemon)


def test_the_control_socket_is_for_its_owner_only(daemon: Daemon) -> None:
    """The control socket must have mode 0600 and vanish with the daemon."""
    daemon.start()
    daemon.ready()
    path = daemon.root / "run/limpet/control.sock"
    assert path.stat().st_mode & 0o777 == 0o600
    assert daemon.stop() == 0
    assert not path.exists()


# --- looks between two passes -------------------------------------------------------------------------------


def looking(daemon: Daemon, **watched: Any) -> None:
    """A converged daemon whose passes look at the end, and find this to be ours."""
    (daemon.root / "run/limpet").mkdir(parents=True, exist_ok=True)
    write_watch_list(daemon.root / "run/limpet", WatchList(**watched))
    daemon.script(
        "_pass",
        PASS + "say(result={'exit_code': 0, 'sentence': 'converged', 'looked_at': time.monotonic(), "
        "'observed': open(f'{root}/tip').read()})\n",
    )
    daemon.start()
    until(lambda: "converged" in daemon.log() and daemon.engine.streams >= 2, daemon)
    until(lambda: daemon.heartbeat()["health"]["watching"], daemon)


def looked(daemon: Daemon, times: int) -> None:
    """Returns when the daemon has looked so often since its start."""
    until(lambda: daemon.lines("passes").count("event") >= times, daemon)


@pytest.mark.parametrize(
    ("kind", "action", "name", "attributes"),
    [
        ("container", "die", "web", {}),
        ("container", "oom", "web", {}),
        ("container", "health_status: unhealthy", "web", {}),
        ("container", "destroy", "web", {}),
        ("network", "destroy", "front", {}),
        ("network", "disconnect", "extra", {"container": "c1"}),
        ("volume", "destroy", "data", {}),
    ],
)
def test_what_happens_to_ours_wakes_a_look(
    daemon: Daemon, kind: str, action: str, name: str, attributes: dict[str, str]
) -> None:
    """An event of something of ours must be looked at, long before the next poll."""
    looking(daemon, networks=frozenset(["front"]), volumes=frozenset(["data"]), containers=frozenset(["c1"]))
    id = name if kind == "volume" else "i1"
    daemon.engine.emit(kind, action, "" if kind == "volume" else name, id=id, **attributes)
    looked(daemon, 1)
    assert daemon.lines("polls") == []


def test_what_happens_to_others_wakes_nobody(daemon: Daemon) -> None:
    """Events of other networks and containers, and what cannot be read, must cost no look."""
    looking(daemon, networks=frozenset(["front"]), containers=frozenset(["c1"]))
    daemon.engine.emit("network", "destroy", "theirs")
    daemon.engine.emit("network", "connect", "theirs", container="c2")
    daemon.engine.send(b"no event\n{}\n[]\n")
    daemon.engine.emit("container", "die", "web")
    looked(daemon, 1)
    assert daemon.lines("passes") == ["start", "event"]
    [ours, others] = daemon.engine.requests[-2:]
    assert ours["type"] == ["container"] and ours["label"][0].startswith("io.limpet.instance=")
    assert others["type"] == ["network", "volume"]


def test_containers_without_a_label_are_heard(daemon: Daemon) -> None:
    """A container that was adopted has no label of ours, and must be listened to by its id."""
    looking(daemon, unlabelled=frozenset(["c1"]))
    assert ["c1"] in [request.get("container") for request in daemon.engine.requests]


def test_a_look_is_told_what_was_stopped_by_hand(daemon: Daemon) -> None:
    """A container that somebody stopped must be named to each look, until it is started or gone."""
    looking(daemon)
    for action in ("kill", "die", "stop"):
        daemon.engine.emit("container", action, "web")
    looked(daemon, 1)
    assert daemon.lines("arguments")[-1] == "--stopped web"
    daemon.engine.emit("container", "start", "web")
    looked(daemon, 2)
    assert daemon.lines("arguments")[-1] == "--stopped"


def test_events_that_end_are_asked_for_again(daemon: Daemon) -> None:
    """When the Engine goes, the daemon must listen again once it is back, and look at what it missed;
    meanwhile it must not say that it watches.
    """
    looking(daemon)
    daemon.engine.down()
    looked(daemon, 1)
    daemon.send(signal.SIGHUP)  # a pass because of settings; the heartbeat is written
    until(lambda: not daemon.heartbeat()["health"]["watching"], daemon)
    looks = daemon.lines("passes").count("event")
    daemon.engine.up()
    until(lambda: daemon.engine.streams >= 2, daemon)
    looked(daemon, looks + 1)


def test_without_events_each_poll_looks(daemon: Daemon) -> None:
    """Where the Engine does not give its events, each poll must look at the host."""
    daemon.engine.status = "404 Not Found"
    daemon.settings(poll=0.2, resync=600.0)
    daemon.start()
    until(lambda: daemon.lines("passes").count("event") >= 2, daemon)
    assert daemon.lines("arguments")[-1] == ""
    assert daemon.heartbeat()["health"]["watching"] is False


def test_an_edited_file_wakes_a_look(daemon: Daemon) -> None:
    """A managed file that is edited, replaced, or removed must be looked at; its neighbours must not."""
    directory = daemon.root / "etc/shop"
    directory.mkdir(parents=True)
    (directory / "a.conf").write_text("1")
    looking(daemon, paths=frozenset(["/etc/shop/a.conf", "/none/b"]))
    (directory / "other").write_text("2")
    (directory / "a.conf").write_text("2")
    looked(daemon, 1)
    assert daemon.lines("passes").count("event") == 1
    (directory / "new").write_text("3")
    (directory / "new").rename(directory / "a.conf")
    looked(daemon, 2)


def test_a_look_that_fails_is_followed_by_a_pass(daemon: Daemon) -> None:
    """When a look could not do what was needed, a pass must follow with the backoff of any failure; one that
    went well must leave the schedule alone.
    """
    looking(daemon)
    daemon.answers(75, "the registry does not answer")
    daemon.engine.emit("container", "die", "web")
    until(lambda: daemon.lines("passes")[:3] == ["start", "event", "retry"], daemon)


def test_a_storm_of_events(daemon: Daemon) -> None:
    """Ten thousand events must cost at most three passes, and little of a core."""
    looking(daemon)
    assert daemon.process
    pid = daemon.process.pid
    before = cpu_seconds(pid)
    for number in range(10_000):
        daemon.engine.emit("container", "die" if number % 2 else "start", "web")
    assert list(daemon.sync())[-1]["result"]["exit_code"] == 0  # the loop turns
    assert len([trigger for trigger in daemon.lines("passes") if trigger != "sync"]) <= 3
    assert cpu_seconds(pid) - before < 2.0


def cpu_seconds(pid: int) -> float:
    """Of a process, without its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
