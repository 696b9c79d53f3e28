"""What the agent owns on this host.

Rules:
1. Own before create: `own` returns only when the entries are durable. Disown after delete: `disown` is
   durable with the next write, because an entry too many is only looked at once more, while one too few
   leaks.
2. When both generations are lost, it starts empty and says so (`lost`); when one is, the other may lack the
   newest entries (`damaged`). Containers, networks and volumes are known by their labels; paths, and what a
   container did, are rebuilt from what can be proved (`agent.converge.recover`); what was adopted is adopted
   anew where it is equal and the service still says so.
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
        """What was found broken, for people."""
        return self._document.damaged

    def load(self) -> Inventory:
        """Reads it from disk; a copy of the entries. Errors: Stalled."""
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
        """`load` found nothing: nothing was owned yet, or somebody removed it."""
        return self._document.missing

    def rebuild(self, entries: Mapping[Key, Owned]) -> None:
        """Adds what was proved to be ours after a loss; durable with the next `own` or `save`."""
        with self._mutex:
            self._entries.update(entries)

    @property
    def entries(self) -> Inventory:
        """A copy of what is owned now."""
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
        """Makes everything durable; writes nothing when nothing changed."""
        with self._mutex:
            self._write()

    def tidy(self) -> None:
        """Removes what a killed writer left; only for the single writer."""
        self._document.tidy()

    def settle(self) -> None:
        """This version has converged once: its own schema from now on. Errors: Transient, Stalled."""
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
        doc.get("attempted", False),
    )
