"""Checks what Limpet needs on this host, and says what to do: settings, credentials, state, source, Docker,
systemd, disk and clock.

It changes nothing. Exit code: 0 if nothing is wrong (there may be warnings), else 1.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agent.errors import EXIT_FAILED, EXIT_OK, BadInput, LimpetError
from agent.fetch.address import LOCAL, parse_address
from agent.installation import Paths
from agent.redact import redact
from agent.report import heartbeat
from agent.settings.load import load_settings
from agent.settings.secret_files import given_files, open_to_others
from agent.settings.values import Settings

SOURCE_TIMEOUT = 60.0  # seconds
COMMAND_TIMEOUT = 10.0
BUILT = 1_700_000_000  # a correct clock never shows an earlier time (2023-11-14)

Level = Literal["ok", "warning", "wrong"]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The result of one check. `hint` says what to do."""

    level: Level
    message: str
    hint: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    pass


def run(args: argparse.Namespace) -> int:
    paths = Paths(args.root)
    wrong = 0
    for name, finding in examine(paths):
        wrong += finding.level == "wrong"
        mark = {"ok": "ok", "warning": "warning", "wrong": "WRONG"}[finding.level]
        print(f"{mark:<8} {name:<12} {finding.message}")
        if finding.hint:
            print(f"{'':<21} to do: {finding.hint}")
    return EXIT_FAILED if wrong else EXIT_OK


def examine(paths: Paths) -> Iterator[tuple[str, Diagnosis]]:
    """The results of all checks, in the order in which problems should be solved."""
    current: Settings | None = None
    try:
        current = load_settings(paths.root)
        yield (
            "settings",
            Diagnosis("ok", f"{paths.settings}: {redact(current.source.url)} {current.source.ref_name}"),
        )
    except BadInput as error:
        for problem in error.problems:
            where = f"{problem.file}:{problem.line}" if problem.line else problem.file
            yield "settings", Diagnosis("wrong", f"{where}: {problem.message}", problem.hint)
    except LimpetError as error:
        yield "settings", _of(error)
    checks: list[tuple[str, Callable[[], Iterator[Diagnosis]]]] = [("state", lambda: _state(paths))]
    if current is not None:
        known = current
        checks += [
            ("credentials", lambda: _credentials(paths, known)),
            ("source", lambda: _source(paths, known)),
            ("docker", lambda: _docker(known)),
            ("heartbeat", lambda: _heartbeat(paths, known)),
        ]
    checks += [("systemd", lambda: _systemd(paths)), ("disk", lambda: _disk(paths)), ("clock", _clock)]
    for name, check in checks:
        for finding in check():
            yield name, finding


def _of(error: LimpetError) -> Diagnosis:
    return Diagnosis("wrong", redact(error.message), redact(error.hint))


def _state(paths: Paths) -> Iterator[Diagnosis]:
    from agent.installation import machine_id
    from agent.store.inventory import InventoryStore
    from agent.store.state import StateStore

    state, inventory = StateStore(paths.state), InventoryStore(paths.state)
    try:
        here, known = machine_id(paths), state.load()
        inventory.load()
    except LimpetError as error:
        yield _of(error)
        return
    for note in (*state.damaged, *inventory.damaged):
        yield Diagnosis("warning", note, "the next pass writes it again")
    if known.machine_id and known.machine_id != here:
        yield Diagnosis(
            "wrong",
            "the state belongs to another machine",
            "if this is the same host on new hardware: limpet accept machine",
        )
    directory = next(path for path in (paths.state, *paths.state.parents) if path.exists())
    if not os.access(directory, os.W_OK):
        yield Diagnosis("wrong", f"{directory} cannot be written", "run as root")
    applied = known.applied_revision or "nothing was applied yet"
    yield Diagnosis("ok", f"{paths.state}: {applied}, {len(inventory.entries)} resources owned")


def _credentials(paths: Paths, current: Settings) -> Iterator[Diagnosis]:
    source, given = current.source, given_files(current)
    wrong = [found for name, path in given.items() if (found := _credential(name, paths.host(path)))]
    yield from wrong
    if source.known_hosts:
        yield from _known_hosts(paths.host(source.known_hosts))
    if parse_address(source.url).scheme == "ssh" and not source.known_hosts:
        yield Diagnosis(
            "warning",
            "source.known_hosts is not set",
            "write the server's host key into a file, and name it there",
        )
    if not wrong:
        yield Diagnosis("ok", f"{', '.join(given)} given" if given else "none are given")


def _known_hosts(path: Path) -> Iterator[Diagnosis]:
    """The lines that are skipped; nothing when the file itself cannot be read."""
    from agent.fetch.known_hosts import KnownHosts

    try:
        known = KnownHosts(path.read_bytes())
    except OSError:
        return
    for number, why in known.unreadable.items():
        yield Diagnosis(
            "warning",
            f"source.known_hosts: {path}:{number} is skipped: {why}",
            "correct the line, or remove it",
        )


def _credential(name: str, path: Path) -> Diagnosis | None:
    """The problem with the file that a setting names, if there is one."""
    try:
        path.read_bytes()
    except OSError as error:
        return Diagnosis("wrong", f"{name}: {path}: {error.strerror}", "write the file, or correct the path")
    what, remedy = open_to_others(name, path)
    return Diagnosis("wrong", what, remedy) if what else None


