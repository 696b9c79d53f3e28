"""What a release that was never proved has brought goes without a brake, and refusals keep nothing else from
converging.
"""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import pytest

from agent.kinds import files
from agent.model import Resource
from tests.fakes.host import Died
from tests.fakes.passes import Passes, service

MANY = 8


@pytest.fixture
def passes(tmp_path: Path) -> Passes:
    """One service, known good."""
    found = Passes(tmp_path)
    for name in ("shop/web:1", "shop/web:2"):
        found.host.add_image(name, "web", version=name)
    found.branch.push(service("shop/web:1"))
    assert found.run().exit_code == 0
    return found


def many() -> list[Resource]:
    return [service("shop/web:2", f"shop-more-{number}") for number in range(1, MANY + 1)]


def supersede(passes: Passes) -> None:
    """A release with many services more is applied, and a newer revision cancels its gate."""
    passes.branch.push(service("shop/web:1"), *many())
    newest, moving = passes.branch.newest_observed, count(1)
    passes.branch.newest_observed = lambda: str(next(moving))  # type: ignore[method-assign]
    assert passes.run().outcome == "Superseded"
    passes.branch.newest_observed = newest  # type: ignore[method-assign]
    assert len(passes.host.containers) == 1 + MANY


@pytest.mark.parametrize("image", ["shop/web:1", "shop/web:2"])
def test_leftovers_of_a_superseded_attempt_go(passes: Passes, image: str) -> None:
    """However many services a superseded attempt has brought, the release after it, also known good, must
    remove them all.
    """
    supersede(passes)
    passes.branch.push(service(image))
    assert passes.run().exit_code == 0
    assert [c.seen.name for c in passes.host.containers.values()] == ["shop-web-1"]


def test_leftovers_go_though_passes_are_killed(passes: Passes) -> None:
    """A pass that is killed on its way must not make the brake hold what a superseded attempt has brought."""
    supersede(passes)
    passes.branch.push(service("shop/web:2"))
    for _ in range(6):
        passes.host.die_at = passes.host._points + 3
        with pytest.raises(Died):
            passes.run()
    passes.host.die_at = None
    assert passes.run().exit_code == 0 and len(passes.host.containers) == 1


def test_what_was_proved_is_braked_again(passes: Passes) -> None:
    """Once the release that brought them was proved, so many services must not go without a person's word."""
    supersede(passes)
    passes.branch.push(service("shop/web:1"), *many())
    assert passes.run().exit_code == 0
    passes.branch.push(service("shop/web:1"))
    assert passes.run().exit_code == 6 and len(passes.host.containers) == 1 + MANY
    passes.branch.push(service("shop/web:1"), message=f"Limpet-Allow-Prune: {MANY}")
    assert passes.run().exit_code == 0 and len(passes.host.containers) == 1


def test_what_was_proved_is_braked_though_the_pass_was_killed_then(passes: Passes) -> None:
    """A pass that is killed right after the proof must not leave its services without the brake."""
    passes.branch.push(service("shop/web:1"), *many())
    wanted, observe = passes.branch.manifest.digest, passes.host.observe

    def dying(request: Any) -> Any:
        if passes.state.known_good[0].manifest_digest == wanted:
            raise Died
        return observe(request)

    passes.host.observe = dying  # type: ignore[method-assign]
    with pytest.raises(Died):
        passes.run()
    passes.host.observe = observe  # type: ignore[method-assign]
    assert passes.run().exit_code == 0
    passes.branch.push(service("shop/web:1"))
    assert passes.run().exit_code == 6


def test_a_release_with_refusals_is_proved_and_says_so(passes: Passes) -> None:
    """A refusal must stand as a condition while all else of its release is applied, judged and proved; then
    nothing is left to do.
    """
    passes.host.files.make_directory("/srv/data")
    passes.host.files.put("/srv/data/mine", b"x")
    blocked = files.file("/srv/data", content=passes.host.content.put(b"x"), size=1)
    passes.branch.push(service("shop/web:2"), blocked)
    result = passes.run()
    assert (result.exit_code, result.outcome) == (6, "Converged")
    told = passes.heartbeat()
    assert told["revision"]["known_good"] == told["revision"]["applied"] == f"main@sha1:{2:040x}"
    assert told["state"] == "Degraded" and [r["resource"] for r in told["refused"]] == ["file/srv/data"]
    assert any(c["type"] == "Refused" for c in told["conditions"])
    done = len(passes.host.done)
    assert passes.run().exit_code == 6 and len(passes.host.done) == done
    passes.host.files.there.pop("/srv/data/mine")
    assert passes.run().exit_code == 0 and passes.host.files.read("/srv/data") == b"x"
