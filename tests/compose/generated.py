"""Many generated projects against the oracle: `python -m tests.compose.generated COUNT [SEED]`; shows what
disagrees.
"""

from __future__ import annotations

import sys
from collections import Counter

from tests.compose.agreement import disagreement
from tests.compose.differential import Oracle, build_oracle
from tests.compose.strategies import RandomPick, project


def run(count: int, seed: int) -> int:
    wrong: Counter[str] = Counter()
    oracle = Oracle(build_oracle())
    for number in range(seed, seed + count):
        files = project(RandomPick(number))
        wrong["refused"] += "error" in oracle.ask(files, {})
        if found := disagreement(oracle, files):
            print(f"seed {number}: {found[:3]}", flush=True)
            wrong["disagreements"] += 1
    oracle.close()
    print(
        f"{count} projects, {wrong['refused']} of them refused by the oracle, {wrong['disagreements']} "
        "disagreements"
    )
    return 1 if wrong["disagreements"] else 0


if __name__ == "__main__":
    raise SystemExit(run(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0))
