"""Numbers as the reference loader writes them."""

from __future__ import annotations

import pytest
import yaml

from agent.compose import MemoryFiles, canonical, load_project


@pytest.mark.parametrize("value", ["1e21", "1.5e-9", ".inf", "-.inf", "0.25"])
def test_the_canonical_form_keeps_numbers(value: str) -> None:
    """A number of any size must be the same number to whoever reads the canonical form."""
    files = MemoryFiles({"compose.yaml": f"x-a: [{value}]\nservices: {{a: {{image: x}}}}\n".encode()})
    text = canonical(load_project(files, default_name="shop"))
    assert yaml.safe_load(text)["x-a"] == [float(value.replace(".inf", "inf"))]
