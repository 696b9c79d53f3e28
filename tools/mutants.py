#!/usr/bin/env python3
"""How many small changes of the code that decides do the tests notice? A seeded sample of mutants, by mutmut.

Usage: python tools/mutants.py [--count 400 | --all] [--seed 1] [--floor 90] [--workers 2] [PATTERN...]

The work is done on a copy below build/mutation, so that the tree may change meanwhile; what did not change
there is not mutated anew. PATTERN names mutants as mutmut does, for example 'agent.decide.order.*', and is
then the whole sample. What survived is shown with its change in build/mutation/survivors.txt. Which code and
which tests: the table [tool.mutmut] of pyproject.toml.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLACE = ROOT / "build/mutation"
UNTESTED = (None, 5, 33)  # mutmut's exit codes for a mutant that no test runs
# What runs when its module is imported, which is before a mutant is chosen: no test can notice it here.
AT_IMPORT = ("agent.compose.schema.xǁ_Compilerǁ*",)
MUTMUT = [str(Path(sys.executable).with_name("mutmut"))]


def copy_tree() -> None:
    """Brings the copy up to date; the files that did not change keep their times."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\0")
    wanted = {name for name in listed if name and (ROOT / name).is_file()}
    for name in wanted:
        source, copy = ROOT / name, PLACE / name
        if not copy.is_file() or copy.read_bytes() != source.read_bytes():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)
    for path in (path for top in ("agent", "tests") for path in (PLACE / top).rglob("*") if path.is_file()):
        if str(path.relative_to(PLACE)) not in wanted:
            path.unlink()


def mutmut(*argv: str, quiet: bool = False) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*MUTMUT, *argv], cwd=PLACE, text=True, capture_output=quiet, check=False)


def results() -> dict[str, int | None]:
    """Mutant -> exit code of its tests, None when they were not run."""
    found: dict[str, int | None] = {}
    for path in (PLACE / "mutants").rglob("*.meta"):
        found |= json.loads(path.read_text())["exit_code_by_key"]
    return found


def prepare(workers: int) -> list[str]:
    """Makes the mutants and learns which test runs which function; the names of all mutants."""
    done = mutmut("run", "--max-children", str(workers), "no mutant has this name", quiet=True)
    if "nothing matches" not in done.stderr + done.stdout:
        raise SystemExit(
            f"the tests do not pass without a change:\n{done.stdout[-5000:]}{done.stderr[-2000:]}"
        )
    return sorted(n for n in results() if not any(fnmatch.fnmatch(n, pattern) for pattern in AT_IMPORT))


def chosen(names: list[str], arguments: argparse.Namespace) -> list[str]:
    """The sample."""
    if arguments.pattern:
        return [name for name in names if any(fnmatch.fnmatch(name, p) for p in arguments.pattern)]
    if arguments.all:
        return names
    return sorted(random.Random(arguments.seed).sample(names, min(arguments.count, len(names))))


def show(sample: list[str], found: dict[str, int | None]) -> float:
    """Prints the score of each module; the share of the sample that was noticed, in percent."""
    survivors = [name for name in sample if found[name] == 0 or found[name] in UNTESTED]
    lost, total = (Counter(name.rpartition(".")[0] for name in names) for names in (survivors, sample))
    for module in sorted(total):
        print(f"{module:40} {total[module] - lost[module]:5} of {total[module]:5} noticed")
    texts = [mutmut("show", name, quiet=True).stdout for name in survivors]
    (PLACE / "survivors.txt").write_text("\n".join(texts))
    return 100.0 * (len(sample) - len(survivors)) / len(sample)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pattern", nargs="*")
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--floor", type=float, default=90.0)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    copy_tree()
    names = prepare(arguments.workers)
    sample = chosen(names, arguments)
    if not sample:
        parser.error("no mutant has such a name")
    mutmut("run", "--max-children", str(arguments.workers), *sample, quiet=True)
    score = show(sample, results())
    of, floor = f"{len(sample)} mutants (of {len(names)})", arguments.floor
    print(f"{score:.1f} % of {of} were noticed; the floor is {floor:g} %")
    if score < arguments.floor:
        print(f"what was not noticed: {PLACE / 'survivors.txt'}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
