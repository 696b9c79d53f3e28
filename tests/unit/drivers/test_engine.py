"""The light reader: unknown is not missing, whatever the Engine or the line does."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.drivers.engine import Engine
from agent.errors import LimpetError, Stalled, Transient
from tests.harness.engine import Engine as RealEngine
from tests.harness.proxy import proxy

ZEROS = "0" * 64
PING = b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 2\r\n\r\nOK"


def reply(body: bytes, status: str = "200 OK", *headers: bytes) -> bytes:
    extra = b"".join(header + b"\r\n" for header in headers)
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n%b\r\n%b" % (status.encode(), len(body), extra, body)


@contextlib.contextmanager
def server(place: Path, answer: Callable[[str], bytes | None]) -> Iterator[str]:
    """A unix socket that answers each request by its path; None closes the connection."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(place))
    listener.listen()

    def serve(connection: socket.socket) -> None:
        with connection:
            data = b""
            while chunk := connection.recv(65536):
                data += chunk
                if not data.endswith(b"\r\n\r\n"):
                    continue
                path, data = data.split(b" ")[1].decode(), b""
                said = answer(path)
                if said is None:
                    return
                connection.sendall(said)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield str(place)
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def test_a_missing_socket_is_unavailable(tmp_path: Path) -> None:
    """No socket must be an error with a remedy, never an empty list."""
    with pytest.raises(Transient) as error:
        Engine(str(tmp_path / "none.sock")).containers()
    assert error.value.code == "RuntimeUnavailable" and "systemctl status docker" in error.value.hint


@pytest.mark.parametrize(
    "answer",
    [
        None,
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n5",
        b"HTTP/1.1 200 OK\r\n\r\n[]",
        b"HTTP/1.1 xx\r\n\r\n",
        reply(b"[{"),
        reply(b"{}"),
        reply(b"null"),
        reply(b"[]", "500 Internal Server Error"),
        reply(b"[]", "404 Not Found"),
        reply(b"[]", "301 Moved"),
    ],
    ids=[
        "closed",
        "garbage",
        "cut",
        "cut chunk",
        "no length",
        "no status",
        "cut json",
        "object",
        "null",
        "500",
        "404",
        "301",
    ],
)
def test_a_wrong_answer_is_never_an_empty_list(tmp_path: Path, answer: bytes | None) -> None:
    """Whatever is not a whole 200 with a list must be an error."""
    with server(tmp_path / "docker.sock", lambda path: PING if path == "/_ping" else answer) as place:
        engine = Engine(place, timeout=0.5)
        for ask in (engine.containers, engine.networks, engine.images):
            with pytest.raises(Transient) as error:
                ask()
            assert error.value.code == "RuntimeUnavailable"
        with pytest.raises(Transient):
            engine.volumes()
        engine.close()


