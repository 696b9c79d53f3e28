"""The log: one line per step on stderr, for the journal or a terminal.

Rules:
1. Under systemd (`JOURNAL_STREAM` names our stderr) each line starts with its priority, `<6>` and the like;
   else it is plain.
2. Credentials of a URL never appear, neither in a message nor in a traceback.
3. The log is for people and may be lost: nothing reads it back.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from typing import TextIO

from agent.redact import redact

_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


class _Formatter(logging.Formatter):
    def __init__(self, *, priorities: bool) -> None:
        super().__init__("%(message)s")
        self._priorities = priorities

    def format(self, record: logging.LogRecord) -> str:
        text = redact(super().format(record))
        if not self._priorities:
            return text if record.levelno < logging.WARNING else f"{record.levelname.lower()}: {text}"
        prefix = f"<{_PRIORITIES.get(record.levelno, 6)}>"
        return "\n".join(prefix + line for line in text.splitlines() or [""])


def set_up(
    stream: TextIO | None = None, *, level: int = logging.INFO, environ: Mapping[str, str] = os.environ
) -> None:
    """Sends our log records from `level` up to `stream` (default: stderr), and those of libraries from
    warnings up.
    """
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Formatter(priorities=is_journal(stream, environ)))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logger.setLevel(level)


def is_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether the stream is the one that systemd connected to the journal (and was not redirected since)."""
    try:
        device, _, inode = environ.get("JOURNAL_STREAM", "").partition(":")
        status = os.fstat(stream.fileno())
        return (status.st_dev, status.st_ino) == (int(device), int(inode))
    except (ValueError, OSError):
        return False


logger = logging.getLogger("limpet")
