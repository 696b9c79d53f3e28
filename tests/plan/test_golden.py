"""Golden plans: KIND/behaviour-name.toml says what is desired and what is there; `plan` is the exact text of
the plan.

`pytest tests/plan --update-golden` writes the plans anew: read the diff. A case whose plan is empty says why.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from agent.decide.plan import plan
from agent.kinds.adoption import take_over
from agent.model import Plan
from tests.plan.cases import view

HERE = Path(__file__).parent
CASES = sorted(HERE.glob("*/*.toml"))
PLAN = re.compile(r"^plan = '''\n.*?^'''\n?", re.MULTILINE | re.DOTALL)


def check(found: Plan) -> None:
    """What holds for every plan: actions are numbered in an order that works, and each belongs to a change
    that is shown.
    """
    assert [action.id for action in found.actions] == list(range(1, len(found.actions) + 1))
    assert all(earlier < action.id for action in found.actions for earlier in action.after)
    assert {action.key for action in found.actions} <= {change.key for change in found.changes}
    assert all(
        action.secret["command"] for action in found.actions if action.verb in ("post_start", "pre_stop")
    )


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_plan_is_the_golden_one(path: Path, request: pytest.FixtureRequest) -> None:
    """The plan of a case must be, to the letter, the plan in its file."""
    text = path.read_text()
    case = tomllib.loads(text)
    found = plan(take_over(view(case)))
    check(found)
    if request.config.getoption("--update-golden", default=False):
        head, table, rest = PLAN.sub("", text).partition("\n[")
        path.write_text(f"{head.rstrip()}\nplan = '''\n{found}\n'''\n{table}{rest}")
    else:
        assert str(found) == case["plan"].rstrip("\n")
    assert str(found) or case["why"], "an empty plan needs a reason"


def test_there_are_enough_cases() -> None:
    """The golden plans must cover every kind."""
    assert len(CASES) >= 45
    assert {path.parent.name for path in CASES} >= {
        "container",
        "file",
        "directory",
        "symlink",
        "network",
        "volume",
    }