def test_every_cut_of_a_real_answer_is_an_error(engine: RealEngine, tmp_path: Path) -> None:
    """A connection cut after n bytes, for many n, must be an error, and the next look must be right again."""
    whole = len(str(Engine(engine.socket).images()))
    with proxy(engine.socket, tmp_path / "docker.sock") as line:
        for count in (0, 1, 10, 50, 150, 250, whole // 2):
            line.cut_after(count)
            with pytest.raises(Transient):
                Engine(str(tmp_path / "docker.sock")).images()
        line.resume()
        reader = Engine(str(tmp_path / "docker.sock"))
        assert any("limpet-test/idle:v1" in (image["RepoTags"] or ()) for image in reader.images())
        reader.close()


def test_silence_is_an_error_in_time(engine: RealEngine, tmp_path: Path) -> None:
    """An Engine that hangs must be given up after the time-out."""
    with proxy(engine.socket, tmp_path / "docker.sock") as line:
        line.hang()
        with pytest.raises(Transient, match="timed out"):
            Engine(str(tmp_path / "docker.sock"), timeout=0.2).ping()


def test_a_kept_connection_that_was_closed_is_opened_anew(tmp_path: Path) -> None:
    """An Engine that restarted between two looks must be asked again, without an error."""
    answers = iter([PING, reply(b"[]"), None, reply(b'[{"Id": "1"}]'), None, None])
    with server(tmp_path / "docker.sock", lambda path: next(answers)) as place:
        engine = Engine(place)
        assert engine.containers() == []
        assert engine.containers() == [{"Id": "1"}]
        with pytest.raises(Transient):
            engine.containers()


@pytest.mark.parametrize(("later", "steady"), [("first", True), ("second", False), (None, True)])
def test_an_engine_that_was_restarted_is_not_steady(tmp_path: Path, later: str | None, steady: bool) -> None:
    """An Engine whose network `bridge` is another one was restarted; one that has none says nothing."""
    networks = [[{"Name": "front", "Id": "other"}, {"Name": "bridge", "Id": "first"}]]

    def answer(path: str) -> bytes:
        return PING if path == "/_ping" else reply(json.dumps(networks[-1]).encode())

    with server(tmp_path / "docker.sock", answer) as place:
        engine = Engine(place)
        engine.networks()
        engine.steady()
        networks.append([{"Name": "bridge", "Id": later}] if later else [])
        with contextlib.nullcontext() if steady else pytest.raises(Transient, match="restarted"):
            engine.steady()
        engine.close()


def test_a_real_engine_is_steady(engine: RealEngine) -> None:
    """An Engine that nobody restarts must be steady, whatever was asked."""
    reader = Engine(engine.socket)
    for _ in range(3):
        reader.networks()
        reader.container("lt-no-such-container")
        reader.steady()
    reader.close()


def test_an_engine_that_goes_down_is_not_steady(tmp_path: Path) -> None:
    """dockerd that goes down serves what is open and takes nothing new."""
    with server(tmp_path / "docker.sock", lambda path: PING if path == "/_ping" else reply(b"[]")) as place:
        engine = Engine(place)
        assert engine.containers() == []
        engine.steady()
        Path(place).unlink()
        assert engine.containers() == []
        with pytest.raises(Transient, match="does not answer"):
            engine.steady()
        engine.close()


def test_one_connection_is_kept(engine: RealEngine, tmp_path: Path) -> None:
    """Several questions one after the other must be GET, and use one connection."""
    connections = []
    with proxy(engine.socket, tmp_path / "docker.sock") as line:
        reader = Engine(str(tmp_path / "docker.sock"))
        line.on_request("before", lambda count, request: connections.append(threading.get_ident()))
        reader.containers()
        reader.networks()
        reader.volumes()
        assert reader.container("lt-no-such-container") is None
        assert reader.image("limpet-test/none:v9") is None
        reader.close()
        line.assert_only_get()
        assert len(connections) == 6 and len(set(connections)) == 1


@pytest.mark.parametrize(
    ("said", "spoken"),
    [("1.41", (1, 41)), ("1.43", (1, 43)), ("1.45", (1, 45)), ("1.52", (1, 49)), ("1.40", None), ("x", None)],
)
def test_the_api_version_is_negotiated(tmp_path: Path, said: str, spoken: tuple[int, int] | None) -> None:
    """The newest version that both know must be spoken, from 20.10 on; an older Engine is an error that says
    so.
    """
    ping = reply(b"OK", "200 OK", b"Api-Version: " + said.encode())
    asked = []

    def answer(path: str) -> bytes:
        asked.append(path)
        return ping if path == "/_ping" else reply(b"[]")

    with server(tmp_path / "docker.sock", answer) as place:
        engine = Engine(place)
        if spoken is None:
            with pytest.raises(LimpetError) as error:
                engine.containers()
            assert isinstance(error.value, Stalled if said == "1.40" else Transient)
            return
        engine.containers()
        assert asked == ["/_ping", f"/v{spoken[0]}.{spoken[1]}/containers/json?all=1"]
        engine.close()


@pytest.mark.parametrize(
    "reference", ["Nginx:1", "a b", "x:y:z", "-a", "a@sha256:12", "a//b", "..", "", "sha256:zz", "none:1"]
)
def test_a_bad_reference_is_no_image(engine: RealEngine, reference: str) -> None:
    """A reference that is none must be an image that is not there, not an Engine that does not answer."""
    reader = Engine(engine.socket)
    assert reader.image(reference) is None
    assert reader.image("limpet-test/idle:v1") is not None
    reader.close()


def test_names_cannot_leave_their_place(tmp_path: Path) -> None:
    """A name or reference with odd characters must stay one part of the path."""
    asked = []

    def answer(path: str) -> bytes:
        asked.append(path)
        return PING if path == "/_ping" else reply(b"{}", "404 Not Found")

    with server(tmp_path / "docker.sock", answer) as place:
        engine = Engine(place)
        assert engine.container("../images/x?y=\r\nz") is None
        assert engine.image(f"127.0.0.1:5000/a/b:c@sha256:{ZEROS}") is None
        assert engine.image("../containers/json?x") is None
        engine.close()
    assert asked[1:] == [
        "/v1.41/containers/..%2Fimages%2Fx%3Fy%3D%0D%0Az/json",
        f"/v1.41/images/127.0.0.1:5000/a/b:c@sha256:{ZEROS}/json",
    ]
