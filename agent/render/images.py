"""References to images: whether an engine can pull what a service names."""

from __future__ import annotations

import re

_DOMAIN = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_HOST = rf"(?:{_DOMAIN}(?:\.{_DOMAIN})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"(?:{_HOST}/)?{_PART}(?:/{_PART})*(?::[\w][\w.-]{{0,127}})?(?:@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{{32,}})?\Z",
    re.ASCII,
)
MAX_LENGTH = 1024


def image_problem(text: str) -> tuple[str, str] | None:
    """What is wrong with a reference, and the remedy; None when it is one."""
    if len(text) <= MAX_LENGTH and _IMAGE.match(text):
        return None
    form = "[REGISTRY/]NAME[:TAG][@DIGEST], the name in lower case"
    unset = text.endswith(":") or "/:" in text
    shown = text if len(text) <= MAX_LENGTH else f"{text[:80]}…"
    return (
        f"{shown!r} is not an image reference",
        f"is the variable set? an image is {form}" if unset else f"write it as {form}",
    )
