"""Measures Limpet beside Docker Compose as Debian ships it: `make bench`. Ratios of one run count, absolute
times do not.

Rows: bringing up N services, a pass with nothing to do, one changed service among N, loading a large file
beside the reference loader, the resident daemon's memory. The budgets are printed beside the figures; nothing
fails.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.compose.differential import NoOracle, build_oracle  # noqa: E402
from tests.harness import images  # noqa: E402  (the checkout is not installed)
from tests.harness.engine import Engine, machine_engine  # noqa: E402
from tests.harness.gitrepo import GitRepo  # noqa: E402
from tests.harness.site import Site, make_site  # noqa: E402
from tests.harness.wait import eventually  # noqa: E402

SETTLE = 1.0  # seconds of the gate, subtracted where the budget says so


@dataclass(frozen=True)
class Cost:
    """One run of a command: wall and CPU seconds of it and its children, largest resident set in MiB."""

    wall: float
    cpu: float
    peak: float


# A small process between: a child's peak counts from the size of the process that forked it.
LAUNCH = """
import json, os, resource, subprocess, sys, time
started = time.monotonic()
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([time.monotonic() - started, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, code]))
"""


def measure(argv: Sequence[str]) -> Cost:
    """Runs a command to its end; the kernel's accounting of it and its children."""
    told = subprocess.run(
        [sys.executable, "-I", "-S", "-c", LAUNCH, *argv], stdout=subprocess.PIPE, check=True
    ).stdout
    wall, cpu, peak, code = json.loads(told)
    assert code == 0, f"{argv} exited {code}"
    return Cost(wall, cpu, peak)


def median(runs: int, do: Callable[[], Cost]) -> Cost:
    found = [do() for _ in range(runs)]
    return Cost(
        *(statistics.median(getattr(cost, name) for cost in found) for name in ("wall", "cpu", "peak"))
    )


def compose_file(app: str, count: int, mark: str = "a") -> str:
    services = "".join(
        f"  s{n:02}:\n    image: limpet-test/idle:v1\n    environment: {{MARK: '{'a' if n else mark}'}}\n"
        for n in range(count)
    )
    return f"version: '3.8'\nservices:\n{services}" if app == "" else f"name: {app}\nservices:\n{services}"


class Limpet:
    """Limpet below a root of its own, with N services and M host files."""

    def __init__(self, engine: Engine, directory: Path, app: str, count: int, files: int) -> None:
        self.site: Site = make_site(engine, GitRepo(directory / "fleet.git"), directory)
        self.app, self.count, self.files = app, count, files
        self.site.configure(gate={"settle": f"{SETTLE:g}s"})
        self.argv = [sys.executable, "-I", "-m", "agent", "--root", str(self.site.root), "sync"]

    def commit(self, mark: str = "a") -> None:
        host = {f"files/etc/bench/{n:03}.conf": f"{n}\n" for n in range(self.files)}
        self.site.commit({"compose.yaml": compose_file(self.app, self.count, mark), **host})

    def sync(self) -> Cost:
        return measure(self.argv)


class Peer:
    """docker-compose on the same number of services."""

    def __init__(self, directory: Path, app: str, count: int) -> None:
        self.file, self.app, self.count = directory / "docker-compose.yml", app, count
        directory.mkdir(parents=True)
        self.commit()
        self.argv = ["docker-compose", "-p", app, "-f", str(self.file), "up", "-d"]

    def commit(self, mark: str = "a") -> None:
        self.file.write_text(compose_file("", self.count, mark))

    def sync(self) -> Cost:
        return measure(self.argv)


def daemon_memory(site: Site) -> float:
    """Resident MiB of `limpet run` after its first pass."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-m", "agent", "--root", str(site.root), "run"], stderr=subprocess.DEVNULL
    )
    try:
        before = site.heartbeat()["seq"]
        eventually(
            lambda: site.heartbeat()["seq"] > before + 2 and site.heartbeat()["phase"] == "idle",
            60,
            "the first pass",
        )
        status = Path(f"/proc/{process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024
    finally:
        process.terminate()
        process.wait(30)


LOADED_SERVICE = """\
  s{n}:
    <<: *base
    image: registry.example.org/team/service-{n}:1.{n}.0
    command: [serve, --port, "8080", --name, s{n}]
    environment:
      SERVICE_NAME: s{n}
      LOG_LEVEL: ${{LOG_LEVEL:-info}}
      DATABASE_URL: postgres://app:${{DB_PASSWORD}}@db:5432/app
      CACHE_TTL: 300
    ports:
      - "{port}:8080"
      - "127.0.0.1:{local}:9090/tcp"
    volumes:
      - ./conf/s{n}:/etc/app:ro
      - data:/data
    healthcheck:
      test: [CMD, curl, -f, "http://localhost:8080/health"]
      interval: 10s
      retries: 5
    deploy: {{resources: {{limits: {{cpus: "0.50", memory: 256M}}}}}}
    labels:
      - traefik.enable=true
      - traefik.http.routers.s{n}.rule=Host(`s{n}.example.org`)
