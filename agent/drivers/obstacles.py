"""What on the host, outside of Docker, is in the way of a container: ports that processes hold, and devices
that are not there.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

from agent.errors import Transient
from agent.kinds import claims

_TABLES = (("tcp", "tcp"), ("tcp6", "tcp"), ("udp", "udp"), ("udp6", "udp"))  # file -> protocol
_LISTENING = {"tcp": "0A", "udp": "07"}  # the state of a socket that waits for anybody
_PLACE = Path("/proc/net")


def held_ports(wanted: Iterable[str], published: Iterable[str], place: Path = _PLACE) -> frozenset[str]:
    """The claims of ports that processes of the host hold, as far as they clash with `wanted`. A port that a
    container has `published` is held by Docker for it, and does not count. Errors: Transient.
    """
    wanted, published = list(wanted), list(published)
    asked = [claim for claim in wanted if not claims.clashing([claim], published)]
    if not asked:
        return frozenset()
    return frozenset(held for held in _sockets(place) if claims.clashing([held], asked))


def missing_devices(wanted: Iterable[str]) -> frozenset[str]:
    """Those of the host paths of devices at which nothing lies."""
    return frozenset(path for path in wanted if not Path(path).exists())


def _sockets(place: Path) -> Iterator[str]:
    for name, protocol in _TABLES:
        try:
            lines = (place / name).read_text("ascii").splitlines()[1:]
        except FileNotFoundError:
            continue  # the kernel has no IPv6
        except OSError as error:
            raise Transient(
                f"cannot read {place / name}: {error.strerror}", "is /proc mounted?", code="FileSystem"
            ) from error
        for line in lines:
            _, local, _, state = line.split(None, 4)[:4]
            if state == _LISTENING[protocol]:
                address, _, port = local.partition(":")
                yield claims.port(protocol, _address(address), int(port, 16))


def _address(text: str) -> str:
    """`0100007F` -> `127.0.0.1`: words of 32 bits in the order of the machine's bytes."""
    words = [int(text[start : start + 8], 16) for start in range(0, len(text), 8)]
    found = ipaddress.ip_address(struct.pack(f"={len(words)}I", *words))
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found)
