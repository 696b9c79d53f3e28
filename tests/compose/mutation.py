"""Mutated Compose files: whatever the bytes are, loading ends in a project or in errors with a file and a hint.

`python -m tests.compose.mutation COUNT [SEED]` runs as many as wanted and says what came out.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Iterator

from agent.compose import ComposeErrors, canonical, load
from tests.compose.differential import CASES, load_arguments, read_case

TOKENS = (
    b"&a ", b"*a", b"<<: *a", b"!reset ", b"!override ", b"${", b"}", b"$", b"{", b"[", b"]", b":", b"- ", b"\t", b"\n",
    b" ", b"null", b"true", b'"', b"'", b"|\n", b">", b"0x", b"1-65535", b"extends: ", b"include: ", b"~", b"\xff", b"\x00",
    b".nan", b".inf", b"!!int ", b"!!binary ", b"? ", b"---\n", b"9" * 30, b"1e999", b"2001-01-01", b"{}", b"[]",
    b"services:", b"x-a: ", b"../", b"/", b"\xef\xbb\xbf",
)  # fmt: skip

Project = tuple[dict[str, bytes], dict[str, object]]


def projects(seed: int, count: int) -> Iterator[Project]:
    """So many mutations of the cases, always the same for a seed."""
    chance = random.Random(seed)
    originals = [read_case(case) for case in sorted(CASES.iterdir())]
    for _ in range(count):
        files, options = chance.choice(originals)
        mutated = {path: mutate(data, originals, chance) if chance.random() < 0.6 else data for path, data in files.items()}
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
    """`loaded`, `refused`, or what is wrong with the refusal. Anything else that is raised is a bug."""
    try:
        canonical(load(**load_arguments(files, options)))
    except ComposeErrors as errors:
        for error in errors.errors:
            if not error.file or not error.hint or not error.message:
                return f"no place or hint: {error!r}"
            if not error.line and "does not exist" not in error.message and "there is no Compose file" not in error.message:
                return f"no line: {error}"
        return "refused"
    return "loaded"


if __name__ == "__main__":
    outcomes: Counter[str] = Counter()
    for files, options in projects(int(sys.argv[2]) if len(sys.argv) > 2 else 0, int(sys.argv[1])):
        outcomes[judge(files, options)] += 1
    for outcome, number in outcomes.most_common():
        print(number, outcome)
