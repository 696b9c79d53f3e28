"""The interface of a source, which every way to one has in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from agent.errors import LimpetError, Stalled
from agent.fetch.address import Address

if TYPE_CHECKING:
    from dulwich.object_store import DiskObjectStore, ObjectStoreGraphWalker
    from dulwich.objects import ObjectID


@dataclass(slots=True)
class TransferMeter:
    """Counts requests and received bytes. `limit` in bytes."""

    limit: int
    requests: int = 0
    received: int = 0

    def add(self, count: int) -> None:
        """Errors: Stalled `TooLarge` past the limit."""
        self.received += count
        if self.received > self.limit:
            raise Stalled(
                f"the source sends more than {self.limit // (1024 * 1024)} MiB",
                "take large files out of the repository and its history",
                code="TooLarge",
            )


class Pipe(Protocol):
    """A running upload-pack on the other side."""

    def read(self, size: int) -> bytes:
        """`size` bytes, fewer only at the end."""

    def write(self, data: bytes) -> int | None: ...

    def readable(self) -> bool:
        """Whether a read would give something at once."""

    def close(self) -> None: ...


class Source(Protocol):
    """One way to one source. All methods raise only LimpetError when the other side is to blame."""

    address: Address
    meter: TransferMeter

    def probe(self) -> LimpetError | None:
        """Returns when the source gave any answer of its protocol: the refusal when it refused, else None."""

    def refs(self, prefixes: Sequence[str]) -> dict[str, str]:
        """Name -> object id of the refs below the prefixes; others may be among them. `NAME^{}` is the object
        that a tag points at.
        """

    def receive(self, store: DiskObjectStore, wants: list[ObjectID], walker: ObjectStoreGraphWalker) -> None:
        """Brings the wanted objects and their history into the store; `walker` tells which are there."""

    def offer(self) -> list[str]:
        """Capabilities of the source that are worth remembering for the next poll; may be empty."""

    def close(self) -> None:
        """Closes connections; may be called twice."""


def sha1_only(object_format: str, address: Address) -> None:
    if object_format != "sha1":
        raise Stalled(
            f"{address.shown} uses the object format {object_format}",
            "use a repository with the format sha1",
            code="ObjectFormat",
        )
