"""The reference loader is a Go program: where there is no Go, what asks it is not collected, and the stored answers stand."""

from __future__ import annotations

import pytest

from tests.compose.differential import oracle_available


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    asking = [item for item in items if "oracle" in getattr(item, "fixturenames", ())]
    if asking and not oracle_available():
        config.hook.pytest_deselected(items=asking)
        items[:] = [item for item in items if item not in asking]
