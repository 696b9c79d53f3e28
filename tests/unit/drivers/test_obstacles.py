"""The tables of the kernel, and devices, as claims."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from agent.drivers import obstacles
from agent.errors import Transient

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def line(local: str, state: str) -> str:
    return f"   0: {local} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000 0 0 1 1 0 100 0\n"


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """One socket of each kind, as a machine with little-endian words writes them."""
    (tmp_path / "tcp").write_text(HEAD + line("0100007F:1F90", "0A") + line("00000000:0050", "01"))
    (tmp_path / "tcp6").write_text(HEAD + line("00000000000000000000000000000000:01BB", "0A"))
    (tmp_path / "udp").write_text(HEAD + line("00000000:0035", "07"))
    (tmp_path / "udp6").write_text(HEAD + line("0000000000000000FFFF00000100000A:0035", "07"))
    return tmp_path


@pytest.mark.parametrize(
    ("wanted", "held"),
    [
        ("port/tcp/0.0.0.0/8080", ["port/tcp/127.0.0.1/8080"]),
        ("port/tcp/10.0.0.5/8080", []),
        ("port/tcp/0.0.0.0/80", []),  # a connection, and nothing that listens
        ("port/tcp/0.0.0.0/443", ["port/tcp/0.0.0.0/443"]),
        ("port/udp/10.0.0.1/53", ["port/udp/0.0.0.0/53", "port/udp/10.0.0.1/53"]),
        ("port/tcp/0.0.0.0/53", []),
    ],
)
def test_sockets_that_listen_hold_their_port(tables: Path, wanted: str, held: list[str]) -> None:
    """Of all sockets those must be found that are in the way."""
    assert sorted(obstacles.held_ports([wanted], [], tables)) == held


def test_what_docker_publishes_is_held_for_a_container(tables: Path) -> None:
    """Docker's own socket for a published port must not count."""
    assert not obstacles.held_ports(["port/tcp/0.0.0.0/443"], ["port/tcp/0.0.0.0/443"], tables)


def test_a_real_socket_is_found() -> None:
    """A server of this machine must be found, over both protocols of the internet."""
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family) as server:
            server.bind((address, 0))
            server.listen()
            claim = f"port/tcp/{address}/{server.getsockname()[1]}"
            assert obstacles.held_ports([claim], []) == {claim}


def test_tables_that_cannot_be_read(tmp_path: Path) -> None:
    """A kernel without IPv6 has fewer tables; one that cannot be read is an error."""
    assert not obstacles.held_ports(["port/tcp/0.0.0.0/80"], [], tmp_path)
    (tmp_path / "tcp").mkdir()
    with pytest.raises(Transient, match="cannot read"):
        obstacles.held_ports(["port/tcp/0.0.0.0/80"], [], tmp_path)


def test_devices_that_are_not_there(tmp_path: Path) -> None:
    """Only what is not there is missing."""
    assert obstacles.missing_devices(["/dev/null", str(tmp_path / "none")]) == {str(tmp_path / "none")}
