"""A cache that is damaged where only rendering looks."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

from agent.converge.desired import Desired
from agent.installation import Paths
from agent.settings.values import Settings, SourceSettings
from tests.harness.gitrepo import GitRepo


def _rot(git_dir: Path) -> None:
    """Flips bits of the pack as a bad disk does: no time and no size of a file tells."""
    (pack,) = (git_dir / "objects/pack").glob("*.pack")
    pack.chmod(0o644)
    data = bytearray(pack.read_bytes())
    for place in range(len(data) // 4, len(data) - 30, 50):
        data[place] ^= 0x55
    pack.write_bytes(data)
    stamp = json.loads((git_dir / "limpet.json").read_text())
    status = pack.stat()
    stamp["files"][f"objects/pack/{pack.name}"] = [
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_ino,
    ]
    (git_dir / "limpet.json").write_text(json.dumps(stamp))


def test_rot_that_only_rendering_meets_is_healed_in_the_same_pass(repo: GitRepo, tmp_path: Path) -> None:
    """A damaged object that the render child meets must cost one more fetch, not the pass."""
    files = {f"files/etc/app/{number}.conf": os.urandom(200).hex() for number in range(20)}
    repo.commit(files)
    settings = Settings(source=SourceSettings(url=str(repo.path), branch="main"))
    desired = Desired(Paths(tmp_path / "root"), settings, threading.Event())
    tip = desired.fetch("")
    _rot(desired.paths.git)
    assert desired.fetch("") == tip
    manifest = desired.render(tip, "fleet")
    assert len(manifest.content()) == 20
    assert {desired.content.get(digest).decode() for digest in manifest.content()} == set(files.values())
