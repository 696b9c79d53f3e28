"""Mutated Compose files: whatever the bytes are, it ends in a manifest or in errors with file, line and hint.

`python -m tests.compose.mutation COUNT [SEED]` runs as many as wanted and says what came out.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator

from agent.compose import ComposeErrors, canonical, load_project
from agent.errors import BadInput
from agent.render.assembly import RenderContext
from agent.render.render import render
from tests.compose.differential import CASES, load_arguments, read_case
from tests.fakes.tree import MemoryTree

TOKENS = (
    b"&a ",
    b"*a",
    b"<<: *a",
    b"!reset ",
    b"!override ",
    b"${",
    b"}",
    b"$",
    b"{",
    b"[",
    b"]",
    b":",
    b"- ",
    b"\t",
    b"\n",
    b" ",
    b"null",
    b"true",
    b'"',
    b"'",
    b"|\n",
    b">",
    b"0x",
    b"1-65535",
    b"extends: ",
    b"include: ",
    b"~",
    b"\xff",
    b"\x00",
    b".nan",
    b".inf",
    b"!!int ",
    b"!!binary ",
    b"? ",
    b"---\n",
    b"9" * 30,
    b"1e999",
    b"2001-01-01",
    b"{}",
    b"[]",
    b"services:",
    b"x-a: ",
    b"../",
    b"/",
    b"\xef\xbb\xbf",
)

CPU_SECONDS = 10
MEMORY = 512 << 20
OUTCOMES = {"manifest", "read", "refused"}
# Errors about a file as a whole have no line.
WHOLE = (
    "does not exist",
    "is a directory",
    "there is no Compose file",
    "has no Compose file",
    "bytes; at most",
)

Project = tuple[dict[str, bytes], dict[str, object]]


def projects(seed: int, count: int) -> Iterator[Project]:
    """So many mutations of the cases, always the same for a seed."""
    chance = random.Random(seed)
    originals = [read_case(case) for case in sorted(CASES.iterdir())]
    for _ in range(count):
        files, options = chance.choice(originals)
        mutated = {
            path: mutate(data, originals, chance) if chance.random() < 0.6 else data
            for path, data in files.items()
        }
        yield mutated, options


def mutate(data: bytes, originals: list[Project], chance: random.Random) -> bytes:
    text = bytearray(data)
    for _ in range(chance.randint(1, 6)):
        kind, at = chance.random(), chance.randrange(len(text) + 1)
        if kind < 0.3:
            text[at:at] = chance.choice(TOKENS)
        elif kind < 0.5:
            del text[at : at + chance.randint(1, 12)]
        elif kind < 0.65:
            target = chance.randrange(len(text) + 1)
            text[target:target] = text[at : at + chance.randint(1, 30)]
        elif kind < 0.8 and text:
            text[chance.randrange(len(text))] = chance.randrange(256)
        else:
            lines = bytes(text).split(b"\n")
            if kind < 0.9:
                one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
                lines[one], lines[other] = lines[other], lines[one]
            else:
                foreign = chance.choice(list(chance.choice(originals)[0].values())).split(b"\n")
                lines.insert(chance.randrange(len(lines)), chance.choice(foreign))
            text = bytearray(b"\n".join(lines))
    return bytes(text)


def judge(files: dict[str, bytes], options: dict[str, object]) -> str:
    """`manifest`, `read` (Compose would take it, Limpet does not), `refused`, or what is wrong with a
    refusal.

    Anything else that is raised is a bug. The files go through the library, and as a repository down to the
    manifest.
    """
    started = time.process_time()
    loaded = _load(files, options)
    rendered = _render(files, str(options.get("dir", ".")))
    if time.process_time() - started > CPU_SECONDS:
        return f"it takes {time.process_time() - started:.0f} s"
    if rendered in ("manifest", "refused"):
        return "manifest" if rendered == "manifest" else "read" if loaded == "read" else loaded
    return rendered


def _load(files: dict[str, bytes], options: dict[str, object]) -> str:
    try:
        canonical(load_project(**load_arguments(files, options)))
    except ComposeErrors as errors:
        return _refusal((error.file, error.line, error.message, error.hint) for error in errors.errors)
    return "read"


def _render(files: dict[str, bytes], directory: str) -> str:
    try:
        json.dumps(render(MemoryTree(files), RenderContext("host", path=directory)).manifest.to_json())
    except BadInput as error:
        return _refusal(
            (problem.file, problem.line, problem.message, problem.hint) for problem in error.problems
        )
    return "manifest"


def _refusal(errors: Iterable[tuple[str, int, str, str]]) -> str:
    for file, line, message, hint in errors:
        if not file or not hint or not message:
            return f"no place or hint: {file}:{line}: {message}"
        if not line and not any(text in message for text in WHOLE):
            return f"no line: {file}: {message}"
    return "refused"


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    outcomes: Counter[str] = Counter()
    for number, (files, options) in enumerate(
        projects(int(sys.argv[2]) if len(sys.argv) > 2 else 0, int(sys.argv[1]))
    ):
        try:
            outcome = judge(files, options)
        except Exception as error:
            outcome = f"raised {error!r}"
        if outcome not in OUTCOMES:
            print(f"{number}: {outcome}: {files}", flush=True)
        outcomes[outcome] += 1
    for outcome, times in outcomes.most_common():
        print(times, outcome)
    raise SystemExit(0 if outcomes.keys() <= OUTCOMES else 1)
