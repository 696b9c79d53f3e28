"""A clock that is wrong by years, or is set while Limpet works: intervals, gates and verdicts go by another
clock.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from agent.drivers.observe import Look
from agent.observed import Observed
from tests.fakes.passes import Passes, service
from tests.harness.daemon import Daemon
from tests.harness.site import Site
from tests.harness.wait import eventually

YEARS = 10 * 365 * 86400.0


@pytest.mark.parametrize("years", [-YEARS, YEARS])
@pytest.mark.parametrize(("kind", "outcome"), [("web", "Converged"), ("sick", "RolledBack")])
def test_the_clock_is_set_in_a_gate(
    tmp_path: Path, years: float, kind: str, outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that is set by ten years while a gate waits must change no verdict, and the passes after it
    must be quiet.
    """
    passes = Passes(tmp_path)
    for image in ("idle", kind):
        passes.host.add_image(f"shop/{image}:1", image)
    passes.branch.push(service("shop/idle:1"))
    assert passes.run().outcome == "Converged"
    passes.branch.push(service(f"shop/{kind}:1"))
    looks, observe = [0], passes.host.observe

    def seen(look: Look) -> Observed:
        looks[0] += 1
        if looks[0] == 4:
            passes.clock.jump(years)
        return observe(look)

    monkeypatch.setattr(passes.host, "observe", seen)
    assert passes.run().outcome == outcome and looks[0] >= 4
    for _ in range(2):
        again = passes.run()
        assert again.outcome == ("Converged" if outcome == "Converged" else "HoldingKnownGood")
    heartbeat = passes.heartbeat()
    assert heartbeat["state"] == ("Synced" if outcome == "Converged" else "RolledBack")
    assert passes.running() == passes.host.images[f"shop/{kind if outcome == 'Converged' else 'idle'}:1"]


APP = "name: {app}\nservices:\n  web:\n    image: limpet-test/{image}\n"


class ElsewhenDaemon(Daemon):
    """A daemon, with the passes it starts, whose wall clock is what `jump` says."""

    def jump(self, seconds: float) -> None:
        place = self.site.root / "clock"
        new = place.with_suffix(".new")
        new.write_text(f"{seconds:.0f}\n")
        new.replace(place)
        os.environ |= {"LD_PRELOAD": str(self.shim()), "LIMPET_TEST_CLOCK": str(place)}

    def shim(self) -> Path:
        library = self.site.root / "clock.so"
        if not library.exists():
            source = Path(__file__).with_name("clock.c")
            subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source)], check=True)
        return library


@pytest.fixture
def elsewhen(site: Site) -> Iterator[ElsewhenDaemon]:
    before = dict(os.environ)
    daemon = ElsewhenDaemon(site)
    try:
        yield daemon
    finally:
        os.environ.clear()
        os.environ.update(before)
        daemon.kill()


def written_in(site: Site, year: int) -> bool:
    """Whether the newest heartbeat is of this year."""
    return str(site.heartbeat()["written_at"]).startswith(str(year))


def test_the_clock_of_a_daemon_is_set(elsewhen: ElsewhenDaemon, site: Site, prefix: str) -> None:
    """A daemon whose clock is set forward and back by ten years must go on polling, and apply each commit as
    before.
    """
    commit = site.commit({"compose.yaml": APP.format(app=prefix, image="idle:v1"), "files/etc/demo": "0\n"})
    elsewhen.jump(0)
    elsewhen.start()
    elsewhen.applied(commit)
    for number, years in enumerate((YEARS, -YEARS, 0.0), 1):
        elsewhen.jump(years)
        year = time.gmtime(time.time() + years).tm_year
        commit = site.commit({"files/etc/demo": f"{number}\n"})
        elsewhen.applied(commit)
        eventually(partial(written_in, site, year), 30, "the daemon's clock to be set")
    assert elsewhen.send(signal.SIGTERM) == 0
