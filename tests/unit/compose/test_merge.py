"""What becomes of two files, and what cannot be merged."""

from __future__ import annotations

import pytest

from agent.compose import Place, merge
from agent.compose.tree import List, Map
from tests.unit.compose.loading import Files, load, outline, told


@pytest.mark.parametrize(
    ("files", "messages"),
    [
        (
            {
                "compose.yaml": ("services:\n  a:\n    image: x\n    deploy: {mode: m}\n  b: {image: y}\n"),
                "compose.override.yaml": "services:\n  a:\n    deploy: 5\n",
            },
            (
                "compose.override.yaml:3:5: a mapping cannot be overridden by another type | use the "
                "same form in both files, or mark this one with `!override`"
            ),
        ),
        (
            {
                "compose.yaml": ("services:\n  a:\n    image: x\n    cap_add: [A]\n  b: {image: y}\n"),
                "compose.override.yaml": "services:\n  a:\n    cap_add: 5\n",
            },
            (
                "compose.override.yaml:3:5: a list cannot be overridden by another type | use the "
                "same form in both files, or mark this one with `!override`"
            ),
        ),
        (
            {
                "compose.yaml": (
                    "services:\n  a:\n    image: x\n    logging: {driver: d}\n  b: {image: y}\n"
                ),
                "compose.override.yaml": "services:\n  a:\n    logging: x\n",
            },
            (
                "compose.override.yaml:3:5: `logging` must be a mapping | use the same form in both "
                "files, or mark this one with `!override`"
            ),
        ),
        (
            {
                "compose.yaml": ("services:\n  a:\n    image: x\n    depends_on: [b]\n  b: {image: y}\n"),
                "compose.override.yaml": "services:\n  a:\n    depends_on: [3]\n",
            },
            (
                "compose.override.yaml:3:18: a name is expected here | use the same form in both "
                "files, or mark this one with `!override`"
            ),
        ),
        (
            {
                "compose.yaml": ("services:\n  a:\n    image: x\n    depends_on: [b]\n  b: {image: y}\n"),
                "compose.override.yaml": "services:\n  a:\n    depends_on: 3\n",
            },
            (
                "compose.override.yaml:3:5: a list of names or a mapping is expected here | use the "
                "same form in both files, or mark this one with `!override`"
            ),
        ),
        (
            {
                "compose.yaml": ("services:\n  a:\n    image: x\n    networks: [default]\n  b: {image: y}\n"),
                "compose.override.yaml": "services:\n  a:\n    networks: [{a: b}]\n",
            },
            (
                "compose.override.yaml:3:16: a name is expected here | use the same form in both "
                "files, or mark this one with `!override`"
            ),
        ),
        (
            {
                "compose.yaml": ("services:\n  a:\n    image: x\n    cap_add: [A]\n  b: {image: y}\n"),
                "compose.override.yaml": "services:\n  a:\n    cap_add: [{a: b}]\n",
            },
            (
                "compose.override.yaml:3:15: text is expected here, not map[a:b] | write KEY=VALUE, "
                "or leave the dash out"
            ),
        ),
        (
            {
                "compose.yaml": ("services:\n  a:\n    image: x\n    cap_add: [A]\n  b: {image: y}\n"),
                "compose.override.yaml": "services:\n  a:\n    cap_add: [true]\n",
            },
            "compose.override.yaml:3:15: text is expected here, not true | put it in quotes",
        ),
        (
            {
                "compose.yaml": ("services:\n  a:\n    image: x\n    environment: [A=1]\n  b: {image: y}\n"),
                "compose.override.yaml": "services:\n  a:\n    environment: [[x]]\n",
            },
            "compose.override.yaml:3:19: text is expected here, not [x] | put it in quotes",
        ),
        (
            {
                "compose.yaml": "services: {a: {image: x}}\nnetworks: {n: {ipam: {config: []}}}\n",
                "compose.override.yaml": "networks:\n  n: {ipam: {config: x}}\n",
            },
            (
                "compose.override.yaml:2:14: `ipam.config` must be a list | use the same form in "
                "both files, or mark this one with `!override`"
            ),
        ),
        (
            {
                "compose.yaml": "services: {a: {image: x}}\nnetworks: {n: {ipam: {config: []}}}\n",
                "compose.override.yaml": "networks:\n  n: {ipam: {config: []}}\n",
            },
            (
                "compose.override.yaml:2:14: an empty list of address pools cannot be merged | use "
                "the same form in both files, or mark this one with `!override`"
            ),
        ),
        (
            {
                "compose.yaml": "services:\n  a:\n    image: x\n    image: y\n  b: {image: y}\n",
                "compose.override.yaml": "services:\n  a:\n    image: [x]\n",
            },
            (
                "compose.override.yaml:3:5: services.a.image: must be text, not a list | see the "
                "Compose Specification for the forms of this key\n"
                "compose.yaml:4:5: the key 'image' is already on line 3 | keep one of the two"
            ),
        ),
        (
            "services:\n  a:\n    image: x\n    volumes:\n      - type: bind\n",
            "compose.yaml:5:9: the volume has no `target` | name the path in the container",
        ),
        (
            "services:\n  a:\n    image: x\n    devices: [{source: x}]\n",
            "compose.yaml:4:15: the device has no `target` | name the path in the container",
        ),
        (
            "services:\n  a:\n    image: x\n    ports: [{published: 80}]\n",
            ("compose.yaml:4:13: the port has no `target` | `target` is the port inside the container"),
        ),
        (
            "services:\n  a:\n    image: x\n    env_file: [{required: true}]\n",
            "compose.yaml:4:16: the env_file has no `path` | name the file with `path`",
        ),
        (
            "services:\n  a:\n    image: x\n    expose: [true]\n",
            "compose.yaml:4:14: a port is expected here, not true | write the port as a number",
        ),
        (
            "services:\n  a:\n    image: x\n    expose: [1.5]\n",
            "compose.yaml:4:14: a port is expected here, not 1.5 | write the port as a number",
        ),
        (
            "services:\n  a:\n    image: x\n    cap_add: [[a]]\n",
            "compose.yaml:4:15: text is expected here, not [a] | put it in quotes",
        ),
        (
            "services:\n  a:\n    image: x\n    configs: [{target: t}]\n",
            (
                "compose.yaml:4:15: services.a: the config '' is not defined | add it under the "
                "top-level `configs:`"
            ),
        ),
        (
            {
                "compose.yaml": "services: {a: {image: x}}\nx-a: {b: 1}\n",
                "compose.override.yaml": "x-a: [1]\n",
            },
            (
                "compose.override.yaml:1:1: a mapping cannot be overridden by another type | use the "
                "same form in both files, or mark this one with `!override`"
            ),
        ),
        (
            {
                "compose.yaml": "services: {a: {image: x}}\nx-a: [1]\n",
                "compose.override.yaml": "x-a: {b: 1}\n",
            },
            (
                "compose.override.yaml:1:1: a list cannot be overridden by another type | use the "
                "same form in both files, or mark this one with `!override`"
            ),
        ),
        (
            {
                "compose.yaml": "services: {a: {image: x}}\nnetworks: {n: {labels: [a=1]}}\n",
                "compose.override.yaml": "networks:\n  n: {labels: [{a: 1}]}\n",
            },
            (
                "compose.override.yaml:2:16: text is expected here, not map[a:1] | write KEY=VALUE, "
                "or leave the dash out"
            ),
        ),
        (
            {
                "compose.yaml": "services: {a: {image: x}}\nnetworks: {n: {labels: [a=1]}}\n",
                "compose.override.yaml": "networks:\n  n: {labels: [1]}\n",
            },
            "compose.override.yaml:2:16: text is expected here, not 1 | put it in quotes",
        ),
        (
            {
                "compose.yaml": ("services: {a: {image: x}}\nnetworks: {n: {ipam: {config: [[1]]}}}\n"),
                "compose.override.yaml": "networks:\n  n: {ipam: {config: [a]}}\n",
            },
            (
                "compose.override.yaml:2:23: networks.n.ipam.config.0: must be a mapping, not text | "
                "see the Compose Specification for the forms of this key\n"
                "compose.yaml:2:32: networks.n.ipam.config.0: must be a mapping, not a list | see "
                "the Compose Specification for the forms of this key"
            ),
        ),
        (
            {
                "compose.yaml": "services: {a: {image: x}}\nvolumes: {v: {driver: d}}\n",
                "compose.override.yaml": "volumes: {v: [x]}\n",
            },
            (
                "compose.override.yaml:1:11: a mapping cannot be overridden by another type | use "
                "the same form in both files, or mark this one with `!override`"
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
                "compose.yaml": "services:\n  a:\n    image: x\n    command: a\n  b: {image: y}\n",
                "compose.override.yaml": "services:\n  a:\n    command: [b]\n",
            },
            (
                "{command@compose.override.yaml:3:5 "
                "['b'@compose.override.yaml:3:15]@compose.override.yaml:3:14, image@3:5 'x', "
                "networks@compose.override.yaml:2:3 {default@compose.override.yaml:2:3 "
                "None}@compose.override.yaml:2:3}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": (
                    "services:\n  a:\n    image: x\n    environment: [A=1, B=2]\n  b: {image: y}\n"
                ),
                "compose.override.yaml": "services:\n  a:\n    environment: {B: 3, C: }\n",
            },
            (
                "{environment@compose.override.yaml:3:5 {A@4:19 '1', B@compose.override.yaml:3:19 "
                "'3', C@compose.override.yaml:3:25 None}@compose.override.yaml:3:5, image@3:5 'x', "
                "networks@compose.override.yaml:2:3 {default@compose.override.yaml:2:3 "
                "None}@compose.override.yaml:2:3}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": ("services:\n  a:\n    image: x\n    environment: {A: 1}\n  b: {image: y}\n"),
                "compose.override.yaml": "services:\n  a:\n    environment: [A=2, D]\n",
            },
            (
                "{environment@compose.override.yaml:3:5 {A@compose.override.yaml:3:19 '2', "
                "D@compose.override.yaml:3:24 None}@compose.override.yaml:3:5, image@3:5 'x', "
                "networks@compose.override.yaml:2:3 {default@compose.override.yaml:2:3 "
                "None}@compose.override.yaml:2:3}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": ("services:\n  a:\n    image: x\n    labels: {a: b}\n  b: {image: y}\n"),
                "compose.override.yaml": "services:\n  a:\n    labels: [c]\n",
            },
            (
                "{image@3:5 'x', labels@compose.override.yaml:3:5 {a@4:14 'b', "
                "c@compose.override.yaml:3:14 ''}@3:5, networks@compose.override.yaml:2:3 "
                "{default@compose.override.yaml:2:3 None}@compose.override.yaml:2:3}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": ("services:\n  a:\n    image: x\n    cap_add: [A, B]\n  b: {image: y}\n"),
                "compose.override.yaml": "services:\n  a:\n    cap_add: [B, C]\n",
            },
            (
                "{cap_add@compose.override.yaml:3:5 ['A'@4:15, 'B'@4:18, "
                "'C'@compose.override.yaml:3:18]@4:14, image@3:5 'x', "
                "networks@compose.override.yaml:2:3 {default@compose.override.yaml:2:3 "
                "None}@compose.override.yaml:2:3}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": (
                    "services:\n  a:\n    image: x\n    ports: ['80', '81:82']\n  b: {image: y}\n"
                ),
                "compose.override.yaml": (
                    "services:\n  a:\n    ports: ['80', {target: 82, published: '81'}]\n"
                ),
            },
            (
                "{image@3:5 'x', networks@compose.override.yaml:2:3 "
                "{default@compose.override.yaml:2:3 None}@compose.override.yaml:2:3, "
                "ports@compose.override.yaml:3:5 [{mode@compose.override.yaml:3:13 'ingress', "
                "protocol@compose.override.yaml:3:13 'tcp', target@compose.override.yaml:3:13 "
                "80}@compose.override.yaml:3:13@compose.override.yaml:3:13, "
                "{mode@compose.override.yaml:3:19 'ingress', protocol@compose.override.yaml:3:19 "
                "'tcp', published@compose.override.yaml:3:32 '81', target@compose.override.yaml:3:20 "
                "82}@compose.override.yaml:3:19@compose.override.yaml:3:19]@compose.override.yaml:3:5"
                "}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": ("services:\n  a:\n    image: x\n    volumes: ['/a:/b']\n  b: {image: y}\n"),
                "compose.override.yaml": "services:\n  a:\n    volumes: ['/c:/b', /d]\n",
            },
            (
                "{image@3:5 'x', networks@compose.override.yaml:2:3 "
                "{default@compose.override.yaml:2:3 None}@compose.override.yaml:2:3, "
                "volumes@compose.override.yaml:3:5 [{bind@compose.override.yaml:3:15 "
                "{create_host_path@compose.override.yaml:3:15 True}@compose.override.yaml:3:15, "
                "source@compose.override.yaml:3:15 '/c', target@compose.override.yaml:3:15 '/b', "
                "type@compose.override.yaml:3:15 "
                "'bind'}@compose.override.yaml:3:15@compose.override.yaml:3:15, "
                "{target@compose.override.yaml:3:24 '/d', type@compose.override.yaml:3:24 "
                "'volume'}@compose.override.yaml:3:24@compose.override.yaml:3:24]@4:14}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": (
                    "services:\n"
                    "  a:\n"
                    "    image: x\n"
                    "    volumes: [{type: bind, source: /a, target: /b}]\n"
                    "  b: {image: y}\n"
                ),
                "compose.override.yaml": "services:\n  a:\n    volumes: ['/c:/b:ro']\n",
            },
            (
                "{image@3:5 'x', networks@compose.override.yaml:2:3 "
                "{default@compose.override.yaml:2:3 None}@compose.override.yaml:2:3, "
                "volumes@compose.override.yaml:3:5 [{bind@compose.override.yaml:3:15 "
                "{create_host_path@compose.override.yaml:3:15 True}@compose.override.yaml:3:15, "
                "read_only@compose.override.yaml:3:15 True, source@compose.override.yaml:3:15 '/c', "
                "target@compose.override.yaml:3:15 '/b', type@compose.override.yaml:3:15 "
                "'bind'}@compose.override.yaml:3:15@compose.override.yaml:3:15]@4:14}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": ("services:\n  a:\n    image: x\n    devices: ['/a:/b']\n  b: {image: y}\n"),
                "compose.override.yaml": "services:\n  a:\n    devices: ['/c:/b', '/d']\n",
            },
            (
                "{devices@compose.override.yaml:3:5 [{permissions@compose.override.yaml:3:15 'rwm', "
                "source@compose.override.yaml:3:15 '/c', target@compose.override.yaml:3:15 "
                "'/b'}@compose.override.yaml:3:15@compose.override.yaml:3:15, "
                "{permissions@compose.override.yaml:3:24 'rwm', source@compose.override.yaml:3:24 "
                "'/d', target@compose.override.yaml:3:24 "
                "'/d'}@compose.override.yaml:3:24@compose.override.yaml:3:24]@4:14, image@3:5 'x', "
                "networks@compose.override.yaml:2:3 {default@compose.override.yaml:2:3 "
                "None}@compose.override.yaml:2:3}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": ("services:\n  a:\n    image: x\n    depends_on: [b]\n  b: {image: y}\n"),
                "compose.override.yaml": (
                    "services:\n  a:\n    depends_on: {b: {condition: service_healthy}}\n"
                ),
            },
            (
                "{depends_on@compose.override.yaml:3:5 {b@compose.override.yaml:3:18 "
                "{condition@compose.override.yaml:3:22 'service_healthy', required@4:18 "
                "True}@4:18}@4:17, image@3:5 'x', networks@compose.override.yaml:2:3 "
                "{default@compose.override.yaml:2:3 None}@compose.override.yaml:2:3}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": ("services:\n  a:\n    image: x\n    networks: [default]\n  b: {image: y}\n"),
                "compose.override.yaml": "services:\n  a:\n    networks: {default: {aliases: [x]}}\n",
            },
            (
                "{image@3:5 'x', networks@compose.override.yaml:3:5 "
                "{default@compose.override.yaml:3:16 {aliases@compose.override.yaml:3:26 "
                "['x'@compose.override.yaml:3:36]@compose.override.yaml:3:35}@compose.override.yaml:3"
                ":25}@4:15}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": (
                    "services:\n  a:\n    image: x\n    networks: {default: {priority: 1}}\n  b: {image: y}\n"
                ),
                "compose.override.yaml": "services:\n  a:\n    networks: [default]\n",
            },
            (
                "{image@3:5 'x', networks@compose.override.yaml:3:5 "
                "{default@compose.override.yaml:3:16 {priority@4:26 1}@4:25}@4:15}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": (
                    "services:\n"
                    "  a:\n"
                    "    image: x\n"
                    "    logging: {driver: d, options: {a: b}}\n"
                    "  b: {image: y}\n"
                ),
                "compose.override.yaml": "services:\n  a:\n    logging: {options: {c: d}}\n",
            },
            (
                "{image@3:5 'x', logging@compose.override.yaml:3:5 {driver@4:15 'd', "
                "options@compose.override.yaml:3:15 {a@4:36 'b', c@compose.override.yaml:3:25 "
                "'d'}@compose.override.yaml:3:15}@4:14, networks@compose.override.yaml:2:3 "
                "{default@compose.override.yaml:2:3 None}@compose.override.yaml:2:3}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": (
                    "services:\n"
                    "  a:\n"
                    "    image: x\n"
                    "    logging: {driver: d, options: {a: b}}\n"
                    "  b: {image: y}\n"
                ),
                "compose.override.yaml": "services:\n  a:\n    logging: {driver: e}\n",
            },
            (
                "{image@3:5 'x', logging@compose.override.yaml:3:5 "
                "{driver@compose.override.yaml:3:15 'e'}@compose.override.yaml:3:14, "
                "networks@compose.override.yaml:2:3 {default@compose.override.yaml:2:3 "
                "None}@compose.override.yaml:2:3}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": (
                    "services:\n"
                    "  a:\n"
                    "    image: x\n"
                    "    ulimits: {n: 1, m: {soft: 1, hard: 2}}\n"
                    "  b: {image: y}\n"
                ),
                "compose.override.yaml": (
                    "services:\n  a:\n    ulimits: {n: {soft: 3, hard: 4}, m: {soft: 2}}\n"
                ),
            },
            (
                "{image@3:5 'x', networks@compose.override.yaml:2:3 "
                "{default@compose.override.yaml:2:3 None}@compose.override.yaml:2:3, "
                "ulimits@compose.override.yaml:3:5 {n@compose.override.yaml:3:15 "
                "{hard@compose.override.yaml:3:28 4, soft@compose.override.yaml:3:19 "
                "3}@compose.override.yaml:3:18, m@compose.override.yaml:3:38 {hard@4:34 2, "
                "soft@compose.override.yaml:3:42 2}@4:24}@4:14}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": "services:\n  a:\n    image: x\n    build: .\n  b: {image: y}\n",
                "compose.override.yaml": "services:\n  a:\n    build: {args: {A: 1}}\n",
            },
            (
                "{build@compose.override.yaml:3:5 {args@compose.override.yaml:3:13 "
                "{A@compose.override.yaml:3:20 '1'}@compose.override.yaml:3:13, context@4:5 '.', "
                "dockerfile@4:5 'Dockerfile'}@4:5, image@3:5 'x', networks@compose.override.yaml:2:3 "
                "{default@compose.override.yaml:2:3 None}@compose.override.yaml:2:3}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": (
                    "services:\n  a:\n    image: x\n    build: {context: c, target: t}\n  b: {image: y}\n"
                ),
                "compose.override.yaml": "services:\n  a:\n    build: d\n",
            },
            (
                "{build@compose.override.yaml:3:5 {context@compose.override.yaml:3:5 './d', "
                "dockerfile@4:12 'Dockerfile', target@4:25 't'}@4:12, image@3:5 'x', "
                "networks@compose.override.yaml:2:3 {default@compose.override.yaml:2:3 "
                "None}@compose.override.yaml:2:3}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": (
                    "services:\n  a:\n    image: x\n    build: {context: c, target: t}\n  b: {image: y}\n"
                ),
                "compose.override.yaml": "services:\n  a:\n    build:\n",
            },
            (
                "{build@compose.override.yaml:3:5 {context@4:13 './c', dockerfile@4:12 'Dockerfile', "
                "target@4:25 't'}@4:12, image@3:5 'x', networks@compose.override.yaml:2:3 "
                "{default@compose.override.yaml:2:3 None}@compose.override.yaml:2:3}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": ("services:\n  a:\n    image: x\n    dns: 1.1.1.1\n  b: {image: y}\n"),
                "compose.override.yaml": "services:\n  a:\n    dns: [2.2.2.2, 1.1.1.1]\n",
            },
            (
                "{dns@compose.override.yaml:3:5 ['1.1.1.1'@4:5, "
                "'2.2.2.2'@compose.override.yaml:3:11]@4:5, image@3:5 'x', "
                "networks@compose.override.yaml:2:3 {default@compose.override.yaml:2:3 "
                "None}@compose.override.yaml:2:3}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": "services:\n  a:\n    image: x\n    tmpfs: /a\n  b: {image: y}\n",
                "compose.override.yaml": "services:\n  a:\n    tmpfs: /b\n",
            },
            (
                "{image@3:5 'x', networks@compose.override.yaml:2:3 "
                "{default@compose.override.yaml:2:3 None}@compose.override.yaml:2:3, "
                "tmpfs@compose.override.yaml:3:5 ['/a'@compose.override.yaml:3:5, "
                "'/b'@compose.override.yaml:3:5]@compose.override.yaml:3:5}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": ("services:\n  a:\n    image: x\n    env_file: e.env\n  b: {image: y}\n"),
                "compose.override.yaml": "services:\n  a:\n    env_file: [{path: f.env, required: false}]\n",
                "e.env": "A=1",
            },
            (
                "{env_file@compose.override.yaml:3:5 [{path@4:5 './e.env', required@4:5 "
                "True}@4:5@4:5, {path@compose.override.yaml:3:17 './f.env', "
                "required@compose.override.yaml:3:30 "
                "False}@compose.override.yaml:3:16@compose.override.yaml:3:16]@4:5, environment@3:5 "
                "{A@e.env:1:0 '1'}@3:5, image@3:5 'x', networks@compose.override.yaml:2:3 "
                "{default@compose.override.yaml:2:3 None}@compose.override.yaml:2:3}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": (
                    "services:\n"
                    "  a:\n"
                    "    image: x\n"
                    "    extra_hosts: {a: [1.1.1.1, 2.2.2.2]}\n"
                    "  b: {image: y}\n"
                ),
                "compose.override.yaml": "services:\n  a:\n    extra_hosts: [b=3.3.3.3]\n",
            },
            (
                "{extra_hosts@compose.override.yaml:3:5 ['a=1.1.1.1'@compose.override.yaml:3:5, "
                "'a=2.2.2.2'@compose.override.yaml:3:5, "
                "'b=3.3.3.3'@compose.override.yaml:3:5]@compose.override.yaml:3:5, image@3:5 'x', "
                "networks@compose.override.yaml:2:3 {default@compose.override.yaml:2:3 "
                "None}@compose.override.yaml:2:3}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": (
                    "services:\n  a:\n    image: x\n    healthcheck: {test: x, retries: 1}\n  b: {image: y}\n"
                ),
                "compose.override.yaml": "services:\n  a:\n    healthcheck: {test: [CMD, y]}\n",
            },
            (
                "{healthcheck@compose.override.yaml:3:5 {retries@4:28 1, "
                "test@compose.override.yaml:3:19 ['CMD'@compose.override.yaml:3:26, "
                "'y'@compose.override.yaml:3:31]@compose.override.yaml:3:25}@4:18, image@3:5 'x', "
                "networks@compose.override.yaml:2:3 {default@compose.override.yaml:2:3 "
                "None}@compose.override.yaml:2:3}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": (
                    "services:\n"
                    "  a:\n"
                    "    image: x\n"
                    "    deploy: {labels: {a: b}, replicas: 1}\n"
                    "  b: {image: y}\n"
                ),
                "compose.override.yaml": "services:\n  a:\n    deploy: {labels: [c=d], replicas: 0}\n",
            },
            (
                "{deploy@compose.override.yaml:3:5 {labels@compose.override.yaml:3:14 {a@4:23 'b', "
                "c@compose.override.yaml:3:23 'd'}@compose.override.yaml:3:14, "
                "replicas@compose.override.yaml:3:29 0}@4:13, image@3:5 'x', "
                "networks@compose.override.yaml:2:3 {default@compose.override.yaml:2:3 "
                "None}@compose.override.yaml:2:3}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": "services:\n  a:\n    image: x\n    tty: true\n  b: {image: y}\n",
                "compose.override.yaml": "services:\n  a:\n    image:\n",
            },
            (
                "{image@compose.override.yaml:3:5 'x', networks@compose.override.yaml:2:3 "
                "{default@compose.override.yaml:2:3 None}@compose.override.yaml:2:3, tty@4:5 True}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": ("services:\n  a:\n    image: x\n    annotations: {a: b}\n  b: {image: y}\n"),
                "compose.override.yaml": "services:\n  a:\n    annotations: {a: c, d: e}\n",
            },
            (
                "{annotations@compose.override.yaml:3:5 {a@compose.override.yaml:3:19 'c', "
                "d@compose.override.yaml:3:25 'e'}@compose.override.yaml:3:5, image@3:5 'x', "
                "networks@compose.override.yaml:2:3 {default@compose.override.yaml:2:3 "
                "None}@compose.override.yaml:2:3}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": ("services:\n  a:\n    image: x\n    sysctls: {a: 1}\n  b: {image: y}\n"),
                "compose.override.yaml": "services:\n  a:\n    sysctls: [a=2]\n",
            },
            (
                "{image@3:5 'x', networks@compose.override.yaml:2:3 "
                "{default@compose.override.yaml:2:3 None}@compose.override.yaml:2:3, "
                "sysctls@compose.override.yaml:3:5 {a@compose.override.yaml:3:15 "
                "'2'}@compose.override.yaml:3:5}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": (
                    "services:\n"
                    "  a:\n"
                    "    image: x\n"
                    "    configs: [{source: c, target: /x}]\n"
                    "  b: {image: y}\n"
                    "configs: {c: {file: f}, d: {file: f}}\n"
                ),
                "compose.override.yaml": "services:\n  a:\n    configs: [{source: d, target: /x}, c]\n",
            },
            (
                "{configs@compose.override.yaml:3:5 [{source@compose.override.yaml:3:16 'd', "
                "target@compose.override.yaml:3:27 "
                "'/x'}@compose.override.yaml:3:15@compose.override.yaml:3:15, "
                "{source@compose.override.yaml:3:40 "
                "'c'}@compose.override.yaml:3:40@compose.override.yaml:3:40]@4:14, image@3:5 'x', "
                "networks@compose.override.yaml:2:3 {default@compose.override.yaml:2:3 "
                "None}@compose.override.yaml:2:3}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": (
                    "services:\n"
                    "  a:\n"
                    "    image: x\n"
                    "    secrets: [c]\n"
                    "  b: {image: y}\n"
                    "secrets: {c: {file: f}, d: {file: f}}\n"
                ),
                "compose.override.yaml": (
                    "services:\n"
                    "  a:\n"
                    "    secrets: [{source: c, target: t}, {source: d, target: /run/secrets/c}]\n"
                ),
            },
            (
                "{image@3:5 'x', networks@compose.override.yaml:2:3 "
                "{default@compose.override.yaml:2:3 None}@compose.override.yaml:2:3, "
                "secrets@compose.override.yaml:3:5 [{source@compose.override.yaml:3:40 'd', "
                "target@compose.override.yaml:3:51 "
                "'/run/secrets/c'}@compose.override.yaml:3:39@compose.override.yaml:3:39, "
                "{source@compose.override.yaml:3:16 'c', target@compose.override.yaml:3:27 "
                "'t'}@compose.override.yaml:3:15@compose.override.yaml:3:15]@4:14}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": ("services:\n  a:\n    image: x\n    expose: [80]\n  b: {image: y}\n"),
                "compose.override.yaml": "services:\n  a:\n    expose: ['80', 81]\n",
            },
            (
                "{expose@compose.override.yaml:3:5 ['80'@compose.override.yaml:3:14, "
                "'81'@compose.override.yaml:3:20]@4:13, image@3:5 'x', "
                "networks@compose.override.yaml:2:3 {default@compose.override.yaml:2:3 "
                "None}@compose.override.yaml:2:3}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": ("services:\n  a:\n    image: x\n    user: !reset u\n  b: {image: y}\n"),
                "compose.override.yaml": "services:\n  a:\n    user: v\n",
            },
            (
                "{image@3:5 'x', networks@compose.override.yaml:2:3 "
                "{default@compose.override.yaml:2:3 None}@compose.override.yaml:2:3, "
                "user@compose.override.yaml:3:5 'v'}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": ("services:\n  a:\n    image: x\n    cap_add: [A]\n  b: {image: y}\n"),
                "compose.override.yaml": "services:\n  a:\n    cap_add: !override [B]\n",
            },
            (
                "{cap_add@compose.override.yaml:3:5 "
                "['B'@compose.override.yaml:3:25]@compose.override.yaml:3:14, image@3:5 'x', "
                "networks@compose.override.yaml:2:3 {default@compose.override.yaml:2:3 "
                "None}@compose.override.yaml:2:3}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": ("services:\n  a:\n    image: x\n    cap_add: [A]\n  b: {image: y}\n"),
                "compose.override.yaml": "services:\n  a:\n    cap_add: !reset\n",
            },
            (
                "{image@3:5 'x', networks@compose.override.yaml:2:3 "
                "{default@compose.override.yaml:2:3 None}@compose.override.yaml:2:3}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": "services:\n  a:\n    image: x\n    links: [b]\n  b: {image: y}\n",
                "compose.override.yaml": "services:\n  a:\n    links: [b, 'b:c']\n",
            },
            (
                "{depends_on@3:5 {b@4:13 {condition@4:13 'service_started', required@4:13 True, "
                "restart@4:13 True}@4:13}@compose.override.yaml:2:3, image@3:5 'x', "
                "links@compose.override.yaml:3:5 ['b'@4:13, 'b:c'@compose.override.yaml:3:16]@4:12, "
                "networks@compose.override.yaml:2:3 {default@compose.override.yaml:2:3 "
                "None}@compose.override.yaml:2:3}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": ("services:\n  a:\n    image: x\n    stop_signal: A\n  b: {image: y}\n"),
                "compose.override.yaml": "services:\n  a:\n    stop_signal: B\n",
            },
            (
                "{image@3:5 'x', networks@compose.override.yaml:2:3 "
                "{default@compose.override.yaml:2:3 None}@compose.override.yaml:2:3, "
                "stop_signal@compose.override.yaml:3:5 'B'}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": (
                    "services:\n"
                    "  a:\n"
                    "    image: x\n"
                    "    depends_on: {b: {condition: service_healthy, restart: true}}\n"
                    "  b: {image: y}\n"
                ),
                "compose.override.yaml": "services:\n  a:\n    depends_on: [b]\n",
            },
            (
                "{depends_on@compose.override.yaml:3:5 {b@compose.override.yaml:3:18 "
                "{condition@compose.override.yaml:3:18 'service_started', "
                "required@compose.override.yaml:3:18 True, restart@4:50 True}@4:21}@4:17, image@3:5 "
                "'x', networks@compose.override.yaml:2:3 {default@compose.override.yaml:2:3 "
                "None}@compose.override.yaml:2:3}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": (
                    "services:\n  a:\n    image: x\n    depends_on: [b]\n  b: {image: y}\n  c: {image: z}\n"
                ),
                "compose.override.yaml": "services:\n  a:\n    depends_on: [c]\n",
            },
            (
                "{depends_on@compose.override.yaml:3:5 {b@4:18 {condition@4:18 'service_started', "
                "required@4:18 True}@4:18, c@compose.override.yaml:3:18 "
                "{condition@compose.override.yaml:3:18 'service_started', "
                "required@compose.override.yaml:3:18 True}@compose.override.yaml:3:18}@4:17, "
                "image@3:5 'x', networks@compose.override.yaml:2:3 "
                "{default@compose.override.yaml:2:3 None}@compose.override.yaml:2:3}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": ("services:\n  a:\n    image: x\n    depends_on: [b]\n  b: {image: y}\n"),
                "compose.override.yaml": "services:\n  a:\n    depends_on: b\n",
            },
            (
                "{depends_on@compose.override.yaml:3:5 {b@compose.override.yaml:3:5 "
                "{condition@compose.override.yaml:3:5 'service_started', "
                "required@compose.override.yaml:3:5 True}@4:18}@4:17, image@3:5 'x', "
                "networks@compose.override.yaml:2:3 {default@compose.override.yaml:2:3 "
                "None}@compose.override.yaml:2:3}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": ("services:\n  a:\n    image: x\n    networks: [default]\n  b: {image: y}\n"),
                "compose.override.yaml": "services:\n  a:\n    networks:\n",
            },
            "{image@3:5 'x', networks@compose.override.yaml:3:5 {default@4:16 None}@4:15}@3:5",
        ),
        (
            {
                "compose.yaml": (
                    "services:\n"
                    "  a:\n"
                    "    image: x\n"
                    "    build: {context: ., args: [A=1], labels: {a: b}}\n"
                    "  b: {image: y}\n"
                ),
                "compose.override.yaml": "services:\n  a:\n    build: {args: {A: 2}, labels: [c=d]}\n",
            },
            (
                "{build@compose.override.yaml:3:5 {args@compose.override.yaml:3:13 "
                "{A@compose.override.yaml:3:20 '2'}@compose.override.yaml:3:13, context@4:13 '.', "
                "dockerfile@4:12 'Dockerfile', labels@compose.override.yaml:3:27 {a@4:47 'b', "
                "c@compose.override.yaml:3:36 'd'}@compose.override.yaml:3:27}@4:12, image@3:5 'x', "
                "networks@compose.override.yaml:2:3 {default@compose.override.yaml:2:3 "
                "None}@compose.override.yaml:2:3}@3:5"
            ),
        ),
        (
            (
                "services:\n"
                "  a:\n"
                "    image: x\n"
                "    ports: [{target: 80, published: 1}, {target: 80, published: 2}, {target: 80, "
                "published: '2'}, {target: 80, published: 2, host_ip: 1.1.1.1}, {target: 80, "
                "published: 2, protocol: udp}, {target: 80, published: 2, host_ip: 0.0.0.0, "
                "protocol: tcp}]\n"
            ),
            (
                "{image@3:5 'x', networks@2:3 {default@2:3 None}@2:3, ports@4:5 [{mode@4:13 "
                "'ingress', protocol@4:13 'tcp', published@4:26 '1', target@4:14 80}@4:13@4:13, "
                "{host_ip@4:215 '0.0.0.0', mode@4:188 'ingress', protocol@4:233 'tcp', "
                "published@4:201 '2', target@4:189 80}@4:188@4:188, {mode@4:69 'ingress', "
                "protocol@4:69 'tcp', published@4:82 '2', target@4:70 80}@4:69@4:69, {host_ip@4:126 "
                "'1.1.1.1', mode@4:99 'ingress', protocol@4:99 'tcp', published@4:112 '2', "
                "target@4:100 80}@4:99@4:99, {mode@4:145 'ingress', protocol@4:172 'udp', "
                "published@4:158 '2', target@4:146 80}@4:145@4:145]@4:5}@3:5"
            ),
        ),
        (
            "services:\n  a:\n    image: x\n    cap_add: [A, B, A]\n",
            (
                "{cap_add@4:5 ['A'@4:21, 'B'@4:18]@4:14, image@3:5 'x', networks@2:3 {default@2:3 "
                "None}@2:3}@3:5"
            ),
        ),
        (
            {
                "compose.yaml": (
                    "services:\n"
                    "  a:\n"
                    "    image: x\n"
                    "    models: [m]\n"
                    "  b: {image: y}\n"
                    "models: {m: {model: x}}\n"
                ),
                "compose.override.yaml": "services:\n  a:\n    models: {m: {endpoint_var: E}}\n",
            },
            (
                "{image@3:5 'x', models@compose.override.yaml:3:5 {m@compose.override.yaml:3:14 "
                "{endpoint_var@compose.override.yaml:3:18 'E'}@compose.override.yaml:3:17}@4:13, "
                "networks@compose.override.yaml:2:3 {default@compose.override.yaml:2:3 "
                "None}@compose.override.yaml:2:3}@3:5"
            ),
        ),
    ],
)
def test_a_later_file_is_laid_over_an_earlier_one(files: Files, form: str) -> None:
    """Two files must be merged by Compose's rules, and each entry stand where it was written last."""
    assert outline(load(files).services["a"]) == form


