"""Checks a repository for every host that can be derived from it.

Only the hosts themselves know their labels, so `validate --all` tries the labels that the repository
mentions:

1. Every combination of the label values in `when` and in directories that `{label}` matches, for an unnamed
   host.
2. Every host that has a directory for a `{host}` in a layer's path. Its labels are unknown, so only problems
   that occur with every combination count for the host.
3. A layer that no combination and no host uses is reported.
"""

from __future__ import annotations

import itertools
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from agent.errors import BadInput, Problem
from agent.render.assembly import RenderContext
from agent.render.layers import PLACEHOLDER, Fleet, LayerRule, below, read_fleet
from agent.render.problems import Problems
from agent.render.render import context_base, render
from agent.render.tree import EntryRefused, Tree

MAX_RENDERS = 2000
UNNAMED = "a-host"


@dataclass
class ValidationReport:
    """The result of a validation. `subject` says what was checked."""

    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    layers: set[str] = field(default_factory=set)
    resources: int = 0
    subject: str = ""

    def __str__(self) -> str:
        if self.problems:
            return f"{_count(len(self.problems), 'problem')} ({self.subject})"
        return f"no problems ({self.subject}, {_count(self.resources, 'resource')})"

    def take(self, other: ValidationReport) -> None:
        self.problems = sorted({*self.problems, *other.problems}, key=_order)
        self.warnings = sorted({*self.warnings, *other.warnings})
        self.layers |= other.layers
        self.resources = max(self.resources, other.resources)


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _order(problem: Problem) -> tuple[str, int, str]:
    return problem.file, problem.line, problem.message


def validate_one(tree: Tree, context: RenderContext) -> ValidationReport:
    """Validates the host of the context."""
    try:
        rendered = render(tree, context)
    except BadInput as error:
        return ValidationReport(list(error.problems), subject=f"host {context.host}")
    warnings = list(rendered.manifest.warnings)
    return ValidationReport(
        [], warnings, set(rendered.layers), len(rendered.manifest.resources), f"host {context.host}"
    )


