"""Children of the daemon: what they say, and how they are ended."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.daemon.child import MAX_LINE, Child, ChildEnd, TimeLimits

PATIENT = TimeLimits(silence=60.0, total=60.0, grace=60.0)
STARTED: list[Child] = []


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    yield
    while STARTED:
        job = STARTED.pop()
        job.kill()
        job.process.wait()
        job.close()


def start(script: str, limits: TimeLimits = PATIENT, now: float = 0.0) -> Child:
    job = Child("a child", [sys.executable, "-I", "-S", "-c", script], limits, now)
    STARTED.append(job)
    return job


def hear(job: Child, now: float = 1.0) -> list[dict[str, object]]:
    """All events until the child closes its stdout."""
    events: list[dict[str, object]] = []
    while not job.silent:
        select.select([job.output], [], [], 10)
        events += job.read(now)
    job.process.wait(10)
    return events


def test_events_and_the_result_are_told_apart() -> None:
    """Progress must come as it is said, the result only at the end, and noise must not disturb."""
    job = start(
        """print('{"step": "one"}\\nnoise\\n[1]\\n{"result": {"exit_code": 0}}'); import sys; sys.exit(3)"""
    )
    assert hear(job) == [{"step": "one"}]
    assert job.ended() == ChildEnd({"exit_code": 0}, 3)


def test_a_line_is_read_whole_however_it_arrives() -> None:
    """A line that arrives in parts must become one event; an endless one must not fill the memory."""
    job = start(
        'import sys, time\nfor c in \'{"step": "one"}\\n\': sys.stdout.write(c); sys.stdout.flush()\n'
        f"sys.stdout.write('x' * {3 * MAX_LINE}); sys.stdout.flush()"
    )
    assert hear(job) == [{"step": "one"}]
    assert len(job._buffer) <= MAX_LINE


def test_silence_is_counted_from_the_last_word() -> None:
    """What is said must put the silence limit off, and the total limit must stand."""
    job = start("print('{}', flush=True); import time; time.sleep(600)", TimeLimits(silence=10.0, total=50.0))
    assert job.deadline == 10.0
    select.select([job.output], [], [], 10)
    job.read(5.0)
    assert job.deadline == 15.0
    job.heard = 45.0
    assert job.deadline == 50.0


def test_an_overrun_is_ended_with_term_then_kill() -> None:
    """TERM must come at the limit, KILL after the grace, and both must reach a stubborn child."""
    script = """import os, signal, time
signal.signal(signal.SIGTERM, lambda *_: os.write(1, b'{"step": "TERM"}\\n'))
os.write(1, b'{"step": "up"}\\n')
while True: time.sleep(600)"""
    job = start(script, TimeLimits(10.0, 10.0, grace=5.0))
    select.select([job.output], [], [], 10)
    assert job.read(0.0) == [{"step": "up"}]
    job.enforce(9.9)
    assert not job.stopped
    job.enforce(10.0)
    select.select([job.output], [], [], 10)
    assert job.read(10.0) == [{"step": "TERM"}]
    job.enforce(14.9)
    assert job.process.poll() is None
    job.enforce(15.0)
    assert job.process.wait(10) == -signal.SIGKILL
    ending = job.ended()
    assert ending and ending.stopped == "took longer than 10 s" and not ending.crashed


def test_the_whole_group_goes_with_a_killed_child(tmp_path: Path) -> None:
    """What a child has left in its group must not outlive it."""
    job = start(
        'import os, time\nif os.fork() == 0:\n  print(\'{"step": "%d"}\' % os.getpid(), flush=True)\n'
        "  time.sleep(600)\nos.wait()"
    )
    select.select([job.output], [], [], 10)
    grandchild = int(job.read(0.0)[0]["step"])
    job.process.terminate()
    job.process.wait(10)
    os.kill(grandchild, 0)
    job.close()
    deadline = time.monotonic() + 60
    while Path(f"/proc/{grandchild}/stat").exists():
        if Path(f"/proc/{grandchild}/stat").read_text().split()[2] == "Z":
            break
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("ending", "text"),
    [(ChildEnd(None, -signal.SIGSEGV), "ended by SIGSEGV"), (ChildEnd(None, 1), "ended with status 1")],
)
def test_an_end_without_a_result_is_a_crash(ending: ChildEnd, text: str) -> None:
    """A child that says no result must count as crashed, and its message must say how it ended."""
    assert ending.crashed
    assert str(ending) == text


def test_children_keep_systemd_s_variables_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """No child may speak to systemd in the daemon's name."""
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/x")
    monkeypatch.setenv("LIMPET_SOURCE__POLL", "5s")
    job = start("import os, json; print(json.dumps({'step': sorted(os.environ)}))")
    names = hear(job)[0]["step"]
    assert isinstance(names, list)
    assert "NOTIFY_SOCKET" not in names
    assert "LIMPET_SOURCE__POLL" in names
