"""References to images, `[REGISTRY/]PATH[:TAG][@DIGEST]`: the one place that takes them apart.

Rules:
1. The first part is a registry when it holds a dot or a colon, or is `localhost`, as Docker has it. Without
   one the registry is Docker Hub, where a path of one part means `library/PATH`.
2. With both a tag and a digest, the digest counts.
3. `parse` takes any text, since the host may hold names that we would not write. `is_reference` is strict.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

HUB = "docker.io"
HUB_NAMES = (HUB, f"index.{HUB}")
MAX_LENGTH = 1024
_DOMAIN = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_HOST = rf"(?:{_DOMAIN}(?:\.{_DOMAIN})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_TAG = r"[\w][\w.-]{0,127}"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
_REFERENCE = rf"(?:{_HOST}/)?{_PART}(?:/{_PART})*(?::{_TAG})?(?:@{_DIGEST})?"  # compiled when needed


@dataclass(frozen=True, slots=True)
class ImageReference:
    """One reference in its parts. `name` is the registry and the path as they were written."""

    name: str
    registry: str  # `docker.io` when the reference names none
    path: str  # within the registry, as written
    tag: str
    digest: str

    @classmethod
    def parse(cls, text: str) -> ImageReference:
        """The parts of a reference; those that are not there are empty."""
        tagged, _, digest = text.partition("@")
        head, slash, last = tagged.rpartition("/")
        last, _, tag = last.partition(":")
        name = f"{head}{slash}{last}"
        first, slash, path = name.partition("/")
        if not slash or not ("." in first or ":" in first or first == "localhost"):
            return cls(name, HUB, name, tag, digest)
        return cls(name, HUB if first in HUB_NAMES else first, path, tag, digest)

    @property
    def version(self) -> str:
        """The digest, else the tag, else `latest`."""
        return self.digest or self.tag or "latest"

    @property
    def suffix(self) -> str:
        """The tag and the digest as they were written, with their signs."""
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    @property
    def full_path(self) -> str:
        """The path as the registry knows it: with `library/` for an official image of Docker Hub."""
        official = self.registry == HUB and "/" not in self.path
        return f"library/{self.path}" if official else self.path


def familiar(text: str) -> str:
    """A reference as the Engine lists it: without `docker.io/` and `library/`, with `:latest` when it names
    neither tag nor digest. The id of an image stays as it is.
    """
    if text.startswith("sha256:"):
        return text
    reference = ImageReference.parse(text)
    name = reference.name
    if reference.registry == HUB:
        namespace, _, rest = reference.path.partition("/")
        name = rest if namespace == "library" and rest and "/" not in rest else reference.path
    return f"{name}{reference.suffix or ':latest'}"


def is_reference(text: str) -> bool:
    """Whether the Engine takes this as the name of an image; the id of an image is one, too."""
    return len(text) <= MAX_LENGTH and re.fullmatch(_REFERENCE, text, re.ASCII) is not None


def image_problem(text: str) -> tuple[str, str] | None:
    """What is wrong with a reference, and the remedy; None when it is one."""
    if is_reference(text):
        return None
    form = "[REGISTRY/]NAME[:TAG][@DIGEST], the name in lower case"
    unset = text.endswith(":") or "/:" in text
    shown = text if len(text) <= MAX_LENGTH else f"{text[:80]}…"
    return (
        f"{shown!r} is not an image reference",
        f"is the variable set? an image is {form}" if unset else f"write it as {form}",
    )
