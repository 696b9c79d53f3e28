"""Included files: what they add, and what is told of a bad one."""

from __future__ import annotations

import pytest

from agent.compose.tree import Map
from tests.unit.compose.loading import Files, load, outline, told


@pytest.mark.parametrize(
    ("files", "messages"),
    [
        (
            "services: {a: {image: x}}\ninclude: x\n",
            "compose.yaml:2:1: `include` must be a list | write each file as an item: `- path`",
        ),
        (
            "services: {a: {image: x}}\ninclude:\n  - 5\n",
            ("compose.yaml:3:5: include: a path is expected | write the path, or a mapping with `path`"),
        ),
        (
            "services: {a: {image: x}}\ninclude:\n  - {paths: x}\n",
            ("compose.yaml:3:6: include: unknown key 'paths' | use path, project_directory and env_file"),
        ),
        (
            "services: {a: {image: x}}\ninclude:\n  - path: [a, 1]\n",
            ("compose.yaml:3:5: include: a path is expected | write the path, or a mapping with `path`"),
        ),
        (
            "services: {a: {image: x}}\ninclude: [{path: a, env_file: [1]}]\n",
            ("compose.yaml:2:11: include: a path is expected | write the path, or a mapping with `path`"),
        ),
        (
            ("services: {a: {image: x}}\ninclude: [{path: a, project_directory: [1]}]\n"),
            ("compose.yaml:2:11: include: a path is expected | write the path, or a mapping with `path`"),
        ),
        (
            "services: {a: {image: x}}\ninclude: [{path: []}]\n",
            ("compose.yaml:2:11: include: a path is expected | write the path, or a mapping with `path`"),
        ),
        (
            "services: {a: {image: x}}\ninclude: [none.yaml]\n",
            ("compose.yaml:2:11: the file 'none.yaml' does not exist | correct the path, or add the file"),
        ),
        (
            "services: {a: {image: x}}\ninclude:\n  - ../c.yaml\n",
            (
                "compose.yaml:3:5: the file '../c.yaml' is outside the repository | move it into the "
                "repository"
            ),
        ),
        (
            "services: {a: {image: x}}\ninclude: [/c.yaml]\n",
            ("compose.yaml:2:11: the file '/c.yaml' is outside the repository | move it into the repository"),
        ),
        (
            ("services: {a: {image: x}}\ninclude: [{path: i.yaml, project_directory: ../x}]\n"),
            "compose.yaml:2:11: '../x' is outside the repository | move it into the repository",
        ),
        (
            ("services: {a: {image: x}}\ninclude: [{path: i.yaml, project_directory: /x}]\n"),
            "compose.yaml:2:11: '/x' is outside the repository | move it into the repository",
        ),
        (
            ("services: {a: {image: x}}\ninclude: [{path: [i.yaml, ../i.yaml]}]\n"),
            (
                "compose.yaml:2:11: the file '../i.yaml' is outside the repository | move it into "
                "the repository"
            ),
        ),
        (
            {
                "compose.yaml": "include:\n  - i.yaml\nservices: {a: {image: x}}\n",
                "i.yaml": "include: [j.yaml]\n",
                "j.yaml": "x-a: 1\ninclude:\n  - compose.yaml\n",
            },
            (
                "j.yaml:3:5: the files include one another in a circle: compose.yaml -> i.yaml -> "
                "j.yaml -> compose.yaml | remove one of these includes"
            ),
        ),
        (
            {"compose.yaml": "include: [compose.yaml]\nservices: {a: {image: x}}\n"},
            (
                "compose.yaml:1:11: the files include one another in a circle: compose.yaml -> "
                "compose.yaml | remove one of these includes"
            ),
        ),
        (
            {
                "compose.yaml": "include: [i.yaml]\nservices: {a: {image: x}}\n",
                "i.yaml": "services: {a: {image: x, build: [x]}}",
            },
            (
                "i.yaml:1:26: services.a.build: must be text or a mapping, not a list | see the "
                "Compose Specification for the forms of this key"
            ),
        ),
        (
            {
                "compose.yaml": "include: [i.yaml]\nservices: {a: {image: [x]}}\n",
                "i.yaml": "services: {a: {image: y}}",
            },
            (
                "compose.yaml:2:16: services.a.image: must be text, not a list | see the Compose "
                "Specification for the forms of this key"
            ),
        ),
        (
            {
                "compose.yaml": "include: [i.yaml]\nservices:\n  a:\n    cap_add: 5\n",
                "i.yaml": "services: {a: {image: y, cap_add: [A]}}",
            },
            (
                "compose.yaml:4:5: a list cannot be overridden by another type | use the same form "
                "in both files, or mark this one with `!override`\n"
                "compose.yaml:4:5: services.a.cap_add: must be a list, not a whole number | see the "
                "Compose Specification for the forms of this key"
            ),
        ),
        (
            {
                "compose.yaml": (
                    "include: [i.yaml]\nservices: {a: {image: x}}\nnetworks:\n  n: {driver: d}\n"
                ),
                "i.yaml": "services: {b: {image: y}}\nnetworks: {n: [x]}\n",
            },
            (
                "i.yaml:2:12: networks.n: must be a mapping or nothing, not a list | see the Compose "
                "Specification for the forms of this key"
            ),
        ),
        (
            {
                "compose.yaml": (
                    "services: {a: {image: x}}\ninclude: [{path: i.yaml, env_file: none.env}]\n"
                ),
                "i.yaml": "x-a: 1",
            },
            ("compose.yaml:2:11: the env file 'none.env' does not exist | correct the path, or add the file"),
        ),
        (
            {"compose.yaml": "include: [i.yaml]\nservices: 3\n", "i.yaml": "services: {a: {image: x}}\n"},
            (
                "compose.yaml:2:1: services: must be a mapping, not a whole number | see the Compose "
                "Specification for the forms of this key"
            ),
        ),
        (
            {
                "compose.yaml": "include: [i.yaml]\nservices: {a: {image: x}}\n",
                "i.yaml": "services: {b: {image: '${'}}",
            },
            ("i.yaml:1:16: services.b.image: `${` is not followed by a name | write $$ for a dollar sign"),
        ),
        (
            {
                "compose.yaml": "include: [d/i.yaml]\nservices: {a: {image: x}}\n",
                "d/i.yaml": "services: {b: {image: '$A'}}",
                "d/.env": "A=1\nB!",
            },
            (
                "d/.env:2: the character '!' is not allowed in the name 'B!' | use only letters, "
                "digits, _, . and - in names"
            ),
        ),
        (
            {
                "compose.yaml": "include:\n  - i0.yaml\nservices: {a: {image: x}}\n",
                "i0.yaml": "include: [i1.yaml]",
                "i1.yaml": "include: [i2.yaml]",
                "i2.yaml": "include: [i3.yaml]",
                "i3.yaml": "include: [i4.yaml]",
                "i4.yaml": "include: [i5.yaml]",
                "i5.yaml": "include: [i6.yaml]",
                "i6.yaml": "include: [i7.yaml]",
                "i7.yaml": "include: [i8.yaml]",
                "i8.yaml": "include: [i9.yaml]",
                "i9.yaml": "include: [i10.yaml]",
                "i10.yaml": "include: [i11.yaml]",
                "i11.yaml": "include: [i12.yaml]",
                "i12.yaml": "include: [i13.yaml]",
                "i13.yaml": "include: [i14.yaml]",
                "i14.yaml": "include: [i15.yaml]",
                "i15.yaml": "include: [i16.yaml]",
                "i16.yaml": "include: [i17.yaml]",
                "i17.yaml": "include: [i18.yaml]",
                "i18.yaml": "include: [i19.yaml]",
                "i19.yaml": "include: [i20.yaml]",
                "i20.yaml": "include: [i21.yaml]",
                "i21.yaml": "include: [i22.yaml]",
                "i22.yaml": "include: [i23.yaml]",
                "i23.yaml": "include: [i24.yaml]",
                "i24.yaml": "include: [i25.yaml]",
            },
            (
                "i19.yaml:1:11: includes are nested 21 deep, and 20 is the most: compose.yaml -> i0.yaml "
                "-> i1.yaml -> i2.yaml -> i3.yaml -> i4.yaml -> i5.yaml -> i6.yaml -> i7.yaml -> "
                "i8.yaml -> i9.yaml -> i10.yaml -> i11.yaml -> i12.yaml -> i13.yaml -> i14.yaml -> "
                "i15.yaml -> i16.yaml -> i17.yaml -> i18.yaml -> i19.yaml -> i20.yaml | include i20.yaml "
                "from a file that is nearer to compose.yaml"
            ),
        ),
        (
            {"compose.yaml": "services: {a: {image: x}}\ninclude:\n  - path:\n"},
            ("compose.yaml:3:5: include: a path is expected | write the path, or a mapping with `path`"),
        ),
        (
            {
                "compose.yaml": (
                    "include: [i.yaml]\nservices: {a: {cap_add: {x: y}}, b: {image: x, depends_on: [a]}}\n"
                ),
                "i.yaml": "services: {a: {image: y, cap_add: [A]}}",
            },
            (
                "compose.yaml:2:16: a list cannot be overridden by another type | use the same form "
                "in both files, or mark this one with `!override`\n"
                "compose.yaml:2:16: services.a.cap_add: must be a list, not a mapping | see the "
                "Compose Specification for the forms of this key"
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
                "compose.yaml": "include: [d/i.yaml]\nservices: {b: {image: y}}\n",
                "d/i.yaml": (
                    "services:\n  a: {image: '$A', env_file: e.env, build: ., volumes: ['./v:/v']}\n"
                ),
                "d/.env": "A=1",
                "d/e.env": "B=$A",
            },
            (
                "{build@d/i.yaml:2:37 {context@d/i.yaml:2:37 './d', dockerfile@d/i.yaml:2:37 "
                "'Dockerfile'}@d/i.yaml:2:37, env_file@d/i.yaml:2:20 [{path@d/i.yaml:2:20 "
                "'./d/e.env', required@d/i.yaml:2:20 "
                "True}@d/i.yaml:2:20@d/i.yaml:2:20]@d/i.yaml:2:20, environment@d/i.yaml:2:6 "
                "{B@d/e.env:1:0 ''}@d/i.yaml:2:6, image@d/i.yaml:2:7 '1', networks@d/i.yaml:2:3 "
                "{default@d/i.yaml:2:3 None}@d/i.yaml:2:3, volumes@d/i.yaml:2:47 "
                "[{bind@d/i.yaml:2:57 {create_host_path@d/i.yaml:2:57 True}@d/i.yaml:2:57, "
                "source@d/i.yaml:2:57 './d/v', target@d/i.yaml:2:57 '/v', type@d/i.yaml:2:57 "
                "'bind'}@d/i.yaml:2:57@d/i.yaml:2:57]@d/i.yaml:2:56}@d/i.yaml:2:6"
            ),
        ),
        (
            {
                "compose.yaml": (
                    "include:\n"
                    "  - path: [d/i.yaml, d/j.yaml]\n"
                    "    project_directory: e\n"
                    "    env_file: [f.env, /dev/null]\n"
                    "services:\n"
                    "  a: {tty: true}\n"
                ),
                "d/i.yaml": "services: {a: {image: 'x$A', build: .}}\n",
                "d/j.yaml": "services:\n  a:\n    user: u\n",
                "e/x": "",
                "f.env": "A=1",
            },
            (
                "{build@d/i.yaml:1:30 {context@d/i.yaml:1:30 './e', dockerfile@d/i.yaml:1:30 "
                "'Dockerfile'}@d/i.yaml:1:30, image@d/i.yaml:1:16 'x1', networks@6:3 {default@6:3 "
                "None}@6:3, tty@6:7 True, user@d/j.yaml:3:5 'u'}@d/i.yaml:1:15"
            ),
        ),
        (
            {
                "compose.yaml": "include: [i.yaml, j.yaml]\n",
                "i.yaml": ("services: {a: {image: x, networks: [n]}}\nnetworks: {n: {driver: d}}\n"),
                "j.yaml": ("services: {a: {image: x, networks: [n]}}\nnetworks: {n: {driver: d}}\n"),
            },
            ("{image@i.yaml:1:16 'x', networks@i.yaml:1:26 {n@i.yaml:1:37 None}@i.yaml:1:36}@i.yaml:1:15"),
        ),
        (
            {
                "compose.yaml": (
                    "include: [i.yaml]\n"
                    "services:\n"
                    "  a:\n"
                    "    cap_add: [B]\n"
                    "    user: !reset\n"
                    "    command: !override [c]\n"
                ),
                "i.yaml": (
                    "services:\n  a:\n    image: x\n    cap_add: [A]\n    user: u\n    command: [a]\n"
                ),
            },
            (
                "{cap_add@4:5 ['A'@i.yaml:4:15, 'B'@4:15]@i.yaml:4:14, command@6:5 ['c'@6:25]@6:14, "
                "image@i.yaml:3:5 'x', networks@3:3 {default@3:3 None}@3:3}@i.yaml:3:5"
            ),
        ),
        (
            {
                "compose.yaml": "include: [i.yaml]\nservices:\n  a: {extends: b}\n",
                "i.yaml": "services:\n  b:\n    image: x\n",
            },
            "{image@i.yaml:3:5 'x', networks@3:3 {default@3:3 None}@3:3}@3:6",
        ),
        (
            {
                "compose.yaml": "include: [d/i.yaml]\nservices: {b: {image: x}}\n",
                "d/i.yaml": "include: [e/j.yaml]\n",
                "d/e/j.yaml": "services: {a: {image: '$A$B$C', volumes: ['./v:/v']}}",
                "d/e/.env": "A=1\nB=1\nC=1",
                "d/.env": "A=2\nB=2",
                ".env": "A=3",
            },
            (
                "{image@d/e/j.yaml:1:16 '321', networks@d/e/j.yaml:1:12 {default@d/e/j.yaml:1:12 "
                "None}@d/e/j.yaml:1:12, volumes@d/e/j.yaml:1:33 [{bind@d/e/j.yaml:1:43 "
                "{create_host_path@d/e/j.yaml:1:43 True}@d/e/j.yaml:1:43, source@d/e/j.yaml:1:43 "
                "'./d/e/v', target@d/e/j.yaml:1:43 '/v', type@d/e/j.yaml:1:43 "
                "'bind'}@d/e/j.yaml:1:43@d/e/j.yaml:1:43]@d/e/j.yaml:1:42}@d/e/j.yaml:1:15"
            ),
        ),
        (
            {
                "compose.yaml": "include: [{path: d/i.yaml, env_file: f.env}]\n",
                "d/i.yaml": "services: {a: {image: 'x$A', environment: [A, B]}}\n",
                "d/.env": "A=1",
                "f.env": "A=2\nB=$A",
            },
            (
                "{environment@d/i.yaml:1:30 {A@d/i.yaml:1:44 '2', B@d/i.yaml:1:47 "
                "'2'}@d/i.yaml:1:30, image@d/i.yaml:1:16 'x2', networks@d/i.yaml:1:12 "
                "{default@d/i.yaml:1:12 None}@d/i.yaml:1:12}@d/i.yaml:1:15"
            ),
        ),
        (
            {
                "compose.yaml": "include: [d/i.yaml]\nservices:\n",
                "d/i.yaml": (
                    "services: {a: {image: x, label_file: l, secrets: [s], configs: [c]}}\n"
                    "secrets: {s: {file: f}}\n"
                    "configs: {c: {file: ''}}\n"
                ),
                "d/l": "A=1",
            },
            (
                "{configs@d/i.yaml:1:55 [{source@d/i.yaml:1:65 "
                "'c'}@d/i.yaml:1:65@d/i.yaml:1:65]@d/i.yaml:1:64, image@d/i.yaml:1:16 'x', "
                "label_file@d/i.yaml:1:26 ['./d/l'@d/i.yaml:1:26]@d/i.yaml:1:26, "
                "labels@d/i.yaml:1:15 {A@d/l:1:0 '1'}@d/i.yaml:1:15, networks@d/i.yaml:1:12 "
                "{default@d/i.yaml:1:12 None}@d/i.yaml:1:12, secrets@d/i.yaml:1:41 "
                "[{source@d/i.yaml:1:51 's', target@d/i.yaml:1:51 "
                "'/run/secrets/s'}@d/i.yaml:1:51@d/i.yaml:1:51]@d/i.yaml:1:50}@d/i.yaml:1:15"
            ),
        ),
        (
            {
                "compose.yaml": "include: [{path: d/i.yaml, project_directory: d/k.yaml}]\n",
                "d/i.yaml": "services: {a: {image: x, build: b}}\n",
                "d/k.yaml": "",
            },
            (
                "{build@d/i.yaml:1:26 {context@d/i.yaml:1:26 './d/b', dockerfile@d/i.yaml:1:26 "
                "'Dockerfile'}@d/i.yaml:1:26, image@d/i.yaml:1:16 'x', networks@d/i.yaml:1:12 "
                "{default@d/i.yaml:1:12 None}@d/i.yaml:1:12}@d/i.yaml:1:15"
            ),
        ),
    ],
)
def test_an_included_project_is_taken_in(files: Files, form: str) -> None:
    """An included file must be loaded as a project of its own, and each entry keep its place."""
    assert outline(load(files).services["a"]) == form


