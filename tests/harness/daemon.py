"""The resident daemon of a site: `limpet run`, with real polls and passes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.harness.site import Site
from tests.harness.wait import eventually


class Daemon:
    """`limpet run` of a site, its log in a file."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.process: subprocess.Popen[bytes] | None = None
        site.configure(source={"poll": "0.5s"}, gate={"settle": "0.5s", "deadline": "10m"})

    def start(self) -> None:
        with (self.site.root / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-m", "agent", "--root", str(self.site.root), "run"], stderr=log
            )

    def send(self, number: signal.Signals) -> int:
        """Ends the daemon by a signal; its exit status."""
        assert self.process
        self.process.send_signal(number)
        return self.process.wait(90)

    def kill(self) -> None:
        """Ends it and its children, whatever they do."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for child in self.children():
            os.kill(child, signal.SIGKILL)

    def log(self) -> str:
        return (self.site.root / "log").read_text()

    def applied(self, commit: str, timeout: float = 60.0) -> None:
        """Waits until the heartbeat says that the commit is applied and that all is well."""

        def seen() -> bool:
            beat = self.site.heartbeat()
            return bool(
                beat["state"] == "Synced"
                and beat["revision"]["applied"] == f"main@sha1:{commit}"
                and beat["phase"] == "idle"
            )

        eventually(seen, timeout, f"{commit} applied")

    def in_gate(self) -> None:
        eventually(lambda: self.site.heartbeat()["phase"] == "gate", 60, "the gate")

    def children(self) -> list[int]:
        """Processes of this installation besides the daemon itself."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and self.process and int(entry.name) != self.process.pid:
                try:
                    line = (entry / "cmdline").read_bytes()
                except OSError:
                    continue
                if str(self.site.root).encode() in line and b"_pass" in line:
                    found.append(int(entry.name))
        return found
