"""The light reader of the Engine's socket: the only observer of containers, networks, volumes and images.

Rules:
1. Only `GET`. Changes are made by `docker.py`.
2. Unknown is not missing: no connection, another status than 200 (or 404 where a single object is asked for),
   a cut body or broken JSON is `Transient(code="RuntimeUnavailable")`, never an empty answer.
3. A dockerd that goes down takes no new connection, but serves the open ones while it stops all containers.
   At each start it makes its network `bridge` anew.
4. Only the standard library, without `http.client` and `email`: a pass with nothing to do pays for this
   module.
"""

from __future__ import annotations

import json
import re
import socket
import threading
from contextlib import suppress
from io import BufferedRWPair
from typing import Any
from urllib.parse import quote

from agent.clock import at_most_patience
from agent.errors import Stalled, Transient
from agent.references import is_reference

OLDEST_API = (1, 41)  # Engine 20.10
NEWEST_API = (1, 49)  # what this module and `kinds.engine.request` were written for
_SERVER = re.compile(r"Docker/(\d[\w.]*)")
LARGEST_BODY = 256 * 2**20
SILENCE = at_most_patience(30.0)  # seconds
HINT = "see what Docker says: systemctl status docker; journalctl -u docker -n 50"


def unavailable(message: str) -> Transient:
    """The one error for an Engine that does not answer, or whose answer makes no sense."""
    return Transient(message, HINT, code="RuntimeUnavailable")


class Engine:
    """Keep-alive connections to the Engine, one for each thread that asks at the same time. `timeout`:
    seconds of silence.
    """

    def __init__(self, socket_path: str, *, timeout: float = SILENCE) -> None:
        self.socket_path = socket_path
        self._timeout = timeout
        self._lock = threading.Lock()
        self._idle: list[BufferedRWPair] = []
        self._bridges: set[str] = set()  # the ids that the network of that name had so far
        self._api: tuple[int, int] | None = None
        self._version = ""

    # --- what is there ---

    def ping(self) -> str:
        """The API version that is spoken to the Engine, as `1.41`. Errors: Transient; Stalled for an Engine
        older than 20.10.
        """
        return "{}.{}".format(*self.api)

    @property
    def api(self) -> tuple[int, int]:
        """The API version as numbers; asked once."""
        if self._api is None:
            self._api = self._negotiate()
        return self._api

    @property
    def version(self) -> str:
        """The Engine's own version, as `20.10.24`; empty when it does not say."""
        if self._api is None:
            self._api = self._negotiate()
        return self._version

    def containers(self, *labels: str) -> list[dict[str, Any]]:
        """All containers, ours or not, running or not, as the Engine lists them; with `labels` (`key=value`)
        only those that have them.
        """
        filters = quote(json.dumps({"label": labels}), safe="") if labels else ""
        return self._list(f"/containers/json?all=1{f'&filters={filters}' if filters else ''}")

    def networks(self) -> list[dict[str, Any]]:
        found = self._list("/networks")
        self._bridges.update(network["Id"] for network in found if network["Name"] == "bridge")
        return found

    def volumes(self) -> list[dict[str, Any]]:
        answer = self._get("/volumes")
        if not isinstance(answer, dict) or "Volumes" not in answer:
            raise unavailable(f"Docker at {self.socket_path} did not give a list of volumes")
        return answer["Volumes"] or []

    def images(self) -> list[dict[str, Any]]:
        return self._list("/images/json")

    def container(self, name: str) -> dict[str, Any] | None:
        """One container by id or name; None when there is none."""
        return self._one(f"/containers/{quote(name, safe='')}/json")

    def network(self, name: str) -> dict[str, Any] | None:
        return self._one(f"/networks/{quote(name, safe='')}")

    def image(self, reference: str) -> dict[str, Any] | None:
        """One image by reference or id; None when it is not on this host, or when the text is not a
        reference.
        """
        if not is_reference(reference):
            return None
        return self._one(f"/images/{quote(reference, safe='/:@')}/json")

    def root(self) -> str:
        """The directory in which the Engine keeps images and containers; empty when it does not say."""
        return str((self._one("/info") or {}).get("DockerRootDir") or "")

    def steady(self) -> None:
        """Errors: Transient when dockerd is going down, or was restarted since the networks were first asked
        for: containers may have ended because of that.
        """
        self._exchange("/_ping", anew=True)
        self.networks()
        if len(self._bridges) > 1:
            hint = (
                "nothing needs to be done: the next pass starts them again; to see why Docker restarted: "
                "journalctl -u docker -n 50"
            )
            raise Transient(
                f"Docker at {self.socket_path} was restarted during the pass, which ends containers",
                hint,
                code="RuntimeUnavailable",
            )

    def close(self) -> None:
        with self._lock:
            for stream in self._idle:
                _close(stream)
            self._idle.clear()

    # --- HTTP ---

    def _list(self, path: str) -> list[dict[str, Any]]:
        answer = self._get(path)
        if not isinstance(answer, list):
            raise unavailable(f"Docker at {self.socket_path} answered {path} without a list")
        return answer

    def _one(self, path: str) -> dict[str, Any] | None:
        answer = self._get(path, missing_is_none=True)
        if answer is not None and not isinstance(answer, dict):
            raise unavailable(f"Docker at {self.socket_path} answered {path} without an object")
        return answer

    def _get(self, path: str, *, missing_is_none: bool = False) -> Any:
        versioned = "/v{}.{}{}".format(*self.api, path)
        status, _, body = self._exchange(versioned)
        if missing_is_none and (status == 404 or (status == 400 and b"no such image" in body)):
            return None
        if status != 200:
            said = body[:300].decode("utf-8", "replace").strip()
            raise unavailable(f"Docker at {self.socket_path} answered {path} with {status}: {said}")
        try:
            return json.loads(body)
        except ValueError as error:
            raise unavailable(
                f"Docker at {self.socket_path} answered {path} with broken JSON: {error}"
            ) from error

    def _negotiate(self) -> tuple[int, int]:
        status, headers, _ = self._exchange("/_ping")
        if status != 200:
            raise unavailable(f"Docker at {self.socket_path} answered a ping with {status}")
        try:
            major, minor = (int(part) for part in headers["api-version"].split("."))
        except (KeyError, ValueError) as error:
            raise unavailable(f"Docker at {self.socket_path} does not say its API version") from error
        if (major, minor) < OLDEST_API:
            raise Stalled(
                f"Docker at {self.socket_path} speaks API {major}.{minor}, older than 1.41",
                "install Docker Engine 20.10 or newer",
                code="EngineTooOld",
            )
        said = _SERVER.match(headers.get("server", ""))
        self._version = said[1] if said else ""
        return min((major, minor), NEWEST_API)

    def _exchange(self, path: str, *, anew: bool = False) -> tuple[int, dict[str, str], bytes]:
        """One request, on a new connection if `anew`. A kept connection that the Engine has closed meanwhile
        is replaced once.
        """
        try:
            with self._lock:
                kept = self._idle.pop() if self._idle and not anew else None
            if kept is not None:
                try:
                    return self._request(kept, path)
                except (EOFError, ConnectionError):
                    pass  # it was closed while it was idle
            return self._request(self._connect(), path)
        except (OSError, EOFError, ValueError) as error:
            raise unavailable(f"Docker at {self.socket_path} does not answer: {_words(error)}") from error

    def _request(self, stream: BufferedRWPair, path: str) -> tuple[int, dict[str, str], bytes]:
        try:
            stream.write(f"GET {path} HTTP/1.1\r\nHost: docker\r\nUser-Agent: limpet\r\n\r\n".encode())
            stream.flush()
            status, headers = _head(stream)
            body = _body(stream, headers)
        except BaseException:
            _close(stream)
            raise
        if headers.get("connection", "").lower() == "close":
            _close(stream)
        else:
            with self._lock:
                self._idle.append(stream)
        return status, headers, body

    def _connect(self) -> BufferedRWPair:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(self._timeout)
            connection.connect(self.socket_path)
            return connection.makefile("rwb")
        finally:
            connection.close()  # the stream keeps the descriptor


