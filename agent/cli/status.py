"""Shows the heartbeat for a person: the state, the reason, what to do and since when; then the resources, the
last pass and the next look.

Exit code: 0 if the host is Synced or Progressing and the heartbeat is not late, else 1.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from agent.errors import EXIT_FAILED, LimpetError
from agent.installation import Paths
from agent.model import Json
from agent.report.heartbeat import ALWAYS, explanation
from agent.report.heartbeat_writer import read
from agent.report.sections import seconds_of
from agent.revision import Revision
from agent.store.locks import holder

HEALTHY_STATES = ("Synced", "Progressing")
_COLOURS = {"Synced": "green", "Progressing": "cyan", "Suspended": "yellow", "Offline": "yellow"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the heartbeat as it is")


def run(args: argparse.Namespace) -> int:
    paths = Paths(args.root)
    try:
        doc = read(_file(args.root))
    except LimpetError as error:
        print(f"limpet: {error.message}\nhint: {error.hint}", file=sys.stderr)
        return EXIT_FAILED
    late = lateness(doc, now=time.time(), monotonic=time.monotonic(), boot_id=_boot_id())
    code = 0 if doc["state"] in HEALTHY_STATES and not late else EXIT_FAILED
    if args.json:
        print(json.dumps(doc, indent=2, ensure_ascii=False))
        return code
    daemon = holder(paths.run / "daemon.lock")
    _print(list(lines(doc, late=late, daemon=daemon is not None, now=time.time())))
    return code


def lateness(doc: Mapping[str, Json], *, now: float, monotonic: float, boot_id: str) -> float:
    """The seconds since the heartbeat was due; 0 if it is on time. Within one boot the monotonic clock is
    used, because the wall clock may jump.
    """
    allowed = seconds_of(doc["due_by"]) - seconds_of(doc["written_at"])
    same_boot = bool(boot_id) and boot_id == doc["boot_id"]
    age = monotonic - doc["uptime_s"] if same_boot else now - seconds_of(doc["written_at"])
    return max(0.0, age - allowed)


def lines(doc: Mapping[str, Json], *, late: float, daemon: bool, now: float) -> Iterator[str]:
    """The lines of the text. The first one is the state."""
    why, remedy = explanation(doc, doc["state"])
    if late:
        yield f"LATE: the heartbeat is {_span(late)} overdue; the status below is out of date"
        yield "  to do       " + (
            "the daemon hangs: systemctl restart limpet"
            if daemon
            else "no daemon runs here: systemctl start limpet, or `limpet sync` for one pass"
        )
        yield f"  it was      {doc['state']}: {why}"
    else:
        yield f"{doc['state']}: {why}"
    if remedy:
        yield f"  to do       {remedy}"
    ready = next(c for c in doc["conditions"] if c["type"] == "Ready")
    yield f"  since       {_when(ready['since'], now)}"
    yield from _what(doc, now)
    yield from _conditions(doc, now)
    for problem in doc["resources"]["problems"]:
        yield f"  {problem['health']:<11} {problem['resource']}" + (
            f": {problem['message']}" if problem["message"] else ""
        )
    for name in doc["drift"]["flapping"]:
        yield f"  flapping    {name} is left alone until a new commit, or: limpet retry {name}"
    for warning in (*doc["damaged"], *doc["warnings"]):
        yield f"  warning     {warning}"
    yield from _last_pass(doc, why, now)
    yield from _next(doc, daemon, now)


def _conditions(doc: Mapping[str, Json], now: float) -> Iterator[str]:
    """The bad conditions that the first line does not mention."""
    told = {"Ready", "Reconciling", "Healthy", doc["state"]}
    if doc["state"] == "Offline":
        told.add("SourceFresh")
    for condition in doc["conditions"]:
        bad = condition["status"] == "False" or condition["type"] not in ALWAYS
        if bad and condition["type"] not in told:
            yield f"  {condition['type']:<11} {condition['message']} (since {_when(condition['since'], now)})"


def _what(doc: Mapping[str, Json], now: float) -> Iterator[str]:
    revision, source = doc["revision"], doc["source"]
    yield f"  host        {doc['host']['name']}  limpet {doc['agent_version']}"
    yield (
        f"  source      {source['url']} {source['branch']}, last answer "
        f"{_when(source['last_success_at'], now)}"
    )
    applied = _short(revision["applied"]) or "nothing"
    yield f"  applied     {applied}" + (
        f", release {doc['release'][:8]}, {_when(revision['applied_at'], now)}" if doc["release"] else ""
    )
    if revision["observed"] and revision["observed"] != revision["applied"]:
        yield f"  observed    {_short(revision['observed'])}"
    for rejected in doc["rejected"][:3]:
        yield (
            f"  rejected    {_short(rejected['revision'])}, release {rejected['release'][:8]}: "
            f"{rejected['reason']}"
        )
    counts = ", ".join(f"{count} {health}" for health, count in sorted(doc["resources"]["by_health"].items()))
    yield f"  resources   {doc['resources']['total']}" + (f": {counts}" if counts else "")
    health = doc["health"]
    if health["at"]:
        heard = "" if health["watching"] else "; between passes only polls look at the host"
        yield f"  seen        {_when(health['at'], now)}{heard}"


def _last_pass(doc: Mapping[str, Json], why: str, now: float) -> Iterator[str]:
    last = doc["last_pass"]
    if not last:
        return
    nothing = "nothing to do" if doc["outcome"] == "Converged" else "nothing was changed"
    words = ("created", "replaced", "deleted", "corrective", "failed")
    counts = ", ".join(f"{last[word]} {word}" for word in words if last.get(word))
    yield (
        f"  last pass   {doc['outcome']}, {_when(last['started_at'], now)}, {last['duration_s']:.1f} s"
        f" ({last['trigger']}): {counts or nothing}"
    )
    error = last["error"]
    if error and error["message"] not in why:
        yield f"  error       {error['message']}"
        if error["hint"]:
            yield f"  to do       {error['hint']}"


def _next(doc: Mapping[str, Json], daemon: bool, now: float) -> Iterator[str]:
    due = seconds_of(doc["next"]["poll_at"])
    if due > now:
        yield f"  next        look in {_span(due - now)}"
    elif daemon:
        yield "  next        look is due now"
    else:
        yield "  next        no look is planned: no daemon runs here"
    failures = {kind: count for kind, count in doc["next"].get("backoff", {}).items() if count}
    if failures:
        yield (
            "  backoff     "
            f"{', '.join(f'{count} passes in a row: {kind}' for kind, count in failures.items())}"
        )
    yield from _retry(doc["next"], now)
    if doc["next"]["blocked_by"]:
        yield f"  waits for   {', '.join(doc['next']['blocked_by'])}"


def _retry(upcoming: Mapping[str, Json], now: float) -> Iterator[str]:
    """Until when a failed pass waits to be tried again, and what would end that sooner."""
    at = seconds_of(upcoming.get("retry_at", ""))
    if at <= now:
        return
    until = f"{time.strftime('%H:%M:%S', time.localtime(at))} (in {_span(at - now)})"
    sooner = upcoming.get("waits_for")
    yield f"  tries again at {until}" + (f" at the latest; waits for {sooner}" if sooner else "")


def _print(text: list[str]) -> None:
    if not sys.stdout.isatty():
        print("\n".join(text))
        return
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    console.print(text[0], style=f"bold {_COLOURS.get(text[0].partition(':')[0], 'red')}", markup=False)
    console.print("\n".join(text[1:]), markup=False)


def _file(root: Path) -> Path:
    """The path of the heartbeat; the default path if the settings are wrong."""
    from agent.settings.load import load_settings
    from agent.settings.values import HeartbeatSettings

    try:
        return Paths(root).host(load_settings(root).heartbeat.file)
    except LimpetError:
        return Paths(root).host(HeartbeatSettings().file)


def _boot_id() -> str:
    from agent.clock import SystemClock

    return SystemClock().boot_id()


def _short(revision: str) -> str:
    return Revision.parse(revision).short


def _when(time_text: str, now: float) -> str:
    at = seconds_of(time_text)
    if not at:
        return "never"
    return (
        f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(at))} ({_span(now - at)} ago)"
        if now >= at
        else time_text
    )


def _span(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0, seconds):.0f} s"
