"""Numbers as the reference loader writes them."""

from __future__ import annotations

import pytest
import yaml

from agent.compose import MemoryFiles, canonical, load_project
from agent.compose.scalars import show_float


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "-0"),
        (1.5, "1.5"),
        (-2.0, "-2"),
        (100.0, "100"),
        (123456.0, "123456"),
        (1000000.0, "1e+06"),
        (1200000.0, "1.2e+06"),
        (1230000.0, "1.23e+06"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (0.000012, "1.2e-05"),
        (-0.000012, "-1.2e-05"),
        (1e21, "1e+21"),
        (float("inf"), "+Inf"),
        (float("-inf"), "-Inf"),
        (float("nan"), "NaN"),
    ],
)
def test_floats_are_written_with_few_digits(value: float, text: str) -> None:
    """A number that becomes text must be written as Go's `%g` writes it."""
    assert show_float(value) == text


@pytest.mark.parametrize("value", ["1e21", "1.5e-9", ".inf", "-.inf", "0.25"])
def test_the_canonical_form_keeps_numbers(value: str) -> None:
    """A number of any size must be the same number to whoever reads the canonical form."""
    files = MemoryFiles({"compose.yaml": f"x-a: [{value}]\nservices: {{a: {{image: x}}}}\n".encode()})
    text = canonical(load_project(files, default_name="shop"))
    assert yaml.safe_load(text)["x-a"] == [float(value.replace(".inf", "inf"))]
