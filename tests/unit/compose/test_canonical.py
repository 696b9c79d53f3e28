"""The canonical form: how values and services are written, and what is left out."""

from __future__ import annotations

import re

import pytest

from agent.compose import canonical
from agent.compose.canonical import _float, _text
from tests.unit.compose.loading import Files, load, service

SHARED = """\
  b: {image: y}
  p: {image: z, profiles: [p]}
  q: {build: ., profiles: [p]}
volumes: {v: , vol: , w: }
"""


def of_service(text: str) -> str:
    """What the canonical form says of the service `a`, which is its first."""
    found = re.search(r"^  a:\n((?:    .*\n)*)", text, re.MULTILINE)
    assert found is not None
    return found[1]


@pytest.mark.parametrize(
    ("line", "form"),
    [
        (
            "command: [\"yes\", 'a b', x]",
            (
                "    command:\n"
                '      - "yes"\n'
                '      - "a b"\n'
                "      - x\n"
                "    image: x\n"
                "    networks:\n"
                "      default: null\n"
            ),
        ),
        (
            (
                "volumes: ['/a:/b', '/a:/b:ro,z', 'vol:/t:nocopy', 'vol:/u', /anon, {type: bind, "
                "source: /a, target: /c, bind: {create_host_path: false}}, {type: bind, source: /a, "
                "target: '/c:d', bind: {}}, {type: tmpfs, target: /e}, {type: volume, source: v, "
                "target: /f, volume: {nocopy: true, subpath: s}}, {type: volume, source: v, target: "
                "/g, read_only: true, volume: {}}, {type: bind, source: ./h, target: /i, bind: "
                "{propagation: rslave, selinux: Z}}, {type: bind, source: /, target: /j, bind: {}}, "
                "{type: bind, source: /k, target: /l, bind: {create_host_path: true, recursive: "
                "enabled}}, {type: volume, source: v, target: /m, consistency: c, volume: {}}, "
                "{type: bind, source: /n, target: /, bind: {}}]"
            ),
            (
                "    image: x\n"
                "    networks:\n"
                "      default: null\n"
                "    volumes:\n"
                '      - "/a:/b:ro,z"\n'
                "      - vol:/t:nocopy\n"
                "      - vol:/u\n"
                "      - target: /anon\n"
                "        type: volume\n"
                "        volume: {}\n"
                "      - bind:\n"
                "          create_host_path: false\n"
                "        source: /a\n"
                "        target: /c\n"
                "        type: bind\n"
                "      - bind:\n"
                "          create_host_path: true\n"
                "        source: /a\n"
                "        target: /c:d\n"
                "        type: bind\n"
                "      - target: /e\n"
                "        type: tmpfs\n"
                "      - source: v\n"
                "        target: /f\n"
                "        type: volume\n"
                "        volume:\n"
                "          nocopy: true\n"
                "          subpath: s\n"
                "      - read_only: true\n"
                "        source: v\n"
                "        target: /g\n"
                "        type: volume\n"
                "        volume: {}\n"
                '      - "./h:/i:Z,rslave"\n'
                "      - bind:\n"
                "          create_host_path: true\n"
                "        source: /\n"
                "        target: /j\n"
                "        type: bind\n"
                "      - bind:\n"
                "          create_host_path: true\n"
                "          recursive: enabled\n"
                "        source: /k\n"
                "        target: /l\n"
                "        type: bind\n"
                "      - consistency: c\n"
                "        source: v\n"
                "        target: /m\n"
                "        type: volume\n"
                "        volume: {}\n"
                "      - bind:\n"
                "          create_host_path: true\n"
                "        source: /n\n"
                "        target: /\n"
                "        type: bind\n"
            ),
        ),
        (
            (
                "devices: ['/a', '/a:/b:r', {source: a, target: 'b:c', permissions: r}, {source: a, "
                "target: b}, {source: a, target: '', permissions: r}]"
            ),
            (
                "    devices:\n"
                "      - /a:/a:rwm\n"
                "      - /a:/b:r\n"
                "      - permissions: r\n"
                "        source: a\n"
                "        target: b:c\n"
                "      - source: a\n"
                "        target: b\n"
                "      - permissions: r\n"
                "        source: a\n"
                '        target: ""\n'
                "    image: x\n"
                "    networks:\n"
                "      default: null\n"
            ),
        ),
        (
            "env_file: [e.env, {path: e.env, required: false}, {path: e.env, format: raw}]",
            (
                "    env_file:\n"
                "      - format: raw\n"
                "        path: ./e.env\n"
                "        required: true\n"
                "    environment:\n"
                '      E: "1"\n'
                "    image: x\n"
                "    networks:\n"
                "      default: null\n"
            ),
        ),
        (
            ("ports: [80, {target: 81, mode: '', protocol: ''}, {target: 82, published: '83', name: n}]"),
            (
                "    image: x\n"
                "    networks:\n"
                "      default: null\n"
                "    ports:\n"
                "      - mode: ingress\n"
                "        protocol: tcp\n"
                "        target: 80\n"
                '      - mode: ""\n'
                '        protocol: ""\n'
                "        target: 81\n"
                "      - mode: ingress\n"
                '        name: "n"\n'
                "        protocol: tcp\n"
                '        published: "83"\n'
                "        target: 82\n"
            ),
        ),
        (
            (
                "depends_on: {b: {condition: service_started}, p: {condition: service_healthy, "
                "required: false, restart: true}}"
            ),
            (
                "    depends_on:\n"
                "      b:\n"
                "        condition: service_started\n"
                "      p:\n"
                "        condition: service_healthy\n"
                "        required: false\n"
                "        restart: true\n"
                "    image: x\n"
                "    networks:\n"
                "      default: null\n"
            ),
        ),
        (
            "environment: {A: , B: '', C: 'x$$y', D: 1.5}",
            (
                "    environment:\n"
                '      B: ""\n'
                '      C: "x$$y"\n'
                '      D: "1.5"\n'
                "      A: null\n"
                "    image: x\n"
                "    networks:\n"
                "      default: null\n"
            ),
        ),
        (
            "environment: ['=x', A]",
            ('    environment:\n      - "=x"\n      - A\n    image: x\n    networks:\n      default: null\n'),
        ),
        ("cpus: 1.5", "    cpus: 1.5\n    image: x\n    networks:\n      default: null\n"),
        (
            "x-a: [1e21, 1.5e-9, .inf, -.inf, 2.0, 1e300, 1e-5, 1.5e300]",
            (
                "    image: x\n"
                "    networks:\n"
                "      default: null\n"
                "    x-a:\n"
                "      - 1.0e+21\n"
                "      - 1.5e-09\n"
                "      - .inf\n"
                "      - -.inf\n"
                "      - 2.0\n"
                "      - 1.0e+300\n"
                "      - 1.0e-05\n"
                "      - 1.5e+300\n"
            ),
        ),
        (
            "x-a: {a: {}, b: [], c: [{}, [], [1, [2]], {d: e, f: [g]}], h: null, i: true, j: false}",
            (
                "    image: x\n"
                "    networks:\n"
                "      default: null\n"
                "    x-a:\n"
                "      a: {}\n"
                "      b: []\n"
                "      c:\n"
                "        - {}\n"
                "        - []\n"
                "        - - 1\n"
                "          - - 2\n"
                "        - d: e\n"
                "          f:\n"
                "            - g\n"
                "      h: null\n"
                "      i: true\n"
                "      j: false\n"
            ),
        ),
        (
            "deploy: {resources: {limits: {memory: 1k}}}\n    mem_limit: 1k",
            (
                "    deploy:\n"
                "      resources:\n"
                "        limits:\n"
                '          memory: "1024"\n'
                "    image: x\n"
                "    mem_limit: 1024\n"
                "    networks:\n"
                "      default: null\n"
            ),
        ),
        (
            "build: {context: ., additional_contexts: {k: 'service:q'}}",
            (
                "    build:\n"
                "      additional_contexts:\n"
                "        k: service:q\n"
                '      context: "."\n'
                "      dockerfile: Dockerfile\n"
                "    image: x\n"
                "    networks:\n"
                "      default: null\n"
            ),
        ),
        (
            (
                "labels: {a: './x', b: '../x', c: 'a:b', d: 'a:', e: ':a', f: '/x', g: '1a', h: "
                "null, i: 'NO', j: 'é', k: \"a\\nb\", l: \"\\x7f\\x85\\u2028\\ufeff\", m: 'a b', n: '-x', o: "
                "'x#', p: ON, q: 'a@b=c+d', r: '.a', s: '', t: _x, u: 'y', v: \"\\\"\"}"
            ),
            (
                "    image: x\n"
                "    labels:\n"
                "      a: ./x\n"
                "      b: ../x\n"
                "      c: a:b\n"
                '      d: "a:"\n'
                '      e: ":a"\n'
                "      f: /x\n"
                '      g: "1a"\n'
                '      h: ""\n'
                '      i: "NO"\n'
                '      j: "é"\n'
                '      k: "a\\nb"\n'
                '      l: "\\u007f\\u0085\\u2028\\ufeff"\n'
                '      m: "a b"\n'
                '      "n": "-x"\n'
                '      o: "x#"\n'
                '      p: "ON"\n'
                "      q: a@b=c+d\n"
                '      r: ".a"\n'
                '      s: ""\n'
                "      t: _x\n"
                '      u: "y"\n'
                '      v: "\\""\n'
                "    networks:\n"
                "      default: null\n"
            ),
        ),
        ("x-a: !!float 3", "    image: x\n    networks:\n      default: null\n    x-a: 3.0\n"),
        (
            "tty: false\n    init: false",
            ("    image: x\n    init: false\n    networks:\n      default: null\n"),
        ),
        (
            "volumes: ['\\\\a:/b']",
            ('    image: x\n    networks:\n      default: null\n    volumes:\n      - "\\\\\\\\a:/b"\n'),
        ),
        (
            "entrypoint: []\n    command:",
            ("    entrypoint: []\n    image: x\n    networks:\n      default: null\n"),
        ),
    ],
)
def test_a_service_is_written_so_that_all_versions_read_it(line: str, form: str) -> None:
    """Short forms must be written where they mean the same, and text be quoted where it is needed."""
    files = {"compose.yaml": service(line) + SHARED, "e.env": "E=1"}
    assert of_service(canonical(load(files))) == form


