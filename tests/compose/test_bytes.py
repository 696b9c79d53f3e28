"""Bytes in environment files that are not UTF-8: where they do no harm, and where they are an error."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.compose import ComposeErrors, load_project
from agent.compose.files import MemoryFiles

COMPOSE = b'services: {a: {image: x, environment: {P: "${P-}"}, env_file: [f.env], label_file: [l]}}\n'
RAW = b"services: {a: {image: x, env_file: [{path: f.env, format: raw}]}}\n"
FOREIGN = st.binary(min_size=1, max_size=6).map(lambda data: bytes(byte | 0x80 for byte in data))


def environment(files: dict[str, bytes]) -> dict[str, str]:
    """The environment of the one service."""
    full = {"compose.yaml": COMPOSE, "f.env": b"", "l": b"", **files}
    return dict(load_project(MemoryFiles(full), default_name="t").services["a"].get("environment", {}))


@given(FOREIGN)
@settings(deadline=None)
def test_comments_may_hold_any_bytes(data: bytes) -> None:
    """A comment in another encoding must change nothing, wherever an environment file has one."""
    text = b"# %b\n  #%b\nP=1 # %b\nQ='2' # %b\n# P=3 %b" % ((data,) * 5)
    assert environment({".env": text, "l": text})["P"] == "1"
    assert environment({"f.env": text}) == {"P": "", "Q": "2"}
    assert environment({"compose.yaml": RAW, "f.env": b"# %b\nP=1\n%b\n" % (data, data)}) == {"P": "1"}


@pytest.mark.parametrize("name", [".env", "f.env", "l"])
@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"A=1\nB=Stra\xdfe\n", 2),
        (b"# \xe4\nB=Stra\xdfe # \xe4\n", 2),
        (b"B='\xdf'\n", 1),
        (b'A=1\nB="x\ny\xdf\nz"\n', 3),
        (b"B\xdf=1\n", 1),
        (b"B=${N-\xdf}\n", 1),
        (b"\xff\xfeA\0=\0001\0", 1),
    ],
)
def test_values_and_names_are_text(name: str, text: bytes, line: int) -> None:
    """A name or value in another encoding must be an error at its line: the app would get another value."""
    with pytest.raises(ComposeErrors) as caught:
        environment({name: text})
    assert str(caught.value) == f"{name}:{line}: the file is not UTF-8 text"


def test_a_raw_value_is_text() -> None:
    """A value of a raw file in another encoding must be an error at its line."""
    with pytest.raises(ComposeErrors) as caught:
        environment({"compose.yaml": RAW, "f.env": b"A=1\nB=\xdf\n"})
    assert str(caught.value) == "f.env:2: the file is not UTF-8 text"
