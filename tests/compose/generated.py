"""Many generated projects against the oracle: `python -m tests.compose.generated COUNT [SEED]`; shows what
disagrees.
"""

from __future__ import annotations

import sys
from collections import Counter

from tests.compose.differential import Oracle, Scratch, build_oracle
from tests.compose.store import ask
from tests.compose.strategies import RandomPick, project
from tests.compose.test_fuzz import disagreement


def run(count: int, seed: int) -> int:
    wrong: Counter[str] = Counter()
    oracle, scratch = Oracle(build_oracle()), Scratch()
    for number in range(seed, seed + count):
        files = project(RandomPick(number))
        wrong["refused"] += "error" in ask(oracle, scratch, files, {})
        if found := disagreement(oracle, scratch, files):
            print(f"seed {number}: {found[:3]}", flush=True)
            wrong["disagreements"] += 1
    oracle.close()
    scratch.close()
    print(
        f"{count} projects, {wrong['refused']} of them refused by the oracle, {wrong['disagreements']} "
        "disagreements"
    )
    return 1 if wrong["disagreements"] else 0


if __name__ == "__main__":
    raise SystemExit(run(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0))
