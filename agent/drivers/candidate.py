"""Runs the `check` of a file on its new content, before anything is replaced.

The command is an argv list, never a shell; `process` gives it a deadline and caps its output. Its output may
quote the file: it is shown in an error only when the file is world-readable.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from agent.drivers import process
from agent.drivers.files import owner_ids
from agent.errors import Failed, Transient
from agent.model import Resource

DEADLINE = 30.0  # seconds
OUTPUT = 4000  # characters that are shown


def check_candidate(resource: Resource, content: bytes, root: Path, *, deadline: float = DEADLINE) -> None:
    """Runs `spec.check` with `{file}` replaced by a file that holds `content`. Errors: Failed with the output
    of the check; Transient.
    """
    argv = list(resource.spec.get("check") or ())
    if not argv:
        return
    path, mode = resource.spec["path"], int(resource.spec["mode"], 8)
    uid, gid = owner_ids(resource.spec)
    try:
        place = root / "run/limpet"
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="check-", dir=place) as directory:
            candidate = _written(Path(directory, Path(path).name), content, mode, uid, gid)
            result = process.run_process(
                [part.replace("{file}", str(candidate)) for part in argv], timeout=deadline
            )
    except OSError as error:
        hint = f"look at the file system of {place} (df, dmesg)"
        raise Transient(
            f"{path}: cannot write a candidate: {error.strerror}", hint, code="CheckFailed"
        ) from error
    if not result.ok:
        said = (
            result.output[-OUTPUT:].strip()
            if mode & 0o004
            else "(output not shown: the file is not world-readable)"
        )
        raise Failed(
            f"{path}: its check {argv[0]} {result.how}: {said}".removesuffix(": "),
            f"correct the file or its `check`: {resource.origin or path}",
            code="CheckFailed",
            resource=str(resource.key),
        )


def _written(place: Path, content: bytes, mode: int, uid: int, gid: int) -> Path:
    """Writes the candidate file, which is private until it has its owner; only then it gets mode and content.

    place: its path
    content: its bytes
    mode: its permission bits
    uid, gid: its owner and group
    """
    place.touch(mode=0o600)
    if (place.stat().st_uid, place.stat().st_gid) != (uid, gid):
        os.chown(place, uid, gid)
    place.chmod(mode)
    place.write_bytes(content)
    return place
