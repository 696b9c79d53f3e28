"""The daemon: follows the branch, keeps this host converged, and reports in the heartbeat."""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import sys
from pathlib import Path
from random import Random

from agent.clock import SystemClock
from agent.daemon.schedule import phase
from agent.daemon.supervisor import Command, Supervisor
from agent.errors import Stalled, Transient
from agent.installation import Paths, instance
from agent.report import log
from agent.settings.values import Settings

SETTINGS_TIMEOUT = 20.0  # seconds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-v", "--verbose", action="store_true", help="also log polls that found nothing new")


def run(args: argparse.Namespace) -> int:
    from agent.report.heartbeat_writer import Reporter

    log.set_up(level=logging.DEBUG if args.verbose else logging.INFO)
    paths, clock, command = Paths(args.root), SystemClock(), child_command(args.root)
    supervisor = Supervisor(
        paths,
        load=lambda: settings_from_child(command),
        reporter=lambda settings: Reporter(paths, settings, clock),
        command=command,
        clock=clock,
        random=Random(),
        phase=phase(instance(paths)),
    )
    return supervisor.run()


def child_command(root: Path) -> Command:
    """The command of a child: this interpreter, isolated, with the installed package. An upgrade takes effect
    with the next child.
    """
    return lambda verb, *arguments: [
        sys.executable,
        "-I",
        "-m",
        "agent",
        "--root",
        str(root),
        verb,
        *arguments,
    ]


def settings_from_child(command: Command) -> Settings:
    """The settings, checked by a child. Raises Stalled if they are wrong, and Transient if the
    child fails.
    """
    try:
        child = subprocess.run(
            command("_settings"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=SETTINGS_TIMEOUT
        )
        answer = json.loads(child.stdout)
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        raise Transient(
            f"the settings could not be checked: {error}", "see the log for the output of the check"
        ) from error
    if "error" in answer:
        said = answer["error"]
        problems = [f"{p['file']}:{p['line']}: {p['message']}" for p in said.get("problems", ())]
        raise Stalled("\n".join(problems) or said["message"], said["hint"], code=said["code"])
    return Settings.from_json(answer["settings"])
