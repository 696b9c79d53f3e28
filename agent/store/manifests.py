"""Keeps manifests by digest, and remembers which one an earlier rendering of the same inputs gave.

Rules:
1. A manifest file is checksummed as a whole and its digest is computed again after reading.
2. The newest rendering of a digest replaces the older one. They can differ only in things that no digest
   covers, such as origins, warnings, and how images are pulled and containers changed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from agent.errors import Stalled
from agent.model import Manifest
from agent.store import durable
from agent.store.documents import DocumentDamaged, StoredDocument, pack, unpack

SCHEMA = 1
_NAME = r"[0-9a-f]{64}\.json"


class Manifests:
    """A directory of manifests, DIGEST.json."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, digest: str) -> Path:
        name = f"{digest}.json"
        if not re.fullmatch(_NAME, name):
            raise ValueError(f"not a manifest digest: {digest!r}")
        return self.directory / name

    def put(self, manifest: Manifest) -> str:
        """Stores it, durably; its digest."""
        digest = manifest.digest
        path, data = self.path(digest), pack(manifest.to_json(), SCHEMA)
        try:
            same = path.read_bytes() == data
        except OSError:
            same = False
        if not same:
            durable.make_directory(self.directory)
            durable.write_file(path, data)
        return digest

    def get(self, digest: str) -> Manifest:
        """The manifest. Errors: Stalled when it is missing, damaged, or of a newer schema."""
        path = self.path(digest)
        try:
            manifest = Manifest.from_json(unpack(path.read_bytes(), SCHEMA, str(path)))
        except FileNotFoundError:
            raise self._lost(digest, "is missing", "ManifestMissing") from None
        except (OSError, DocumentDamaged, KeyError, TypeError, ValueError) as error:
            raise self._lost(digest, f"is damaged: {error}", "ManifestDamaged") from error
        if manifest.digest != digest:
            raise self._lost(
                digest, f"is damaged: its content has the digest {manifest.digest[:12]}", "ManifestDamaged"
            )
        return manifest

    def has(self, digest: str) -> bool:
        return self.path(digest).is_file()

    def all(self) -> list[Manifest]:
        """Every manifest that is whole."""
        found = []
        for path in sorted(self.directory.glob("*.json")):
            with suppress(Stalled, ValueError):
                found.append(self.get(path.stem))
        return found

    def collect(self, keep: Collection[str]) -> int:
        """Deletes every manifest whose digest is not in `keep`, and leftovers of killed writers. The number
        deleted.
        """
        removed = durable.remove_temporaries(self.directory)
        with suppress(FileNotFoundError):
            for entry in os.scandir(self.directory):
                if re.fullmatch(_NAME, entry.name) and entry.name.removesuffix(".json") not in keep:
                    Path(entry.path).unlink(missing_ok=True)
                    removed += 1
        return removed

    @staticmethod
    def _lost(digest: str, what: str, code: str) -> Stalled:
        return Stalled(
            f"stored manifest {digest[:12]} {what}",
            "run `limpet sync`: the branch's revision is rendered again; for an older release push the "
            "commit again",
            code=code,
        )


class RenderCache:
    """Remembers the last rendering: inputs (revision, settings, facts, scheme, as one text) and the
    manifest's digest.

    It is a cache in the run-time directory: any trouble with it means "not known", and a lost write costs one
    rendering.
    """

    def __init__(self, path: Path) -> None:
        self._document = StoredDocument(path, SCHEMA, {})

    def find(self, inputs: str) -> str:
        """The digest that the same inputs gave; empty when it is not known."""
        try:
            known = self._document.read()
        except Stalled:
            return ""
        return str(known["digest"]) if known.get("inputs") == inputs else ""

    def note(self, inputs: str, digest: str) -> None:
        path = self._document.path
        durable.make_directory(path.parent, 0o755)
        durable.remove_temporaries(path.parent, path.name)
        durable.write_file(path, pack({"inputs": inputs, "digest": digest}, SCHEMA), durable=False)
