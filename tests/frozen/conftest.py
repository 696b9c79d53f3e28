"""The option that writes recorded histories anew."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-histories", action="store_true", help="write the recorded histories anew")
