"""Recognises content that stands for other content: encrypted files, and pointers to files that lie
elsewhere.

Rules:
1. Content is known by its structure, never by a word in it or by its name: a header at its very beginning,
   or the keys of a format all of whose lines are of that format. A document that shows an example in a code
   block is not one.
2. `RECOGNISERS` is the one table. Everything that is read from the repository is asked here (`tree`), and so
   is what Limpet makes itself of texts in the repository.
3. Encrypted content can be meant for a reader that decrypts it itself, and then `keep_encrypted` in
   layer.yaml names it. A pointer is never meant.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

HOST = (
    "this version of Limpet does not decrypt: keep the content in a file on the host; if its reader decrypts "
    "it itself, name the file under keep_encrypted in layer.yaml"
)
MAX_POINTER = 32 << 10  # bytes; git-annex and Git LFS read no more either


@dataclass(frozen=True, slots=True)
class StandIn:
    """Content that stands for other content. `form`: a word for its format. `what`: what is wrong with it, as
    the end of a sentence about the file.
    """

    form: str
    what: str
    hint: str
    encrypted: bool = True


def recognise(data: bytes) -> StandIn | None:
    """What the content stands for; None if it is what it is."""
    text = data.removeprefix(b"\xef\xbb\xbf")
    return next((found for found, is_one in RECOGNISERS if is_one(text)), None)


# --- known by its beginning ---------------------------------------------------------------------------------


def _begins(pattern: bytes, most: int = 0) -> Callable[[bytes], bool]:
    """Content that begins with a pattern, and has at most so many bytes."""
    compiled = re.compile(pattern)
    return lambda data: not (most and len(data) > most) and compiled.match(data) is not None


def _is_pgp_message(data: bytes) -> bool:
    """Whether the data begins with a session key of OpenPGP (RFC 9580, packets 1 and 3) that another packet
    follows. Keys, signatures and key rings begin with other packets.
    """
    if len(data) < 16 or not data[0] & 0x80:
        return False
    tag, body, end = _packet(data)
    if end >= len(data) or not data[end] & 0x80 or end - body < 4:
        return False
    version, second, third = data[body : body + 3]
    if tag == 1:
        return version == 6 or (version == 3 and end - body > 12 and data[body + 9] in _PUBLIC_KEY)
    return tag == 3 and version in (4, 5, 6) and 1 <= second <= 40 and (version > 4 or third in (0, 1, 3, 4))


_PUBLIC_KEY = (1, 2, 16, 18, 25, 26)  # algorithms that encrypt


def _packet(data: bytes) -> tuple[int, int, int]:
    """The tag of the first packet, and where its body begins and ends."""
    first, length = data[0], data[1]
    if not first & 0x40:
        size = (1, 2, 4, 0)[first & 3]
        return (first >> 2) & 15, 1 + size, 1 + size + int.from_bytes(data[1 : 1 + size], "big")
    if length < 192:
        return first & 63, 2, 2 + length
    if length < 224:
        return first & 63, 3, 3 + ((length - 192) << 8) + data[2] + 192
    return first & 63, 6, 6 + int.from_bytes(data[2:6], "big")


# --- known by its lines -------------------------------------------------------------------------------------

_YAML_LINE = re.compile(
    rb"""(?:\#.*|---(?:\s.*)?|\.\.\.\s*|%.*|-\s.*|[}\]].*
    |(?:"[^"]*"|'[^']*'|[\w.$/+(<\x80-\xff-][^`]*?):(?:\s.*)?)?\Z""",
    re.VERBOSE,
)
_DOTENV_LINE = re.compile(rb"\s*(?:\#.*|(?:export\s+)?[\w.-]+\s*[=:].*)?\Z")
_INI_LINE = re.compile(rb"\s*(?:[;#].*|\[[^\]`]*\].*|[^`=:\[]+[=:].*)?\Z")
_YAML_KEY = re.compile(rb"""["']?sops["']?\s*:(.*)""")
_YAML_MAC = re.compile(rb"""(?:^|[\s{,])["']?mac["']?\s*:\s*["']?[^\s"']""")
_DOTENV_MAC = re.compile(rb"\s*(?:export\s+)?sops_mac\s*[=:]\s*\S")
_INI_MAC = re.compile(rb"\s*mac\s*[=:]\s*\S")
_DOTENVX = re.compile(rb"""\s*(?:export\s+)?\w+\s*=\s*["']?encrypted:[A-Za-z0-9+/=]{40,}""")
_STAMPS = (b"ENC[", b"lastmodified")  # one of them stands beside every `mac` that SOPS writes


