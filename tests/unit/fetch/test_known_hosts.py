"""What a known_hosts file says about a server, beside the word of OpenSSH itself."""

from __future__ import annotations

import base64
import hashlib
import hmac
import random
import re
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.fetch.known_hosts import SIGNATURES, KnownHosts

FILES = 160
PREFERRED = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)
TYPES = {"ed25519": "ssh-ed25519", "ecdsa": "ecdsa-sha2-nistp256", "rsa": "ssh-rsa"}
SERVERS = (("ed25519", "ecdsa", "rsa"), ("ecdsa", "rsa"), ("rsa",), ("ed25519",))
HOSTS = ("git.example.org", "Git.Example.ORG", "10.1.2.3", "2001:db8::1", "2001:DB8:0:0::1")
SSHD = """
PidFile none
StrictModes no
UsePAM no
AuthorizedKeysFile none
"""


@dataclass(frozen=True)
class HostKeys:
    """Public keys (type and base64) by their short types.

    right: those of the server
    other: those that no server has
    """

    directory: Path
    right: dict[str, str]
    other: dict[str, str]

    def blob(self, kind: str) -> bytes:
        name = next(short for short, full in TYPES.items() if full == kind)
        return base64.b64decode(self.right[name].split()[1])


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> HostKeys:
    directory = tmp_path_factory.mktemp("host_keys")
    made: dict[str, dict[str, str]] = {"right": {}, "other": {}}
    for owner, found in made.items():
        for kind in TYPES:
            path = directory / f"{owner}_{kind}"
            bits = ["-b", "2048"] if kind == "rsa" else []
            argv = ["ssh-keygen", "-q", "-t", kind, *bits, "-N", "", "-f", str(path)]
            subprocess.run(argv, check=True)
            found[kind] = " ".join(Path(f"{path}.pub").read_text().split()[:2])
    for server in SERVERS:
        lines = "".join(f"HostKey {directory}/right_{kind}\n" for kind in server)
        (directory / f"sshd_{'_'.join(server)}").write_text(lines + SSHD)
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    return HostKeys(directory, made["right"], made["other"])


def _plain(host: str) -> str:
    return "2001:db8::1" if ":" in host else host.lower()


def hashed(name: str, salt: bytes = b"twenty bytes of salt") -> str:
    digest = hmac.new(salt, name.encode(), hashlib.sha1).digest()
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


class Generator:
    """Writes known_hosts files at random; most lines have to do with the host."""

    def __init__(self, keys: HostKeys, seed: int) -> None:
        self.random = random.Random(seed)
        self.keys = keys
        self.host = self.random.choice(HOSTS)
        self.port = self.random.choice((22, 22, 2222))
        self.server = self.random.choice(SERVERS)

    def content(self) -> bytes:
        lines = [self.random.choice(self._lines)(self) for _ in range(self.random.choice((1, 2, 2, 3, 5, 9)))]
        end = self.random.choice(("\n", "\n", "\r\n"))
        return (end.join(lines) + self.random.choice(("", end, end))).encode()

    def _names(self) -> str:
        bare = _plain(self.host)
        full = bare if self.port == 22 else f"[{bare}]:{self.port}"
        return self.random.choice(
            (
                *[full] * 6,
                *[bare] * 3,
                full.upper(),
                hashed(full),
                hashed(full, self.random.randbytes(20)),
                hashed(bare),
                hashed("other.example.org"),
                "*",
                f"{bare[:3]}*{bare[-1]}",
                f"[{bare[:3]}*]:*",
                f"{full[:-2]}??",
                f"{full[:-2]}???",
                f"other.example.org,{full}",
                f"{full},10.9.9.9,,",
                f"*,!{full}",
                f"!{full},*",
                f"*,!{bare[:4]}*",
                f"!other.example.org,{full}",
                f"!{full}",
                f"[{bare}]:22",
                f"[{bare}]:2022",
                "other.example.org",
                f"{full}x",
                f"{hashed(full)},{full}",
                f"|1|{full}",
                f"|2|{hashed(full)[3:]}",
                f"|1|AAAA|{hashed(full)[-28:]}",
            )
        )

    def _key(self) -> str:
        owner = self.random.choice((self.keys.right, self.keys.right, self.keys.other))
        return owner[self.random.choice(list(TYPES))]

    def _plain_line(self) -> str:
        return f"{self._names()} {self._key()}"

    def _spaced_line(self) -> str:
        blank = self.random.choice(("\t", "  ", " \t "))
        comment = self.random.choice(("", " a comment", "\t# words", " "))
        return self.random.choice(("", " ", "\t")) + self._plain_line().replace(" ", blank) + comment

    def _marked_line(self) -> str:
        marker = self.random.choice(
            ("@revoked", "@revoked", "@cert-authority", "@revoked @cert-authority", "@other", "@")
        )
        return f"{marker} {self._plain_line()}"

    def _broken_line(self) -> str:
        names, kind, key = self._names(), *self._key().split()
        return self.random.choice(
            (
                names,
                f"{names} ",
                f"{names} {kind}",
                f"{names} {kind} #",
                f"{names} {kind} {key[:-7]}",
                f"{names} {kind} {key[:-8]}",
                f"{names} {kind} {key}AAAA",
                f"{names} {kind} {key[:40]}!{key[40:]}",
                f"{names} {kind} not-base64",
                f"{names} {kind} AAAA",
                f"{names} ssh-unheard {key}",
                f"{names} {TYPES[self.random.choice(list(TYPES))]} {key}",
                f"{names} {key}",
                f"{names} 1024 35 1234567890",
                f"{names} {kind.upper()} {key}",
                f"{kind} {key}",
                f"{names},{kind},{key}",
            )
        )

    def _no_line(self) -> str:
        return self.random.choice(("", " ", "# a comment", f"  #{self._plain_line()}", "#"))

    def _signature_line(self) -> str:
        key = self.random.choice((self.keys.right, self.keys.other))["rsa"]
        return f"{self._names()} {key.replace('ssh-rsa', 'rsa-sha2-512', 1)}"

    _lines: tuple[Callable[[Generator], str], ...] = (
        *[_plain_line] * 8,
        *[_spaced_line] * 2,
        *[_marked_line] * 3,
        *[_broken_line] * 4,
        _no_line,
        _signature_line,
    )


