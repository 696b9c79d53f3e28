"""Turns the Engine's refusals into errors with a remedy. The only place that knows its words.

Rules:
1. When the Engine gives no answer or is going down, the error is Transient: it condemns no release.
2. When a container cannot be created or started because of its own wishes, the error is Failed: the release
   is to blame.
3. Engines word one refusal differently, and give it different statuses. A pattern has the words of all, from
   20.10 on; which one is meant is never read from the status alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from agent.drivers import sdk
from agent.drivers.engine import unavailable
from agent.errors import Failed, LimpetError, Transient

# Words of the Engine, runc or containerd -> code, remedy. The first match counts.
TEMPORARY: list[tuple[str, str, str]] = [
    (
        r"no space left on device|disk quota exceeded",
        "DiskFull",
        "free space where Docker keeps its data: docker system df; df -h",
    ),
    (
        r"no such image",
        "ImageMissing",
        "the next pass pulls it again; does something prune images on this host?",
    ),
    (r"network .* not found", "NetworkMissing", "the next pass makes it again"),
    (r"no such container", "Missing", "the next pass looks again; does something else remove containers?"),
    (
        r"shutting down|containerd.*(connection refused|not running)|transport is closing|ttrpc: closed|"
        r"context canceled|context deadline exceeded|cannot allocate memory|resource temporarily unavailable|"
        r"too many open files",
        "RuntimeUnavailable",
        "see what Docker says: journalctl -u docker",
    ),
    (
        r"marked for removal|removal of container .* is already in progress",
        "Busy",
        "the next pass looks again",
    ),
]
FAILURES: list[tuple[str, str, str]] = [
    (
        r"port is already allocated|address already in use.*(listen|bind)|(listen|bind).*address "
        r"already in use",
        "PortTaken",
        "see who holds the port: ss -ltnup; docker ps. Then stop it, or publish another port",
    ),
    (
        r"address already in use|no available .*addresses",
        "AddressTaken",
        "another container has this address: docker network inspect; choose another static address or a "
        "larger subnet",
    ),
    (
        r"pool overlaps|networks have (overlapping|same bridge name)|could not find an available.*pool|"
        r"all predefined address pools",
        "SubnetTaken",
        "see the networks that are there: docker network ls; ip route. Then choose another subnet under ipam",
    ),
    (
        r"bind source path does not exist|error while creating mount source path",
        "BindMissing",
        "create the path on the host, or track it in the repository beside the Compose file",
    ),
    (
        r"not a directory.*mount|mount.*not a directory|trying to mount a directory onto a file",
        "BindType",
        "a file is mounted on a directory or the other way round: look at the path on the host and in "
        "the image",
    ),
    (
        r"executable file not found|no such file or directory: unknown|exec format error|permission "
        r"denied: unknown",
        "CannotStart",
        "correct `command`, `entrypoint` or `working_dir` of the service, or take an image for this "
        "architecture",
    ),
    (
        r"unable to find user|no matching entries in passwd|unable to find group",
        "UnknownUser",
        "the image has no such user: use a number in `user`, or a name that the image knows",
    ),
    (
        r"could not select device driver|no such device|error gathering device information",
        "NoDevice",
        "the host lacks the device or its driver: see `devices`, `gpus` of the service",
    ),
    (
        r"unknown (log|logging) driver|no such runtime|unknown runtime|invalid runtime name|"
        r"plugin .* not found",
        "NotInstalled",
        "install it on the host, or use another driver",
    ),
    (
        r"user specified ip address is supported",
        "NoSubnet",
        "a static address needs a network with a subnet of its own: networks.NAME.ipam.config",
    ),
    (
        r"non-shareable ipc",
        "Namespace",
        "give the service whose shared memory it uses `ipc: shareable`",
    ),
    (
        r"joining network namespace|(cannot|can't|failed to) join (network|pid|ipc)|cannot link to a non"
        r"|namespace path: lstat /proc/\d+/ns/",  # it ended while this one was being started
        "Namespace",
        "the container by which it lives must run first: depends_on",
    ),
]
# A container that is not the one that is started, and does not run: its lender. Older Engines say no more.
LENDER = r"no such container: (\S+)|container ([0-9a-f]{64}) is (?:not running|restarting)"
BEGINNINGS = ("create", "start", "restart")  # what is done to a container that needs its lender
STATUS = re.compile(r"\s+")
LONGEST = 500  # characters of the Engine's words in a message


@contextmanager
def sdk_errors(subject: str, doing: str, *, missing_is_done: bool = False) -> Iterator[None]:
    """Runs SDK calls and translates their errors. `missing_is_done`: a 404 means that it is done already."""
    sdk.import_sdk()
    from docker.errors import APIError, DockerException
    from requests.exceptions import RequestException

    try:
        yield
    except APIError as error:
        if missing_is_done and error.status_code == 404:
            return
        raise from_words(subject, doing, error.status_code or 0, str(error.explanation or error)) from error
    except (DockerException, RequestException, OSError) as error:
        raise unavailable(f"{doing} {subject}: Docker does not answer: {one_line(str(error))}") from error


def from_words(subject: str, doing: str, status: int, words: str) -> LimpetError:
    """The error for a refusal of the Engine."""
    said = f"cannot {doing} {subject}: {one_line(words)}"
    lower = words.lower()
    other = re.search(LENDER, lower)
    if other and doing in BEGINNINGS and (name := other[1] or other[2]) not in subject.lower():
        return Failed(said, f"the service lives by container {name}, which must run first", code="Namespace")
    for pattern, code, hint in TEMPORARY:
        if re.search(pattern, lower):
            return Transient(said, hint, code=code)
    for pattern, code, hint in FAILURES:
        if re.search(pattern, lower):
            return Failed(said, hint, code=code)
    if status in (404, 429, 502, 503, 504):
        return Transient(said, "the next pass tries again", code="RuntimeRefused")
    return Failed(
        said,
        "the Engine refused what the service asks for; correct the Compose file, or see journalctl -u docker",
        code="RuntimeRefused",
    )


def one_line(words: str) -> str:
    """The Engine's words on one line, at most 500 characters."""
    line = STATUS.sub(" ", words).strip()
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"
