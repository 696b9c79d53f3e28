"""Smart HTTP over the standard library: keeps one connection, and sends credentials only to the origin that
they belong to.

Rules:
1. Redirects are followed for the first request only, as Git does, and only within the same origin: scheme,
   host and port, however they are written. So never from https to http, and never with the credentials to
   another host. Where a redirect leads away from Git (to a sign-in page), access is what is missing.
2. Credentials are never sent in the clear.
3. The proxy comes from the settings; the environment is not asked.
"""

from __future__ import annotations

import base64
import http.client
import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit

from agent.errors import LimpetError, Stalled, Transient
from agent.fetch import trouble, wire
from agent.fetch.address import PORTS, Address, percent_encoded
from agent.fetch.request import Access, Credentials, access_of, reason
from agent.fetch.source import TransferMeter, sha1_only

if TYPE_CHECKING:
    from dulwich.object_store import DiskObjectStore, ObjectStoreGraphWalker
    from dulwich.objects import ObjectID

SERVICE = "git-upload-pack"
REFS = "/info/refs"
REDIRECTS = 20  # as many as Git follows
# Codes of refusals: with one of them a server has answered a probe.
REFUSALS = ("Credentials", "NoRepository", "HttpStatus", "ServerBusy", "Redirect", "ObjectFormat")
# Codes of answers to a request that built on an earlier offer; after one of them the server is asked anew.
ANSWERED = ("HttpStatus", "NoRepository", "NotGit", "Remote", "Denied", "ServerError", "Disconnected")
FILES = ("", "text/plain", "application/octet-stream")
DUMB = re.compile(rb"[0-9a-f]{40}\trefs/")  # how a server begins that only gives files


