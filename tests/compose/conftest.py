"""The reference loader is a Go program: where it cannot be compiled, what asks it is left out, and the stored
answers stand.

In CI nothing is left out: there, what cannot be asked fails.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator

import pytest

from tests.compose.differential import NoOracle, Oracle, build_oracle


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    """The reference loader, which answers."""
    asked = Oracle(build_oracle())
    yield asked
    asked.close()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    asking = [item for item in items if "oracle" in getattr(item, "fixturenames", ())]
    if not asking or os.environ.get("CI") == "true":
        return
    try:
        build_oracle()
    except NoOracle as reason:
        warnings.warn(pytest.PytestWarning(f"the reference loader is not asked: {reason}"), stacklevel=1)
        config.hook.pytest_deselected(items=asking)
        items[:] = [item for item in items if item not in asking]
