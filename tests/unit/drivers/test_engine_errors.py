"""How the refusals of all Engines become errors. Which words they use is held by tests/contract."""

from __future__ import annotations

import pytest

from agent.drivers.engine_errors import from_words
from agent.errors import Failed, LimpetError, Transient

OTHER = "c0ca9000858e4b3ee0a991b132c8c6b847fd01d58d8eafe61dc6ce3633bb4aa4"


@pytest.mark.parametrize(
    ("words", "status", "kind", "code"),
    [
        ("write /var/lib/docker/x: no space left on device", 500, Transient, "DiskFull"),
        ("daemon is shutting down", 500, Transient, "RuntimeUnavailable"),
        (
            'connection error: desc = "transport: ... containerd.sock: connect: connection refused"',
            500,
            Transient,
            "RuntimeUnavailable",
        ),
        ("Bind for 0.0.0.0:80 failed: port is already allocated", 500, Failed, "PortTaken"),
        (
            "error starting userland proxy: listen tcp4 0.0.0.0:80: bind: address already in use",
            500,
            Failed,
            "PortTaken",
        ),
        (
            "failed to bind host port for 0.0.0.0:80:172.17.0.2:80/tcp: address already in use",
            500,
            Failed,
            "PortTaken",
        ),
        ("Address already in use", 403, Failed, "AddressTaken"),
        ("Unknown runtime specified nope", 400, Failed, "NotInstalled"),
        ("unknown or invalid runtime name: nope", 400, Failed, "NotInstalled"),
        ("something new", 500, Failed, "RuntimeRefused"),
        ("something new", 503, Transient, "RuntimeRefused"),
    ],
)
def test_the_words_of_the_engine(words: str, status: int, kind: type[LimpetError], code: str) -> None:
    """What the Engine says must become an error of the right class, with its words and a remedy."""
    error = from_words("container x", "start", status, words)
    assert (type(error), error.code, bool(error.hint)) == (kind, code, True)
    assert words in error.message


@pytest.mark.parametrize(
    "words",
    [
        f"cannot join network of a non running container: {OTHER}",
        f"No such container: {OTHER}",
        f"Cannot restart container x: container {OTHER} is not running",
        f"container {OTHER} is not running",
        f"Container {OTHER} is restarting, wait until the container is running",
        f"cannot join PID of a non running container: {OTHER}: No such container: {OTHER}",
        f"failed to join PID namespace: No such container: {OTHER}",
        f"failed to join PID namespace: container {OTHER} is not running",
        f"can't join IPC of container {OTHER}: container {OTHER} is not running",
        f"failed to join IPC namespace: container {OTHER} is not running",
        "OCI runtime create failed: namespace path: lstat /proc/31735/ns/ipc: no such file or directory",
        "Cannot link to a non running container: /gw AS /x/gw",
        "could not get container for gw: No such container: gw",
    ],
)
@pytest.mark.parametrize("status", [400, 404, 409, 500])
def test_a_lender_that_does_not_run(words: str, status: int) -> None:
    """Whatever an Engine says of a container by which another one lives must blame that one."""
    for doing in ("create", "start", "restart"):
        error = from_words("container x", doing, status, words)
        assert (type(error), error.code) == (Failed, "Namespace") and "must run first" in error.hint


def test_a_container_that_is_gone_itself() -> None:
    """What is said of the container itself must not blame another one."""
    for subject in ("container x", f"container {OTHER}"):
        gone = from_words(subject, "start", 404, f"No such container: {subject.removeprefix('container ')}")
        assert (type(gone), gone.code) == (Transient, "Missing")
    stopped = from_words(
        "container x", "run post_start command 1 in", 409, f"container {OTHER} is not running"
    )
    assert stopped.code == "RuntimeRefused"
