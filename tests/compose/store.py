"""Stores the answers of the cases: the oracle's, the canonical form, our errors. Run as `python -m
tests.compose.store [NAME…]`.

Shows what changed and what disagrees; look at it before you commit it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from agent.compose import ComposeErrors, canonical, load_project
from tests.compose.differential import (
    CASES,
    Oracle,
    build_oracle,
    differences,
    disagreements,
    load_arguments,
    read_case,
    reference_view,
    show_errors,
)


def store(names: list[str]) -> int:
    wrong = 0
    oracle = Oracle(build_oracle())
    for case in sorted(CASES.iterdir()):
        if names and case.name not in names:
            continue
        for text in store_case(case, oracle):
            wrong += 1
            print(f"{case.name}: {text}")
    oracle.close()
    return wrong


def store_case(case: Path, oracle: Oracle) -> list[str]:
    """Writes the answers of a case; gives what disagrees."""
    files, options = read_case(case)
    answer = oracle.ask(files, options)
    keep(case / "oracle.error", answer.get("error"))
    keep(
        case / "oracle.json",
        json.dumps(answer["project"], indent=1, sort_keys=True) if "project" in answer else None,
    )
    try:
        project = load_project(**load_arguments(files, options))
    except ComposeErrors as errors:
        keep(case / "canonical.yaml", None)
        keep(case / "errors.txt", show_errors(errors))
        return [] if "error" in answer or (case / "note.txt").exists() else [f"only we refuse it: {errors}"]
    keep(case / "errors.txt", None)
    keep(case / "canonical.yaml", canonical(project))
    if "error" in answer:
        return [] if (case / "note.txt").exists() else [f"only the oracle refuses it: {answer['error']}"]
    if (case / "note.txt").exists():
        return []
    found = disagreements(answer["project"], project)
    again = oracle.ask_canonical(files, options, canonical(project))
    if "error" in again:
        return [*found, again["error"]]
    return found + differences(reference_view(answer["project"]), reference_view(again["project"]))


def keep(path: Path, text: str | None) -> None:
    if text is None:
        path.unlink(missing_ok=True)
    else:
        path.write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(1 if store(sys.argv[1:]) else 0)
