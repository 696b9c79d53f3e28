"""Whether the library and the reference loader agree over a project that nobody wrote."""

from __future__ import annotations

import re

from agent.compose import ComposeErrors, canonical, load_project
from tests.compose.differential import Oracle, differences, disagreements, load_arguments, reference_view

# What only one of the two refuses, and may: (the message, the reason).
ACCEPTED = (
    (r"\.group_add: ", "equal groups are kept once"),
    (r"^panic: ", "the reference loader's parser panics"),
    (
        r"^the canonical form: .*\.pre_start\[\d+\]\.environment\.",
        "a hook's variables are not seen by its service's env files",
    ),
    (r"SSHKey: invalid character", "the reference loader answers `build.ssh` with a path in invalid JSON"),
)


def disagreement(oracle: Oracle, files: dict[str, bytes]) -> list[str]:
    """How the library and the reference loader differ over a project; empty when they agree."""
    answer = oracle.ask(files, {})
    try:
        project = load_project(**load_arguments(files, {}))
    except ComposeErrors as errors:
        return [] if "error" in answer or accepted(str(errors)) else [f"only we refuse it: {errors}"]
    if "error" in answer:
        return [] if accepted(answer["error"]) else [f"only the oracle refuses it: {answer['error']}"]
    found = disagreements(answer["project"], project)
    again = oracle.ask_canonical(files, {}, canonical(project))
    if "error" in again:
        return [*found, f"the canonical form is refused: {again['error']}"]
    changed = differences(reference_view(answer["project"]), reference_view(again["project"]))
    found += [f"the canonical form: {text}" for text in changed]
    return [text for text in found if not accepted(text)]


def accepted(message: str) -> bool:
    return any(re.search(pattern, line) for pattern, _ in ACCEPTED for line in message.splitlines())
