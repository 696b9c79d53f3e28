"""In which order tests run, and how they are dealt out to the workers.

Rules:
1. Workers get the next test when they have one left to do. Quick folders are dealt out by module, so that a
   fixture of a module is made once.
2. First what takes long, then what needs a host (whose image may have to be made meanwhile), last what is
   quick: so all workers end together.
"""

from __future__ import annotations

import pytest
from xdist.scheduler import LoadScopeScheduling

ONE_BY_ONE = ("tests/contract/", "tests/e2e/", "tests/faults/", "tests/fleet/", "tests/histories/")
BY_MODULE = ("tests/faults/test_docker_killed.py",)  # with an Engine of its own
LONG = (
    "tests/faults/",
    "tests/histories/",
    "tests/compose/test_fuzz.py",
    "tests/compose/test_strategies.py",
    "tests/test_lint.py",
)
HOSTS = ("host_net", "debian13")  # fixtures; the second also as a parameter of `bench` or `site_host`


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Deals out in the order of collection."""

    def _split_scope(self, nodeid: str) -> str:
        one_by_one = nodeid.startswith(ONE_BY_ONE) and not nodeid.startswith(BY_MODULE)
        return nodeid if one_by_one else nodeid.partition("::")[0]


def needs_host(item: pytest.Item) -> bool:
    """Whether a test uses a test host."""
    parameters = getattr(getattr(item, "callspec", None), "params", {}).values()
    return any(name in getattr(item, "fixturenames", ()) or name in parameters for name in HOSTS)


def rank(item: pytest.Item) -> int:
    """Its place in the order."""
    if needs_host(item):
        return 2
    if item.nodeid.startswith(LONG):
        return 0
    return 1 if item.nodeid.startswith(ONE_BY_ONE) else 3
