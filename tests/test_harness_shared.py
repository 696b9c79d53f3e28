"""What workers share must be made once, and be there as long as one of them uses it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness import durations
from tests.harness.engine import CHECKOUT, UNIQUE, unique
from tests.harness.wait import eventually

# A worker: uses the thing until its standard input is closed. What it makes is a file.
WORKER = """
import sys
from contextlib import contextmanager
from pathlib import Path
from tests.harness.shared import end, shared
directory = Path(sys.argv[1])
@contextmanager
def make():
    (directory / "there").touch(exist_ok=False)
    with (directory / "made").open("a") as made: made.write("made ")
    yield {"name": "thing"}
    (directory / "there").unlink()
with shared(directory, "thing", make) as thing:
    print(thing["name"], flush=True)
    sys.stdin.read()
print("end", flush=True)
end()
"""


@contextmanager
def worker(directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    argv = [sys.executable, "-c", WORKER, str(directory)]
    with subprocess.Popen(argv, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline() == b"thing\n"
        yield process


def test_it_is_made_once_and_outlives_its_maker_s_use(tmp_path: Path) -> None:
    """The maker must wait for the other users before it takes the thing down, but not for one that died."""
    with worker(tmp_path) as maker, worker(tmp_path) as user, worker(tmp_path) as killed:
        killed.kill()
        assert maker.stdin and maker.stdout and user.stdin
        maker.stdin.close()
        assert maker.stdout.readline() == b"end\n"
        time.sleep(0.3)
        assert maker.poll() is None and (tmp_path / "there").exists()
        user.stdin.close()
        assert user.wait(30) == 0
        eventually(lambda: maker.poll() == 0, 30, "the maker to end")
    assert not (tmp_path / "there").exists()
    assert (tmp_path / "made").read_text() == "made "


@pytest.mark.parametrize("word", ["lt", "ltd", "lt-hosts", "lt-web-01", "foreign-lt"])
def test_prefixes_are_known_again(word: str) -> None:
    """What carries a prefix of `unique` must be known as left by a run, and a person's things must not."""
    name = unique(word)
    for left in (name, f"{name}-web-1", f"{name}_default", f"{name}/web:v1"):
        found = UNIQUE.match(left)
        assert found and found[0] == name
    for other in ("lt-shop-web-1", "limpet-web-1", f"my-{name}", "lt-0123456789abcdef", "lt", "shop"):
        assert UNIQUE.match(other) is None, other


def test_durations_are_told_by_part_and_by_test() -> None:
    """Each part must have the sum and the number of its tests, and the slowest phases must follow."""

    @dataclass
    class Report:
        nodeid: str
        when: str | None
        duration: float

    reports = [
        Report("tests/e2e/test_a.py::test_x[a/b]", "setup", 1.0),
        Report("tests/e2e/test_a.py::test_x[a/b]", "call", 2.5),
        Report("tests/test_b.py::test_y", "call", 9.0),
    ]
    assert durations.table(reports).splitlines() == [
        "      9.0 s      1  test_b.py",
        "      3.5 s      1  e2e",
        "",
        "      9.0 s  call      tests/test_b.py::test_y",
        "      2.5 s  call      tests/e2e/test_a.py::test_x[a/b]",
        "      1.0 s  setup     tests/e2e/test_a.py::test_x[a/b]",
    ]
