"""YAML texts: the trees that they become, the places in them, and what is told of a bad one."""

from __future__ import annotations

import pytest

from agent.compose import ComposeError
from agent.compose.document import Path, parse_yaml
from agent.compose.limits import Budget, OverBudget
from tests.unit.compose.loading import outline


@pytest.mark.parametrize(
    ("text", "documents"),
    [
        (
            "x-a: &a {b: 1}\nx-b: {<<: *a, c: 2}\n",
            [("{x-a@1:1 {b@1:10 1}@1:6, x-b@2:1 {c@2:15 2, b@1:10 1}@2:6}@1:1", [])],
        ),
        (
            "x-a: &a {b: 1, c: 3}\nx-b:\n  c: 2\n  <<: *a\n",
            [("{x-a@1:1 {b@1:10 1, c@1:16 3}@1:6, x-b@2:1 {c@3:3 2, b@1:10 1}@3:3}@1:1", [])],
        ),
        (
            ("x-a: &a {b: 1}\nx-c: &c {b: 2, d: 3}\nx-b:\n  <<: [*a, *c, {e: 4}]\n"),
            [
                (
                    (
                        "{x-a@1:1 {b@1:10 1}@1:6, x-c@2:1 {b@2:10 2, d@2:16 3}@2:6, x-b@3:1 {b@1:10 1, "
                        "d@2:16 3, e@4:17 4}@4:3}@1:1"
                    ),
                    [],
                )
            ],
        ),
        (
            "x-a: &a [1, {b: 2}]\nx-b: *a\n",
            [
                (
                    (
                        "{x-a@1:1 [1@1:10, {b@1:14 2}@1:13@1:13]@1:6, x-b@2:1 [1@1:10, {b@1:14 "
                        "2}@1:13@1:13]@2:6}@1:1"
                    ),
                    [],
                )
            ],
        ),
        (
            "x-a: &a v\nx-b: *a\nx-c: {*a : 1}\n",
            [("{x-a@1:1 'v', x-b@2:1 'v', x-c@3:1 {v@3:7 1}@3:6}@1:1", [])],
        ),
        ("x-a: {'<<': 1}\n", [("{x-a@1:1 {<<@1:7 1}@1:6}@1:1", [])]),
        (
            ("x-a: !reset [1]\nx-b: !override\n  c: 1\nx-c: [1, !reset 2, !override 3]\n"),
            [
                (
                    "{x-b@2:1 {c@3:3 1}@2:6, x-c@4:1 [1@4:7, '3'@4:20]@4:6}@1:1",
                    [("x-a",), ("x-b",), ("x-c", "[1]"), ("x-c", "[2]")],
                )
            ],
        ),
        ("x-a: &a.b/c 1\nx-b: *a.b/c\n", [("{x-a@1:1 1, x-b@2:1 1}@1:1", [])]),
        ("x-a: &a 1\nx-b: &a 2\nx-c: *a\n", [("{x-a@1:1 1, x-b@2:1 2, x-c@3:1 2}@1:1", [])]),
        (
            "x-a: &a\n  b: &b {c: 1}\nx-b: *b\nx-c: {<<: *a}\n",
            [
                (
                    (
                        "{x-a@1:1 {b@2:3 {c@2:10 1}@2:6}@1:6, x-b@3:1 {c@2:10 1}@3:6, x-c@4:1 {b@2:3 {c@2:10 "
                        "1}@2:6}@4:6}@1:1"
                    ),
                    [],
                )
            ],
        ),
        (
            'x-a: {"b": \'c\', d: "1", e: 1, f: , g: ~, h: 0x10, i: 1.50}\n',
            [
                (
                    (
                        "{x-a@1:1 {b@1:7 'c', d@1:17 '1', e@1:25 1, f@1:31 None, g@1:36 None, h@1:42 16, "
                        "i@1:51 1.5}@1:6}@1:1"
                    ),
                    [],
                )
            ],
        ),
        ("x-a: |\n  b\n  c\nx-b: >-\n  d\n  e\n", [("{x-a@1:1 'b\\nc\\n', x-b@4:1 'd e'}@1:1", [])]),
        (
            "x-a: &a.b 1\nx-c: &a-b 2\nx-b: [*a.b, *a-b]\n",
            [("{x-a@1:1 1, x-c@2:1 2, x-b@3:1 [1@3:7, 2@3:13]@3:6}@1:1", [])],
        ),
        (
            "x-a: &a {x: !reset 1}\nx-b: {<<: *a}\nx-c: *a\n",
            [
                (
                    "{x-a@1:1 {}@1:6, x-b@2:1 {}@2:6, x-c@3:1 {}@3:6}@1:1",
                    [("x-a", "x"), ("x-b", "x"), ("x-c", "x")],
                )
            ],
        ),
        ("x-a: &r !reset 1\nx-b: *r\n", [("{}@1:1", [("x-a",), ("x-b",)])]),
        (
            "x-a: &a {b: !override {c: !reset 1}}\n",
            [("{x-a@1:1 {b@1:10 {}@1:13}@1:6}@1:1", [("x-a", "b"), ("x-a", "b", "c")])],
        ),
    ],
)
def test_a_text_becomes_a_tree_with_places(text: str, documents: list[tuple[str, list[Path]]]) -> None:
    """Each document must become a tree whose entries know where they stand, and the paths that it removes."""
    found = parse_yaml("compose.yaml", text.encode(), Budget())
    assert [(outline(document.root), document.removed) for document in found] == documents


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "services:\n\ta: x\n",
            (
                "compose.yaml:2:1: a tab is used for indentation | YAML is indented with spaces: "
                "replace the tab"
            ),
        ),
        (
            "services:\n  a:\n   image: x\n  - b\n",
            (
                "compose.yaml:4:3: not valid YAML: while parsing a block mapping: did not find "
                "expected key | check the indentation, the colons and the quotes of this line and "
                "the one above it"
            ),
        ),
        (
            "services: {a: {image: x}\n",
            (
                "compose.yaml:2:1: not valid YAML: while parsing a flow mapping: did not find "
                "expected ',' or '}' | check the indentation, the colons and the quotes of this line "
                "and the one above it"
            ),
        ),
        (
            "a: *b\n",
            (
                "compose.yaml:1:4: the alias *b has no anchor above it | define it first with &b, or "
                "put it in quotes if it is text"
            ),
        ),
        (
            "services: *b\n",
            (
                "compose.yaml:1:11: the alias *b has no anchor above it | define it first with &b, "
                "or put it in quotes if it is text"
            ),
        ),
        ("? [a]\n: b\n", "compose.yaml:1:3: the key a list or mapping is not text | put it in quotes"),
        ("? {a: b}\n: c\n", "compose.yaml:1:3: the key a list or mapping is not text | put it in quotes"),
        ("1: a\n", "compose.yaml:1:1: the key 1 is not text | put it in quotes"),
        ("~: a\n", "compose.yaml:1:1: the key ~ is not text | put it in quotes"),
        ("2001-01-01: a\n", "compose.yaml:1:1: the key 2001-01-01 is not text | put it in quotes"),
        ("true: a\n", "compose.yaml:1:1: the key true is not text | put it in quotes"),
        ("a: 1\na: 2\n", "compose.yaml:2:1: the key 'a' is already on line 1 | keep one of the two"),
        (
            "x-a:\n  b: 1\n  c: 2\n  b: 3\n",
            "compose.yaml:4:3: the key 'b' is already on line 2 | keep one of the two",
        ),
        ("<<: 5\n", "compose.yaml:1:5: `<<` needs a mapping or a list of mappings | point it at a mapping"),
        (
            "x-a: &a [1]\nx-b:\n  <<: *a\n",
            "compose.yaml:1:10: `<<` needs a mapping or a list of mappings | point it at a mapping",
        ),
        (
            "x-a: &a\n  <<: *a\n",
            (
                "compose.yaml:2:7: an alias is inside its own anchor, or aliases are nested too "
                "deeply | remove the cycle"
            ),
        ),
        (
            "x-a: &a [*a]\n",
            (
                "compose.yaml:1:10: an alias is inside its own anchor, or aliases are nested too "
                "deeply | remove the cycle"
            ),
        ),
        (
            "x-a: !!int b\n",
            "compose.yaml:1:6: 'b' does not fit the tag !!int | remove the tag or correct the value",
        ),
        (
            "x-a: [!!float b]\n",
            ("compose.yaml:1:7: 'b' does not fit the tag !!float | remove the tag or correct the value"),
        ),
        (
            "x-a: '\x01'\n",
            (
                "compose.yaml:1: the character #x0001 is not allowed in YAML | write it as an escape "
                'in double quotes, "\\u...."'
            ),
        ),
        (
            "x: 1\n---\nx-a: \x07\n",
            (
                "compose.yaml:3: the character #x0007 is not allowed in YAML | write it as an escape "
                'in double quotes, "\\u...."'
            ),
        ),
        (
            "x-a: &é 1\n",
            (
                "compose.yaml:1:7: not valid YAML: while scanning an anchor: did not find expected "
                "alphabetic or numeric character | use only letters, digits, - and _ in anchor names"
            ),
        ),
        (
            'x-a: "\\q"\n',
            (
                "compose.yaml:1:7: not valid YAML: while parsing a quoted scalar: found unknown "
                "escape character | check the indentation, the colons and the quotes of this line "
                "and the one above it"
            ),
        ),
        (
            "x-a: @b\n",
            (
                "compose.yaml:1:6: not valid YAML: while scanning for the next token: found "
                "character that cannot start any token | check the indentation, the colons and the "
                "quotes of this line and the one above it"
            ),
        ),
        (
            "x-a: &a 1\n---\nx-b: *a\n",
            (
                "compose.yaml:3:6: the alias *a has no anchor above it | define it first with &a, or "
                "put it in quotes if it is text"
            ),
        ),
        (
            "x-a: [1, 2\nx-b: 3\n",
            (
                "compose.yaml:2:4: not valid YAML: while parsing a flow sequence: did not find "
                "expected ',' or ']' | check the indentation, the colons and the quotes of this line "
                "and the one above it"
            ),
        ),
        (
            "x-a: *é\n",
            (
                "compose.yaml:1:7: not valid YAML: while scanning an alias: did not find expected "
                "alphabetic or numeric character | use only letters, digits, - and _ in anchor names"
            ),
        ),
        (
            "a: b: c\n",
            (
                "compose.yaml:1:5: not valid YAML: mapping values are not allowed in this context | "
                "check the indentation, the colons and the quotes of this line and the one above it"
            ),
        ),
        (
            "x-a: |\n\tb\n c\n- d",
            (
                "compose.yaml:2:1: a tab is used for indentation | YAML is indented with spaces: "
                "replace the tab"
            ),
        ),
        (
            "x-a: &a:b 1\nx-b: *a:c\n",
            (
                "compose.yaml:2:8: not valid YAML: while parsing a block mapping: did not find "
                "expected key | check the indentation, the colons and the quotes of this line and "
                "the one above it"
            ),
        ),
        (
            (
                "x-a: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]"
                "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"
            ),
            "compose.yaml:1:69: nested more than 64 levels deep | flatten the structure",
        ),
        (
            "\ufeffx: *b",
            (
                "compose.yaml:1:4: the alias *b has no anchor above it | define it first with &b, or "
                "put it in quotes if it is text"
            ),
        ),
        ("x-a: {? [b] : c}", "compose.yaml:1:9: the key a list or mapping is not text | put it in quotes"),
        (
            "x-a: 'b\n\n",
            (
                "compose.yaml:3:1: not valid YAML: while scanning a quoted scalar: found unexpected "
                "end of stream | check the indentation, the colons and the quotes of this line and "
                "the one above it"
            ),
        ),
        (
            "%YAML 3.0\n---\nx: 1",
            (
                "compose.yaml:1:1: not valid YAML: found incompatible YAML document | check the "
                "indentation, the colons and the quotes of this line and the one above it"
            ),
        ),
        (
            "x-a: &a/b\n - *a/c\n",
            (
                "compose.yaml:2:4: the alias *a/c has no anchor above it | define it first with "
                "&a/c, or put it in quotes if it is text"
            ),
        ),
    ],
)
def test_what_is_no_yaml_is_told_at_its_place(text: str, message: str) -> None:
    """A text that is no YAML must be told at its line and column, with what is wrong and what to do."""
    with pytest.raises(ComposeError) as caught:
        parse_yaml("compose.yaml", text.encode(), Budget())
    assert f"{caught.value} | {caught.value.hint}" == message


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"x-a: 1\n#\xff", "compose.yaml:2: the file is not UTF-8 text | save it as UTF-8"),
        (
            b"#" * ((1 << 20) + 1),
            "compose.yaml: the file has 1048577 bytes; at most 1048576 are read | split it with `include`",
        ),
    ],
)
def test_bytes_that_are_no_text_are_refused(data: bytes, message: str) -> None:
    """A file that is no text, or too large, must be refused with what to do."""
    with pytest.raises(ComposeError) as caught:
        parse_yaml("compose.yaml", data, Budget())
    assert f"{caught.value} | {caught.value.hint}" == message
    assert len(parse_yaml("compose.yaml", b"#" * ((1 << 20) - 5) + b"\nx: 1", Budget())) == 1


def test_every_node_is_paid_for() -> None:
    """Keys, values and what an alias repeats must be charged, and the one too many be told at its place."""
    text = b"x-a: &a [1, 2]\nx-b: *a\nx-c:\n  <<: {d: 1}\n"
    budget = Budget(100)
    parse_yaml("compose.yaml", text, budget)
    cost = 100 - budget.nodes
    parse_yaml("compose.yaml", text, Budget(cost))
    with pytest.raises(OverBudget) as caught:
        parse_yaml("compose.yaml", text, Budget(cost - 1))
    assert cost == 15
    assert str(caught.value.error) == ("compose.yaml:4:11: the project expands to more than 200000 nodes")