@pytest.mark.parametrize(
    ("files", "form"),
    [
        (
            {
                "compose.yaml": (
                    "services: {a: {image: x}}\n"
                    "networks: {n: {ipam: {config: [{subnet: 10.1.0.0/16, gateway: 10.1.0.1}]}}}\n"
                ),
                "compose.override.yaml": (
                    "networks:\n  n: {ipam: {config: [{subnet: 10.1.0.0/16, gateway: 10.1.0.2}]}}\n"
                ),
            },
            (
                "{ipam@compose.override.yaml:2:7 {config@compose.override.yaml:2:14 "
                "[{gateway@compose.override.yaml:2:45 '10.1.0.2', subnet@compose.override.yaml:2:24 "
                "'10.1.0.0/16'}@2:32@compose.override.yaml:2:23]@2:31}@2:22, name@2:15 'app_n'}@2:15"
            ),
        ),
        (
            {
                "compose.yaml": (
                    "services: {a: {image: x}}\nnetworks: {n: {ipam: {config: [{subnet: 10.1.0.0/16}]}}}\n"
                ),
                "compose.override.yaml": "networks:\n  n: {ipam: {config: [{subnet: 10.2.0.0/16}]}}\n",
            },
            (
                "{ipam@compose.override.yaml:2:7 {config@compose.override.yaml:2:14 "
                "[{subnet@compose.override.yaml:2:24 "
                "'10.2.0.0/16'}@compose.override.yaml:2:23@compose.override.yaml:2:23]@2:31}@2:22, "
                "name@2:15 'app_n'}@2:15"
            ),
        ),
        (
            {
                "compose.yaml": (
                    "services: {a: {image: x}}\n"
                    "networks: {n: {ipam: {config: [{subnet: 10.1.0.0/16}, {subnet: 10.2.0.0/16}]}}}\n"
                ),
                "compose.override.yaml": (
                    "networks:\n"
                    "  n: {ipam: {config: [{subnet: 10.2.0.0/16, gateway: 10.2.0.9}, {subnet: "
                    "10.3.0.0/16}]}}\n"
                ),
            },
            (
                "{ipam@compose.override.yaml:2:7 {config@compose.override.yaml:2:14 "
                "[{gateway@compose.override.yaml:2:45 '10.2.0.9', subnet@compose.override.yaml:2:66 "
                "'10.3.0.0/16'}@2:55@compose.override.yaml:2:23, {subnet@compose.override.yaml:2:66 "
                "'10.3.0.0/16'}@compose.override.yaml:2:65@compose.override.yaml:2:65]@2:31}@2:22, "
                "name@2:15 'app_n'}@2:15"
            ),
        ),
        (
            {
                "compose.yaml": "services: {a: {image: x}}\nnetworks: {n: {labels: {a: b}}}\n",
                "compose.override.yaml": "networks:\n  n: {labels: [a=c, d]}\n",
            },
            (
                "{labels@compose.override.yaml:2:7 {a@compose.override.yaml:2:16 'c', "
                "d@compose.override.yaml:2:21 ''}@compose.override.yaml:2:7, name@2:15 'app_n'}@2:15"
            ),
        ),
        (
            {
                "compose.yaml": "services: {a: {image: x}}\nnetworks: {n: {driver_opts: {a: b}}}\n",
                "compose.override.yaml": "networks:\n  n: {driver_opts: {a: c, d: e}}\n",
            },
            (
                "{driver_opts@compose.override.yaml:2:7 {a@compose.override.yaml:2:21 'c', "
                "d@compose.override.yaml:2:27 'e'}@compose.override.yaml:2:7, name@2:15 'app_n'}@2:15"
            ),
        ),
        (
            {
                "compose.yaml": (
                    "services: {a: {image: x}}\nnetworks: {n: {ipam: {driver: d, options: {a: b}}}}\n"
                ),
                "compose.override.yaml": "networks:\n  n: {ipam: {options: {a: c}}}\n",
            },
            (
                "{ipam@compose.override.yaml:2:7 {driver@2:23 'd', "
                "options@compose.override.yaml:2:14 {a@compose.override.yaml:2:24 "
                "'c'}@compose.override.yaml:2:14}@2:22, name@2:15 'app_n'}@2:15"
            ),
        ),
    ],
)
def test_address_pools_are_merged_by_subnet(files: Files, form: str) -> None:
    """Address pools of one subnet must be merged, and others be added."""
    assert outline(load(files).networks["n"]) == form


def test_a_service_is_laid_over_at_its_own_place() -> None:
    """A value alone must be merged as the list or mapping that it means."""
    place = Place("f", 7)
    assert outline(merge.sequence("x", place)) == "['x'@f:7:0]@f:7:0"
    assert outline(merge.sequence(5, place)) == "[]@f:7:0"
    entries = Map([("b", 1), ("a", List(["x", True])), ("c", None)], Place("f", 8))
    assert (
        outline(merge.sequence(entries, place))
        == "['a=x'@f:8:0, 'a=true'@f:8:0, 'b=1'@f:8:0, 'c'@f:8:0]@f:7:0"
    )


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, 1, True),
        (1, 1.0, False),
        (1, True, False),
        ([1], [1], True),
        ([1], [2], False),
        ({"a": [1]}, {"a": [1]}, True),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ([], {}, False),
    ],
)
def test_values_are_the_same_if_they_print_the_same(one: object, other: object, same: bool) -> None:
    """Two values must count as the same only if their text is the same."""
    assert merge.same(one, other) is same
