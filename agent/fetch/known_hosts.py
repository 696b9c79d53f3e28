"""What a known_hosts file says about a server, read as OpenSSH reads it.

Rules:
1. A line counts when its names match: a list with commas, in which `*` and `?` stand for others and `!` takes
   out, or one hashed name. With a port other than 22 the name is `[host]:port`; when no key stands under
   that, the bare host is asked as well.
2. Every key of every line that counts is right, whatever stands before it. One that is `@revoked` is wrong,
   whatever stands beside it. `@cert-authority` lines say nothing about keys: certificates are not used.
3. A line that cannot be read is skipped and remembered with the reason. It never hides another line.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import re
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from cryptography.hazmat.primitives.asymmetric import ec

DEFAULT_PORT = 22
MIN_BITS = 1024  # and of DSA
CERTIFICATE = "-cert-v01@openssh.com"
MARKERS = ("@cert-authority", "@revoked")
# Names of signatures that stand for a type of key.
SIGNATURES = {"rsa-sha2-256": "ssh-rsa", "rsa-sha2-512": "ssh-rsa"}
CURVES: dict[str, type[ec.SECP256R1 | ec.SECP384R1 | ec.SECP521R1]] = {
    "nistp256": ec.SECP256R1,
    "nistp384": ec.SECP384R1,
    "nistp521": ec.SECP521R1,
}
# The parts of a key after its type: a number, a curve's name, a point on it, 32 bytes, or any text.
FIELDS = {
    "ssh-rsa": ("number", "number"),
    "ssh-dss": ("number",) * 4,
    "ssh-ed25519": ("bytes32",),
    **{f"ecdsa-sha2-{curve}": ("curve", "point") for curve in CURVES},
    "sk-ssh-ed25519@openssh.com": ("bytes32", "text"),
    "sk-ecdsa-sha2-nistp256@openssh.com": ("curve", "point", "text"),
}

Standing = Literal["known", "changed", "unknown", "revoked"]
Part = int | bytes


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key by its values, so that two ways of writing it are equal."""

    kind: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class KnownLine:
    number: int
    marker: str
    names: str
    key: PublicKey


@dataclass(frozen=True, slots=True)
class HostVerdict:
    """`lines`: for `known` and `revoked` those that say so, for `changed` those with the other keys."""

    standing: Standing
    lines: tuple[int, ...] = ()


class KnownHosts:
    """The content of a file. `unreadable`: number of a line that was skipped -> reason."""

    def __init__(self, content: bytes) -> None:
        self.lines: list[KnownLine] = []
        self.unreadable: dict[int, str] = {}
        for number, raw in enumerate(content.split(b"\n"), 1):
            text = raw.partition(b"\0")[0].decode("latin-1").strip(" \t\r")
            if not text or text.startswith("#"):
                continue
            try:
                self.lines.append(_line(number, text))
            except ValueError as error:
                self.unreadable[number] = str(error)

    def order(self, host: str, port: int, algorithms: Iterable[str]) -> list[str]:
        """The names of signatures, those first of whose types a key stands under the name with its port: the
        server shows a key of the first that it has.
        """
        name = _name(host, port)
        revoked = {line.key for line in self._matching(name, "@revoked")}
        kinds = {line.key.kind for line in self._matching(name, "") if line.key not in revoked}
        return sorted(algorithms, key=lambda name: SIGNATURES.get(name, name) not in kinds)

    def authorities(self, host: str, port: int) -> list[int]:
        """The lines by which certificates of this server would be trusted."""
        return [line.number for line in self._matching(_name(host, port), "@cert-authority")]

    def verdict(self, host: str, port: int, blob: bytes) -> HostVerdict:
        """What the file says about a key, given as the server sent it. Errors: ValueError, it is no key."""
        key = public_key(blob)
        found = self._verdict(_name(host, port), key)
        if found.standing != "unknown" or port == DEFAULT_PORT:
            return found
        bare = self._verdict(_name(host, DEFAULT_PORT), key)
        # Another key there belongs to another server.
        return found if bare.standing == "changed" else bare

    def _verdict(self, name: str, key: PublicKey) -> HostVerdict:
        revoked = [line.number for line in self._matching(name, "@revoked") if line.key == key]
        if revoked:
            return HostVerdict("revoked", tuple(revoked))
        lines = list(self._matching(name, ""))
        right = [line.number for line in lines if line.key == key]
        if right:
            return HostVerdict("known", tuple(right))
        return HostVerdict("changed" if lines else "unknown", tuple(line.number for line in lines))

    def _matching(self, name: str, marker: str) -> Iterator[KnownLine]:
        return (line for line in self.lines if line.marker == marker and _matches(line.names, name))


