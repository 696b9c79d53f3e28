"""The things that the agent owns on this host.

Rules:
1. Own before create: `own` returns only when the entries are durable. Disown after delete: `disown` is
   durable with the next write, because an entry too many costs one more look, while a missing entry leaks a
   thing.
2. When both generations are lost, the inventory starts empty and says so (`lost`); when one is lost, the
   other may lack the newest entries (`damaged`). Containers, networks and volumes are known by their labels.
   Paths, and the deeds of containers, are rebuilt from proofs (`agent.converge.recover`). An adopted thing is
   adopted anew where it is equal and the service still says so.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

from agent.model import Inventory, Json, Key, Owned
from agent.store.documents import StoredDocument

SCHEMA = 1


class InventoryStore:
    """The inventory at DIR/inventory.json. `load` first; safe to use from several threads of the one pass."""

    def __init__(self, directory: Path) -> None:
        self._document = StoredDocument(directory / "inventory.json", SCHEMA, {})
        self._entries: dict[Key, Owned] = {}
        self._mutex = threading.Lock()

    @property
    def damaged(self) -> list[str]:
        """Says for people what was found broken."""
        return self._document.damaged

    def load(self) -> Inventory:
        """Reads the inventory from disk. A copy of the entries. Errors: Stalled."""
        found = self._document.read()
        with self._mutex:
            self._entries = {Key.parse(key): _owned(doc) for key, doc in found.items()}
        return self.entries

    @property
    def lost(self) -> bool:
        """`load` found no whole generation: ownership must be rebuilt from what is on the host."""
        return self._document.lost

    @property
    def missing(self) -> bool:
        """`load` found no file: nothing was owned yet, or somebody removed it."""
        return self._document.missing

    def rebuild(self, entries: Mapping[Key, Owned]) -> None:
        """Adds the things that were proved to be ours after a loss; durable with the next `own` or `save`."""
        with self._mutex:
            self._entries.update(entries)

    @property
    def entries(self) -> Inventory:
        """A copy of the entries as they are now."""
        with self._mutex:
            return dict(self._entries)

    def own(self, many: Mapping[Key, Owned]) -> None:
        """Adds or replaces entries, durably. Errors: Transient, Stalled; then nothing may be created."""
        with self._mutex:
            self._entries.update(many)
            self._write()

    def disown(self, keys: Iterable[Key]) -> None:
        """Forgets entries; durable with the next `own` or `save`."""
        with self._mutex:
            for key in keys:
                self._entries.pop(key, None)

    def save(self) -> None:
        """Makes all entries durable; writes nothing when nothing has changed."""
        with self._mutex:
            self._write()

    def tidy(self) -> None:
        """Removes the leftovers of a killed writer; only for the single writer."""
        self._document.tidy()

    def settle(self) -> None:
        """Writes this version's own schema from now on: it has converged once. Errors: Transient, Stalled."""
        with self._mutex:
            if self._document.settle():
                self._write()

    def _write(self) -> None:
        self._document.write({str(key): _json(owned) for key, owned in self._entries.items()})


def _json(owned: Owned) -> dict[str, Json]:
    doc: dict[str, Json] = {
        "digest": owned.digest,
        "needs": list(owned.needs),
        "claims": list(owned.claims),
        "app": owned.app,
        "original": dict(owned.original) if owned.original is not None else None,
        "delivered": dict(owned.notified),
        "completed": owned.completed,
        "hooked": list(owned.hooked),
        "adopted": dict(owned.adopted),
        "outlived": dict(owned.outlived),
        "attempted": owned.attempted,
    }
    return {key: value for key, value in doc.items() if value or key == "digest"}


def _owned(doc: Mapping[str, Json]) -> Owned:
    return Owned(
        doc["digest"],
        tuple(doc.get("needs", ())),
        tuple(doc.get("claims", ())),
        doc.get("app", ""),
        doc.get("original"),
        doc.get("delivered", {}),
        doc.get("completed", ""),
        tuple(doc.get("hooked", ())),
        doc.get("adopted", {}),
        doc.get("outlived", {}),
        doc.get("attempted", False),
    )
