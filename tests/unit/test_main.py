"""The command itself: finding the verb, help, errors, exit codes."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

import agent.__main__ as command
from agent.errors import BadInput, Failed, Interrupted, LimpetError, Problem, Stalled, Transient

LIMPET = [sys.executable, "-I", "-m", "agent"]


def limpet(*argv: str, **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*LIMPET, *argv], capture_output=True, text=True, timeout=60, **more)  # type: ignore[call-overload, no-any-return]


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[argparse.Namespace], int]], None]:
    """Makes `limpet version` run the given function."""

    def install(run: Callable[[argparse.Namespace], int]) -> None:
        module = types.ModuleType("agent.cli.version")
        module.add_arguments = lambda parser: None  # type: ignore[attr-defined]
        module.run = run  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "agent.cli.version", module)

    return install


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"], ["help"], ["--root", "/x", "--help"]])
def test_without_a_verb_the_commands_are_listed(argv: list[str]) -> None:
    """`limpet` alone must list the commands, each with a line, none that is not there and none that is
    hidden.
    """
    done = limpet(*argv)
    assert done.returncode == 0
    there = {path.stem for path in (Path(command.__file__).parent / "cli").glob("[a-z]*.py")}
    listed = {line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")}
    assert listed == there
    assert done.stderr == ""


def test_every_verb_of_the_table_that_is_there_has_its_help() -> None:
    """Every listed verb must answer --help, with its own usage line and the common option."""
    for verb in command.verbs():
        done = limpet(verb, "--help")
        assert (done.returncode, done.stderr) == (0, ""), verb
        assert done.stdout.startswith(f"usage: limpet {verb}")
        assert "--root DIR" in done.stdout


def test_a_mistyped_verb_is_answered_with_the_nearest() -> None:
    """An unknown command must exit 64 and say what was meant."""
    done = limpet("synk")
    assert (done.returncode, done.stdout) == (64, "")
    assert done.stderr == "limpet: there is no command 'synk'\nhint: did you mean `limpet sync`?\n"
    assert "lists the commands" in limpet("xyzzy").stderr


@pytest.mark.parametrize(
    "argv", [["sync", "--quite"], ["sync", "extra"], ["--root"], ["sync", "--root"], ["--rot", "x", "sync"]]
)
def test_wrong_usage_exits_64(argv: list[str]) -> None:
    """Wrong usage must not look like "there are changes" (2), and must point to the help."""
    done = limpet(*argv)
    assert (done.returncode, done.stdout) == (64, "")
    assert "hint: " in done.stderr


@pytest.mark.parametrize(
    "argv",
    [
        ["--root", "DIR", "version"],
        ["version", "--root", "DIR"],
        ["--root=DIR", "version"],
        ["version", "--root=DIR"],
        ["--root", "/other", "version", "--root", "DIR"],
    ],
)
def test_the_root_may_stand_before_or_after_the_verb(
    argv: list[str],
    tmp_path: Path,
    verb: Callable[[Callable[[argparse.Namespace], int]], None],
) -> None:
    """--root must work on both sides of the verb; the later one wins."""
    seen = []
    verb(lambda args: seen.append(args.root) or 0)  # type: ignore[func-returns-value]
    assert command.main([word.replace("DIR", str(tmp_path)) for word in argv]) == 0
    assert seen == [tmp_path]


def test_a_relative_root_becomes_absolute(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    verb: Callable[[Callable[[argparse.Namespace], int]], None],
) -> None:
    """A relative root must be taken from the current directory, once, and be / when it is not given."""
    seen = []
    verb(lambda args: seen.append(args.root) or 0)  # type: ignore[func-returns-value]
    monkeypatch.chdir(tmp_path)
    command.main(["version", "--root", "x/../y"])
    command.main(["version"])
    assert seen == [tmp_path / "y", Path("/")]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Transient("the registry does not answer", "it is tried again"), 75),
        (Stalled("no", "do this"), 78),
        (Failed("it failed", ""), 1),
        (Interrupted("stopped", ""), 75),
    ],
)
def test_an_error_becomes_message_hint_and_exit_code(
    error: LimpetError,
    code: int,
    capsys: pytest.CaptureFixture[str],
    verb: Callable[[Callable[[argparse.Namespace], int]], None],
) -> None:
    """Errors of ours must not show a traceback but what is wrong and what to do."""

    def fail(args: argparse.Namespace) -> int:
        raise error

    verb(fail)
    assert command.main(["version"]) == code
    hint = f"hint: {error.hint}\n" if error.hint else ""
    assert capsys.readouterr() == ("", f"limpet: {error.message}\n{hint}")


def test_bad_input_shows_every_problem(
    capsys: pytest.CaptureFixture[str], verb: Callable[[Callable[[argparse.Namespace], int]], None]
) -> None:
    """All problems must be shown, each with its place and hint, and of very many the first twenty."""

    def fail(args: argparse.Namespace) -> int:
        raise BadInput(
            [Problem("fleet.yaml", line, f"problem {line}", "correct it") for line in range(1, 31)]
        )

    verb(fail)
    assert command.main(["version"]) == 78
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["limpet: fleet.yaml:1: problem 1", "    hint: correct it"]
    assert lines[-1] == "limpet: … and 10 more"
    assert len(lines) == 41


def test_ctrl_c_is_quiet(
    capsys: pytest.CaptureFixture[str], verb: Callable[[Callable[[argparse.Namespace], int]], None]
) -> None:
    """Ctrl-C must end a command with 130 and without a traceback."""

    def interrupt(args: argparse.Namespace) -> int:
        raise KeyboardInterrupt

    verb(interrupt)
    assert command.main(["version"]) == 130
    assert capsys.readouterr() == ("", "")


def test_a_reader_that_went_away_is_quiet() -> None:
    """`limpet | head -0` must say nothing about its pipe."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as stdout:
        done = subprocess.run(LIMPET, stdout=stdout, stderr=subprocess.PIPE, timeout=60)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_bug_shows_its_traceback(verb: Callable[[Callable[[argparse.Namespace], int]], None]) -> None:
    """What is no error of ours must not be hidden."""

    def crash(args: argparse.Namespace) -> int:
        raise ZeroDivisionError

    verb(crash)
    with pytest.raises(ZeroDivisionError):
        command.main(["version"])


def test_version_is_answered_as_option_too() -> None:
    """`limpet --version` must print name and version."""
    done = limpet("--version")
    assert done.stdout.startswith("limpet 0.")
    assert done.stdout == limpet("-V").stdout
