"""Templates: strict names, bounds, and messages with lines."""

from __future__ import annotations

from typing import Any

import pytest

from agent.errors import Problem
from agent.render.problems import Wrong
from agent.render.templates import Templates

NAMES: dict[str, Any] = {
    "host": "web-01",
    "labels": {"role": "web"},
    "facts": {"os": {"id": "debian"}, "cpus": 4},
    "vars": {"workers": 4, "items": ["a", "b"], "on": True},
}


def render(text: str) -> str:
    return Templates(NAMES).render("files/x.j2", text.encode()).decode()


def problem(text: str) -> Problem:
    with pytest.raises(Wrong) as caught:
        render(text)
    assert caught.value.problem.file == "files/x.j2"
    assert caught.value.problem.hint
    return caught.value.problem


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("{{ host }}\n", "web-01\n"),
        ("{{ vars.workers * 2 }}", "8"),
        ("no newline", "no newline"),
        ("a\n\n", "a\n\n"),
        ("{% for i in vars.items %}\n- {{ i }}\n{% endfor %}\nend\n", "- a\n- b\nend\n"),
        ("{% if vars.nothing is defined %}x{% endif %}{{ vars.nothing | default('d') }}", "d"),
        ("  {% if vars.on %}\n  x\n  {% endif %}\n", "  x\n"),
        ("{{ 'a' ~ 1 ~ host }}", "a1web-01"),
        ("{{ '%s-%03d' | format(host, 7) }}", "web-01-007"),
        ("{{ vars.items | map('upper') | join('+') }}", "A+B"),
        ("{% raw %}{{ kept }}{% endraw %}", "{{ kept }}"),
        ("{{ '{}'.format(host) }}", "web-01"),
        ("{{ facts['os'].id }}", "debian"),
        ("ünïcode {{ host }}", "ünïcode web-01"),
    ],
)
def test_renders(text: str, wanted: str) -> None:
    """What people write must come out as they mean it."""
    assert render(text) == wanted


@pytest.mark.parametrize(
    ("text", "line", "name"),
    [
        ("a\n{{ vars.worker }}", 2, "vars.worker is not defined"),
        ("{{ nothing }}", 1, "nothing is not defined"),
        ("\n\n{{ facts.os.idd }}", 3, "facts.os.idd is not defined"),
        ("{% for x in vars.none %}{% endfor %}", 1, "vars.none"),
        ("{% if labels.site == 'x' %}{% endif %}", 1, "labels.site"),
        ("{{ vars['none'] | upper }}", 1, "vars.none"),
        ("{% macro m(a) %}\n{{ a.b }}\n{% endmacro %}\n{{ m(vars) }}", 2, "a.b is not defined"),
    ],
)
def test_undefined_names_are_named(text: str, line: int, name: str) -> None:
    """An undefined name must be an error that names it, with its line."""
    found = problem(text)
    assert name in found.message and found.line == line


@pytest.mark.parametrize(
    "text",
    [
        "{{ 'x' * 200000000 }}",
        "{{ 200000000 * [1] }}",
        "{{ '%200000000d' % 1 }}",
        "{{ '{:1000000000}'.format(1) }}",
        "{{ 'x'.ljust(1000000000) }}",
        "{{ 'x' | center(100000000) }}",
        "{{ 2 ** 9999999 }}",
        "{% for i in range(3000) %}{% for j in range(3000) %}{{ j }}{% endfor %}{% endfor %}",
        "{% set n = namespace(x='aa') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
        "{% set n = namespace(x='aa') %}{% for i in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}",
        "{{ range(100001) | list }}",
        "{{ 'a'.join }}",
        "{{ [1] | batch(100000000) | list }}",
        "{{ 'x' | indent(90000) }}",
        "{{ '%999999s' | format('x') }}",
    ],
)
def test_bombs_are_refused(text: str) -> None:
    """A small template must not make large texts or numbers."""
    assert "template" in problem(text).message


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__ }}",
        "{{ host.__init__.__globals__ }}",
        "{% include 'x' %}",
        "{% import 'x' as y %}",
        "{% extends 'x' %}",
        "{{ [1, 2] | random }}",
        "{{ lipsum() }}",
        "{% if %}",
        "{{ 1 / 0 }}",
        "{{ vars.workers + 'x' }}",
        "{{ vars.items | map('upper') }}",
        "{{ [vars.items | map('upper')] }}",
        "{{ 'a' ~ (vars.items | map('upper')) }}",
        "{{ (vars.items | map('upper')) | string }}",
        "{{ joiner() }}",
        "{{ '%s' | format(cycler(1)) }}",
        "{{ secrets.db }}",
        "{{ host | nothing }}",
        "{{ vars() }}",
        "{% set x = cycler %}{{ x }}",
    ],
)
def test_errors_are_problems(text: str) -> None:
    """Whatever goes wrong in a template must be a problem with a place and a remedy, never a traceback."""
    assert problem("\n" + text).line == 2


def test_not_utf8() -> None:
    """A template that is not UTF-8 must be refused with the line."""
    with pytest.raises(Wrong) as caught:
        Templates(NAMES).render("f.j2", b"ok\n\xff")
    assert caught.value.problem.line == 2
