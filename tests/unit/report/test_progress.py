"""What progress looks like: events, lines, one report of many threads."""

from __future__ import annotations

import io
import json
import os
from concurrent.futures import ThreadPoolExecutor

from rich.console import Console

from agent.report.progress import (
    Event,
    Events,
    JsonLines,
    LineProgress,
    Silent,
    for_person,
    replay,
)
from agent.report.terminal import Terminal


def test_frequent_events_are_thinned_out() -> None:
    """Pulls and waits must come at most twice a second and reference, but the end of a pull always."""
    events: list[Event] = []
    now = [0.0]
    progress = Events(events.append, lambda: now[0])
    for done in range(11):
        progress.pull("a", done, 10)
        progress.pull("b", done, 0)
        progress.wait("healthy?")
        now[0] += 0.125
    assert [event["bytes"] for event in events if event.get("pull") == "a"] == [0, 4, 8, 10]
    assert [event["bytes"] for event in events if event.get("pull") == "b"] == [0, 4, 8]
    assert sum("wait" in event for event in events) == 3


def test_steps_and_details_are_never_dropped() -> None:
    """Every step must be told, however fast they follow one another, and survive the way through JSON."""
    events: list[Event] = []
    progress = Events(events.append)
    for number in range(100):
        progress.step(f"step {number}")
        progress.detail("more")
    copied: list[Event] = []
    for event in json.loads(json.dumps([*events, {"unknown": 1}])):
        replay(event, Events(copied.append))
    assert copied == events
    assert len(events) == 200


def test_plain_lines_say_each_thing_once() -> None:
    """Lines must not repeat a wait or a pull within a step, nor count down."""
    stream = io.StringIO()
    now = [0.0]
    lines = LineProgress(stream, lambda: now[0])
    lines.step("pulling 1 image")
    for done in (0, 500, 1500, 1500):
        lines.pull("busybox:1", done, 1500)
    lines.step("waiting")
    for left in range(12):
        lines.wait(f"web is starting, {left} s")
        now[0] += 1
    lines.wait("web is starting, 10 s")
    lines.detail("web is healthy")
    assert stream.getvalue().splitlines() == [
        "pulling 1 image",
        "  pulling busybox:1",
        "  pulled busybox:1 (1.5 KiB)",
        "waiting",
        "  web is starting, 0 s",
        "  web is starting, 10 s",
        "  web is healthy",
    ]


def test_work_goes_on_when_nobody_reads() -> None:
    """A closed pipe must neither raise nor stop the work that reports into it."""
    reader, writer = os.pipe()
    os.close(reader)
    emit = JsonLines(writer)
    emit({"step": "one"})
    emit({"step": "two"})
    os.close(writer)
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, "w")
    lines = LineProgress(stream)
    lines.step("one")
    lines.step("two")
    os.dup2(os.open(os.devnull, os.O_WRONLY), writer)
    stream.close()


def test_threads_may_report_at_once() -> None:
    """Reports of several threads must neither fail nor be mixed within a line."""
    reader, writer = os.pipe()
    emit = JsonLines(writer)
    terminal = Terminal(Console(file=io.StringIO(), force_terminal=True, width=80))
    events = Events(emit, lambda: 0.0)
    received: list[bytes] = []

    def report(number: int) -> None:
        for count in range(10):
            terminal.pull(f"image-{number}", count, 10)
            events.step("x" * 5000)
            if count % 3 == number % 3:
                terminal.step(f"step {number}")
                terminal.wait(f"wait {number}")

    def read() -> None:
        with os.fdopen(reader, "rb") as lines:
            received.extend(lines)

    with ThreadPoolExecutor(9) as pool:
        reading = pool.submit(read)
        for done in [pool.submit(report, number) for number in range(8)]:
            done.result(60)
        os.close(writer)
        reading.result(60)
    terminal.close()
    steps = [json.loads(line) for line in received if b'"step"' in line]
    assert len(steps) == 8 * 10
    assert {len(step["step"]) for step in steps} == {5000}


def test_without_a_terminal_no_display_is_loaded() -> None:
    """Progress for a person must be plain lines when stderr is no terminal, and nothing when quiet."""
    with for_person(quiet=True) as quiet, for_person() as plain:
        assert isinstance(quiet, Silent)
        assert isinstance(plain, LineProgress)
