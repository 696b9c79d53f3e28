"""What a running daemon waits for is there again: it does not wait for its backoff to end."""

from __future__ import annotations

import time
from pathlib import Path

from agent.report.sections import seconds_of
from tests.harness import images
from tests.harness.daemon import Daemon
from tests.harness.engine import private_engine
from tests.harness.gitrepo import GitRepo
from tests.harness.site import make_site
from tests.harness.wait import eventually

COMPOSE = "name: shop\nservices:\n  web:\n    image: limpet-test/web:{version}\n"
LONG = 12.0  # seconds of backoff, more than Docker takes to start and a probe takes to see it


def test_docker_that_is_back_is_used_at_once(repo: GitRepo, tmp_path: Path) -> None:
    """A host whose Docker was away must converge as soon as Docker is back, and meanwhile say until when it
    waits, and for what.
    """
    (tmp_path / "engine").mkdir()
    with private_engine(tmp_path / "engine") as private:
        for version in ("v1", "v2"):
            images.load(private.client, images.image("web", version))
        site = make_site(private.engine, repo, tmp_path / "site")
        daemon = Daemon(site)
        try:
            first = site.commit({"compose.yaml": COMPOSE.format(version="v1")})
            daemon.start()
            daemon.applied(first)
            private.stop()
            second = site.commit({"compose.yaml": COMPOSE.format(version="v2")})

            def waits() -> bool:
                upcoming = site.heartbeat()["next"]
                at = seconds_of(upcoming["retry_at"])
                return upcoming["waits_for"] == "Docker to answer" and at > time.time() + LONG

            eventually(waits, 240, "a long backoff")
            assert "at the latest; waits for Docker to answer" in site.limpet("status").out
            private.start()
            eventually(lambda: "what was waited for is there" in daemon.log(), LONG, "the end of the wait")
            daemon.applied(second)
        finally:
            daemon.kill()