def ask_ssh(generator: Generator, file: Path) -> tuple[str, str]:
    """The real client against a real server that it starts itself: its verdict, and the type of the key that
    it was shown.
    """
    config = generator.keys.directory / f"sshd_{'_'.join(generator.server)}"
    options = {
        "ProxyCommand": f"/usr/sbin/sshd -i -f {config}",
        "UserKnownHostsFile": file,
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "UpdateHostKeys": "no",
        "BatchMode": "yes",
        "PreferredAuthentications": "none",
        "KexAlgorithms": "curve25519-sha256",
    }
    argv = ["ssh", "-F", "none", "-v", "-p", str(generator.port)]
    argv += [f"-o{key}={value}" for key, value in options.items()]
    done = subprocess.run(
        [*argv, f"nobody@{generator.host}", "true"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    said = done.stderr
    shown = re.search(r"Server host key: (\S+)", said)
    assert shown, said
    for words, verdict in (
        ("REVOKED HOST KEY DETECTED", "revoked"),
        ("has changed and you have requested strict checking", "changed"),
        ("host key is known for", "unknown"),
        ("Permission denied", "known"),
    ):
        if words in said:
            return verdict, shown[1]
    raise AssertionError(said)


def test_the_verdicts_are_those_of_openssh(keys: HostKeys, tmp_path: Path) -> None:
    """Of every generated file Limpet must say of the server's key what ssh says of it, and reach the servers
    that ssh reaches. It may reach another only where ssh does not look which types are known: the file names
    the type that ssh likes best, and the server has none.
    """

    def compare(seed: int) -> tuple[str, str, bool]:
        generator = Generator(keys, seed)
        content, file = generator.content(), tmp_path / f"known_{seed}"
        file.write_bytes(content)
        said, kind = ask_ssh(generator, file)
        known, host, port = KnownHosts(content), generator.host, generator.port
        same = known.verdict(host, port, keys.blob(kind)).standing
        order = [SIGNATURES.get(name, name) for name in known.order(host, port, PREFERRED)]
        chosen = next(kind for kind in order if kind in map(TYPES.get, generator.server))
        reached = known.verdict(host, port, keys.blob(chosen)).standing == "known"
        better = reached and order[0] == PREFERRED[0] and "ed25519" not in generator.server
        differs = said != same or (reached != (said == "known") and not better)
        where = (
            f"{host} {port} {generator.server}: ssh {kind} {said}, Limpet {kind} {same}, {chosen} {reached}"
        )
        return said, f"{where}\n{content.decode()}", differs

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(compare, range(FILES)))
    assert [where for _, where, differs in outcomes if differs] == []
    assert {said for said, _, _ in outcomes} == {"known", "changed", "unknown", "revoked"}


@pytest.mark.parametrize(
    ("lines", "port", "standing"),
    [
        ("[h.example.org]:2222 {old}\n[h.example.org]:2222 {new}", 2222, "known"),
        ("h.example.org {rsa}\nh.example.org {new}", 22, "known"),
        ("* {new}", 22, "known"),
        ("[h.example.*]:2222 {new}", 2222, "known"),
        ("h.example.org {new}", 2222, "known"),
        ("h.example.org {old}", 2222, "unknown"),
        ("h.example.org {new}\n[h.example.org]:2222 {old}", 2222, "changed"),
        ("[h.example.org]:22 {new}", 22, "unknown"),
        ("h.example.org {new}\n@revoked h.example.org {new}", 22, "revoked"),
        ("@revoked * {old}\nh.example.org {new}", 22, "known"),
        ("@revoked\t*\t{new}\nh.example.org {new}", 22, "revoked"),
        ("@revoked h.example.org {new}\n[h.example.org]:2222 {new}", 2222, "known"),
        ("@cert-authority * {old}\nh.example.org {new}", 22, "known"),
        ("@cert-authority * {new}", 22, "unknown"),
        ("other {old}x\nbroken\nh.example.org {new}", 22, "known"),
    ],
)
def test_each_rule_by_itself(keys: HostKeys, lines: str, port: int, standing: str) -> None:
    """A host must be reached when one of its lines is right, and only then."""
    text = lines.format(old=keys.other["ed25519"], new=keys.right["ed25519"], rsa=keys.other["rsa"])
    for content in (text, text.replace("\n", "\r\n")):
        known = KnownHosts(content.encode())
        assert known.verdict("h.example.org", port, keys.blob("ssh-ed25519")).standing == standing


def test_the_lines_of_a_verdict_are_named(keys: HostKeys) -> None:
    """A person who is told of a changed or revoked key must be led to the lines that say so."""
    old, new = keys.other["ed25519"], keys.right["ed25519"]
    blob = keys.blob("ssh-ed25519")
    changed = KnownHosts(f"# mine\nh {old}\nother {new}\n*,!g {old}\n".encode())
    assert changed.verdict("h", 22, blob).lines == (2, 4)
    revoked = KnownHosts(f"h {new}\n\n@revoked * {new}\n@cert-authority h {old}\n".encode())
    assert revoked.verdict("h", 22, blob).lines == (3,)
    assert revoked.authorities("h", 22) == [4]


def test_a_line_that_cannot_be_read_is_remembered_with_its_reason(keys: HostKeys) -> None:
    """What is skipped must be told with its line, also when it is about another host; comments, and types of
    keys that are only not used here, are no mistakes.
    """
    kind, key = keys.right["ed25519"].split()
    ecdsa = keys.right["ecdsa"].split()[1]
    twisted = bytearray(base64.b64decode(ecdsa))
    twisted[-1] ^= 1
    token = base64.b64encode(_wire(b"sk-ssh-ed25519@openssh.com", bytes(32), b"ssh:")).decode()
    short = base64.b64encode(_wire(b"ssh-rsa", b"\x03", b"\x7f" * 64)).decode()
    lines = {
        "h": "lacks",
        f"h {kind}": "lacks",
        f"@unheard h {kind} {key}": "no marker @unheard",
        f"@revoked @revoked h {kind} {key}": "two markers",
        f"|1|AAAA|AAAA {kind} {key}": "hashed name",
        f"|1|AAAA {kind} {key}": "hashed name",
        f"h ssh-unheard {key}": "no type of key ssh-unheard",
        f"h {kind} {key[:-1]}": "not whole base64",
        f"h {kind} {key[:-4]}": "cut short",
        f"h {kind} {key}AAAA": "too long",
        f"h ssh-rsa {key}": "not of the type ssh-rsa",
        f"h ecdsa-sha2-nistp256 {base64.b64encode(twisted).decode()}": "not on its curve",
        f"h ssh-rsa {short}": "fewer than 1024 bits",
        "# a comment": "",
        "": "",
        f"h sk-ssh-ed25519@openssh.com {token}": "",
        f"\xe9 {kind} {key} \xe9": "",
    }
    known = KnownHosts("\n".join(lines).encode("latin-1"))
    for number, (line, word) in enumerate(lines.items(), 1):
        said = known.unreadable.get(number, "")
        assert word in said and bool(word) == bool(said), (line, said)


def _wire(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)
