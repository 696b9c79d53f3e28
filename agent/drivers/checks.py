"""Runs the checks of the gate: http, tcp, exec. Each answers with an empty text when it is green, else with
what is wrong. `render/checks.py` reads them from a layer file, where the steps to a new type begin.
"""

from __future__ import annotations

import http.client
import socket
import urllib.error
import urllib.request
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from agent.check import Check
from agent.drivers import process

WORKERS = 8


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer with a status of its own."""

    def redirect_request(self, *args: object, **kwargs: object) -> None:
        return None


def run_checks(checks: Iterable[Check]) -> dict[str, str]:
    """Runs all checks at once, each bounded by its own timeout. Name -> the trouble, empty when green."""
    checks = list(checks)
    if not checks:
        return {}
    with ThreadPoolExecutor(min(WORKERS, len(checks)), thread_name_prefix="check") as pool:
        return dict(zip((check.name for check in checks), pool.map(run_check, checks), strict=True))


def run_check(check: Check) -> str:
    """Runs one check, once."""
    if check.http:
        return _http(check)
    if check.tcp:
        return _tcp(check)
    assert check.exec, f"check {check.name} is of no known type"
    return _exec(check)


def _http(check: Check) -> str:
    opener = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler({}))
    try:
        with opener.open(check.http, timeout=check.timeout) as answer:
            status = answer.status
    except urllib.error.HTTPError as error:
        status = error.code
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        return f"{check.http} does not answer: {reason}"
    return "" if status == check.status else f"{check.http} answered {status}, want {check.status}"


def _tcp(check: Check) -> str:
    host, _, port = check.tcp.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=check.timeout):
            return ""
    except OSError as error:
        return f"{check.tcp} does not accept connections: {error.strerror or error}"


def _exec(check: Check) -> str:
    result = process.run_process(check.exec, timeout=check.timeout)
    if result.ok:
        return ""
    said = result.output.strip().splitlines()
    return f"{check.exec[0]} {result.how}" + (f": {said[-1][:200]}" if said else "")
