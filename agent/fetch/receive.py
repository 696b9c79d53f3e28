"""The transfer itself, by dulwich: its clients over our transports. The only module that touches dulwich's
protocol code.

Rule: what dulwich raises about the conversation becomes Transient here; what it raises about objects stays
what it is, because only the caller knows whether the cache or the source is to blame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import IO, TYPE_CHECKING, Any, cast

from dulwich.client import AbstractHttpGitClient, GitClient, LocalGitClient, TraditionalGitClient
from dulwich.errors import GitProtocolError, HangupException, SendPackError, UnexpectedCommandError
from dulwich.protocol import Protocol

from agent.errors import LimpetError, Transient
from agent.fetch import trouble, wire
from agent.fetch.address import Address

if TYPE_CHECKING:
    from dulwich.object_store import DiskObjectStore, ObjectStoreGraphWalker
    from dulwich.objects import ObjectID

    from agent.fetch.http import HttpSource
    from agent.fetch.source import TransferMeter
    from agent.fetch.stream import StreamSource


def receive(
    client: GitClient,
    path: str,
    store: DiskObjectStore,
    wants: list[ObjectID],
    walker: ObjectStoreGraphWalker,
    address: Address,
) -> None:
    """One pack with what `wants` need and `walker` lacks.

    Errors: those of the transport, Transient, and dulwich's about objects.
    """
    pack, commit, abort = store.add_pack()
    try:
        client.fetch_pack(path, lambda refs, depth=None: wants, walker, pack.write)
    except (HangupException, GitProtocolError, SendPackError, UnexpectedCommandError) as error:
        abort()
        below = error.__cause__ or error.__context__
        if isinstance(below, (OSError, LimpetError)):
            raise below from None
        said = (
            "the connection was closed" if isinstance(error, HangupException) else wire.printable(str(error))
        )
        raise trouble.refused(address, said) from None
    except (AssertionError, ValueError, IndexError) as error:
        abort()
        raise Transient(
            f"{address.shown} did not keep to Git's protocol: "
            f"{wire.printable(str(error)) or type(error).__name__}",
            trouble.AGAIN,
            code="NotGit",
        ) from None
    except BaseException:
        abort()
        raise
    commit()


class HttpClient(AbstractHttpGitClient):
    """dulwich's HTTP client over `HttpSource`; what the source has already discovered is not asked for
    again.
    """

    def __init__(self, source: HttpSource) -> None:
        super().__init__(source.address.shown, thin_packs=False)
        self._source = source

    def _discover_references(self, service: bytes, base_url: str, *args: Any, **kwargs: Any) -> Any:
        if not self._source.offered.capabilities:
            self._source.refs([])
        self.dumb = False
        self.protocol_version = self._source.offered.version
        return {}, set(self._source.offered.capabilities), base_url, {}, {}

    def _smart_request(self, service: str, url: str, data: bytes | Iterator[bytes] | None) -> Any:
        body = data if isinstance(data, bytes) else b"".join(data or ())
        opened = self._source.post(body)
        answer = opened.__enter__()
        return _Open(opened), answer.read


class _Open:
    """What dulwich closes when it has read all it wants."""

    def __init__(self, opened: Any) -> None:
        self._opened = opened

    def close(self) -> None:
        self._opened.__exit__(None, None, None)


class StreamClient(TraditionalGitClient):
    """dulwich's client for the protocol as a plain stream, over a `StreamSource`."""

    def __init__(self, source: StreamSource) -> None:
        super().__init__(thin_packs=False)
        self._source = source

    def _connect(
        self, cmd: bytes, path: str | bytes, protocol_version: int | None = None
    ) -> tuple[Protocol, Callable[[], bool], IO[bytes] | None]:
        pipe = self._source.open()
        return Protocol(pipe.read, pipe.write, pipe.close), pipe.readable, None


class LocalClient(LocalGitClient):
    """dulwich's client for a directory, measured."""

    def __init__(self, meter: TransferMeter) -> None:
        super().__init__(thin_packs=False)
        self._meter = meter

    def fetch_pack(
        self, path: Any, determine_wants: Any, graph_walker: Any, pack_data: Any, *args: Any, **kwargs: Any
    ) -> Any:
        def write(data: bytes) -> int:
            self._meter.add(len(data))
            return cast(int, pack_data(data))

        return super().fetch_pack(path, determine_wants, graph_walker, write)
