"""The address of a source: splits the forms that people write, and shows them without credentials.

Rules:
1. What Git takes is taken, and means the same: `https`, `http`, `ssh` (also as `git+ssh`, `ssh+git`), `git`,
   `file`, `user@host:path`, and paths. What Git refuses is refused with the line to write.
2. `path` and `host` of an address are as people wrote them; `requested` and `name` are what a server is asked
   for: non-ASCII as UTF-8 with %, dot segments resolved, names of hosts in their ASCII form.
3. Two addresses are at one place when their `origin` is the same: capitals, a final dot of the host, and a
   port that is the usual one make no difference.
4. Settings are checked, and sources opened, by this one parser.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, unquote, urlsplit

from agent.errors import Stalled

PORTS = {"https": 443, "http": 80, "ssh": 22, "git": 9418}
LOCAL = ("file", "bundle")
SSH_AS_GIT_HAS_IT = ("git+ssh", "ssh+git")
KNOWN = "https, ssh, git, file, or the absolute path of a repository or bundle"
_ASCII = "".join(chr(code) for code in range(33, 127))
_SCP = r"(?:([\w.+-]+)@)?(\[[0-9a-fA-F:]+\]|[A-Za-z0-9][\w.-]*):(?![:/]/|:)(.+)"
_HOST = r"[\w.-]+|[0-9a-f:.]+(%[\w.-]+)?"


class NotAnAddress(ValueError):
    """`args` are what is wrong, to be read after the name of the setting, and what to write. Never with any
    part that may hold a password.
    """


@dataclass(frozen=True, slots=True)
class Address:
    """One source.

    scheme: https, http, ssh, git, file or bundle
    path: what the server or the file system is asked for
    """

    scheme: str
    host: str
    port: int
    path: str
    username: str = ""
    password: str = ""

    @property
    def shown(self) -> str:
        """The URL without credentials: for messages, the heartbeat and the pin."""
        if self.scheme in LOCAL:
            return self.path
        return f"{self.scheme}://{self.server}{self.path if self.path.startswith('/') else '/' + self.path}"

    @property
    def server(self) -> str:
        """The host, with the port when it is not the usual one."""
        return _with_port(self.host, self.port, self.scheme)

    @property
    def name(self) -> str:
        """The host as certificates have it: in ASCII, without the final dot and without a zone."""
        return canonical_host(self.host)

    @property
    def reached(self) -> str:
        """The host as name servers and routes know it: in ASCII, with its final dot and its zone."""
        return self.host if self.host.isascii() else self.host.encode("idna").decode("ascii")

    @property
    def netloc(self) -> str:
        """The host as it is said to the server, with the port when it is not the usual one."""
        return _with_port(self.name, self.port, self.scheme)

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.scheme, self.name, self.port

    @property
    def requested(self) -> str:
        """The path as it is written in a request over HTTP."""
        return without_dots(percent_encoded(self.path.encode("utf-8", "surrogateescape")))

    @property
    def in_the_clear(self) -> bool:
        """Whether everybody on the way can read and change what is said."""
        return self.scheme == "http" and not _is_loopback(self.name)


def parse_address(url: str) -> Address:
    """The address of a URL, of `user@host:path`, or of an absolute path. Errors: Stalled, naming
    `source.url`.
    """
    try:
        return read_address(url)
    except NotAnAddress as error:
        # The URL itself is not shown: what cannot be parsed may hold a password anywhere.
        what, hint = error.args
        raise Stalled(f"source.url cannot be used: it {what}", hint, code="SourceUrl") from None


def read_address(url: str) -> Address:
    """The same. Errors: NotAnAddress."""
    if url.startswith("/"):
        return _local(url)
    if any(ord(c) < 32 or ord(c) == 127 for c in url):
        raise NotAnAddress("has a control character in it", "write it on one line, without tabs")
    if url != url.strip():
        raise NotAnAddress("begins or ends with a blank", "remove the blank")
    written, separator, rest = url.partition("://")
    if not separator:
        return _scp(url)
    scheme = _scheme(written.lower())
    try:
        parts = urlsplit(f"{scheme}://{rest}")
        port = parts.port
    except ValueError:
        what = "has a host or port that cannot be read"
        raise NotAnAddress(what, "write scheme://host:port/path") from None
    return _remote(scheme, parts, port) if scheme in PORTS else _file(parts)


def _scheme(written: str) -> str:
    known = (*PORTS, "file")
    plain = written.removeprefix("git+")
    if written in SSH_AS_GIT_HAS_IT:
        return "ssh"
    if written in known:
        return written
    if plain in known:
        raise NotAnAddress(f"has scheme {written!r}, which Git does not know", f"write {plain}://…")
    shown = f"scheme {written!r}" if re.fullmatch(r"[a-z][a-z0-9+.-]*", written) else "no scheme"
    raise NotAnAddress(f"has {shown}", f"use {KNOWN}")


def _file(parts: SplitResult) -> Address:
    if parts.netloc not in ("", "localhost"):
        raise NotAnAddress(f"names the host {parts.hostname!r} for a file", "write file:///absolute/path")
    return _local(unquote(parts.path))


def _scp(url: str) -> Address:
    scp = re.fullmatch(_SCP, url)
    if scp is None:
        raise NotAnAddress("has no scheme", f"use {KNOWN}")
    if scp[2].lower() in PORTS and not scp[1]:
        raise NotAnAddress(f"has no // behind {scp[2]}:", f"write {scp[2].lower()}://host/path")
    return Address("ssh", scp[2].strip("[]"), PORTS["ssh"], scp[3], scp[1] or "")


def _remote(scheme: str, parts: SplitResult, port: int | None) -> Address:
    host = (parts.hostname or "").replace("%25", "%")  # of a zone, as in [fe80::1%25eth0]
    if not host:
        raise NotAnAddress("names no server", f"write it like {scheme}://git.example.org/fleet.git")
    if not _is_host(host):
        hint = "write a name of letters, digits, dots and dashes, or an IP address"
        raise NotAnAddress("has a host with characters that no usable host has", hint)
    if port == 0:
        raise NotAnAddress("has port 0", "write the port of the server, or none")
    if not parts.path.strip("/"):
        raise NotAnAddress("does not name a repository", "add the path of the repository")
    if parts.query or parts.fragment:
        hint = "remove what follows ? or #; where they belong to the path, write %3F or %23"
        raise NotAnAddress("has a query or a fragment", hint)
    web = scheme in ("https", "http")
    if web and " " in parts.path:
        raise NotAnAddress("has a blank in its path", "write %20 for a blank")
    return Address(
        scheme,
        host,
        port or PORTS[scheme],
        parts.path if web else unquote(parts.path),
        unquote(parts.username or ""),
        unquote(parts.password or ""),
    )


def _local(path: str) -> Address:
    if not path.startswith("/") or "\0" in path:
        raise NotAnAddress("has a path that is not absolute", "write file:///absolute/path")
    return Address("bundle" if path.endswith(".bundle") else "file", "", 0, path)


def shown_url(url: str) -> str:
    """The URL without credentials; a placeholder when it cannot be parsed."""
    try:
        return read_address(url).shown
    except NotAnAddress:
        return "(unreadable url)"


def repo_name(url: str) -> str:
    """The last part of a URL or path, without `.git`."""
    return url.rstrip("/").rpartition("/")[2].rpartition(":")[2].removesuffix(".git").removesuffix(".bundle")


# --- hosts and paths ----------------------------------------------------------------------------------------


def canonical_host(host: str) -> str:
    """The one form of a host's name or IP address. Errors: UnicodeError for a name without an ASCII form."""
    host = host.partition("%")[0].lower().removesuffix(".")
    if ":" in host:
        return str(ipaddress.ip_address(host))
    return host if host.isascii() else host.encode("idna").decode("ascii")


def _is_host(host: str) -> bool:
    try:
        name = canonical_host(host)
        # The codec is of the older standard. A name that it does not give back is another name in the newer.
        same = host.isascii() or name.encode().decode("idna") == host.removesuffix(".")
    except ValueError:
        return False
    return same and bool(re.fullmatch(_HOST, host)) and not host.startswith(("-", "."))


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def _with_port(host: str, port: int, scheme: str) -> str:
    host = f"[{host}]" if ":" in host else host
    return host if port == PORTS.get(scheme) else f"{host}:{port}"


def percent_encoded(text: bytes) -> str:
    """The text with % for all that is not ASCII, for blanks and for control characters, as curl does it."""
    return quote(text, safe=_ASCII)


def without_dots(path: str) -> str:
    """The path without `.` and `..`, as clients resolve them before they ask (RFC 3986, 5.2.4)."""
    kept: list[str] = []
    for part in path.split("/")[1:]:
        if part == "..":
            kept = kept[:-1]
        elif part != ".":
            kept.append(part)
    final = "/" if path.endswith(("/.", "/..")) and kept else ""
    return "/" + "/".join(kept) + final
