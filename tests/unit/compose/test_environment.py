"""Environment and label files: what they add, and what is told of a bad one."""

from __future__ import annotations

import pytest

from agent.compose.environment import read_dotenv
from agent.compose.errors import LoadProblems
from agent.compose.tree import Map
from tests.unit.compose.loading import Files, load, outline, told, warned


@pytest.mark.parametrize(
    ("files", "messages"),
    [
        (
            {
                "compose.yaml": "services:\n  a:\n    image: x\n    env_file: none.env\n",
                "e.env": "A=1\nB!\n",
                "bad": "A='x\n",
                "d/x": "",
            },
            ("compose.yaml:4:5: the env file 'none.env' does not exist | correct the path, or add the file"),
        ),
        (
            {
                "compose.yaml": "services:\n  a:\n    image: x\n    env_file: d\n",
                "e.env": "A=1\nB!\n",
                "bad": "A='x\n",
                "d/x": "",
            },
            "compose.yaml:4:5: the env file 'd' is a directory | correct the path, or add the file",
        ),
        (
            {
                "compose.yaml": "services:\n  a:\n    image: x\n    env_file: e.env\n",
                "e.env": "A=1\nB!\n",
                "bad": "A='x\n",
                "d/x": "",
            },
            (
                "e.env:2: the character '!' is not allowed in the name 'B!' | use only letters, "
                "digits, _, . and - in names"
            ),
        ),
        (
            {
                "compose.yaml": (
                    "services:\n"
                    "  a:\n"
                    "    image: x\n"
                    "    env_file:\n"
                    "      - path: e.env\n"
                    "        format: yaml\n"
                ),
                "e.env": "A=1\nB!\n",
                "bad": "A='x\n",
                "d/x": "",
            },
            (
                "compose.yaml:5:9: the env_file format 'yaml' is not known | leave `format` out, or "
                "write `raw`"
            ),
        ),
        (
            {
                "compose.yaml": (
                    "services:\n  a:\n    image: x\n    env_file: [{path: '', required: true}]\n"
                ),
                "e.env": "A=1\nB!\n",
                "bad": "A='x\n",
                "d/x": "",
            },
            "compose.yaml:4:16: the env_file has no path | name the file",
        ),
        (
            {
                "compose.yaml": "services:\n  a:\n    image: x\n    env_file: ['']\n",
                "e.env": "A=1\nB!\n",
                "bad": "A='x\n",
                "d/x": "",
            },
            "compose.yaml:4:16: the env_file has no path | name the file",
        ),
        (
            {
                "compose.yaml": "services:\n  a:\n    image: x\n    env_file: [/etc/e.env]\n",
                "e.env": "A=1\nB!\n",
                "bad": "A='x\n",
                "d/x": "",
            },
            (
                "compose.yaml:4:16: the env_file '/etc/e.env' is not in the repository | move it "
                "into the repository, or set `required: false`"
            ),
        ),
        (
            {
                "compose.yaml": "services:\n  a:\n    image: x\n    env_file: ~/e.env\n",
                "e.env": "A=1\nB!\n",
                "bad": "A='x\n",
                "d/x": "",
            },
            (
                "compose.yaml:4:5: the env_file '~/e.env' is not in the repository | move it into "
                "the repository, or set `required: false`"
            ),
        ),
        (
            {
                "compose.yaml": "services:\n  a:\n    image: x\n    env_file: ../e.env\n",
                "e.env": "A=1\nB!\n",
                "bad": "A='x\n",
                "d/x": "",
            },
            (
                "compose.yaml:4:5: the path '../e.env' leaves the repository | move the file into "
                "the repository, or write an absolute path of the host"
            ),
        ),
        (
            {
                "compose.yaml": "services:\n  a:\n    image: x\n    label_file: none\n",
                "e.env": "A=1\nB!\n",
                "bad": "A='x\n",
                "d/x": "",
            },
            ("compose.yaml:4:5: the env file 'none' does not exist | correct the path, or add the file"),
        ),
        (
            {
                "compose.yaml": "services:\n  a:\n    image: x\n    label_file: [bad, e.env]\n",
                "e.env": "A=1\nB!\n",
                "bad": "A='x\n",
                "d/x": "",
            },
            (
                'bad:1: the quote in "\'x" is not closed | close it, or write the value without '
                "quotes\n"
                "e.env:2: the character '!' is not allowed in the name 'B!' | use only letters, "
                "digits, _, . and - in names"
            ),
        ),
        (
            {
                "compose.yaml": "services:\n  a:\n    image: x\n    label_file: [/l]\n",
                "e.env": "A=1\nB!\n",
                "bad": "A='x\n",
                "d/x": "",
            },
            (
                "compose.yaml:4:18: the label_file '/l' is not in the repository | move it into the "
                "repository, or set `required: false`"
            ),
        ),
        (
            {
                "compose.yaml": "services:\n  a:\n    image: x\n    label_file: ['']\n",
                "e.env": "A=1\nB!\n",
                "bad": "A='x\n",
                "d/x": "",
            },
            "compose.yaml:4:18: the label_file has no path | name the file",
        ),
        (
            {
                "compose.yaml": (
                    "services:\n"
                    "  a:\n"
                    "    image: x\n"
                    "    env_file: [bad, {path: none, required: false}, {path: /x, required: false}]\n"
                ),
                "e.env": "A=1\nB!\n",
                "bad": "A='x\n",
                "d/x": "",
            },
            'bad:1: the quote in "\'x" is not closed | close it, or write the value without quotes',
        ),
        (
            {
                "compose.yaml": (
                    "services:\n  a:\n    image: x\n    env_file: [{path: ../x, required: false}]\n"
                ),
                "e.env": "A=1\nB!\n",
                "bad": "A='x\n",
                "d/x": "",
            },
            (
                "compose.yaml:4:17: the path '../x' leaves the repository | move the file into the "
                "repository, or write an absolute path of the host"
            ),
        ),
        (
            {"compose.yaml": "services: {a: {image: x}}\n", ".env": "A=1\nB!"},
            (
                ".env:2: the character '!' is not allowed in the name 'B!' | use only letters, "
                "digits, _, . and - in names"
            ),
        ),
    ],
)
def test_a_mistake_is_told_with_its_place_and_remedy(files: Files, messages: str) -> None:
    """A mistake must be told at its place, with what is wrong and what to do."""
    assert told(files) == messages


