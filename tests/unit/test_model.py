"""The values between the steps."""

from __future__ import annotations

from agent.kinds import files
from agent.model import Manifest


def test_manifest_digest_is_of_content() -> None:
    """Two manifests of equal content must have one digest, whatever their order, origins and warnings."""
    one, other = files.file("/a", content="a" * 64, size=1, origin="x:1"), files.directory("/b")
    first = Manifest({one.key: one, other.key: other}, warnings=("w",))
    moved = files.file("/a", content="a" * 64, size=1, origin="y:2")
    assert Manifest({other.key: other, moved.key: moved}).digest == first.digest
    assert Manifest({one.key: one}).digest != first.digest
    assert Manifest.from_json(first.to_json()).digest == first.digest
