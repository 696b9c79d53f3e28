"""Several files become one model: what is refused, what is left out, and what is warned of."""

from __future__ import annotations

import pytest

from tests.unit.compose.loading import Files, load, outline, told, warned


@pytest.mark.parametrize(
    ("files", "messages"),
    [
        ("[a]\n", "compose.yaml:1: the file is not a mapping | start it with `services:`"),
        ("x\n", "compose.yaml:1: the file is not a mapping | start it with `services:`"),
        (
            "services: {a: {image: x}}\n---\n[x]\n",
            "compose.yaml:1: the file is not a mapping | start it with `services:`",
        ),
        (
            ("services: {a: {image: x}}\nnetworks:\n  'a b': {}\nmodels: {'c d': {model: x}}\n"),
            (
                "compose.yaml:3:3: networks: the name 'a b' is not allowed | use letters, digits, "
                "dots, dashes and underscores\n"
                "compose.yaml:4:10: models: the name 'c d' is not allowed | use letters, digits, "
                "dots, dashes and underscores"
            ),
        ),
        (
            "services: {a: {image: x}}\nnetworks: {'': {}}\n",
            (
                "compose.yaml:2:12: networks: the name '' is not allowed | use letters, digits, "
                "dots, dashes and underscores"
            ),
        ),
        (
            {"compose.yaml": "services: {a: {image: x}}\n", "compose.override.yaml": "[x]"},
            "compose.override.yaml:1: the file is not a mapping | start it with `services:`",
        ),
        (
            "services: {a: {imgae: x}, b: {image: x, ports: ['x:y']}}\n",
            (
                "compose.yaml:1:16: services.a: unknown key 'imgae' | did you mean 'image'?\n"
                "compose.yaml:1:49: the port 'x:y' has a bad container port 'y' | write it as "
                "[[IP:]HOST:]CONTAINER[/PROTOCOL], ports from 1 to 65535, an IPv6 address in brackets"
            ),
        ),
        (
            "services:\n  a: {imgae: x}\n  b: {image: x, foo: 1}\nfoo: bar\n",
            (
                "compose.yaml:2:7: services.a: unknown key 'imgae' | did you mean 'image'?\n"
                "compose.yaml:3:17: services.b: unknown key 'foo' | remove it; keys of your own "
                "start with x-\n"
                "compose.yaml:4:1: top level: unknown key 'foo' | remove it; keys of your own start "
                "with x-"
            ),
        ),
        (
            {
                "compose.yaml": "services: {a: {image: x}}\nvolumes: {v: {driver: d}}\n",
                "compose.override.yaml": "volumes: [x]\n",
            },
            (
                "compose.override.yaml:1:1: a mapping cannot be overridden by another type | use the "
                "same form in both files, or mark this one with `!override`"
            ),
        ),
        (
            ("services:\n  a:\n    image: x\n    x-develop: {watch: []}\n    develop: [x]\n"),
            (
                "compose.yaml:5:5: a mapping cannot be overridden by another type | use the same "
                "form in both files, or mark this one with `!override`\n"
                "compose.yaml:5:5: services.a.develop: must be a mapping or nothing, not a list | "
                "see the Compose Specification for the forms of this key"
            ),
        ),
        (
            {"compose.yaml": "services: {a: {image: x}}\nname: a\n", "compose.override.yaml": "name: [x]\n"},
            (
                "compose.override.yaml:1:1: name: must be text, not a list | see the Compose "
                "Specification for the forms of this key"
            ),
        ),
        (
            "services: {a: {image: x}}\nversion: 3\n",
            "compose.yaml:2:1: version: must be text, not a whole number | put it in quotes",
        ),
        (
            {"compose.yaml": "services: {a: {image: x, ports: ['x']}, b: {image: x, depends_on: [a]}}\n"},
            (
                "compose.yaml:1:34: the port 'x' has a bad container port 'x' | write it as "
                "[[IP:]HOST:]CONTAINER[/PROTOCOL], ports from 1 to 65535, an IPv6 address in brackets"
            ),
        ),
        (
            {"compose.yaml": "services: {a: {image: x}}\n", "compose.override.yaml": "\tx"},
            (
                "compose.override.yaml:1:1: a tab is used for indentation | YAML is indented with "
                "spaces: replace the tab"
            ),
        ),
        (
            (
                "services:\n"
                "  a: {image: x}\n"
                "  a b: {image: x}\n"
                "  c: {image: x, networks: [n]}\n"
                "networks: {n: {foo: 1}}\n"
            ),
            (
                "compose.yaml:3:3: services.a b: the name 'a b' is not allowed | use letters, "
                "digits, dots, dashes and underscores\n"
                "compose.yaml:5:16: networks.n: unknown key 'foo' | remove it; keys of your own "
                "start with x-"
            ),
        ),
    ],
)
def test_a_mistake_is_told_with_its_place_and_remedy(files: Files, messages: str) -> None:
    """A mistake must be told at its place, with what is wrong and what to do."""
    assert told(files) == messages


