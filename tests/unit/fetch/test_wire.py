"""Addresses and the protocol, without any I/O."""

from __future__ import annotations

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import LimpetError, Stalled
from agent.fetch import wire
from agent.fetch.address import Address, parse_address, shown_url

OID = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("url", "expected", "seen"),
    [
        (
            "https://git.example.org/a/b.git",
            Address("https", "git.example.org", 443, "/a/b.git"),
            "https://git.example.org/a/b.git",
        ),
        (
            "https://u:p%40ss@git.example.org:8443/b",
            Address("https", "git.example.org", 8443, "/b", "u", "p@ss"),
            "https://git.example.org:8443/b",
        ),
        (
            "HTTPS://Git.Example.org/b",
            Address("https", "git.example.org", 443, "/b"),
            "https://git.example.org/b",
        ),
        ("http://[::1]:80/b", Address("http", "::1", 80, "/b"), "http://[::1]/b"),
        (
            "ssh://git@h:2222/srv/x.git",
            Address("ssh", "h", 2222, "/srv/x.git", "git"),
            "ssh://h:2222/srv/x.git",
        ),
        ("git+ssh://h/x", Address("ssh", "h", 22, "/x"), "ssh://h/x"),
        (
            "git@github.com:org/fleet.git",
            Address("ssh", "github.com", 22, "org/fleet.git", "git"),
            "ssh://github.com/org/fleet.git",
        ),
        ("host:/srv/fleet.git", Address("ssh", "host", 22, "/srv/fleet.git"), "ssh://host/srv/fleet.git"),
        ("git://h/x%20y", Address("git", "h", 9418, "/x y"), "git://h/x y"),
        ("file:///srv/a%20b.git", Address("file", "", 0, "/srv/a b.git"), "/srv/a b.git"),
        ("/srv/fleet.git", Address("file", "", 0, "/srv/fleet.git"), "/srv/fleet.git"),
        (
            "/media/usb/fleet.bundle",
            Address("bundle", "", 0, "/media/usb/fleet.bundle"),
            "/media/usb/fleet.bundle",
        ),
    ],
)
def test_addresses(url: str, expected: Address, seen: str) -> None:
    """Every form that people write must be understood, and shown without credentials."""
    assert parse_address(url) == expected and parse_address(url).shown == shown_url(url) == seen


@pytest.mark.parametrize(
    "url",
    [
        "",
        "fleet.git",
        "./fleet",
        "ftp://h/x",
        "https://",
        "https://h",
        "https://h/",
        "https://h:99999/x",
        "https://[x/y",
        "ssh://-oProxyCommand=x/y",
        "-oProxyCommand=x:y",
        "file://server/share",
        "https://h/x?y",
        "https://h/x#y",
        "ext::sh -c x",
        "https://h h/x",
    ],
)
def test_addresses_that_cannot_be_used(url: str) -> None:
    """What is no usable address must stall with a remedy, before anything is connected or run."""
    with pytest.raises(Stalled) as caught:
        parse_address(url)
    assert caught.value.hint and caught.value.code == "SourceUrl"


@given(st.text(max_size=40), st.sampled_from(["https", "ssh", "git", "http", "x"]))
def test_a_password_is_never_shown(rest: str, scheme: str) -> None:
    """Whatever follows it, a password in a URL must be in no form that is shown."""
    for url in (f"{scheme}://user:canary-1@{rest}", f"{scheme}://user:canary-1@host/{rest}"):
        assert "canary-1" not in shown_url(url) or "canary-1" in rest
        try:
            parse_address(url)
        except LimpetError as error:
            assert "canary-1" not in error.message + error.hint


def _read(data: bytes) -> wire.ReadBytes:
    return BytesIO(data).read


V2 = b"".join(
    [
        wire.packet(b"version 2\n"),
        wire.packet(b"ls-refs=unborn\n"),
        wire.packet(b"object-format=sha1\n"),
        wire.FLUSH,
    ]
)
HEADING = wire.packet(b"# service=git-upload-pack\n") + wire.FLUSH


@pytest.mark.parametrize("data", [V2, HEADING + V2])
def test_an_advertisement_of_version_2(data: bytes) -> None:
    """Version 2 must be understood with and without the heading."""
    offered = wire.advertisement(_read(data), http=True)
    assert (
        offered.version == 2 and b"ls-refs=unborn" in offered.capabilities and offered.object_format == "sha1"
    )


def test_an_advertisement_of_the_old_version() -> None:
    """The old version names all refs at once; the capabilities stand behind the first."""
    lines = [
        wire.packet(f"{OID} HEAD\0multi_ack agent=git/1\n".encode()),
        wire.packet(f"{OID} refs/heads/main\n".encode()),
        wire.FLUSH,
    ]
    offered = wire.advertisement(_read(HEADING + b"".join(lines)), http=True)
    assert offered.refs == {"HEAD": OID, "refs/heads/main": OID} and b"multi_ack" in offered.capabilities
    empty = wire.packet(b"0" * 40 + b" capabilities^{}\0agent=git/1\n") + wire.FLUSH
    assert wire.advertisement(_read(empty)).refs == {}


def test_refs_of_version_2() -> None:
    """Refs, what tags point at, and branches without a commit."""
    data = [
        wire.packet(f"{OID} refs/tags/v1 peeled:{'a' * 40}\n".encode()),
        wire.packet(b"unborn HEAD symref-target:refs/heads/main\n"),
        wire.FLUSH,
    ]
    assert wire.ls_refs_answer(_read(b"".join(data))) == {"refs/tags/v1": OID, "refs/tags/v1^{}": "a" * 40}


def test_the_request_asks_for_one_ref() -> None:
    """The request must name the ref and the object format that the server offered."""
    asked = wire.ls_refs(wire.advertisement(_read(V2)), ["refs/heads/main"])
    assert asked.endswith(
        b"0001" + wire.packet(b"peel\n") + wire.packet(b"ref-prefix refs/heads/main\n") + b"0000"
    )
    assert wire.packet(b"object-format=sha1\n") in asked


def test_what_the_other_side_says_is_fit_for_a_message() -> None:
    """Text of a stranger must lose control characters and be cut."""
    with pytest.raises(wire.ServerRefused) as caught:
        wire.read_packet(_read(wire.packet(b"ERR no \x1b[31mway\n" + b"x" * 500)))
    assert str(caught.value).startswith("no [31mway xxx") and len(str(caught.value)) <= 200


@given(st.binary(max_size=200) | st.lists(st.binary(max_size=30).map(wire.packet)).map(b"".join))
def test_garbage_is_told_as_such(data: bytes) -> None:
    """Whatever a server sends must end in an answer or in one of three errors, in bounded time."""
    for reader in (wire.advertisement, wire.ls_refs_answer):
        try:
            reader(_read(data))
        except (wire.NotGit, wire.Cut, wire.ServerRefused):
            continue
