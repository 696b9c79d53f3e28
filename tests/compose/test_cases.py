"""The cases: one folder each, with the reference loader's stored answer; the canonical form and the errors
are golden.

A case that the two judge differently has a `note.txt` with the reason. `python -m tests.compose.store` stores
anew.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.compose import ComposeErrors, canonical, load_project
from tests.compose.differential import (
    CASES,
    Oracle,
    differences,
    disagreements,
    load_arguments,
    read_case,
    reference_view,
    show_errors,
)

NAMES = sorted(path.name for path in CASES.iterdir())


def noted(case: Path) -> bool:
    return (case / "note.txt").exists()


@pytest.mark.parametrize("name", NAMES)
def test_a_case_is_loaded_as_the_reference_loader_loads_it(name: str) -> None:
    """A project must come out field by field as the reference loader's, or be refused as it refuses it."""
    case = CASES / name
    files, options = read_case(case)
    try:
        project = load_project(**load_arguments(files, options))
    except ComposeErrors as errors:
        assert (case / "oracle.error").exists() or noted(case), f"only we refuse it: {errors}"
        assert show_errors(errors) == (case / "errors.txt").read_text()
        assert all(error.file and error.hint for error in errors.errors)
        return
    assert canonical(project) == (case / "canonical.yaml").read_text()
    if noted(case):
        return
    assert (case / "oracle.json").exists(), "only the reference loader refuses it"
    assert disagreements(json.loads((case / "oracle.json").read_text()), project) == []


@pytest.mark.parametrize("name", [name for name in NAMES if (CASES / name / "canonical.yaml").exists()])
def test_the_canonical_form_is_its_own_canonical_form(name: str) -> None:
    """Loading the canonical form must give the same canonical form, or `render --compose` would not be a
    fixed point.
    """
    files, options = read_case(CASES / name)
    directory = options.get("dir", ".")
    text = (CASES / name / "canonical.yaml").read_text()
    files[f"{directory}/canonical.yaml".removeprefix("./")] = text.encode()
    assert canonical(load_project(**load_arguments(files, options | {"files": ["canonical.yaml"]}))) == text


def test_the_stored_answers_are_current(oracle: Oracle) -> None:
    """What the reference loader says of each case, and of its canonical form, must be what is stored."""
    wrong = []
    for name in NAMES:
        case = CASES / name
        files, options = read_case(case)
        answer = oracle.ask(files, options)
        if "error" in answer:
            if not (case / "oracle.error").exists():
                wrong.append(f"{name}: it is refused now: {answer['error']}")
            continue
        stored = json.loads((case / "oracle.json").read_text())
        wrong += [f"{name}: {text}" for text in differences(stored, answer["project"])]
        if (case / "canonical.yaml").exists() and not noted(case):
            again = oracle.ask_canonical(files, options, (case / "canonical.yaml").read_text())
            if "error" in again:
                wrong.append(f"{name}: the canonical form is refused: {again['error']}")
            else:
                found = differences(reference_view(stored), reference_view(again["project"]))
                wrong += [f"{name}: the canonical form differs: {text}" for text in found]
    assert wrong == []
