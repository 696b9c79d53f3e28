"""The log's lines."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.report import log


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