class HttpSource:
    """`https://` and `http://`."""

    def __init__(
        self,
        address: Address,
        credentials: Credentials,
        timeout: float,
        meter: TransferMeter,
        recalled: Sequence[str] = (),
    ) -> None:
        """address: where the source is
        credentials: what it may be shown
        timeout: seconds of silence after which it counts as gone
        meter: counts what comes
        recalled: what `offer` gave for this address before
        """
        self._recalled = tuple(recalled)
        self.address = address
        self.meter = meter
        self.timeout = timeout
        self.offered = wire.Advertisement(0, frozenset())
        self._credentials = credentials
        self._base = self._first = address.requested.rstrip("/")
        self._access = access_of(credentials, address.password)
        self._authorization = self._authorize()
        self._connection: http.client.HTTPConnection | None = None

    def _authorize(self) -> str:
        token = self._credentials.token() or self.address.password
        username = self._credentials.username or self.address.username
        if not token and not username:
            return ""
        if self.address.in_the_clear:
            raise Stalled(
                f"{self.address.shown} would get the credentials in the clear",
                "use https in source.url; http is anonymous only",
                code="Credentials",
            )
        return "Basic " + base64.b64encode(f"{username or 'git'}:{token}".encode()).decode()

    def probe(self) -> LimpetError | None:
        try:
            self._discover()
        except LimpetError as error:
            if error.code not in REFUSALS:
                raise
            return error
        return None

    def refs(self, prefixes: Sequence[str]) -> dict[str, str]:
        if self._recalled and not self.offered.capabilities:
            # Version 2 of the protocol keeps no state: the server need not be asked again for its offer.
            self.offered = wire.Advertisement(2, frozenset(text.encode() for text in self._recalled))
            try:
                return self._ls_refs(prefixes)
            except LimpetError as error:
                if error.code not in ANSWERED:
                    raise
            self._recalled = ()
            self.offered = wire.Advertisement(0, frozenset())
        if not self.offered.capabilities:
            self._discover()
        return self._ls_refs(prefixes) if self.offered.version == 2 else self.offered.refs

    def _ls_refs(self, prefixes: Sequence[str]) -> dict[str, str]:
        with self.post(wire.ls_refs(self.offered, prefixes)) as answer:
            return wire.ls_refs_answer(answer.read)

    def offer(self) -> list[str]:
        if self.offered.version != 2 or self._base != self._first:
            return []
        return sorted(capability.decode("utf-8", "replace") for capability in self.offered.capabilities)

    def receive(self, store: DiskObjectStore, wants: list[ObjectID], walker: ObjectStoreGraphWalker) -> None:
        from agent.fetch.receive import HttpClient, receive

        with trouble.conversation_errors(self.address, self.timeout), self._http_errors():
            receive(HttpClient(self), "", store, wants, walker, self.address)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _discover(self) -> None:
        """Asks for the server's offer, which is the first request; follows redirects inside the origin."""
        asked: list[str] = []
        while self._base not in asked and len(asked) <= REDIRECTS:
            asked.append(self._base)
            with self._request("GET", f"{self._base}{REFS}?service={SERVICE}", {}, None) as answer:
                if answer.status in (301, 302, 303, 307, 308):
                    self._base = self._redirected(answer.header("Location"))
                    continue
                answer.expect(f"application/x-{SERVICE}-advertisement")
                self.offered = wire.advertisement(answer.read, http=True)
                sha1_only(self.offered.object_format, self.address)
                return
        what = "in a circle" if self._base in asked else f"more than {REDIRECTS} times"
        self._base = self._first
        raise Stalled(
            f"{self.address.shown} redirects {what}",
            f"correct source.url{self._access.also}",
            code="Redirect",
        )

    def _redirected(self, location: str) -> str:
        """The base of the repository's requests by the word of the server. Errors: Stalled."""
        here = f"{self.address.scheme}://{self.address.netloc}{self._base}{REFS}"
        # The library reads headers as Latin-1, whatever their bytes mean.
        where = percent_encoded(location.strip().encode("latin-1", "replace"))
        try:
            to = urlsplit(urljoin(here, where))
            target = Address(
                to.scheme, to.hostname or "", to.port or PORTS[to.scheme], to.path.rstrip("/") or "/"
            )
            same = target.origin == self.address.origin
        except (ValueError, KeyError):
            raise Stalled(
                f"{self.address.shown} redirects to an address that cannot be used",
                f"check source.url{self._access.also}",
                code="Redirect",
            ) from None
        if not target.path.endswith(REFS):
            what = f"{self.address.shown} redirects to {wire.printable(target.shown)}, which is no repository"
            raise trouble.no_access(what, self._access, "Credentials")
        target = replace(target, path=target.path.removesuffix(REFS) or "/")
        if not same:
            raise trouble.redirected_away(self.address, target, self._access)
        return target.requested.rstrip("/")

    @contextmanager
    def post(self, body: bytes) -> Iterator[HttpAnswer]:
        """One command of the protocol."""
        headers = {
            "Content-Type": f"application/x-{SERVICE}-request",
            "Accept": f"application/x-{SERVICE}-result",
        }
        with self._request("POST", f"{self._base}/{SERVICE}", headers, body) as answer:
            answer.expect(f"application/x-{SERVICE}-result")
            yield answer

    @contextmanager
    def _request(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None
    ) -> Iterator[HttpAnswer]:
        with trouble.conversation_errors(self.address, self.timeout), self._http_errors():
            with self._send(method, target, headers, body) as response:
                answer = HttpAnswer(response, self.address, self.meter, self._access)
                yield answer
                if answer.broken or response.read(1):
                    self.close()  # more came than was read, or less: not to be used again

    def _send(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None
    ) -> http.client.HTTPResponse:
        """Sends a request and reads the head of the response. A kept connection that the server has closed
        meanwhile is opened once more.
        """
        fields = {
            "Host": self.address.netloc,
            "User-Agent": "git/limpet",
            "Git-Protocol": "version=2",
            "Pragma": "no-cache",
            **headers,
        }
        if self._authorization:
            fields["Authorization"] = self._authorization
        kept = self._connection is not None
        connection = self._connection = self._connection or self._connect()
        self.meter.requests += 1
        try:
            connection.request(method, target, body, fields)
            return connection.getresponse()
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            self.close()
            if not kept:
                raise
            return self._send(method, target, headers, body)

    def _connect(self) -> http.client.HTTPConnection:
        proxy = _proxy(self._credentials.proxy)
        there = self.address.reached
        host, port = (proxy.host, proxy.port) if proxy else (there, self.address.port)
        if self.address.scheme == "http":
            connection = http.client.HTTPConnection(host, port, timeout=self.timeout)
        else:
            connection = TlsConnection(host, port, self.timeout, self._tls(), self.address.name)
        if proxy:
            connection.set_tunnel(there, self.address.port, proxy.headers)
        return connection

    def _tls(self) -> ssl.SSLContext:
        ca_file = self._credentials.ca_file
        try:
            context = ssl.create_default_context(cafile=ca_file or None)
        except OSError as error:
            raise Stalled(
                f"source.ca_file {ca_file} cannot be used: {reason(error)}",
                "make it a readable PEM file",
                code="Credentials",
            ) from None
        # As Git and curl do. Python 3.13 would refuse authorities that people make at home, because these
        # lack an extension.
        context.verify_flags &= ~ssl.VerifyFlags.VERIFY_X509_STRICT
        return context

    @contextmanager
    def _http_errors(self) -> Iterator[None]:
        try:
            yield
        except http.client.HTTPException as error:
            self.close()
            cut = isinstance(error, (http.client.IncompleteRead, http.client.RemoteDisconnected))
            what = "the connection was cut" if cut else f"the answer is not HTTP ({type(error).__name__})"
            raise Transient(f"{self.address.server}: {what}", trouble.AGAIN, code="Disconnected") from None
        except OSError as error:
            self.close()
            if "Tunnel connection failed: 407" in str(error):
                raise trouble.status(self.address, 407, "from the proxy", None, self._access) from None
            if "Tunnel connection failed" in str(error):
                raise Transient(
                    f"the proxy could not reach {self.address.server}: {wire.printable(str(error))}",
                    "check source.proxy",
                    code="Proxy",
                ) from None
            raise
        except BaseException:
            self.close()
            raise