@pytest.mark.parametrize(
    ("files", "form"),
    [
        (
            {
                "compose.yaml": "services:\n  a:\n    image: x\n    env_file: e.env\n",
                "e.env": "A=e$OWN\nB=$A\nC=$ENV\nOWN=x\n",
                "f.env": "A=f\nD='$A'\n",
                "l": "L=1\nA=$L\nM=$NO",
                ".env": "ENV=dot",
            },
            (
                "{env_file@4:5 [{path@4:5 './e.env', required@4:5 True}@4:5@4:5]@4:5, "
                "environment@3:5 {A@e.env:1:0 'e', B@e.env:2:0 'e', C@e.env:3:0 'dot', OWN@e.env:4:0 "
                "'x'}@3:5, image@3:5 'x', networks@2:3 {default@2:3 None}@2:3}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": "services:\n  a:\n    image: x\n    env_file: [e.env, f.env]\n",
                "e.env": "A=e$OWN\nB=$A\nC=$ENV\nOWN=x\n",
                "f.env": "A=f\nD='$A'\n",
                "l": "L=1\nA=$L\nM=$NO",
                ".env": "ENV=dot",
            },
            (
                "{env_file@4:5 [{path@4:16 './e.env', required@4:16 True}@4:16@4:16, {path@4:23 "
                "'./f.env', required@4:23 True}@4:23@4:23]@4:15, environment@3:5 {A@f.env:1:0 'f', "
                "B@e.env:2:0 'e', C@e.env:3:0 'dot', OWN@e.env:4:0 'x', D@f.env:2:0 '$A'}@3:5, "
                "image@3:5 'x', networks@2:3 {default@2:3 None}@2:3}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": (
                    "services:\n"
                    "  a:\n"
                    "    image: x\n"
                    "    env_file: [f.env, e.env]\n"
                    "    environment: [A=own, ENV, NO]\n"
                ),
                "e.env": "A=e$OWN\nB=$A\nC=$ENV\nOWN=x\n",
                "f.env": "A=f\nD='$A'\n",
                "l": "L=1\nA=$L\nM=$NO",
                ".env": "ENV=dot",
            },
            (
                "{env_file@4:5 [{path@4:16 './f.env', required@4:16 True}@4:16@4:16, {path@4:23 "
                "'./e.env', required@4:23 True}@4:23@4:23]@4:15, environment@5:5 {A@5:19 'own', "
                "ENV@5:26 'dot', D@f.env:2:0 '$A', B@e.env:2:0 'own', C@e.env:3:0 'dot', "
                "OWN@e.env:4:0 'x', NO@5:31 None}@5:5, image@3:5 'x', networks@2:3 {default@2:3 "
                "None}@2:3}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": (
                    "services:\n  a:\n    image: x\n    env_file: [{path: f.env, format: raw}]\n"
                ),
                "e.env": "A=e$OWN\nB=$A\nC=$ENV\nOWN=x\n",
                "f.env": "A=f\nD='$A'\n",
                "l": "L=1\nA=$L\nM=$NO",
                ".env": "ENV=dot",
            },
            (
                "{env_file@4:5 [{format@4:30 'raw', path@4:17 './f.env', required@4:16 "
                "True}@4:16@4:16]@4:15, environment@3:5 {A@f.env:1:0 'f', D@f.env:2:0 \"'$A'\"}@3:5, "
                "image@3:5 'x', networks@2:3 {default@2:3 None}@2:3}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": (
                    "services:\n"
                    "  a:\n"
                    "    image: x\n"
                    "    env_file: [{path: none, required: false}, {path: f.env, format: .env}, {path: "
                    "/x, required: false}]\n"
                ),
                "e.env": "A=e$OWN\nB=$A\nC=$ENV\nOWN=x\n",
                "f.env": "A=f\nD='$A'\n",
                "l": "L=1\nA=$L\nM=$NO",
                ".env": "ENV=dot",
            },
            (
                "{env_file@4:5 [{path@4:17 './none', required@4:29 False}@4:16@4:16, {format@4:61 "
                "'.env', path@4:48 './f.env', required@4:47 True}@4:47@4:47, {path@4:77 '/x', "
                "required@4:87 False}@4:76@4:76]@4:15, environment@3:5 {A@f.env:1:0 'f', D@f.env:2:0 "
                "'$A'}@3:5, image@3:5 'x', networks@2:3 {default@2:3 None}@2:3}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": (
                    "services:\n"
                    "  a:\n"
                    "    image: x\n"
                    "    environment: {OWN: o, A: , ENV: }\n"
                    "    env_file: e.env\n"
                ),
                "e.env": "A=e$OWN\nB=$A\nC=$ENV\nOWN=x\n",
                "f.env": "A=f\nD='$A'\n",
                "l": "L=1\nA=$L\nM=$NO",
                ".env": "ENV=dot",
            },
            (
                "{env_file@5:5 [{path@5:5 './e.env', required@5:5 True}@5:5@5:5]@5:5, "
                "environment@4:5 {OWN@4:19 'o', ENV@4:32 'dot', A@4:27 None, B@e.env:2:0 'eo', "
                "C@e.env:3:0 'dot'}@4:5, image@3:5 'x', networks@2:3 {default@2:3 None}@2:3}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": (
                    "services:\n  a:\n    image: x\n    label_file: [l]\n    labels: {L: own, Z: z}\n"
                ),
                "e.env": "A=e$OWN\nB=$A\nC=$ENV\nOWN=x\n",
                "f.env": "A=f\nD='$A'\n",
                "l": "L=1\nA=$L\nM=$NO",
                ".env": "ENV=dot",
            },
            (
                "{image@3:5 'x', label_file@4:5 ['./l'@4:18]@4:17, labels@5:5 {L@5:14 'own', A@l:2:0 "
                "'1', M@l:3:0 '', Z@5:22 'z'}@3:5, networks@2:3 {default@2:3 None}@2:3}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": "services:\n  a:\n    image: x\n    label_file: [l, f.env]\n",
                "e.env": "A=e$OWN\nB=$A\nC=$ENV\nOWN=x\n",
                "f.env": "A=f\nD='$A'\n",
                "l": "L=1\nA=$L\nM=$NO",
                ".env": "ENV=dot",
            },
            (
                "{image@3:5 'x', label_file@4:5 ['./l'@4:18, './f.env'@4:21]@4:17, labels@3:5 "
                "{L@l:1:0 '1', A@f.env:1:0 'f', M@l:3:0 '', D@f.env:2:0 '$A'}@3:5, networks@2:3 "
                "{default@2:3 None}@2:3}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": "services:\n  a:\n    image: x\n    environment: {}\n",
                "e.env": "A=e$OWN\nB=$A\nC=$ENV\nOWN=x\n",
                "f.env": "A=f\nD='$A'\n",
                "l": "L=1\nA=$L\nM=$NO",
                ".env": "ENV=dot",
            },
            "{image@3:5 'x', networks@2:3 {default@2:3 None}@2:3}@3:5",
        ),
        (
            {
                "compose.yaml": (
                    "services:\n  a:\n    image: x\n    pre_start: [{command: c, environment: [ENV, X=y]}]\n"
                ),
                "e.env": "A=e$OWN\nB=$A\nC=$ENV\nOWN=x\n",
                "f.env": "A=f\nD='$A'\n",
                "l": "L=1\nA=$L\nM=$NO",
                ".env": "ENV=dot",
            },
            (
                "{image@3:5 'x', networks@2:3 {default@2:3 None}@2:3, pre_start@4:5 [{command@4:18 "
                "['c'@4:18]@4:18, environment@4:30 {ENV@4:44 'dot', X@4:49 'y'}@4:30, image@3:5 "
                "'x'}@4:17@4:17]@4:16}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": (
                    "services:\n  a:\n    image: x\n    environment: {Z: z, A: a}\n    working_dir: /x\n"
                ),
                "e.env": "A=e$OWN\nB=$A\nC=$ENV\nOWN=x\n",
                "f.env": "A=f\nD='$A'\n",
                "l": "L=1\nA=$L\nM=$NO",
                ".env": "ENV=dot",
            },
            (
                "{environment@4:5 {Z@4:19 'z', A@4:25 'a'}@4:5, image@3:5 'x', networks@2:3 "
                "{default@2:3 None}@2:3, working_dir@5:5 '/x'}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": "services:\n  a:\n    image: x\n    env_file: []\n",
                "e.env": "A=e$OWN\nB=$A\nC=$ENV\nOWN=x\n",
                "f.env": "A=f\nD='$A'\n",
                "l": "L=1\nA=$L\nM=$NO",
                ".env": "ENV=dot",
            },
            "{image@3:5 'x', networks@2:3 {default@2:3 None}@2:3}@3:5",
        ),
    ],
)
def test_files_complete_what_a_service_sets(files: Files, form: str) -> None:
    """The variables and labels of files must be added, each at its line, and what the service sets win."""
    assert outline(load(files).services["a"]) == form