@pytest.mark.parametrize(
    ("files", "form"),
    [
        (
            {
                "compose.yaml": "include: [i.yaml, j.yaml]\n",
                "i.yaml": ("services: {a: {image: x, networks: [n]}}\nnetworks: {n: {driver: d}}\n"),
                "j.yaml": ("services: {a: {image: x, networks: [n]}}\nnetworks: {n: {driver: d}}\n"),
            },
            "{n@:0:0 {driver@i.yaml:2:16 'd', name@i.yaml:2:15 'app_n'}@i.yaml:2:15}@:0:0",
        ),
        (
            {
                "compose.yaml": (
                    "include: [i.yaml]\nservices: {a: {image: x}}\nnetworks:\n  n:\n    labels: [a=b]\n"
                ),
                "i.yaml": (
                    "networks: {n: {driver: d, labels: [c]}}\n"
                    "volumes: {v: {driver: e}}\n"
                    "configs: {c: {content: c}}\n"
                    "secrets: {s: {environment: E}}\n"
                    "models: {m: {model: x}}\n"
                    "x-i: 1\n"
                ),
            },
            (
                "{default@:0:0 {name@4:3 'app_default'}@4:3, n@:0:0 {driver@i.yaml:1:16 'd', "
                "labels@5:5 {c@i.yaml:1:36 '', a@5:14 'b'}@5:5, name@i.yaml:1:15 "
                "'app_n'}@i.yaml:1:15, v@:0:0 {driver@i.yaml:2:15 'e', name@i.yaml:2:14 "
                "'app_v'}@i.yaml:2:14, c@:0:0 {content@i.yaml:3:15 'c', name@i.yaml:3:14 "
                "'app_c'}@i.yaml:3:14, s@:0:0 {environment@i.yaml:4:15 'E', name@i.yaml:4:14 "
                "'app_s'}@i.yaml:4:14, m@:0:0 {model@i.yaml:5:14 'x'}@i.yaml:5:13}@:0:0"
            ),
        ),
        (
            {
                "compose.yaml": (
                    "include: [i.yaml]\nservices: {a: {image: x}}\nnetworks:\n  n: !override\n    driver: e\n"
                ),
                "i.yaml": "networks: {n: {driver: d, labels: [c]}}\n",
            },
            (
                "{default@:0:0 {name@4:3 'app_default'}@4:3, n@:0:0 {driver@5:5 'e', "
                "labels@i.yaml:1:27 {c@i.yaml:1:36 ''}@i.yaml:1:27, name@i.yaml:1:15 "
                "'app_n'}@i.yaml:1:15}@:0:0"
            ),
        ),
    ],
)
def test_included_resources_are_taken_in(files: Files, form: str) -> None:
    """An included resource must be taken in once, and be overridden where the including file says so."""
    assert (
        outline(
            Map(
                (key, item)
                for kind in ("networks", "volumes", "configs", "secrets", "models")
                for key, item in getattr(load(files), kind).items()
            )
        )
        == form
    )
