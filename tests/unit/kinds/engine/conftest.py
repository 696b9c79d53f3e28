"""The option that writes the stored requests anew."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-requests", action="store_true", help="write the stored requests anew")