"""


def loaded_file(count: int) -> str:
    """A Compose file of so many services, each with what services have, every second waiting for the one
    before.
    """
    text = (
        "x-base: &base\n  restart: unless-stopped\n  logging: {driver: json-file, options: {max-size: "
        "10m}}\nservices:\n"
    )
    for n in range(count):
        text += LOADED_SERVICE.format(n=n, port=10_000 + n, local=20_000 + n)
        if n % 2:
            text += f"    depends_on: {{s{n - 1}: {{condition: service_healthy}}}}\n"
    return text + "volumes: {data: }\n"


def loading(directory: Path, runs: int, count: int = 300) -> None:
    """Whole processes: `limpet render --compose` from start to YAML, the reference loader from start to
    JSON.
    """
    try:
        oracle = build_oracle()
    except NoOracle as reason:
        print(f"loading {count} services: {reason}")
        return
    app = directory / "loaded"
    app.mkdir()
    (app / "compose.yaml").write_text(loaded_file(count))
    (app / ".env").write_text("DB_PASSWORD=secret\n")
    request = directory / "request.json"
    request.write_text(json.dumps({"dir": str(app)}) + "\n")
    ours = median(
        runs,
        lambda: measure([sys.executable, "-I", "-m", "agent", "render", "--repo", str(app), "--compose"]),
    )
    theirs = median(runs, lambda: measure(["sh", "-c", 'exec "$0" < "$1"', str(oracle), str(request)]))
    row(
        f"loading {count} services (reference loader)",
        f"{ours.wall:.3f} s",
        f"{theirs.wall:.3f} s",
        f"{ours.wall / theirs.wall:.2f}",
        "3 x the reference loader",
    )
    row("  CPU", f"{ours.cpu:.3f} s", f"{theirs.cpu:.3f} s", f"{ours.cpu / theirs.cpu:.2f}", "")


def row(what: str, ours: str, theirs: str, ratio: str, budget: str) -> None:
    print(f"{what:<44} {ours:>14} {theirs:>16} {ratio:>7}  {budget}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", type=int, default=50)
    parser.add_argument("--files", type=int, default=100)
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    engine, directory = machine_engine(), Path(tempfile.mkdtemp(prefix="limpet-bench-"))
    images.load_all(engine.client)
    try:
        with engine.prefix("ltbl") as ours, engine.prefix("ltbp") as theirs:
            bench(engine, directory, ours, theirs, args)
    finally:
        shutil.rmtree(directory)
    return 0


def bench(engine: Engine, directory: Path, ours: str, theirs: str, args: argparse.Namespace) -> None:
    """All rows, each of Limpet and its peer in turn."""
    limpet = Limpet(engine, directory / "limpet", ours, args.services, args.files)
    peer = Peer(directory / "peer", theirs, args.services)
    row("", "limpet", "docker-compose", "ratio", "budget")
    limpet.commit()
    up, peer_up = limpet.sync(), peer.sync()
    row(
        f"{args.services} new services, less settle",
        f"{up.wall - SETTLE:.2f} s",
        f"{peer_up.wall:.2f} s",
        f"{(up.wall - SETTLE) / peer_up.wall:.2f}",
        "1.1 x the engine's own time",
    )
    limpet.sync()
    idle, peer_idle = median(args.runs, limpet.sync), median(args.runs, peer.sync)
    row(
        f"nothing to do, {args.services} services, {args.files} files",
        f"{idle.wall:.3f} s",
        f"{peer_idle.wall:.3f} s",
        f"{idle.wall / peer_idle.wall:.2f}",
        "0.24 s",
    )
    row(
        "  CPU, with its children",
        f"{idle.cpu:.3f} s",
        f"{peer_idle.cpu:.3f} s",
        f"{idle.cpu / peer_idle.cpu:.2f}",
        "",
    )
    row(
        "  largest process",
        f"{idle.peak:.0f} MiB",
        f"{peer_idle.peak:.0f} MiB",
        f"{idle.peak / peer_idle.peak:.2f}",
        "60 MiB",
    )
    limpet.commit("b")
    peer.commit("b")
    change, peer_change = limpet.sync(), peer.sync()
    row(
        "one changed service, less settle",
        f"{change.wall - SETTLE:.2f} s",
        f"{peer_change.wall:.2f} s",
        f"{(change.wall - SETTLE) / peer_change.wall:.2f}",
        "Compose v5's own time",
    )
    loading(directory, args.runs)
    row("resident memory of `limpet run`", f"{daemon_memory(limpet.site):.1f} MiB", "-", "-", "28 MiB")


if __name__ == "__main__":
    sys.exit(main())