def _name(host: str, port: int) -> str:
    """The name under which ssh looks a server up: addresses in their usual form, names in small letters."""
    try:
        address = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)[0][4]
        host = socket.getnameinfo(address, socket.NI_NUMERICHOST)[0]
    except (OSError, UnicodeError):
        host = host.lower().encode("utf-8", "surrogateescape").decode("latin-1")
    return host if port == DEFAULT_PORT else f"[{host}]:{port}"


def _matches(names: str, name: str) -> bool:
    if names.startswith("|"):
        return _hashed(names, name) == names
    found = False
    for pattern in names.lower().split(","):
        if fnmatchcase(name, pattern.removeprefix("!").replace("[", "[[]")):
            if pattern.startswith("!"):
                return False
            found = True
    return found


def _hashed(names: str, name: str) -> str:
    """The name with the salt of a hashed one. Errors: ValueError."""
    parts = names.split("|", 3)
    if len(parts) < 4 or parts[1] != "1":
        raise ValueError("its hashed name is damaged")
    encoded = parts[2]
    salt = _base64(encoded)
    if len(salt) != hashlib.sha1().digest_size:
        raise ValueError("its hashed name is damaged")
    digest = hmac.new(salt, name.encode("latin-1"), hashlib.sha1).digest()
    return f"|1|{encoded}|{binascii.b2a_base64(digest, newline=False).decode()}"


def _line(number: int, text: str) -> KnownLine:
    """Errors: ValueError with the reason."""
    # ssh overlooks a marker that ends with a tab; a revocation must not be overlooked.
    words = re.split(r"[ \t]+", text)
    marker = words.pop(0) if words[0].startswith("@") else ""
    if marker and marker not in MARKERS:
        raise ValueError(f"there is no marker {marker}")
    if len(words) < 3 or words[1].startswith("#"):
        raise ValueError("it lacks names, a type or a key")
    names, kind, encoded = words[:3]
    if names.startswith("@"):
        raise ValueError("it has two markers")
    if names.startswith("|"):
        _hashed(names, "")
    kind = SIGNATURES.get(kind, kind)
    if kind not in FIELDS and not kind.endswith(CERTIFICATE):
        raise ValueError(f"there is no type of key {kind}")
    key = public_key(_base64(encoded))
    if key.kind != kind:
        raise ValueError(f"its key is not of the type {kind}")
    return KnownLine(number, marker, names, key)


def _base64(text: str) -> bytes:
    """What OpenSSH takes for base64: nothing but that, with all its padding. Errors: ValueError."""
    text = re.sub(r"[\r\v\f]", "", text)
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        data = b""
    if not data or binascii.b2a_base64(data, newline=False).decode() != text:
        raise ValueError("it is not whole base64")
    return data


def public_key(blob: bytes) -> PublicKey:
    """A key as it is sent over the wire. Errors: ValueError with the reason."""
    raw, rest = _cut(blob)
    kind = raw.decode("latin-1")
    if kind.endswith(CERTIFICATE):
        return PublicKey(kind, (rest,))
    if kind not in FIELDS:
        raise ValueError("its key is of no known type")
    parts: list[Part] = []
    for field in FIELDS[kind]:
        value, rest = _cut(rest)
        parts.append(_part(field, kind, value))
    if rest:
        raise ValueError("its key is too long")
    bits = max((part.bit_length() for part in parts if isinstance(part, int)), default=MIN_BITS)
    if bits < MIN_BITS:
        raise ValueError(f"its key has fewer than {MIN_BITS} bits")
    return PublicKey(kind, tuple(parts))


def _cut(data: bytes) -> tuple[bytes, bytes]:
    """The first string of the wire's form, and what follows it."""
    end = 4 + int.from_bytes(data[:4], "big")
    if len(data) < max(end, 4):
        raise ValueError("its key is cut short")
    return data[4:end], data[end:]


def _part(field: str, kind: str, value: bytes) -> Part:
    curve = kind.removesuffix("@openssh.com").rpartition("-")[2]
    if field == "number":
        if value[:1] >= b"\x80":
            raise ValueError("its key has a negative number")
        return int.from_bytes(value, "big")
    if field == "bytes32" and len(value) != 32:
        raise ValueError("its key has the wrong length")
    if field == "curve" and value.decode("latin-1") != curve:
        raise ValueError("its key names another curve")
    if field == "point":
        if value[:1] != b"\x04":
            raise ValueError("its key is not a whole point")
        try:
            ec.EllipticCurvePublicKey.from_encoded_point(CURVES[curve](), value)
        except ValueError:
            raise ValueError("its key is not on its curve") from None
    return value
