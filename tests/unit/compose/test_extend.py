"""Services that extend others: what they become, and what is told of a bad one."""

from __future__ import annotations

import pytest

from tests.unit.compose.loading import Files, load, outline, told


@pytest.mark.parametrize(
    ("files", "messages"),
    [
        (
            "services:\n  a: {image: x, extends: b}\n  c: {image: x}\n",
            (
                "compose.yaml:2:17: services.a extends 'b', which compose.yaml does not have | "
                "define it, or choose one of a, c"
            ),
        ),
        (
            ("services:\n  a:\n    image: x\n    extends:\n      file: none.yaml\n      service: b\n"),
            ("compose.yaml:4:5: the file 'none.yaml' does not exist | correct the path, or add the file"),
        ),
        (
            ("services:\n  a:\n    image: x\n    extends:\n      file: compose.yaml\n"),
            (
                "compose.yaml:4:5: services.a.extends does not name a service | write `extends: "
                "{service: NAME}`, with `file:` for another file"
            ),
        ),
        (
            "services:\n  a:\n    image: x\n    extends:\n      service: 5\n",
            (
                "compose.yaml:4:5: services.a.extends does not name a service | write `extends: "
                "{service: NAME}`, with `file:` for another file"
            ),
        ),
        (
            {
                "compose.yaml": (
                    "services:\n  a:\n    image: x\n    extends:\n      {file: b.yaml, service: b}\n"
                ),
                "b.yaml": (
                    "services: {s0: {image: x}, s1: {image: x}, s2: {image: x}, s3: {image: x}, s4: "
                    "{image: x}, s5: {image: x}, s6: {image: x}, s7: {image: x}, s8: {image: x}, s9: "
                    "{image: x}}\n"
                ),
            },
            (
                "compose.yaml:4:5: services.a extends 'b', which b.yaml does not have | define it, "
                "or choose one of s0, s1, s2, s3, s4, s5, s6, s7"
            ),
        ),
        (
            {
                "compose.yaml": (
                    "services:\n  a:\n    image: x\n    extends:\n      {file: b.yaml, service: b}\n"
                ),
                "b.yaml": "x-a: 1\n",
            },
            ("compose.yaml:4:5: b.yaml has no services | extend a file that has a `services:` section"),
        ),
        (
            {
                "compose.yaml": (
                    "services:\n  a:\n    image: x\n    extends:\n      {file: b.yaml, service: b}\n"
                ),
                "b.yaml": "services: {}\n",
            },
            (
                "compose.yaml:4:5: services.a extends 'b', which b.yaml does not have | define it, "
                "or choose one of its services"
            ),
        ),
        (
            {
                "compose.yaml": (
                    "services:\n  a:\n    image: x\n    extends:\n      {file: b.yaml, service: b}\n"
                ),
                "b.yaml": "services: {b: {extends: c}}\n",
            },
            (
                "b.yaml:1:16: services.b extends 'c', which b.yaml does not have | define it, or "
                "choose one of b"
            ),
        ),
        (
            (
                "services:\n"
                "  a: {extends: b}\n"
                "  b: {extends: c}\n"
                "  c: {extends: a}\n"
                "  d: {extends: a, image: x}\n"
            ),
            (
                "compose.yaml:2:7: the services extend one another in a circle: a -> b -> c -> a | "
                "break the circle\n"
                "compose.yaml:3:6: services.b has neither an image nor a build | add `image:`\n"
                "compose.yaml:4:6: services.c has neither an image nor a build | add `image:`"
            ),
        ),
        (
            {
                "compose.yaml": "services:\n  a: {extends: {file: b.yaml, service: b}}\n",
                "b.yaml": "services:\n  b:\n    extends: {file: compose.yaml, service: a}\n",
            },
            ("compose.yaml:2:7: the services extend one another in a circle: a -> b -> a | break the circle"),
        ),
        (
            ("services:\n  a:\n    image: x\n    extends:\n      {file: ../b.yaml, service: b}\n"),
            (
                "compose.yaml:4:5: the file '../b.yaml' is outside the repository | move it into the "
                "repository"
            ),
        ),
        (
            ("services:\n  a:\n    image: x\n    extends:\n      {file: /b.yaml, service: b}\n"),
            ("compose.yaml:4:5: the file '/b.yaml' is outside the repository | move it into the repository"),
        ),
        (
            ("services:\n  a:\n    image: x\n    extends:\n      {file: ~/b.yaml, service: b}\n"),
            ("compose.yaml:4:5: the file '~/b.yaml' is outside the repository | move it into the repository"),
        ),
        (
            (
                "services:\n"
                "  a0: {extends: a1}\n"
                "  a1: {extends: a2}\n"
                "  a2: {extends: a3}\n"
                "  a3: {extends: a4}\n"
                "  a4: {extends: a5}\n"
                "  a5: {extends: a6}\n"
                "  a6: {extends: a7}\n"
                "  a7: {extends: a8}\n"
                "  a8: {extends: a9}\n"
                "  a9: {extends: a10}\n"
                "  a10: {extends: a11}\n"
                "  a11: {extends: a12}\n"
                "  a12: {extends: a13}\n"
                "  a13: {extends: a14}\n"
                "  a14: {extends: a15}\n"
                "  a15: {extends: a16}\n"
                "  a16: {extends: a17}\n"
                "  a17: {extends: a18}\n"
                "  a18: {extends: a19}\n"
                "  a19: {extends: a20}\n"
                "  a20: {extends: a21}\n"
                "  a21: {extends: a22}\n"
                "  a22: {extends: a23}\n"
                "  a23: {extends: a24}\n"
                "  a24: {extends: a25}\n"
                "  a25: {extends: a26}\n"
                "  a26: {extends: a27}\n"
                "  a27: {extends: a28}\n"
                "  a28: {extends: a29}\n"
                "  a29: {extends: a30}\n"
                "  a30: {extends: a31}\n"
                "  a31: {extends: a32}\n"
                "  a32: {extends: a33}\n"
                "  a33: {extends: a34}\n"
                "  a34: {extends: a35}\n"
                "  a35: {extends: a36}\n"
                "  a36: {extends: a37}\n"
                "  a37: {extends: a38}\n"
                "  a38: {extends: a39}\n"
                "  a39: {extends: a40}\n"
                "  a40: {extends: a41}\n"
                "  a41: {extends: a42}\n"
                "  a42: {extends: a43}\n"
                "  a43: {extends: a44}\n"
                "  a44: {extends: a45}\n"
                "  a45: {extends: a46}\n"
                "  a46: {extends: a47}\n"
                "  a47: {extends: a48}\n"
                "  a48: {extends: a49}\n"
                "  a49: {extends: a50}\n"
                "  a50: {extends: a51}\n"
                "  a51: {extends: a52}\n"
                "  a52: {image: x}\n"
            ),
            "compose.yaml:53:9: services.a51: more than 50 extend one another | extend fewer",
        ),
        (
            {
                "compose.yaml": (
                    "services:\n  a: {image: x, cap_add: 5, extends: b}\n  b: {image: x, cap_add: [A]}\n"
                )
            },
            (
                "compose.yaml:2:17: a list cannot be overridden by another type | use the same form "
                "in both files, or mark this one with `!override`\n"
                "compose.yaml:2:17: services.a.cap_add: must be a list, not a whole number | see the "
                "Compose Specification for the forms of this key"
            ),
        ),
        (
            (
                "services:\n"
                "  a: {extends: b}\n"
                "  b: {extends: {service: c, file: none.yaml}}\n"
                "  e: {extends: b}\n"
            ),
            (
                "compose.yaml:3:7: the file 'none.yaml' does not exist | correct the path, or add "
                "the file\n"
                "compose.yaml:4:6: services.e has neither an image nor a build | add `image:`"
            ),
        ),
        (
            "services: {a: {extends: a}}\n",
            ("compose.yaml:1:16: the services extend one another in a circle: a -> a | break the circle"),
        ),
        (
            "services:\n  a: {image: x, extends: b}\n  b: text\n",
            (
                "compose.yaml:3:3: services.b: must be a mapping, not text | see the Compose "
                "Specification for the forms of this key"
            ),
        ),
        (
            {
                "compose.yaml": (
                    "services:\n  a:\n    image: x\n    extends:\n      {file: b.yaml, service: b}\n"
                ),
                "b.yaml": "services: {b: {image: x, x-develop: {}, develop: [x]}}\n",
            },
            (
                "b.yaml:1:41: a mapping cannot be overridden by another type | use the same form in "
                "both files, or mark this one with `!override`\n"
                "b.yaml:1:41: services.a.develop: must be a mapping or nothing, not a list | see the "
                "Compose Specification for the forms of this key"
            ),
        ),
        (
            {
                "compose.yaml": (
                    "services:\n  a:\n    image: x\n    extends:\n      {file: b.yaml, service: b}\n"
                ),
                "b.yaml": "services: {b: {image: '${'}}\n",
            },
            ("b.yaml:1:16: services.b.image: `${` is not followed by a name | write $$ for a dollar sign"),
        ),
        (
            {
                "compose.yaml": (
                    "services:\n  a:\n    image: x\n    extends:\n      {file: b.yaml, service: b}\n"
                ),
                "b.yaml": "[x]\n",
            },
            ("compose.yaml:4:5: b.yaml has no services | extend a file that has a `services:` section"),
        ),
        (
            {
                "compose.yaml": (
                    "services:\n  a:\n    image: x\n    extends:\n      {file: [b], service: b}\n"
                )
            },
            (
                "compose.yaml:4:5: services.a.extends does not name a service | write `extends: "
                "{service: NAME}`, with `file:` for another file"
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
                "compose.yaml": (
                    "services:\n"
                    "  a: {image: x, extends: {file: b.yaml, service: b}, depends_on: {c: {condition: "
                    "service_healthy}}}\n"
                    "  c: {image: x}\n"
                    "  d: {image: x}\n"
                ),
                "b.yaml": "services: {b: {depends_on: {c: {required: false}, d: {restart: true}}}}\n",
            },
            (
                "{depends_on@2:54 {c@2:67 {condition@2:71 'service_healthy', required@b.yaml:1:33 "
                "False}@b.yaml:1:32, d@b.yaml:1:51 {condition@b.yaml:1:54 'service_started', "
                "required@b.yaml:1:54 True, restart@b.yaml:1:55 True}@b.yaml:1:54}@b.yaml:1:28, "
                "image@2:7 'x', networks@2:3 {default@2:3 None}@2:3}@2:6"
            ),
        ),
        (
            (
                "services:\n"
                "  a: {extends: b, networks: {n: {aliases: [x]}}, depends_on: {d: {condition: "
                "service_healthy}}, build: {target: t}, models: {m: {model_var: M}}}\n"
                "  b:\n"
                "    image: x\n"
                "    networks: [default, n]\n"
                "    depends_on: [c]\n"
                "    build: ctx\n"
                "    models: [m]\n"
                "  c: {image: x}\n"
                "  d: {image: x}\n"
                "networks: {n: }\n"
                "models: {m: {model: x}}\n"
            ),
            (
                "{build@2:97 {context@2:97 './ctx', dockerfile@2:97 'Dockerfile', target@2:105 "
                "'t'}@2:97, depends_on@2:50 {c@6:18 {condition@6:18 'service_started', required@6:18 "
                "True}@6:18, d@2:63 {condition@2:67 'service_healthy', required@2:66 "
                "True}@2:66}@2:50, image@4:5 'x', models@2:117 {m@2:126 {model_var@2:130 "
                "'M'}@2:129}@2:117, networks@2:19 {default@5:16 None, n@2:30 {aliases@2:34 "
                "['x'@2:44]@2:43}@2:33}@2:19}@2:6"
            ),
        ),
        (
            (
                "services:\n"
                "  a: {extends: b, tty: true}\n"
                "  b:\n"
                "    image: x\n"
                "    tty: false\n"
                "    cap_add: [A]\n"
            ),
            (
                "{cap_add@6:5 ['A'@6:15]@6:14, image@4:5 'x', networks@2:3 {default@2:3 None}@2:3, "
                "tty@2:19 True}@2:6"
            ),
        ),
        (
            {
                "compose.yaml": (
                    "services:\n  a:\n    extends: {file: d/b.yaml, service: b}\n    cap_add: [C]\n"
                ),
                "d/b.yaml": (
                    "services:\n"
                    "  b: {extends: c, cap_add: [B]}\n"
                    "  c: {image: x, build: ., cap_add: [A], env_file: e.env, volumes: ['./v:/v']}\n"
                ),
                "d/e.env": "A=1",
            },
            (
                "{build@d/b.yaml:3:17 {context@d/b.yaml:3:17 './d', dockerfile@d/b.yaml:3:17 "
                "'Dockerfile'}@d/b.yaml:3:17, cap_add@4:5 ['A'@d/b.yaml:3:37, 'B'@d/b.yaml:2:29, "
                "'C'@4:15]@d/b.yaml:3:36, env_file@d/b.yaml:3:41 [{path@d/b.yaml:3:41 './d/e.env', "
                "required@d/b.yaml:3:41 True}@d/b.yaml:3:41@d/b.yaml:3:41]@d/b.yaml:3:41, "
                "environment@3:5 {A@d/e.env:1:0 '1'}@3:5, image@d/b.yaml:3:7 'x', networks@2:3 "
                "{default@2:3 None}@2:3, volumes@d/b.yaml:3:58 [{bind@d/b.yaml:3:68 "
                "{create_host_path@d/b.yaml:3:68 True}@d/b.yaml:3:68, source@d/b.yaml:3:68 './d/v', "
                "target@d/b.yaml:3:68 '/v', type@d/b.yaml:3:68 "
                "'bind'}@d/b.yaml:3:68@d/b.yaml:3:68]@d/b.yaml:3:67}@3:5"
            ),
        ),
        (
            (
                "services:\n"
                "  a:\n"
                "    extends: {service: b}\n"
                "    cap_add: !override [C]\n"
                "    user: !reset\n"
                "  b: {image: x, cap_add: [A], user: u}\n"
            ),
            "{cap_add@4:5 ['C'@4:25]@4:14, image@6:7 'x', networks@2:3 {default@2:3 None}@2:3}@3:5",
        ),
        (
            (
                "services:\n"
                "  a: {extends: b, image: x, environment: [A=1], labels: {a: b}, depends_on: [c], "
                "ports: [80], volumes: ['/a:/b'], command: c}\n"
                "  b: {image: y, environment: {A: 2, B: 3}, labels: [c=d], depends_on: {d: "
                "{condition: service_healthy}}, ports: ['81'], volumes: ['/c:/b'], command: [d]}\n"
                "  c: {image: x}\n"
                "  d: {image: x}\n"
            ),
            (
                "{command@2:115 ['c'@2:115]@2:115, depends_on@2:65 {d@3:72 {condition@3:76 "
                "'service_healthy', required@3:75 True}@3:75, c@2:78 {condition@2:78 "
                "'service_started', required@2:78 True}@2:78}@3:71, environment@2:29 {A@2:43 '1', "
                "B@3:37 '3'}@2:29, image@2:19 'x', labels@2:49 {c@3:53 'd', a@2:58 'b'}@2:6, "
                "networks@2:3 {default@2:3 None}@2:3, ports@2:82 [{mode@3:114 'ingress', "
                "protocol@3:114 'tcp', target@3:114 81}@3:114@3:114, {mode@2:90 'ingress', "
                "protocol@2:90 'tcp', target@2:90 80}@2:90@2:90]@2:82, volumes@2:95 [{bind@2:105 "
                "{create_host_path@2:105 True}@2:105, source@2:105 '/a', target@2:105 '/b', "
                "type@2:105 'bind'}@2:105@2:105]@3:130}@2:6"
            ),
        ),
        (
            {
                "compose.yaml": ("services:\n  a: {image: x, extends: {file: d/b.yaml, service: b}}\n"),
                "d/b.yaml": "services: {b: {extends: {file: e/c.yaml, service: c}, build: b}}\n",
                "d/e/c.yaml": "services: {c: {label_file: l, volumes: ['./v:/v']}}\n",
                "d/e/l": "L=1",
            },
            (
                "{build@d/b.yaml:1:55 {context@d/b.yaml:1:55 './d/b', dockerfile@d/b.yaml:1:55 "
                "'Dockerfile'}@d/b.yaml:1:55, image@2:7 'x', label_file@d/e/c.yaml:1:16 "
                "['./d/e/l'@d/e/c.yaml:1:16]@d/e/c.yaml:1:16, labels@2:6 {L@d/e/l:1:0 '1'}@2:6, "
                "networks@2:3 {default@2:3 None}@2:3, volumes@d/e/c.yaml:1:31 [{bind@d/e/c.yaml:1:41 "
                "{create_host_path@d/e/c.yaml:1:41 True}@d/e/c.yaml:1:41, source@d/e/c.yaml:1:41 "
                "'./d/e/v', target@d/e/c.yaml:1:41 '/v', type@d/e/c.yaml:1:41 "
                "'bind'}@d/e/c.yaml:1:41@d/e/c.yaml:1:41]@d/e/c.yaml:1:40}@2:6"
            ),
        ),
        (
            {
                "compose.yaml": "services:\n  a: {image: x, extends: {file: b.yaml, service: b}}\n",
                "b.yaml": (
                    "services:\n"
                    "  b: {user: u, tty: true}\n"
                    "---\n"
                    "services:\n"
                    "  b: {user: !reset , cap_add: [A]}\n"
                ),
            },
            (
                "{cap_add@b.yaml:5:22 ['A'@b.yaml:5:32]@b.yaml:5:31, image@2:7 'x', networks@2:3 "
                "{default@2:3 None}@2:3, tty@b.yaml:2:16 True}@2:6"
            ),
        ),
    ],
)
def test_a_service_is_laid_over_its_base(files: Files, form: str) -> None:
    """A service must be merged over its base, and each entry keep the place where it is written."""
    assert outline(load(files).services["a"]) == form
