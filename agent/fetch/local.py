"""Sources on this host: a repository by its path, and a bundle file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from agent.errors import LimpetError, Stalled, Transient
from agent.fetch import wire
from agent.fetch.address import Address
from agent.fetch.request import reason
from agent.fetch.source import TransferMeter, sha1_only

if TYPE_CHECKING:
    from dulwich.object_store import DiskObjectStore, ObjectStoreGraphWalker
    from dulwich.objects import ObjectID
    from dulwich.repo import Repo

HEADS = (b"# v2 git bundle\n", b"# v3 git bundle\n")
LINES = 100_000  # of a bundle's header
LINE = 4096  # bytes
_OID = re.compile(r"[0-9a-f]{40}")


class LocalSource:
    """A repository on this host, bare or not. Ignores its hooks and its configuration."""

    def __init__(self, address: Address, meter: TransferMeter) -> None:
        self.address = address
        self.meter = meter

    def probe(self) -> LimpetError | None:
        """A path always answers: it says nothing about the network."""
        return None

    def refs(self, prefixes: Sequence[str]) -> dict[str, str]:
        self.meter.requests += 1
        found = _plain_refs(Path(self.address.path), prefixes)
        if found:
            return found
        with self._repository() as repository:
            sha1_only(repository.object_format.name, self.address)
            found = {
                name.decode("utf-8", "replace"): oid.decode() for name, oid in repository.get_refs().items()
            }
            for name in [name for name in found if name.startswith("refs/tags/") and name in prefixes]:
                found[f"{name}^{{}}"] = repository.get_peeled(name.encode()).decode()  # type: ignore[arg-type]
            return found

    def receive(self, store: DiskObjectStore, wants: list[ObjectID], walker: ObjectStoreGraphWalker) -> None:
        from agent.fetch.receive import LocalClient, receive

        receive(LocalClient(self.meter), self.address.path, store, wants, walker, self.address)

    def offer(self) -> list[str]:
        return []

    def close(self) -> None:
        """Nothing is held."""

    def _repository(self) -> Repo:
        from dulwich.errors import NotGitRepository
        from dulwich.repo import Repo

        try:
            return Repo(self.address.path)
        except NotGitRepository:
            raise Stalled(
                f"there is no Git repository at {self.address.path}",
                "correct source.url, or make the repository",
                code="NoRepository",
            ) from None
        except OSError as error:
            raise unreadable(self.address, error) from None


def unreadable(address: Address, error: OSError) -> Transient:
    return Transient(
        f"{address.path} cannot be read: {reason(error)}",
        "check the path in source.url and its permissions",
        code="Local",
    )


def _plain_refs(path: Path, names: Sequence[str]) -> dict[str, str]:
    """The refs with exactly these names, from Git's plain files; empty when anything is less than plain."""
    git_dir = path if (path / "objects").is_dir() else path / ".git"
    try:
        if "reftable" in (git_dir / "config").read_text() or "sha256" in (git_dir / "config").read_text():
            return {}
        packed = (git_dir / "packed-refs").read_text() if (git_dir / "packed-refs").exists() else ""
        found = {}
        for name in names:
            loose = git_dir / name
            text = loose.read_text() if loose.is_file() else _packed(packed, name)
            if not _OID.fullmatch(text.strip()) or name.startswith("refs/tags/"):
                return {}
            found[name] = text.strip()
        return found
    except (OSError, UnicodeDecodeError):
        return {}


def _packed(packed: str, name: str) -> str:
    return next((line[:40] for line in packed.splitlines() if line[40:] == f" {name}"), "")


class BundleSource:
    """A file that `git bundle create` made, for hosts without a network."""

    def __init__(self, address: Address, meter: TransferMeter) -> None:
        self.address = address
        self.meter = meter

    def probe(self) -> LimpetError | None:
        """A file always answers: it says nothing about the network."""
        return None

    def refs(self, prefixes: Sequence[str]) -> dict[str, str]:
        self.meter.requests += 1
        try:
            with Path(self.address.path).open("rb") as file:
                return self._header(file)[0]
        except OSError as error:
            raise unreadable(self.address, error) from None

    def receive(self, store: DiskObjectStore, wants: list[ObjectID], walker: ObjectStoreGraphWalker) -> None:
        try:
            with Path(self.address.path).open("rb") as file:
                needs = self._header(file)[1]
                lacking = [oid.decode()[:12] for oid in needs if cast("ObjectID", oid) not in store]
                if lacking:
                    raise Stalled(
                        f"{self.address.path} builds on commits that this host does not have: "
                        f"{', '.join(lacking[:5])}",
                        "make a bundle with the whole history: `git bundle create FILE BRANCH`",
                        code="Incomplete",
                    )
                store.add_thin_pack(lambda size: self._read(file, size), None)
        except OSError as error:
            raise unreadable(self.address, error) from None

    def offer(self) -> list[str]:
        return []

    def close(self) -> None:
        """Nothing is held."""

    def _read(self, file: IO[bytes], size: int) -> bytes:
        data = file.read(size)
        self.meter.add(len(data))
        return data

    def _header(self, file: IO[bytes]) -> tuple[dict[str, str], list[bytes]]:
        """The refs, and the commits that the bundle builds on; leaves the file where its pack begins."""
        if file.readline(LINE) not in HEADS:
            raise self._bad("is not a Git bundle", "make it with `git bundle create FILE BRANCH`")
        refs: dict[str, str] = {}
        needs: list[bytes] = []
        for _ in range(LINES):
            line = file.readline(LINE)
            if line == b"\n":
                return refs, needs
            if line.startswith(b"@object-format="):
                sha1_only(wire.printable(line[15:]), self.address)
            if line.startswith(b"@filter"):
                raise self._bad("is a partial bundle", "make it without --filter")
            oid, _, name = line.rstrip(b"\n").partition(b" ")
            if oid.startswith(b"-"):
                needs.append(oid[1:])
            elif _OID.fullmatch(oid.decode("ascii", "replace")):
                refs[name.decode("utf-8", "replace")] = oid.decode()
        raise self._bad("has a header without an end", "make the bundle again")

    def _bad(self, what: str, hint: str) -> Stalled:
        return Stalled(f"{self.address.path} {what}", hint, code="NotGit")
