"""The control socket, both sides of it."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from agent.daemon import control
from agent.daemon.control import MAX_BACKLOG, Client, Listener


def pair() -> tuple[Client, socket.socket]:
    ours, theirs = socket.socketpair()
    theirs.settimeout(5)
    return Client(ours), theirs


def test_nobody_listens(tmp_path: Path) -> None:
    """Without a daemon, and beside the socket of a dead one, asking must say so."""
    assert control.ask(tmp_path / "missing", {}) is None
    assert control.ask(tmp_path, {}) is None
    listener = Listener(tmp_path)
    listener.socket.close()
    assert (tmp_path / control.NAME).exists()
    assert control.ask(tmp_path, {}) is None
    Listener(tmp_path).close()


def test_a_deep_directory_is_reached(tmp_path: Path) -> None:
    """A root whose path is longer than a socket's may be must work."""
    deep = tmp_path / ("d" * 200)
    deep.mkdir()
    listener = Listener(deep)
    answer = control.ask(deep, {"verb": "sync"})
    client = listener.accept()
    assert client and client.receive() == {"verb": "sync"}
    client.send({"result": {}}, last=True)
    assert answer and list(answer) == [{"result": {}}]
    listener.close()


@pytest.mark.parametrize("data", [b"not json\n", b"x" * 5000])
def test_what_is_no_request_ends_the_connection(data: bytes) -> None:
    """A client that sends something else must be dropped."""
    client, theirs = pair()
    theirs.sendall(data)
    assert client.receive() is None
    while not client.closed:
        assert client.receive() is None
    theirs.close()


def test_a_request_may_come_in_parts() -> None:
    """A request is complete only with its newline."""
    client, theirs = pair()
    theirs.sendall(b'{"verb":')
    assert client.receive() is None
    assert client.receive() is None
    theirs.sendall(b' "sync"}\n')
    assert client.receive() == {"verb": "sync"}
    client.close()
    theirs.close()


def test_a_client_that_does_not_read_loses_progress_not_its_result() -> None:
    """A slow client must neither block the daemon nor fill its memory, and must still get its result."""
    client, theirs = pair()
    for number in range(5000):
        client.send({"step": "x" * 200, "n": number})
    assert client.pending
    assert len(client._backlog) < MAX_BACKLOG + 1000
    client.send({"result": {"exit_code": 0}}, last=True)
    received = b""
    while not client.closed:
        received += theirs.recv(65536)
        client.flush()
    while chunk := theirs.recv(65536):
        received += chunk
    lines = [json.loads(line) for line in received.splitlines()]
    assert lines[-1] == {"result": {"exit_code": 0}}
    assert [line["n"] for line in lines[:-1]] == list(range(len(lines) - 1))
    theirs.close()


def test_a_client_that_is_gone_is_noticed() -> None:
    """Writing to a client that left must close it, quietly."""
    client, theirs = pair()
    theirs.close()
    client.send({"step": "one"})
    client.send({"step": "two"})
    assert client.closed
    client.send({"step": "three"})
