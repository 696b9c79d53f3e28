"""The protocol as a plain stream: `git://`, and the part that SSH shares with it."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

from agent.errors import LimpetError, Stalled
from agent.fetch import trouble, wire
from agent.fetch.address import Address
from agent.fetch.source import Pipe, TransferMeter, sha1_only

if TYPE_CHECKING:
    from dulwich.object_store import DiskObjectStore, ObjectStoreGraphWalker
    from dulwich.objects import ObjectID

SERVICE = b"git-upload-pack"


class StreamSource:
    """The part that `git://` and SSH share; they differ in `open`."""

    def __init__(self, address: Address, timeout: float, meter: TransferMeter) -> None:
        self.address = address
        self.timeout = timeout
        self.meter = meter

    def open(self) -> Pipe:
        """Starts upload-pack, asking for protocol v2."""
        raise NotImplementedError

    def offer(self) -> list[str]:
        return []

    def close(self) -> None:
        """Closes what several pipes share; here nothing."""

    def probe(self) -> LimpetError | None:
        with trouble.conversation_errors(self.address, self.timeout):
            pipe = self.open()
            try:
                wire.advertisement(pipe.read)
            except wire.ServerRefused as error:
                return trouble.refused(self.address, str(error))
            finally:
                pipe.close()
        return None

    def refs(self, prefixes: Sequence[str]) -> dict[str, str]:
        with trouble.conversation_errors(self.address, self.timeout):
            pipe = self.open()
            try:
                offered = wire.advertisement(pipe.read)
                sha1_only(offered.object_format, self.address)
                if offered.version != 2:
                    pipe.write(wire.FLUSH)
                    return offered.refs
                pipe.write(wire.ls_refs(offered, prefixes))
                found = wire.ls_refs_answer(pipe.read)
                pipe.write(wire.FLUSH)
                return found
            finally:
                pipe.close()

    def receive(self, store: DiskObjectStore, wants: list[ObjectID], walker: ObjectStoreGraphWalker) -> None:
        from agent.fetch.receive import StreamClient, receive

        with trouble.conversation_errors(self.address, self.timeout):
            receive(StreamClient(self), self.address.path, store, wants, walker, self.address)


def dial(address: Address, timeout: float) -> socket.socket:
    """A connection to the host. Errors: OSError; Stalled when the host cannot be a name."""
    try:
        return socket.create_connection((address.host, address.port), timeout)
    except UnicodeError:
        raise Stalled(
            f"source.url cannot be used: {wire.printable(address.host, 80)} is no name of a host",
            "write scheme://host/path",
            code="SourceUrl",
        ) from None


class TcpSource(StreamSource):
    """`git://`: without credentials and encryption; for trusted networks."""

    def open(self) -> Pipe:
        self.meter.requests += 1
        pipe = TcpPipe(dial(self.address, self.timeout), self.meter)
        try:
            host = f"host={self.address.server}".encode()
            pipe.write(
                wire.packet(SERVICE + b" " + self.address.path.encode() + b"\0" + host + b"\0\0version=2\0")
            )
        except BaseException:
            pipe.close()
            raise
        return pipe


class TcpPipe:
    """A connected socket; its time-out is that of silence."""

    def __init__(self, connection: socket.socket, meter: TransferMeter) -> None:
        self._socket = connection
        self._meter = meter

    def read(self, size: int) -> bytes:
        parts, missing = [], size
        while missing and (data := self._socket.recv(min(missing, 1 << 16))):
            self._meter.add(len(data))
            parts.append(data)
            missing -= len(data)
        return b"".join(parts)

    def write(self, data: bytes) -> int | None:
        self._socket.sendall(data)
        return len(data)

    def readable(self) -> bool:
        return bool(select.select([self._socket], [], [], 0)[0])

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.close()
