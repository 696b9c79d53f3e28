"""Facts about the machine that templates can use. They change only when the machine does, not between passes.

Only the standard library is imported, and no command is run, because the light pass gathers them too.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from agent.model import sha256

GIB = 1 << 30


def gather(root: Path = Path("/")) -> dict[str, Any]:
    """All facts, sorted. `root` is the root of the machine's files. A fact that cannot be found is empty or
    0.
    """
    kernel = os.uname()
    release = _release(root)
    return {
        "arch": kernel.machine,
        "cpus": os.cpu_count() or 1,
        "hostname": kernel.nodename,
        "kernel": ".".join(kernel.release.split("-")[0].split(".")[:2]),
        "machine": sha256(f"limpet\0{_text(root / 'etc/machine-id')}")[:16],
        "memory_gib": _memory(root),
        "os": {
            "codename": release.get("VERSION_CODENAME", ""),
            "id": release.get("ID", ""),
            "name": release.get("NAME", ""),
            "version": release.get("VERSION_ID", ""),
        },
    }


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _release(root: Path) -> dict[str, str]:
    for name in ("etc/os-release", "usr/lib/os-release"):
        if text := _text(root / name):
            pairs = (
                line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#")
            )
            return {key.strip(): value.strip().strip("\"'") for key, value in pairs}
    return {}


def _memory(root: Path) -> int:
    """The machine's memory in GiB, rounded, because kernels reserve different amounts."""
    for line in _text(root / "proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return round(int(line.split()[1]) * 1024 / GIB)
    return 0