def validate_all(tree: Tree, context: RenderContext) -> ValidationReport:
    """Validates every host that can be derived from the repository. Labels of the context apply to all of
    them.
    """
    problems = Problems()
    try:
        fleet = read_fleet(tree, context_base(context), problems)
        known = _known(tree, fleet)
    except EntryRefused as error:
        problems.keep(error)
    if problems.errors:
        return ValidationReport(problems.errors, subject="all hosts")
    hosts = known.pop("host", [])
    combinations = list(itertools.islice(_combinations(known, context.labels), MAX_RENDERS))
    verdict = ValidationReport(
        subject=f"{_count(len(hosts), 'named host')}, {_count(len(combinations), 'combination')} of labels"
    )
    for labels in combinations:
        verdict.take(_try(tree, context, UNNAMED, labels))
    left = MAX_RENDERS - len(combinations)
    for host in hosts:
        tried = combinations[: max(1, left // max(1, len(hosts)))]
        verdict.take(_in_all([_try(tree, context, host, labels) for labels in tried]))
    if len(combinations) >= MAX_RENDERS:
        verdict.warnings.append(f"only the first {MAX_RENDERS} combinations of labels were tried")
    _unused(tree, fleet, verdict, context)
    return verdict


def _try(tree: Tree, context: RenderContext, host: str, labels: Mapping[str, str]) -> ValidationReport:
    return validate_one(
        tree, replace(context, host=host, labels=labels, facts={**context.facts, "hostname": host})
    )


def _in_all(verdicts: list[ValidationReport]) -> ValidationReport:
    """The problems and warnings that occur with all labels."""
    result = ValidationReport()
    for verdict in verdicts:
        result.layers |= verdict.layers
        result.resources = max(result.resources, verdict.resources)
    result.problems = [p for p in verdicts[0].problems if all(p in verdict.problems for verdict in verdicts)]
    result.warnings = [w for w in verdicts[0].warnings if all(w in verdict.warnings for verdict in verdicts)]
    return result


def _known(tree: Tree, fleet: Fleet) -> dict[str, list[str]]:
    """Label (or `host`) -> values that the repository mentions, sorted. A pattern counts as a text that it
    matches.
    """
    found: dict[str, set[str]] = {}
    for rule in fleet.rules:
        for name, values in _matching(tree, fleet, rule).items():
            found.setdefault(name, set()).update(values)
    for rule in fleet.rules:
        for label, patterns in rule.when.items():
            values = found.setdefault(label, set())
            values.update(_example(pattern) for pattern in patterns if not _covered(pattern, values))
    return {name: sorted(values) for name, values in sorted(found.items())}


def _covered(pattern: str, values: set[str]) -> bool:
    from fnmatch import fnmatchcase

    return any(fnmatchcase(value, pattern) for value in values)


def _example(pattern: str) -> str:
    """A text that a glob matches."""
    text = re.sub(r"\[!?(.)[^\]]*\]", r"\1", pattern)
    return text.replace("*", "x").replace("?", "x")


def _matching(tree: Tree, fleet: Fleet, rule: LayerRule) -> dict[str, set[str]]:
    """Placeholder -> values for which the rule's directory exists."""
    found: dict[str, set[str]] = {name: set() for name in rule.names()}
    todo = [(fleet.base, rule.path.split("/"), dict[str, str]())] if found else []
    while todo:
        directory, parts, values = todo.pop()
        for name, value in values.items() if not parts else ():
            found[name].add(value)
        for child, more in _children(tree, directory, parts[0]) if parts else ():
            todo.append((below(directory, child), parts[1:], values | more))
    return found


def _children(tree: Tree, directory: str, part: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The directories that one part of a layer's path matches, with the values of its placeholders."""
    names, pattern = _pattern_of(part)
    for child in tree.children(directory):
        match = pattern.fullmatch(child)
        if match and tree.is_dir(below(directory, child)):
            yield child, dict(zip(names, match.groups(), strict=True))


def _pattern_of(part: str) -> tuple[list[str], re.Pattern[str]]:
    """The placeholders in one part of a layer's path, and its pattern, which has a group for each of them."""
    names = PLACEHOLDER.findall(part)
    if len(set(names)) < len(names):
        return names, re.compile("(?!)")
    pieces = re.split(r"(\{[^{}]*\})", part)
    groups = ("(.+)" if PLACEHOLDER.fullmatch(piece) else re.escape(piece) for piece in pieces)
    return names, re.compile("".join(groups))


def _combinations(known: Mapping[str, list[str]], given: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """All combinations of label values. A label with one known value may also be missing, unless it
    is given.
    """
    choices: list[list[tuple[str, str] | None]] = []
    for label, values in known.items():
        if label in given:
            continue
        pairs: list[tuple[str, str] | None] = [(label, value) for value in values]
        choices.append([*pairs, None] if len(pairs) < 2 else pairs)
    for chosen in itertools.product(*choices):
        yield {**dict(pair for pair in chosen if pair), **given}


def _unused(tree: Tree, fleet: Fleet, verdict: ValidationReport, context: RenderContext) -> None:
    """Reports layers that no host uses."""
    for rule in fleet.rules:
        pattern = re.compile(
            PLACEHOLDER.sub(
                "[^/]+",
                "/".join(
                    part if PLACEHOLDER.search(part) else re.escape(part)
                    for part in below(fleet.base, rule.path).split("/")
                ),
            )
        )
        if verdict.problems or any(pattern.fullmatch(layer) for layer in verdict.layers):
            continue
        text = f"no host uses the layer {rule.path}"
        hint = f"remove it, or add {posixpath.join(rule.path, 'layer.yaml')}"
        problem = Problem(rule.place.file, rule.place.line, text, hint)
        if context.strict:
            verdict.problems.append(problem)
        else:
            verdict.warnings.append(str(problem))
