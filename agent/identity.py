"""Who this installation is: the machine, and the root it works below."""

from __future__ import annotations

from pathlib import Path

from agent.errors import Stalled
from agent.model import sha256
from agent.paths import Paths


def machine_id(paths: Paths) -> str:
    """The machine's id: that of the root, when it has one, else of the running machine. Errors: Stalled."""
    for path in (paths.host("/etc/machine-id"), Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id")):
        try:
            found = path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            continue
        if found and found != "uninitialized":
            return found
    raise Stalled("this machine has no machine-id", "make one: systemd-machine-id-setup", code="NoMachineId")


def instance(paths: Paths) -> str:
    """The value of the instance label: what carries it is ours. Two roots on one machine are two installations."""
    return sha256(f"{machine_id(paths)}\0{paths.root}")[:16]
