"""The part of Git's protocol that a poll needs: the advertisement, and `ls-refs` of protocol v2. It does no
I/O of its own.

Rules: `read(n)` gives n bytes, or fewer at the end of the stream. The other side is a stranger: its text is
cut, and control characters are taken out, before it gets into a message.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

ReadBytes = Callable[[int], bytes]

FLUSH, DELIMITER, END = b"0000", b"0001", b"0002"
AGENT = b"agent=git/limpet"
_OID = re.compile(rb"[0-9a-f]{40}(?:[0-9a-f]{24})?")


class NotGit(Exception):
    """The answer is not Git's protocol."""


class ServerRefused(Exception):
    """The other side said `ERR`, with this text."""


class Cut(Exception):
    """The connection ended in the middle of an answer."""


@dataclass(frozen=True, slots=True)
class Advertisement:
    """A server's first words: its version and capabilities, and in the old versions all its refs."""

    version: int
    capabilities: frozenset[bytes]
    refs: dict[str, str] = field(default_factory=dict)

    @property
    def object_format(self) -> str:
        for capability in self.capabilities:
            if capability.startswith(b"object-format="):
                return capability[14:].strip().decode("ascii", "replace")
        return "sha1"


def packet(payload: bytes) -> bytes:
    return b"%04x" % (len(payload) + 4) + payload


def printable(text: bytes | str, limit: int = 200) -> str:
    """A stranger's words, fit for a message."""
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return " ".join("".join(c if c.isprintable() else " " for c in words).split())[:limit]


def read_packet(read: ReadBytes) -> bytes:
    """One packet's payload; FLUSH, DELIMITER and END stand for themselves."""
    head = read(4)
    if len(head) < 4:
        raise Cut("the connection was closed" if not head else "the connection was cut")
    try:
        size = int(head, 16)
    except ValueError:
        raise NotGit("the answer is not Git's protocol") from None
    if size < 4:
        return head if size < 3 else b""
    payload = read(size - 4)
    if len(payload) < size - 4:
        raise Cut("the connection was cut")
    if payload.startswith(b"ERR "):
        raise ServerRefused(printable(payload[4:]))
    return payload


def _section(read: ReadBytes) -> Iterator[bytes]:
    while (payload := read_packet(read)) not in (FLUSH, END):
        yield payload


def advertisement(read: ReadBytes, http: bool = False) -> Advertisement:
    """Reads a server's first words; over HTTP they have a heading, or are of version 2."""
    try:
        first = read_packet(read)
    except Cut:
        raise NotGit("the answer is not Git's protocol") from None
    if first.startswith(b"# service="):
        for _ in _section(read):
            pass
        first = read_packet(read)
        http = False
    if first.rstrip(b"\n") == b"version 2":
        return Advertisement(2, frozenset(line.rstrip(b"\n") for line in _section(read)))
    if http:
        raise NotGit("the answer is not Git's protocol")
    if first.rstrip(b"\n") == b"version 1":
        first = read_packet(read)
    if first == FLUSH:
        return Advertisement(0, frozenset())
    line, _, capabilities = first.partition(b"\0")
    refs = dict(_refs([line, *_section(read)]))
    refs.pop("capabilities^{}", None)
    return Advertisement(0, frozenset(capabilities.split()), refs)


def _refs(lines: Iterable[bytes]) -> Iterator[tuple[str, str]]:
    for line in lines:
        oid, _, rest = line.rstrip(b"\n").partition(b" ")
        if oid not in (b"unborn", b"shallow"):
            yield from _ref(oid, rest)


def _ref(oid: bytes, rest: bytes) -> Iterator[tuple[str, str]]:
    """The name of one ref and its object; and `NAME^{}` with the object that a tag points at, if the server
    says so.
    """
    if not rest or not _OID.fullmatch(oid):
        raise NotGit("the list of refs cannot be read")
    written, *attributes = rest.split(b" ")
    name = written.decode("utf-8", "replace")
    yield name, oid.decode()
    for attribute in attributes:
        if attribute.startswith(b"peeled:") and _OID.fullmatch(attribute[7:]):
            yield f"{name}^{{}}", attribute[7:].decode()


def ls_refs(offered: Advertisement, prefixes: Iterable[str]) -> bytes:
    """The request for the refs below these prefixes, with the objects that tags point at."""
    parts = [packet(b"command=ls-refs\n"), packet(AGENT + b"\n")]
    if any(capability.startswith(b"object-format=") for capability in offered.capabilities):
        parts.append(packet(f"object-format={offered.object_format}\n".encode()))
    parts += [DELIMITER, packet(b"peel\n")]
    parts += [packet(f"ref-prefix {prefix}\n".encode()) for prefix in prefixes]
    return b"".join([*parts, FLUSH])


def ls_refs_answer(read: ReadBytes) -> dict[str, str]:
    return dict(_refs(_section(read)))
