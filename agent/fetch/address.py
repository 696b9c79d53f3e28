"""The address of a source: splits the forms that people write, and shows them without credentials."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from agent.errors import Stalled

PORTS = {"https": 443, "http": 80, "ssh": 22, "git": 9418}
_SCP = re.compile(r"(?:([\w.+-]+)@)?(\[[0-9a-fA-F:]+\]|[A-Za-z0-9][\w.-]*):(?![:/]/|:)(.+)")


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
        if self.scheme in ("file", "bundle"):
            return self.path
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.path if self.path.startswith('/') else '/' + self.path}"

    @property
    def server(self) -> str:
        """The host, with the port when it is not the usual one."""
        return self.host if self.port == PORTS.get(self.scheme) else f"{self.host}:{self.port}"


def parse_address(url: str) -> Address:
    """The address of a URL, of `user@host:path`, or of an absolute path. Errors: Stalled, naming
    `source.url`.
    """
    if url.startswith("/"):
        return _local(url)
    scheme, separator, _ = url.partition("://")
    if not separator:
        scp = _SCP.fullmatch(url)
        if scp is None:
            raise _bad("it is not a URL", "write https://, ssh://, git://, file:// or an absolute path")
        return Address("ssh", scp[2].strip("[]"), PORTS["ssh"], scp[3], scp[1] or "")
    scheme = scheme.lower().removeprefix("git+")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _bad("its host or port cannot be read", "write scheme://host:port/path") from None
    if scheme == "file":
        if parts.netloc not in ("", "localhost"):
            raise _bad(f"a file URL cannot name the host {parts.hostname!r}", "write file:///absolute/path")
        return _local(unquote(parts.path))
    if scheme not in PORTS:
        raise _bad(f"the scheme {scheme!r} is not supported", "use https, ssh, git, file or a *.bundle path")
    return _remote(scheme, parts, port)


def _remote(scheme: str, parts: SplitResult, port: int | None) -> Address:
    host = parts.hostname or ""
    if not host or host.startswith("-") or any(ord(c) <= 32 or ord(c) == 127 for c in host + parts.path):
        raise _bad("it does not name a usable host", "write scheme://host/path")
    if not parts.path.strip("/"):
        raise _bad("it does not name a repository", "add the path of the repository")
    if parts.query or parts.fragment:
        raise _bad("it has a query or a fragment", "remove what follows ? or #")
    path = parts.path if scheme in ("https", "http") else unquote(parts.path)
    return Address(
        scheme,
        host,
        port or PORTS[scheme],
        path,
        unquote(parts.username or ""),
        unquote(parts.password or ""),
    )


def _local(path: str) -> Address:
    if not path.startswith("/") or "\0" in path:
        raise _bad("the path is not absolute", "write file:///absolute/path")
    return Address("bundle" if path.endswith(".bundle") else "file", "", 0, path)


def _bad(what: str, hint: str) -> Stalled:
    # The URL itself is not shown: what cannot be parsed may hold a password anywhere.
    return Stalled(f"source.url cannot be used: {what}", hint, code="SourceUrl")


def shown_url(url: str) -> str:
    """The URL without credentials; a placeholder when it cannot be parsed."""
    try:
        return parse_address(url).shown
    except Stalled:
        return "(unreadable url)"


def repo_name(url: str) -> str:
    """The last part of a URL or path, without `.git`."""
    return url.rstrip("/").rpartition("/")[2].rpartition(":")[2].removesuffix(".git").removesuffix(".bundle")
