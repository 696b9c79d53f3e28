"""The published schemas of the fleet repository agree with what the loader takes."""

from __future__ import annotations

import json

import jsonschema
import pytest
import yaml

from agent.cli.schema import schema_text
from agent.render.layerfile import read_layer_files
from agent.render.layers import read_fleet
from agent.render.problems import Problems
from tests.fakes.tree import MemoryTree

FLEET = """
layers:
  - base
  - path: roles/web
    when: {role: web, ring: [canary, "e*"], tier: 1, spare: true}
  - path: sites/{site}
    optional: true
  - path: hosts/{host}
vars: {ntp_server: ntp.example.org, deep: {list: [1, 2]}}
"""
LAYER = """
vars: {workers: 4}
apps:
  shop: {directory: /opt/shop}
files:
  /etc/nginx/nginx.conf:
    mode: "0644"
    owner: root
    group: 33
    check: nginx -t -c {file}
    on_change: [restart shop/web, "signal:HUP shop/web", recreate shop/db]
  /etc/nginx/*.d/**: {mode: "640", check: [nginx, -c, "{file}"], on_change: restart shop/web}
  /srv/data: {type: directory, mode: "0750", owner: app}
  /etc/motd: {type: symlink, target: /run/motd}
  /etc/old.conf: {state: absent}
checks:
  shop-answers: {http: "http://127.0.0.1:8080/healthz", status: 204, within: 1m30s}
  db-port: {tcp: "127.0.0.1:5432", timeout: 5s}
  six: {tcp: "[::1]:5432"}
  own: {exec: [/usr/local/bin/check-it], timeout: 500ms}
"""
BAD_FLEET = [
    "layer: [base]",
    "layers: [{when: {role: web}}]",
    "layers: [/etc]",
    "layers: [{path: base, optional: 1}]",
    "layers: [{path: base, when: {role: {a: b}}}]",
    "layers: [7]",
    "layers: [{path: base, unless: {a: b}}]",
    "vars: [1]",
]
BAD_LAYER = [
    "var: {a: 1}",
    "apps: {shop: {dir: /x}}",
    "apps: {shop: {directory: opt/shop}}",
    "files: {etc/x: {mode: '0644'}}",
    "files: {/etc/x: {mode: 0644}}",
    "files: {/etc/x: {mode: '0999'}}",
    "files: {/etc/x: {type: file, target: /y}}",
    "files: {/etc/x: {type: symlink}}",
    "files: {/etc/x: {type: pipe}}",
    "files: {/etc/x: {state: gone}}",
    "files: {/etc/x: {on_change: [restart]}}",
    "files: {/etc/x: {on_change: [restart web]}}",
    "files: {/etc/x: {check: []}}",
    "checks: {a: {}}",
    "checks: {a: {http: ftp://x}}",
    "checks: {a: {tcp: '5432'}}",
    "checks: {a: {exec: [1]}}",
    "checks: {a: {tcp: 'h:1', status: 200}}",
    "checks: {a: {http: 'http://h/', tcp: 'h:1'}}",
    "checks: {a: {http: 'http://h/', status: 99}}",
    "checks: {a: {http: 'http://h/', timeout: 5}}",
    "checks: {a: {http: 'http://h/', timeout: soon}}",
]


def schema_takes(name: str, document: str) -> bool:
    return jsonschema.Draft202012Validator(json.loads(schema_text(name))).is_valid(yaml.safe_load(document))


def loader_takes(name: str, document: str) -> bool:
    tree, problems = MemoryTree({f"{name}.yaml": document.encode()}), Problems()
    if name == "fleet":
        read_fleet(tree, "", problems)
    else:
        read_layer_files(tree, ("",), problems)
    return not problems.errors


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("fleet", FLEET),
        ("fleet", "{}"),
        ("fleet", "layers: [base]"),
        ("fleet", "layers: base"),
        ("layer", LAYER),
        ("layer", "{}"),
        ("layer", "vars:"),
    ],
)
def test_both_take_what_is_right(name: str, document: str) -> None:
    """What the loader takes must be valid by the schema, so that an editor marks nothing that works."""
    assert loader_takes(name, document)
    assert schema_takes(name, document)


@pytest.mark.parametrize(
    ("name", "document"), [*(("fleet", d) for d in BAD_FLEET), *(("layer", d) for d in BAD_LAYER)]
)
def test_both_refuse_what_is_wrong(name: str, document: str) -> None:
    """What the loader refuses must be invalid by the schema, so that an editor shows it before the commit."""
    assert not loader_takes(name, document)
    assert not schema_takes(name, document)
