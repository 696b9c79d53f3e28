"""What is owned: durable before it is created."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from agent.errors import Transient
from agent.model import Key, Owned
from agent.store.inventory import InventoryStore
from tests.fakes import dying

FILE, WEB = Key("file", "/etc/motd"), Key("container", "shop-web-1")


OWNED = Owned("d1", ("network/shop_default",), ("port/80",), "shop", {"content": "c"}, {"/x": "y"}, "d0")


def test_inventory_comes_back(tmp_path: Path) -> None:
    """Every field of an entry must survive a restart, also a path with slashes as its name."""
    InventoryStore(tmp_path).own({FILE: OWNED, WEB: Owned("d2")})
    assert InventoryStore(tmp_path).load() == {FILE: OWNED, WEB: Owned("d2")}


def test_own_is_durable_disown_waits(tmp_path: Path) -> None:
    """An owned entry must be on disk when `own` returns; a disowned one goes with the next write."""
    store = InventoryStore(tmp_path)
    store.load()
    store.own({FILE: OWNED, WEB: OWNED})
    store.disown([WEB])
    assert WEB not in store.entries
    assert WEB in InventoryStore(tmp_path).load()
    store.save()
    assert InventoryStore(tmp_path).load() == {FILE: OWNED}


def test_own_that_cannot_be_written_fails(tmp_path: Path) -> None:
    """When ownership cannot be recorded, the caller must hear of it before it creates anything."""
    store = InventoryStore(tmp_path)
    with pytest.raises(Transient):
        dying.failing(lambda: store.own({FILE: OWNED}), "fsync", dying.NO_SPACE)


def test_lost_inventory_is_said(tmp_path: Path) -> None:
    """A lost inventory must be told apart from an empty one, so that it is rebuilt from the host."""
    store = InventoryStore(tmp_path)
    store.load()
    assert not store.lost
    store.own({FILE: OWNED})
    (tmp_path / "inventory.json").write_bytes(b"")
    again = InventoryStore(tmp_path)
    assert again.load() == {} and again.lost and again.damaged


def test_inventory_from_many_threads(tmp_path: Path) -> None:
    """Entries owned and disowned by several threads at once must all count."""
    store = InventoryStore(tmp_path)
    keys = [Key("file", f"/f{n}") for n in range(24)]

    def work(part: list[Key]) -> None:
        for key in part:
            store.own({key: OWNED})
        store.disown(part[::2])

    threads = [threading.Thread(target=work, args=(keys[n::4],)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.save()
    assert len(InventoryStore(tmp_path).load()) == 12
