"""One installation: where its files lie, and which machine it is on.

Every path of the host, the settings and the state is below `root` (`--root DIR`; default `/`). Two roots on
one machine are two installations.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agent.errors import Stalled
from agent.model import sha256

APPS = "/var/lib/limpet/apps"  # the default directory of the apps' files, as a host path


@dataclass(frozen=True, slots=True)
class Paths:
    """All paths that the agent itself uses."""

    root: Path = Path("/")

    def host(self, path: str) -> Path:
        """The place of an absolute host path below the root."""
        return self.root / path.lstrip("/")

    @property
    def settings(self) -> Path:
        return self.host("/etc/limpet/limpet.toml")

    @property
    def state(self) -> Path:
        return self.host("/var/lib/limpet")

    @property
    def run(self) -> Path:
        return self.host("/run/limpet")

    @property
    def git(self) -> Path:
        """The bare cache of the source; may be thrown away at any time."""
        return self.state / "git"

    @property
    def content(self) -> Path:
        return self.state / "content"

    @property
    def manifests(self) -> Path:
        return self.state / "manifests"

    @property
    def journal(self) -> Path:
        return self.state / "journal.jsonl"

    @property
    def history(self) -> Path:
        return self.state / "history.jsonl"


def machine_id(paths: Paths) -> str:
    """The root's machine id when it has one, else the id of the running machine. Errors: Stalled."""
    for path in (paths.host("/etc/machine-id"), Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id")):
        try:
            found = path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            continue
        if found and found != "uninitialized":
            return found
    raise Stalled("this machine has no machine-id", "make one: systemd-machine-id-setup", code="NoMachineId")


def instance(paths: Paths) -> str:
    """The value of the instance label, which marks all that this installation made in Docker. Two roots on
    one machine are two installations.
    """
    return sha256(f"{machine_id(paths)}\0{paths.root}")[:16]
