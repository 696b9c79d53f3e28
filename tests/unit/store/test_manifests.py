"""Manifests by digest, and what was rendered of equal inputs."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.errors import Stalled
from agent.model import Key, Manifest, Resource
from agent.store.documents import pack
from agent.store.manifests import Manifests, RenderCache


def manifest(origin: str = "compose.yaml:3") -> Manifest:
    key = Key("file", "/etc/motd")
    return Manifest(
        {key: Resource(key, {"content": "c" * 64, "mode": "0644"}, "d" * 64, origin=origin)},
        warnings=("one",),
    )


def test_manifest_comes_back(tmp_path: Path) -> None:
    """A manifest must come back equal under its digest."""
    store = Manifests(tmp_path / "manifests")
    assert store.get(store.put(manifest())) == manifest()


def test_manifest_keeps_newest_origins(tmp_path: Path) -> None:
    """The same digest with other line numbers must give the newest ones: messages point into the newest
    commit.
    """
    store = Manifests(tmp_path)
    store.put(manifest())
    digest = store.put(manifest("compose.yaml:9"))
    assert store.get(digest).resources[Key("file", "/etc/motd")].origin == "compose.yaml:9"
    assert len(list(tmp_path.iterdir())) == 1


def test_damaged_manifest_stalls(tmp_path: Path) -> None:
    """A flipped bit, also one that the manifest's own digest does not cover, must stall; so must another
    manifest's bytes.
    """
    store = Manifests(tmp_path)
    digest = store.put(manifest())
    path = store.path(digest)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"0644"', b'"0666"'))
    with pytest.raises(Stalled, match="is damaged"):
        store.get(digest)
    path.write_bytes(pack(Manifest({}).to_json(), 1))
    with pytest.raises(Stalled, match="is damaged"):
        store.get(digest)
    path.unlink()
    with pytest.raises(Stalled, match="is missing"):
        store.get(digest)
    with pytest.raises(ValueError, match="not a manifest digest"):
        store.path("../x")


def test_manifests_collect(tmp_path: Path) -> None:
    """Collecting must keep the manifests of remembered releases only."""
    store = Manifests(tmp_path)
    kept = store.put(manifest())
    other = store.put(Manifest({}))
    assert store.collect({kept}) == 1
    assert store.has(kept) and not store.has(other)


def test_rendered_knows_only_equal_inputs(tmp_path: Path) -> None:
    """The rendering cache must answer for equal inputs only, and a damaged cache must mean "not known"."""
    cache = RenderCache(tmp_path / "run" / "rendered.json")
    assert cache.find("a") == ""
    cache.note("a", "1" * 64)
    assert cache.find("a") == "1" * 64 and cache.find("b") == ""
    (tmp_path / "run" / "rendered.json").write_bytes(b"{")
    assert RenderCache(tmp_path / "run" / "rendered.json").find("a") == ""