class TlsConnection(http.client.HTTPSConnection):
    """A connection whose certificate must be that of `name`, whatever the host is reached by."""

    def __init__(self, host: str, port: int, timeout: float, context: ssl.SSLContext, name: str) -> None:
        super().__init__(host, port, timeout=timeout, context=context)
        self._tls_context = context
        self._name = name

    def connect(self) -> None:
        http.client.HTTPConnection.connect(self)
        self.sock = self._tls_context.wrap_socket(self.sock, server_hostname=self._name)


class HttpAnswer:
    """A response, measured."""

    def __init__(
        self,
        response: http.client.HTTPResponse,
        address: Address,
        meter: TransferMeter,
        access: Access,
    ) -> None:
        self._access = access
        self.status = response.status
        self.broken = False
        self._response = response
        self._address = address
        self._meter = meter

    def header(self, name: str) -> str:
        return self._response.getheader(name) or ""

    def read(self, size: int) -> bytes:
        try:
            data = self._response.read(size)
            self._meter.add(len(data))
        except BaseException:
            self.broken = True
            raise
        return data

    def expect(self, content_type: str) -> None:
        """Errors: those for an unwanted status or type of content."""
        if self.status != 200:
            words, later = self._response.reason, self.header("Retry-After")
            raise trouble.status(self._address, self.status, words, later, self._access)
        found = self.header("Content-Type").partition(";")[0].strip()
        if found in FILES and DUMB.match(self.read(46)):
            raise Stalled(
                f"{self._address.shown} only gives files (Git's dumb protocol), which Limpet does not speak",
                "serve it by `git http-backend` or over ssh",
                code="NotGit",
            )
        if found != content_type:
            raise trouble.no_git(self._address, wire.printable(found), self._access)


@dataclass(frozen=True, slots=True)
class HttpProxy:
    """A proxy, and the headers with which it is asked for a tunnel."""

    host: str
    port: int
    headers: dict[str, str]


def _proxy(written: str) -> HttpProxy | None:
    """What `source.proxy` says, as `http://user:password@host:port` or less. Errors: Stalled."""
    if not written:
        return None
    at = urlsplit(written if "://" in written else f"http://{written}")
    if at.scheme != "http" or not at.hostname:
        raise Stalled("source.proxy cannot be used", "write http://host:port", code="Proxy")
    headers = {}
    if at.username:
        user = f"{unquote(at.username)}:{unquote(at.password or '')}"
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(user.encode()).decode()}"
    return HttpProxy(at.hostname, at.port or 3128, headers)