@pytest.mark.parametrize(
    ("files", "warnings"),
    [
        ("version: '3'\nservices: {a: {image: x}}\n", ["compose.yaml:1: `version` is obsolete and ignored"]),
        ("services: {a: {image: x}}\nversion: '2'\n", ["compose.yaml:2: `version` is obsolete and ignored"]),
        (
            {
                "compose.yaml": "services: {a: {image: x}}\n",
                "compose.override.yaml": "x-a: 1\nversion: '2'\n",
            },
            ["compose.override.yaml:2: `version` is obsolete and ignored"],
        ),
        (
            ("services:\n  a:\n    image: x\n    user: $NO ${NO}\n    labels: ['a=$NO', 'b=$MO']\n"),
            [
                "compose.yaml:4: the variable NO is not set; it is replaced by an empty string",
                "compose.yaml:5: the variable NO is not set; it is replaced by an empty string",
                "compose.yaml:5: the variable MO is not set; it is replaced by an empty string",
            ],
        ),
        (
            "services: {a: {image: x}}\nname: app\nx-a: {b: ['$NO']}\n",
            ["compose.yaml:3: the variable NO is not set; it is replaced by an empty string"],
        ),
        (
            {
                "compose.yaml": "include: [i.yaml]\nservices: {a: {image: x}}\n",
                "i.yaml": "version: '1'\nservices: {b: {image: 'x$NO'}}\n",
            },
            [
                "i.yaml:2: the variable NO is not set; it is replaced by an empty string",
                "i.yaml:1: `version` is obsolete and ignored",
            ],
        ),
        (
            {
                "compose.yaml": "services: {a: {extends: {file: b.yaml, service: b}}}\n",
                "b.yaml": "version: '1'\nservices: {b: {image: 'x$NO'}}\n",
            },
            [
                "b.yaml:2: the variable NO is not set; it is replaced by an empty string",
                "b.yaml:1: `version` is obsolete and ignored",
            ],
        ),
    ],
)
def test_what_is_obsolete_is_warned_of(files: Files, warnings: list[str]) -> None:
    """A person must be told what is ignored, with its place."""
    assert warned(files) == warnings


@pytest.mark.parametrize(
    ("files", "form"),
    [
        (
            (
                "services:\n"
                "  a:\n"
                "    image: x\n"
                "    x-develop: {watch: [{path: p, action: rebuild, x-initialSync: true}]}\n"
            ),
            (
                "{develop@4:5 {watch@4:17 [{action@4:35 'rebuild', initial_sync@4:52 True, path@4:26 "
                "'./p'}@4:25@4:25]@4:24}@4:16, image@3:5 'x', networks@2:3 {default@2:3 None}@2:3}@3:5"
            ),
        ),
        (
            (
                "services:\n"
                "  a:\n"
                "    image: x\n"
                "    develop: {watch: [{path: p, action: rebuild, x-initialSync: true, initial_sync: "
                "false}]}\n"
            ),
            (
                "{develop@4:5 {watch@4:15 [{action@4:33 'rebuild', path@4:24 "
                "'./p'}@4:23@4:23]@4:22}@4:14, image@3:5 'x', networks@2:3 {default@2:3 None}@2:3}@3:5"
            ),
        ),
        (
            (
                "services:\n"
                "  a:\n"
                "    image: x\n"
                "    x-develop: {watch: [{path: p, action: rebuild}]}\n"
                "    develop: {watch: [{path: q, action: restart}]}\n"
            ),
            (
                "{develop@4:5 {watch@5:15 [{action@4:35 'rebuild', path@4:26 './p'}@4:25@4:25, "
                "{action@5:33 'restart', path@5:24 './q'}@5:23@5:23]@4:24}@4:16, image@3:5 'x', "
                "networks@2:3 {default@2:3 None}@2:3}@3:5"
            ),
        ),
    ],
)
def test_older_spellings_are_renamed(files: Files, form: str) -> None:
    """An older spelling must mean the new one, which wins, and keep its place."""
    assert outline(load(files).services["a"]) == form


@pytest.mark.parametrize(
    ("files", "form"),
    [
        (
            (
                "services:\n"
                "  a:\n"
                "    image: x\n"
                "    user: u\n"
                "---\n"
                "services:\n"
                "  a:\n"
                "    image: y\n"
                "    user: !reset\n"
                "---\n"
                "services: {a: {environment: [A]}}\n"
            ),
            (
                "{environment@11:16 {A@11:30 None}@11:16, image@8:5 'y', networks@11:12 "
                "{default@11:12 None}@11:12}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": "services: {a: {image: x}}\n",
                "compose.override.yaml": (
                    "services: {a: {tty: true}}\n---\nservices: {a: {tty: false, labels: [a=b]}}\n"
                ),
            },
            (
                "{image@1:16 'x', labels@compose.override.yaml:3:28 {a@compose.override.yaml:3:37 "
                "'b'}@1:15, networks@compose.override.yaml:3:12 {default@compose.override.yaml:3:12 "
                "None}@compose.override.yaml:3:12}@1:15"
            ),
        ),
    ],
)
def test_documents_of_one_file_are_merged(files: Files, form: str) -> None:
    """The documents of one file must be merged as files are."""
    assert outline(load(files).services["a"]) == form
