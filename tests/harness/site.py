"""One Limpet below a root of its own, on the machine's Engine: the quick way to a whole pass, without a test
host. With `on_both_engines` a test runs once more on the Engine of a Debian 13 test host, with a root that
both see.

`site.commit({...}); site.sync()` is a commit and a pass by the real command in a process of its own. Apps get
names that start with the test's prefix, so that the fixture `prefix` removes what is left.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.harness import forks, net
from tests.harness.engine import Engine
from tests.harness.gitrepo import Content, GitRepo
from tests.harness.gitserver import FileRemote
from tests.harness.hosts import Host, Remote, Result, to_toml
from tests.harness.wait import eventually

AT_START = {"LD_PRELOAD", "LIMPET_TEST_KILL_AT", "LIMPET_TEST_PATIENCE"}  # what only a new interpreter heeds
QUICK_GATE = {"settle": "0.5s", "deadline": "20s"}
on_both_engines = pytest.mark.parametrize("site_host", ["machine", "debian13"], indirect=True)


@dataclass
class Site:
    """`root` is its `--root`; `settings` are the sections of limpet.toml, merged over quick defaults. `host`:
    the test host whose Engine it uses, and in whose network its commands run.
    """

    engine: Engine
    repo: GitRepo
    root: Path
    remote: Remote
    socket: str = ""
    host: Host | None = None

    def configure(self, **sections: Mapping[str, Any]) -> None:
        """Writes limpet.toml; sections are merged over the defaults."""
        doc: dict[str, dict[str, Any]] = {
            "host": {"name": "web-01"},
            "source": {**self._credentials(), "branch": "main", "timeout": "3s"},
            "gate": dict(QUICK_GATE),
            "engine": {"socket": self.socket or self.engine.socket},
        }
        for name, values in sections.items():
            doc.setdefault(name, {}).update(values)
        path = self.root / "etc/limpet/limpet.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(to_toml(doc))

    def _credentials(self) -> dict[str, str]:
        """The remote's settings; its files are copied below the root, as all paths in settings are."""
        found = self.remote.settings()
        for name in ("token_file", "ca_file", "ssh_key", "known_hosts"):
            if name in found:
                place = self.root / "etc/limpet" / name
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(found[name], place)
                found[name] = f"/etc/limpet/{name}"
        return found

    def commit(self, files: Mapping[str, Content], message: str = "change") -> str:
        return self.repo.commit(dict(files), message)

    def limpet(
        self,
        *arguments: str,
        timeout: float = 120,
        env: Mapping[str, str] | None = None,
        real: bool = False,
    ) -> Result:
        """A command in a process of its own. It is forked, which saves the imports, unless it is to be `real`
        or the environment changes how it starts.
        """
        environment = {**os.environ, **(env or {})}
        if not real and environment.keys().isdisjoint(AT_START):
            forked = ("--root", str(self.root), *arguments)
            return Result(("limpet", *forked), *forks.limpet(forked, timeout, environment, self._inside()))
        enter = ["nsenter", "--net", f"--target={self._inside()}"] if self.host else []
        argv = [*enter, sys.executable, "-I", "-m", "agent", "--root", str(self.root), *arguments]
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env=environment,
        )
        return Result(tuple(argv), done.returncode, done.stdout, done.stderr)

    def sync(self, expect: int | None = 0, **options: Any) -> Result:
        """One pass; asserts its exit code unless `expect` is None."""
        done = self.limpet("sync", **options)
        assert expect is None or done.code == expect, f"want exit {expect}: {done}"
        return done

    @contextmanager
    def passing(self, phase: str) -> Iterator[subprocess.Popen[bytes]]:
        """A pass in a process group of its own, from when the heartbeat says that it is in this phase; then
        it is killed.
        """
        argv = [sys.executable, "-I", "-m", "agent", "--root", str(self.root), "sync"]
        child = subprocess.Popen(
            argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            eventually(lambda: self.heartbeat()["phase"] == phase, 60, f"the pass to be in {phase}")
            yield child
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()

    def kill_in(self, phase: str) -> None:
        """A pass that dies in this phase."""
        with self.passing(phase):
            pass

    def holding(self, port: int) -> AbstractContextManager[None]:
        """A process of the host that holds a TCP port of loopback."""
        return net.holding(port, "127.0.0.1", self._inside())

    def _inside(self) -> int:
        return self.host.pid if self.host else 0

    def heartbeat(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads((self.root / "run/limpet/heartbeat.json").read_text())
        return loaded

    def container(self, name: str) -> dict[str, Any]:
        """The inspection of a container by name."""
        return dict(self.engine.client.api.inspect_container(name))

    def ids(self, prefix: str) -> dict[str, str]:
        """Container name -> id of all with the prefix, stopped ones too."""
        return {str(c.name): str(c.id) for c in self.engine.containers(prefix)}


def make_site(
    engine: Engine,
    repo: GitRepo,
    directory: Path,
    remote: Remote | None = None,
    socket: str = "",
    host: Host | None = None,
) -> Site:
    """A site below `directory` that follows `repo`; `host` needs to see that directory."""
    site = Site(engine, repo, directory / "root", remote or FileRemote(repo), socket, host)
    site.root.mkdir(parents=True, exist_ok=True)
    site.configure()
    return site


STEADY = ("Id", "Name", "Image")


def facts(site: Site, name: str) -> dict[str, Any]:
    """What must be as before after a rollback."""
    doc = site.container(name)
    networks = {
        network: (endpoint["NetworkID"], sorted(set(endpoint["Aliases"] or ()) - {doc["Id"][:12]}))
        for network, endpoint in doc["NetworkSettings"]["Networks"].items()
    }
    return {key: doc[key] for key in STEADY} | {
        "policy": doc["HostConfig"]["RestartPolicy"],
        "networks": networks,
        "running": doc["State"]["Running"],
    }
