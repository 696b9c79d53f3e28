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
    Scratch,
    as_ours,
    build_oracle,
    differences,
    load_arguments,
    project_view,
    read_case,
    reference_view,
    show_errors,
)


def store(names: list[str]) -> int:
    wrong = 0
    oracle, scratch = Oracle(build_oracle()), Scratch()
    for case in sorted(CASES.iterdir()):
        if names and case.name not in names:
            continue
        for text in store_case(case, oracle, scratch):
            wrong += 1
            print(f"{case.name}: {text}")
    oracle.close()
    scratch.close()
    return wrong


def store_case(case: Path, oracle: Oracle, scratch: Scratch) -> list[str]:
    """Writes the answers of a case; gives what disagrees."""
    files, options = read_case(case)
    answer = ask(oracle, scratch, files, options)
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
    wanted = reference_view(answer["project"])
    found = differences(as_ours(wanted), project_view(project))
    again = ask_canonical(oracle, scratch, files, options, canonical(project))
    return found + (
        differences(wanted, reference_view(again["project"])) if "project" in again else [again["error"]]
    )


def ask(oracle: Oracle, scratch: Scratch, files, options):  # type: ignore[no-untyped-def]
    return oracle.ask(
        scratch.fill(files), options.get("dir", "."), options.get("files") or (), options.get("profiles", ())
    )


def ask_canonical(oracle: Oracle, scratch: Scratch, files, options, text: str):  # type: ignore[no-untyped-def]
    """What the oracle makes of the canonical form, which lies beside the original."""
    directory = options.get("dir", ".")
    root = scratch.fill(dict(files) | {f"{directory}/.canonical.yaml".removeprefix("./"): text.encode()})
    return oracle.ask(root, directory, [".canonical.yaml"], options.get("profiles", ()))


def keep(path: Path, text: str | None) -> None:
    if text is None:
        path.unlink(missing_ok=True)
    else:
        path.write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(1 if store(sys.argv[1:]) else 0)