def _is_sops(data: bytes) -> bool:
    """Whether SOPS wrote the data: a `mac` in its own section, in any of the formats that it knows."""
    if b"sops" not in data or b"mac" not in data:
        return False
    lines = data.splitlines()
    if _is_sops_dotenv(lines):
        return True
    if not any(stamp in data for stamp in _STAMPS):
        return False
    return _is_sops_json(data) if data.lstrip()[:1] == b"{" else _is_sops_ini(lines) or _is_sops_yaml(lines)


def _is_sops_json(data: bytes) -> bool:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError, MemoryError):
        return False
    section = document.get("sops") if isinstance(document, dict) else None
    return isinstance(section, dict) and bool(section.get("mac"))


def _is_sops_dotenv(lines: list[bytes]) -> bool:
    return any(map(_DOTENV_MAC.match, lines)) and all(map(_DOTENV_LINE.match, lines))


def _is_sops_ini(lines: list[bytes]) -> bool:
    section = _after(lines, lambda line: line.strip() == b"[sops]", lambda line: line.lstrip()[:1] != b"[")
    return any(map(_INI_MAC.match, section)) and all(map(_INI_LINE.match, lines))


def _is_sops_yaml(lines: list[bytes]) -> bool:
    section = _after(lines, _YAML_KEY.match, lambda line: not line.strip() or line[:1] in b" \t}")
    section = [_YAML_KEY.sub(rb"\1", line) if line[:1].strip() else line for line in section]
    if not any(map(_YAML_MAC.search, section)):
        return False
    return all(line[:1] in (b" ", b"\t") or _YAML_LINE.match(line) for line in lines)


def _after(
    lines: Iterable[bytes], starts: Callable[[bytes], object], goes_on: Callable[[bytes], bool]
) -> list[bytes]:
    """The lines of all sections that begin with a line for which `starts` holds, that line included."""
    found: list[bytes] = []
    inside = False
    for line in lines:
        begins = bool(starts(line))
        inside = begins or (inside and goes_on(line))
        if inside:
            found.append(line)
    return found


def _is_dotenvx(data: bytes) -> bool:
    if b"encrypted:" not in data:
        return False
    lines = data.splitlines()
    return any(map(_DOTENVX.match, lines)) and all(map(_DOTENV_LINE.match, lines))


# --- the table ----------------------------------------------------------------------------------------------


def _encrypted(form: str, tool: str) -> StandIn:
    return StandIn(form, f"is encrypted ({tool})", HOST)


LFS = StandIn(
    "lfs",
    "is a Git LFS pointer, not the file itself",
    "take it out of LFS: git lfs untrack {path}, then add it again",
    encrypted=False,
)
ANNEX = StandIn(
    "annex",
    "is a git-annex pointer, not the file itself",
    "take it out of the annex: git annex unannex {path}, then add it with git add",
    encrypted=False,
)
_ARMOUR = rb"\s*-----BEGIN %s-----\r?\n"
RECOGNISERS: tuple[tuple[StandIn, Callable[[bytes], bool]], ...] = (
    (LFS, _begins(rb"version https://(?:git-lfs|hawser)\.github\.com/spec/v\w+\r?\n", 1024)),
    (ANNEX, _begins(rb"/annex/objects/[A-Z0-9]\S*--\S+\s*(?:\n|\Z)", MAX_POINTER)),
    (_encrypted("sops", "SOPS"), _is_sops),
    (_encrypted("age", "age"), _begins(rb"age-encryption\.org/v\d+\r?\n")),
    (_encrypted("age", "age"), _begins(_ARMOUR % b"AGE ENCRYPTED FILE")),
    (_encrypted("pgp", "OpenPGP"), _begins(_ARMOUR % b"PGP MESSAGE")),
    (_encrypted("pgp", "OpenPGP"), _is_pgp_message),
    (_encrypted("git-crypt", "git-crypt"), _begins(rb"\0GITCRYPT\0")),
    (
        _encrypted("ansible-vault", "ansible-vault"),
        _begins(rb"\$ANSIBLE_VAULT;\d+\.\d+;\w+(?:;\S*)?\s*(?:\n|\Z)"),
    ),
    (_encrypted("dotenvx", "dotenvx"), _is_dotenvx),
    (_encrypted("strongbox", "strongbox"), _begins(rb"# STRONGBOX ENCRYPTED RESOURCE ;")),
    (_encrypted("openssl", "openssl enc"), _begins(rb"Salted__[\s\S]{8}")),
    (
        _encrypted("openssl", "openssl enc, transcrypt"),
        _begins(rb"U2FsdGVkX1[A-Za-z0-9+/]{10,}={0,2}(?:\r?\n[A-Za-z0-9+/]+={0,2})*\s*\Z"),
    ),
)