@pytest.mark.parametrize(
    ("files", "warnings"),
    [
        (
            {
                "compose.yaml": "services:\n  a:\n    image: x\n    env_file: e.env\n",
                "e.env": "A=e$OWN\nB=$A\nC=$ENV\nOWN=x\n",
                "f.env": "A=f\nD='$A'\n",
                "l": "L=1\nA=$L\nM=$NO",
                ".env": "ENV=dot",
            },
            ["e.env:1: the variable OWN is not set; it is replaced by an empty string"],
        ),
        (
            {
                "compose.yaml": (
                    "services:\n  a:\n    image: x\n    label_file: [l]\n    labels: {L: own, Z: z}\n"
                ),
                "e.env": "A=e$OWN\nB=$A\nC=$ENV\nOWN=x\n",
                "f.env": "A=f\nD='$A'\n",
                "l": "L=1\nA=$L\nM=$NO",
                ".env": "ENV=dot",
            },
            ["l:3: the variable NO is not set; it is replaced by an empty string"],
        ),
        (
            {"compose.yaml": "services:\n  a:\n    image: x\n    user: $NO\n", ".env": "A=1\nB=$NO\n"},
            [
                ".env:2: the variable NO is not set; it is replaced by an empty string",
                "compose.yaml:4: the variable NO is not set; it is replaced by an empty string",
            ],
        ),
        (
            {"compose.yaml": "services:\n  a:\n    image: x\n    env_file: e.env\n", "e.env": "A=$NO"},
            ["e.env:1: the variable NO is not set; it is replaced by an empty string"],
        ),
    ],
)
def test_variables_that_are_not_set_are_told(files: Files, warnings: list[str]) -> None:
    """A variable that is not set must be named at its line."""
    assert warned(files) == warnings


def test_a_dotenv_file_refers_to_the_caller_and_to_itself() -> None:
    """A variable must be looked up with the caller first, then in the lines above, and a mistake be told."""
    problems, known = LoadProblems(), Map()
    read_dotenv("e.env", b"A=1\nC=2\nA\nC\nB=$A$C\nD!\nE=1", {"C": "out"}, problems, known)
    assert outline(known) == "{A@e.env:3:0 '1', C@e.env:4:0 'out', B@e.env:5:0 '1out'}@:0:0"
    assert [error.line for error in problems.errors] == [6]