def _close(stream: BufferedRWPair) -> None:
    with suppress(OSError):  # a broken connection; nothing was left to send
        stream.close()


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def _line(stream: BufferedRWPair) -> str:
    line = stream.readline(65536)
    if not line.endswith(b"\n"):
        raise EOFError("the answer was cut")
    return line.decode("latin-1").strip()


def _head(stream: BufferedRWPair) -> tuple[int, dict[str, str]]:
    protocol, _, rest = _line(stream).partition(" ")
    if not protocol.startswith("HTTP/1."):
        raise ValueError("the answer is not HTTP")
    status = int(rest[:3])
    headers: dict[str, str] = {}
    while line := _line(stream):
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return status, headers


def _body(stream: BufferedRWPair, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return _chunks(stream)
    if "content-length" not in headers:
        raise ValueError("the answer has no length")
    return _exactly(stream, int(headers["content-length"]))


def _chunks(stream: BufferedRWPair) -> bytes:
    parts: list[bytes] = []
    total = 0
    while size := int(_line(stream).partition(";")[0], 16):
        total += size
        if total > LARGEST_BODY:
            raise ValueError(f"the answer is larger than {LARGEST_BODY} bytes")
        parts.append(_exactly(stream, size))
        _line(stream)
    while _line(stream):
        pass  # trailers
    return b"".join(parts)


def _exactly(stream: BufferedRWPair, size: int) -> bytes:
    if not 0 <= size <= LARGEST_BODY:
        raise ValueError(f"the answer has {size} bytes, at most {LARGEST_BODY} are read")
    data = stream.read(size)
    if len(data) != size:
        raise EOFError(f"the answer was cut: {len(data)} of {size} bytes")
    return data
