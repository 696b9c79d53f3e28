"""References to images, taken apart as Docker does."""

from __future__ import annotations

import pytest

from agent.references import ImageReference, familiar, image_problem, is_reference

DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("nginx", ("nginx", "latest", "")),
        ("nginx:1", ("nginx", "1", ":1")),
        ("host:5000/a/b", ("host:5000/a/b", "latest", "")),
        ("host:5000/a/b:c", ("host:5000/a/b", "c", ":c")),
        ("a@sha256:0", ("a", "sha256:0", "@sha256:0")),
        ("h:1/a:t@sha256:0", ("h:1/a", "sha256:0", ":t@sha256:0")),
    ],
)
def test_references_are_split(reference: str, parts: tuple[str, str, str]) -> None:
    """A reference must be split into name and tag or digest as Docker does."""
    found = ImageReference.parse(reference)
    assert (found.name, found.version, found.suffix) == parts
    assert found.name + found.suffix == reference


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("nginx", ("docker.io", "nginx", "library/nginx")),
        ("grafana/loki:3", ("docker.io", "grafana/loki", "grafana/loki")),
        ("docker.io/library/nginx", ("docker.io", "library/nginx", "library/nginx")),
        ("docker.io/nginx@sha256:0", ("docker.io", "nginx", "library/nginx")),
        ("index.docker.io/a/b", ("docker.io", "a/b", "a/b")),
        ("localhost/a", ("localhost", "a", "a")),
        ("host:5000/a/b:c", ("host:5000", "a/b", "a/b")),
        ("r.example/a@sha256:0", ("r.example", "a", "a")),
    ],
)
def test_registries_are_told_apart(reference: str, parts: tuple[str, str, str]) -> None:
    """The registry of a reference must be the one that Docker would ask, the path the one it would ask
    for.
    """
    found = ImageReference.parse(reference)
    assert (found.registry, found.path, found.full_path) == parts


@pytest.mark.parametrize(
    ("reference", "listed"),
    [
        ("nginx", "nginx:latest"),
        ("library/nginx", "nginx:latest"),
        ("docker.io/nginx:1", "nginx:1"),
        ("docker.io/library/nginx@sha256:0", "nginx@sha256:0"),
        ("index.docker.io/library/nginx", "nginx:latest"),
        ("grafana/loki", "grafana/loki:latest"),
        ("library/a/b", "library/a/b:latest"),
        ("host:5000/a", "host:5000/a:latest"),
        ("host:5000/library/a:1", "host:5000/library/a:1"),
        ("localhost/a", "localhost/a:latest"),
        (DIGEST, DIGEST),
    ],
)
def test_references_are_known_as_the_engine_lists_them(reference: str, listed: str) -> None:
    """Every way of writing an image must become the one name under which the Engine lists it."""
    assert familiar(reference) == listed


@pytest.mark.parametrize(
    "reference",
    ["nginx", "a/b_c/d-e.f:V1", "host:5000/a", "[::1]:5000/a:1", f"a:t@{DIGEST}", DIGEST, "0123abcd"],
)
def test_references_are_recognised(reference: str) -> None:
    """What an Engine can pull, and the id of an image, must be taken for a reference."""
    assert is_reference(reference)
    assert image_problem(reference) is None


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("NGINX", "write it as"),
        ("la test", "write it as"),
        ("a:1\n", "write it as"),
        ("a@sha256:0", "write it as"),
        ("nginx:", "is the variable set?"),
        ("host/:1", "is the variable set?"),
        ("a" * 1025, "write it as"),
    ],
)
def test_what_is_no_reference_is_named(text: str, hint: str) -> None:
    """A text that no Engine can pull must be shown, at most 80 characters of a long one, with the remedy."""
    assert not is_reference(text)
    message, remedy = image_problem(text) or ("", "")
    assert message.endswith("is not an image reference") and len(message) < 120
    assert remedy.startswith(hint)
