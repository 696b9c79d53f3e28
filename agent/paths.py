"""Where things lie. Every path of the host, the settings and the state is below `root` (`--root DIR`; default `/`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

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
