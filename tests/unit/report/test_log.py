"""The log's lines and what progress looks like."""

from __future__ import annotations

import io
import json
import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from rich.console import Console

from agent.report import log
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


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)


def journal(path: Path) -> tuple[io.TextIOWrapper, dict[str, str]]:
    """A stream, and the environment in which systemd says that it is the journal's."""
    stream = path.open("w+")
    status = os.fstat(stream.fileno())
    return stream, {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}


def test_under_systemd_every_line_has_its_priority(tmp_path: Path) -> None:
    """Each line of a message must start with its priority, also the lines of a traceback."""
    stream, environ = journal(tmp_path / "log")
    log.set_up(stream, environ=environ)
    log.logger.info("one\ntwo")
    log.logger.warning("three")
    try:
        raise ValueError("four")
    except ValueError:
        log.logger.exception("five")
    stream.seek(0)
    lines = stream.read().splitlines()
    assert lines[:3] == ["<6>one", "<6>two", "<4>three"]
    assert lines[3] == "<3>five" and lines[-1] == "<3>ValueError: four"
    assert all(line.startswith("<3>") for line in lines[3:])


@pytest.mark.parametrize("environ", [{}, {"JOURNAL_STREAM": "1:2"}, {"JOURNAL_STREAM": "nonsense"}])
def test_elsewhere_lines_are_plain(tmp_path: Path, environ: dict[str, str]) -> None:
    """Without systemd, or with stderr redirected, no prefix may appear; what is not information says so."""
    with (tmp_path / "log").open("w+") as stream:
        log.set_up(stream, environ=environ)
        log.logger.info("one")
        log.logger.error("two")
        stream.seek(0)
        assert stream.read() == "one\nerror: two\n"


def test_credentials_of_urls_never_appear() -> None:
    """A password or token in a URL must not reach the log: not in arguments, tracebacks, and not from a
    library.
    """
    stream = io.StringIO()
    log.set_up(stream, environ={})
    log.logger.info("cannot reach %s", "https://u:s3cret@host/x?token=s3cret")
    try:
        raise ValueError("https://s3cret@host")
    except ValueError:
        logging.getLogger("library").exception("https://bot:s3cret@host")
    text = stream.getvalue()
    assert "s3cret" not in text
    assert "cannot reach https://host/x?token=***" in text


def test_libraries_speak_from_warnings_up() -> None:
    """Chatter of libraries must stay out of the log."""
    stream = io.StringIO()
    log.set_up(stream, environ={}, level=logging.DEBUG)
    logging.getLogger("urllib3").info("chatter")
    logging.getLogger("urllib3").warning("trouble")
    log.logger.debug("detail")
    assert stream.getvalue() == "warning: trouble\ndetail\n"


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


def test_a_terminal_keeps_the_steps_and_forgets_what_moved() -> None:
    """On a terminal the steps must stay as they were said, markup characters and all."""
    stream = io.StringIO()
    terminal = Terminal(
        Console(file=stream, force_terminal=True, width=80, color_system=None, highlight=False)
    )
    terminal.step("pulling [2] images")
    terminal.pull("busybox:1", 500, 1500)
    terminal.pull("busybox:1", 1500, 1500)
    terminal.pull("nginx", 10, 0)
    terminal.wait("web [starting]")
    terminal.wait("web [healthy]")
    terminal.detail("web [bold]")
    terminal.step("done")
    terminal.close()
    text = stream.getvalue()
    assert "pulling [2] images" in text and "web [bold]" in text and "busybox:1" in text
    assert text.rstrip().endswith("done")


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
