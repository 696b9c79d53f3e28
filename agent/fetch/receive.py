"""The transfer itself, by dulwich: its clients over our transports. The only module that touches dulwich's
protocol code.

Rule: dulwich's errors about the conversation become Transient here. Its errors about objects stay as they
are, because only the caller knows whether the cache or the source is to blame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import IO, TYPE_CHECKING, Any, Protocol, cast

from dulwich.client import AbstractHttpGitClient, GitClient, LocalGitClient, TraditionalGitClient
from dulwich.errors import GitProtocolError, HangupException, SendPackError, UnexpectedCommandError
from dulwich.protocol import Protocol as GitProtocol

from agent.errors import LimpetError, Transient
from agent.fetch import trouble, wire
from agent.fetch.address import Address
from agent.fetch.source import Pipe, TransferMeter

if TYPE_CHECKING:
    from dulwich.object_store import DiskObjectStore, ObjectStoreGraphWalker
    from dulwich.objects import ObjectID


def receive(
    client: GitClient,
    path: str,
    store: DiskObjectStore,
    wants: list[ObjectID],
    walker: ObjectStoreGraphWalker,
    address: Address,
) -> None:
    """Brings one pack into the store.

    client: dulwich's client over the transport
    path: the repository, as the client asks for it
    store: where the pack is written
    wants: the objects that are wanted, with all that they need
    walker: what the store has already
    address: the source, for messages

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


class HttpBody(Protocol):
    """The body of an HTTP answer."""

    def read(self, size: int) -> bytes: ...


class HttpConversation(Protocol):
    """The part of a source behind HTTP that dulwich's client needs."""

    @property
    def address(self) -> Address: ...

    @property
    def offered(self) -> wire.Advertisement:
        """What the server offers; without capabilities when it was not asked yet."""

    def refs(self, prefixes: Sequence[str]) -> dict[str, str]: ...

    def post(self, body: bytes) -> AbstractContextManager[HttpBody]:
        """One command of the protocol."""


class StreamConversation(Protocol):
    """The part of a source behind a plain stream that dulwich's client needs."""

    def open(self) -> Pipe: ...


class HttpClient(AbstractHttpGitClient):
    """dulwich's HTTP client over our connection; what the source has discovered is not asked for again."""

    def __init__(self, source: HttpConversation) -> None:
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
    """The object that dulwich closes when it has read all that it wants."""

    def __init__(self, opened: Any) -> None:
        self._opened = opened

    def close(self) -> None:
        self._opened.__exit__(None, None, None)


class StreamClient(TraditionalGitClient):
    """dulwich's client for the protocol as a plain stream."""

    def __init__(self, source: StreamConversation) -> None:
        super().__init__(thin_packs=False)
        self._source = source

    def _connect(
        self, cmd: bytes, path: str | bytes, protocol_version: int | None = None
    ) -> tuple[GitProtocol, Callable[[], bool], IO[bytes] | None]:
        pipe = self._source.open()
        return GitProtocol(pipe.read, pipe.write, pipe.close), pipe.readable, None


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