def _source(paths: Paths, current: Settings) -> Iterator[Diagnosis]:
    from agent import sandbox
    from agent.converge import desired

    started, address = time.monotonic(), parse_address(current.source.url)
    if address.scheme in LOCAL and not Path(address.path).exists():
        yield Diagnosis("wrong", f"there is no {address.path}", "correct source.url")
        return
    if address.in_the_clear:
        yield Diagnosis(
            "warning",
            f"{address.shown} is plain http: whoever is on the way can change what this host runs",
            "use https or ssh in source.url",
        )
    try:
        answer, _ = sandbox.call(
            "_fetch", desired.request(paths, current, "", look=True), timeout=SOURCE_TIMEOUT
        )
    except LimpetError as error:
        yield _of(error)
        return
    if answer.get("refused"):
        yield Diagnosis("wrong", answer["refused"], answer["hint"])
        return
    at = f": {current.source.ref_name} is at {answer['commit'][:7]}" if "commit" in answer else ""
    yield Diagnosis("ok", f"answers in {time.monotonic() - started:.1f} s{at}")


def _docker(current: Settings) -> Iterator[Diagnosis]:
    from agent.drivers.engine import Engine

    engine = Engine(current.engine.socket, timeout=COMMAND_TIMEOUT)
    try:
        version, containers = engine.ping(), len(engine.containers())
    except LimpetError as error:
        yield _of(error)
    else:
        yield Diagnosis("ok", f"{current.engine.socket} speaks API {version}, {containers} containers")
    finally:
        engine.close()


def _heartbeat(paths: Paths, current: Settings) -> Iterator[Diagnosis]:
    from agent.cli.status import lateness
    from agent.clock import SystemClock
    from agent.report.heartbeat_writer import read
    from agent.store.locks import holder

    clock = SystemClock()
    daemon = holder(paths.run / "daemon.lock")
    try:
        doc = read(paths.host(current.heartbeat.file))
    except LimpetError as error:
        yield Diagnosis("warning", error.message, error.hint)
        return
    late = lateness(doc, now=clock.wall(), monotonic=clock.monotonic(), boot_id=clock.boot_id())
    if daemon is None:
        yield Diagnosis("warning", "no daemon runs here", "systemctl start limpet")
    elif late:
        yield Diagnosis(
            "wrong",
            f"the daemon (pid {daemon}) is {late:.0f} s late with its heartbeat",
            "systemctl restart limpet",
        )
    why, hint = heartbeat.explanation(doc, doc["state"])
    yield Diagnosis(
        "ok" if doc["state"] in ("Synced", "Progressing") else "wrong", f"{doc['state']}: {why}", hint
    )


def _systemd(paths: Paths) -> Iterator[Diagnosis]:
    if not Path("/run/systemd/system").is_dir():
        yield Diagnosis("warning", "this machine does not run systemd", "start `limpet run` by other means")
        return
    if paths.root != Path("/"):
        yield Diagnosis("ok", "systemd runs; limpet.service is only for the root /")
        return
    enabled, active = (
        _said("systemctl", "is-enabled", "limpet.service"),
        _said("systemctl", "is-active", "limpet.service"),
    )
    if active != "active":
        yield Diagnosis(
            "warning", f"limpet.service is {active or 'unknown'}", "systemctl enable --now limpet.service"
        )
    elif enabled != "enabled":
        yield Diagnosis(
            "warning",
            f"limpet.service is {enabled}: it does not start at boot",
            "systemctl enable limpet.service",
        )
    else:
        yield Diagnosis("ok", "limpet.service is active and enabled")


def _disk(paths: Paths) -> Iterator[Diagnosis]:
    directory = next(path for path in (paths.state, *paths.state.parents) if path.exists())
    disk = os.statvfs(directory)
    free, nodes = disk.f_bavail * disk.f_frsize, disk.f_favail if disk.f_files else None
    if free < heartbeat.LOW_DISK:
        yield Diagnosis(
            "wrong",
            f"{free >> 20} MiB are free for {paths.state}",
            "free space: docker image prune, old logs",
        )
    elif nodes is not None and nodes < 1000:
        yield Diagnosis(
            "wrong", f"{nodes} inodes are free for {paths.state}", "remove small files that nobody needs"
        )
    else:
        yield Diagnosis("ok", f"{free >> 20} MiB are free for {paths.state}")


def _clock() -> Iterator[Diagnosis]:
    if time.time() < BUILT:
        yield Diagnosis("wrong", f"the clock shows {time.strftime('%Y-%m-%d')}", "set it, or start NTP")
    elif (synchronized := _said("timedatectl", "show", "--property=NTPSynchronized", "--value")) == "no":
        yield Diagnosis("warning", "the clock is not synchronised", "timedatectl set-ntp true")
    else:
        yield Diagnosis(
            "ok",
            "synchronised"
            if synchronized == "yes"
            else "plausible; it is not known whether it is synchronised",
        )


def _said(*argv: str) -> str:
    """The first line that a command prints, whatever its exit code; empty if it cannot run or hangs."""
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=COMMAND_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(sys.getdefaultencoding(), "replace").partition("\n")[0].strip()
