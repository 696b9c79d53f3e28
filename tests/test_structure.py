"""The layout of the tests: who may import whom, and which file of tests/unit tests which module."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TESTS, UNIT, AGENT = ROOT / "tests", ROOT / "tests/unit", ROOT / "agent"

# Files of tests/unit that test no module of their name, with the reason.
UNLIKE: dict[str, str] = {
    "main": "the command itself is agent/__main__.py",
}


def imported(path: Path) -> set[str]:
    """The modules that a file imports; of `from a import b` both a and a.b, for b may be a module."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_no_test_imports_a_test() -> None:
    """What tests share must stand in a module that holds no tests."""
    tests = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in TESTS.rglob("test_*.py")}
    tests |= {
        ".".join(path.parent.relative_to(ROOT).parts) + ".conftest" for path in TESTS.rglob("conftest.py")
    }
    assert tests
    found = {str(path.relative_to(ROOT)): sorted(imported(path) & tests) for path in TESTS.rglob("*.py")}
    assert {path: modules for path, modules in found.items() if modules} == {}


def test_the_unit_tests_mirror_the_agent() -> None:
    """A file of tests/unit must be named after the module that it tests, `test_MODULE.py` or
    `test_MODULE_ASPECT.py`, and lie where that module lies.
    """
    strays, used = [], set()
    for path in sorted(UNIT.rglob("test_*.py")):
        place, name = AGENT / path.parent.relative_to(UNIT), path.stem.removeprefix("test_")
        modules = {module.stem for module in place.glob("*.py")}
        if any(name == module or name.startswith(f"{module}_") for module in modules):
            continue
        full = str(path.parent.relative_to(UNIT) / name)
        used.add(full)
        if full not in UNLIKE:
            strays.append(str(path.relative_to(ROOT)))
    assert strays == []
    assert used == set(UNLIKE), "an exception that is not needed"


def test_fixtures_and_helpers_are_not_collected_twice() -> None:
    """Each test file must have tests, and each module without `test_` in its name must have none."""
    for path in sorted(TESTS.rglob("*.py")):
        tree = ast.parse(path.read_text())
        tests = [
            node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name[:5] == "test_"
        ]
        assert bool(tests) == path.name.startswith("test_"), path


def test_no_conditional_expression_lies_in_another() -> None:
    """`a if b else c if d else e` must be written as statements: nobody reads it once."""
    nested = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sorted(AGENT.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.IfExp)
        and any(isinstance(part, ast.IfExp) for part in (node.test, node.body, node.orelse))
    ]
    assert nested == []


def test_what_is_too_complex_says_why() -> None:
    """A function that complexipy is told to leave out must have a reason beside that."""
    mark = "# complexipy: ignore"
    bare = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sorted(AGENT.rglob("*.py"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if mark in line and len(line.partition(mark)[2].strip(" :,")) < 10
    ]
    assert bare == []