@pytest.mark.parametrize(
    ("files", "form"),
    [
        (
            ("name: shop\nx-a: {b: $$c}\nservices: {a: {image: x}}\nconfigs: {c: {content: x}}\n"),
            (
                "name: shop\n"
                "services:\n"
                "  a:\n"
                "    image: x\n"
                "    networks:\n"
                "      default: null\n"
                "networks:\n"
                "  default:\n"
                "    name: shop_default\n"
                "x-a:\n"
                '  b: "$$c"\n'
            ),
        ),
        (
            (
                "services: {b: {image: x}, a: {image: y, configs: [c, d], secrets: [s], networks: "
                "[n], models: [m], volumes: ['vol:/v'], build: {context: ., secrets: [t]}}}\n"
                "configs: {c: {content: x}, d: {external: true}, e: {content: y}}\n"
                "secrets: {s: {file: f}, t: {environment: E}, u: {file: g}}\n"
                "networks: {n: {driver: d}, o: {}}\n"
                "models: {m: {model: x}, l: {model: y}}\n"
                "volumes: {vol: , w: }\n"
                "x-b: 1\n"
                "x-a:\n"
            ),
            (
                "name: app\n"
                "services:\n"
                "  a:\n"
                "    build:\n"
                '      context: "."\n'
                "      dockerfile: Dockerfile\n"
                "      secrets:\n"
                "        - source: t\n"
                "    configs:\n"
                "      - source: c\n"
                "      - source: d\n"
                '    image: "y"\n'
                "    models:\n"
                "      m: null\n"
                "    networks:\n"
                '      "n": null\n'
                "    secrets:\n"
                "      - source: s\n"
                "        target: /run/secrets/s\n"
                "    volumes:\n"
                "      - vol:/v\n"
                "  b:\n"
                "    image: x\n"
                "    networks:\n"
                "      default: null\n"
                "networks:\n"
                "  default:\n"
                "    name: app_default\n"
                '  "n":\n'
                "    driver: d\n"
                "    name: app_n\n"
                "volumes:\n"
                "  vol:\n"
                "    name: app_vol\n"
                "configs:\n"
                "  c:\n"
                "    content: x\n"
                "    name: app_c\n"
                "  d:\n"
                "    external: true\n"
                "    name: d\n"
                "secrets:\n"
                "  s:\n"
                "    file: ./f\n"
                "    name: app_s\n"
                "  t:\n"
                "    environment: E\n"
                "    name: app_t\n"
                "models:\n"
                "  m:\n"
                "    model: x\n"
                "x-b: 1\n"
                "x-a: null\n"
            ),
        ),
        (
            (
                "services: {a: {image: x, depends_on: {b: {condition: service_started, required: "
                "false}}}, b: {image: y, profiles: [p]}, c: {image: z, profiles: [p], depends_on: "
                "[b]}}\n"
            ),
            (
                "name: app\n"
                "services:\n"
                "  a:\n"
                "    depends_on:\n"
                "      b:\n"
                "        condition: service_started\n"
                "        required: false\n"
                "    image: x\n"
                "    networks:\n"
                "      default: null\n"
                "  b:\n"
                '    image: "y"\n'
                "    networks:\n"
                "      default: null\n"
                "    profiles:\n"
                "      - p\n"
                "networks:\n"
                "  default:\n"
                "    name: app_default\n"
            ),
        ),
        (
            (
                "services: {a: {build: {context: ., additional_contexts: {x: 'service:b', y: ./c}}}, "
                "b: {build: ., profiles: [p]}}\n"
            ),
            (
                "name: app\n"
                "services:\n"
                "  a:\n"
                "    build:\n"
                "      additional_contexts:\n"
                "        x: service:b\n"
                '        "y": ./c\n'
                '      context: "."\n'
                "      dockerfile: Dockerfile\n"
                "    networks:\n"
                "      default: null\n"
                "  b:\n"
                "    build:\n"
                '      context: "."\n'
                "      dockerfile: Dockerfile\n"
                "    networks:\n"
                "      default: null\n"
                "    profiles:\n"
                "      - p\n"
                "networks:\n"
                "  default:\n"
                "    name: app_default\n"
            ),
        ),
    ],
)
def test_a_project_is_written_with_what_its_services_use(files: Files, form: str) -> None:
    """The sections must be written in a fixed order, with what an active service uses and nothing else."""
    assert canonical(load(files)) == form


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("", '""'),
        ("a", "a"),
        ("a b", '"a b"'),
        ("yes", '"yes"'),
        ("Null", '"Null"'),
        ("1", '"1"'),
        ("a:b", "a:b"),
        ("a:", '"a:"'),
        (":a", '":a"'),
        ("./a", "./a"),
        ("../a", "../a"),
        (".a", '".a"'),
        (".../a", '".../a"'),
        ("/", "/"),
        ("_", "_"),
        ("a\n", '"a\\n"'),
        ("\x7f", '"\\u007f"'),
        ("\u2028x", '"\\u2028x"'),
        ("é", '"é"'),
        ("$x", '"$x"'),
        ("a$", '"a$"'),
        ("-", '"-"'),
        ("a-b", "a-b"),
        ("a,b", '"a,b"'),
        ("true ", '"true "'),
        ("TRUE", '"TRUE"'),
        ("n", '"n"'),
        ("N", '"N"'),
        ("off", '"off"'),
        ("x\uffff", '"x\\uffff"'),
        ("\x80\x9f\xa0", '"\\u0080\\u009f\xa0"'),
    ],
)
def test_text_is_quoted_where_it_could_be_something_else(text: str, written: str) -> None:
    """Text must be plain only where every reader takes it for the same text."""
    assert _text(text) == written


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (1.0, "1.0"),
        (1.5, "1.5"),
        (1e21, "1.0e+21"),
        (1.5e21, "1.5e+21"),
        (-1e21, "-1.0e+21"),
        (1e-07, "1.0e-07"),
        (1.25e-07, "1.25e-07"),
        (float("inf"), ".inf"),
        (float("-inf"), "-.inf"),
        (float("nan"), ".nan"),
        (-0.0, "-0.0"),
        (1e16, "1.0e+16"),
    ],
)
def test_floats_keep_their_type(value: float, written: str) -> None:
    """A float must be written so that every reader takes it for a float."""
    assert _float(value) == written
