"""What the Compose Specification does not allow."""

from __future__ import annotations

from typing import Any

import pytest

from agent.compose.schema import _Compiler, validate
from tests.unit.compose.loading import Files, service, told


@pytest.mark.parametrize(
    ("files", "messages"),
    [
        (
            "foo: bar\nservices: {a: {image: x}}\n",
            ("compose.yaml:1:1: top level: unknown key 'foo' | remove it; keys of your own start with x-"),
        ),
        (
            "services: [x]\n",
            (
                "compose.yaml:1:1: services: must be a mapping, not a list | see the Compose "
                "Specification for the forms of this key"
            ),
        ),
        (
            "services: {a: 5}\n",
            (
                "compose.yaml:1:12: services.a: must be a mapping, not a whole number | see the "
                "Compose Specification for the forms of this key"
            ),
        ),
        (
            "services: {'a b': {image: x}}\n",
            (
                "compose.yaml:1:12: services.a b: the name 'a b' is not allowed | use letters, "
                "digits, dots, dashes and underscores"
            ),
        ),
        (
            ("services: {a: {image: x}}\nnetworks: {n: {foo: 1}}\nvolumes: {v: {driver: 1}}\n"),
            (
                "compose.yaml:2:16: networks.n: unknown key 'foo' | remove it; keys of your own "
                "start with x-\n"
                "compose.yaml:3:15: volumes.v.driver: must be text, not a whole number | put it in "
                "quotes"
            ),
        ),
        (
            "services: {a: {image: x}}\nsecrets: {s: {file: 1}}\nname: 5\n",
            (
                "compose.yaml:2:15: secrets.s.file: must be text, not a whole number | put it in "
                "quotes\n"
                "compose.yaml:3:1: name: must be text, not a whole number | put it in quotes"
            ),
        ),
        (
            "services: {a: {image: x}}\nconfigs: {c: {file: [f]}}\n",
            (
                "compose.yaml:2:15: configs.c.file: must be text, not a list | see the Compose "
                "Specification for the forms of this key"
            ),
        ),
        (
            ("services: {a: {image: x}}\nnetworks: {n: {ipam: {config: [{subnet: 1, foo: 2}]}}}\n"),
            (
                "compose.yaml:2:33: networks.n.ipam.config.0.subnet: must be text, not a whole "
                "number | put it in quotes\n"
                "compose.yaml:2:44: networks.n.ipam.config.0: unknown key 'foo' | remove it; keys of "
                "your own start with x-"
            ),
        ),
        (
            "services: {a: {image: x}}\nmodels: {m: {}}\n",
            "compose.yaml:2:10: models.m: the key 'model' is missing | add `model:`",
        ),
        (
            "services: {a: {image: x}}\nservicess: {}\n",
            "compose.yaml:2:1: top level: unknown key 'servicess' | did you mean 'services'?",
        ),
        (
            "services: {a: {image: x}}\nnetworks: {n: 5}\n",
            (
                "compose.yaml:2:12: networks.n: must be a mapping or nothing, not a whole number | "
                "see the Compose Specification for the forms of this key"
            ),
        ),
    ],
)
def test_a_mistake_is_told_with_its_place_and_remedy(files: Files, messages: str) -> None:
    """A mistake must be told at its place, with what is wrong and what to do."""
    assert told(files) == messages


@pytest.mark.parametrize(
    ("line", "messages"),
    [
        ("image: 5", "compose.yaml:4:5: the key 'image' is already on line 3 | keep one of the two"),
        ("image: [x]", "compose.yaml:4:5: the key 'image' is already on line 3 | keep one of the two"),
        ("image:", "compose.yaml:4:5: the key 'image' is already on line 3 | keep one of the two"),
        ("imgae: x", "compose.yaml:4:5: services.a: unknown key 'imgae' | did you mean 'image'?"),
        (
            "zzz: x",
            ("compose.yaml:4:5: services.a: unknown key 'zzz' | remove it; keys of your own start with x-"),
        ),
        (
            "ports: 80",
            (
                "compose.yaml:4:5: services.a.ports: must be a list, not a whole number | see the "
                "Compose Specification for the forms of this key"
            ),
        ),
        (
            "ports: {a: b}",
            (
                "compose.yaml:4:5: services.a.ports: must be a list, not a mapping | see the Compose "
                "Specification for the forms of this key"
            ),
        ),
        (
            "ports: [[1]]",
            (
                "compose.yaml:4:13: services.a.ports.0: must be a number, text or a mapping, not a "
                "list | see the Compose Specification for the forms of this key"
            ),
        ),
        ("dns: [1]", "compose.yaml:4:11: text is expected here, not 1 | put it in quotes"),
        (
            "oom_score_adj: 1001",
            "compose.yaml:4:5: services.a.oom_score_adj: must be at most 1000, not 1001 | lower it",
        ),
        (
            "oom_score_adj: -1001",
            ("compose.yaml:4:5: services.a.oom_score_adj: must be at least -1000, not -1001 | raise it"),
        ),
        (
            "cpus: .nan",
            (
                "compose.yaml:4:5: services.a.cpus: infinity and NaN are not allowed here | write a "
                "finite number, or quote the text"
            ),
        ),
        (
            "cpus: -.inf",
            (
                "compose.yaml:4:5: services.a.cpus: infinity and NaN are not allowed here | write a "
                "finite number, or quote the text"
            ),
        ),
        (
            "volumes: [{target: /t}]",
            "compose.yaml:4:15: services.a.volumes.0: the key 'type' is missing | add `type:`",
        ),
        (
            "volumes: [{type: zzz, target: /t}]",
            (
                "compose.yaml:4:16: services.a.volumes.0.type: must be one of bind, volume, tmpfs, "
                "cluster, npipe, image | choose one of them"
            ),
        ),
        (
            "container_name: a b",
            (
                "compose.yaml:4:5: services.a.container_name: 'a b' does not match "
                "[a-zA-Z0-9][a-zA-Z0-9_.-]+ | write it in that form"
            ),
        ),
        (
            "environment: {A: [x]}",
            (
                "compose.yaml:4:19: services.a.environment.A: must be text, a number, true or false "
                "or nothing, not a list | see the Compose Specification for the forms of this key"
            ),
        ),
        ("environment: [1]", "compose.yaml:4:19: text is expected here, not 1 | put it in quotes"),
        (
            "environment: 5",
            (
                "compose.yaml:4:5: services.a.environment: must be a mapping or a list, not a whole "
                "number | see the Compose Specification for the forms of this key"
            ),
        ),
        (
            "build: {contxt: x}",
            "compose.yaml:4:13: services.a.build: unknown key 'contxt' | did you mean 'context'?",
        ),
        (
            "build: 5",
            (
                "compose.yaml:4:5: services.a.build: must be text or a mapping, not a whole number | "
                "put it in quotes"
            ),
        ),
        (
            "networks: {n: {priority: x}}",
            (
                "compose.yaml:4:20: services.a.networks.n.priority: must be a number, not text | see "
                "the Compose Specification for the forms of this key"
            ),
        ),
        (
            "healthcheck: {zzz: 1}",
            (
                "compose.yaml:4:19: services.a.healthcheck: unknown key 'zzz' | remove it; keys of "
                "your own start with x-"
            ),
        ),
        (
            "healthcheck: {disable: 5}",
            (
                "compose.yaml:4:19: services.a.healthcheck.disable: must be true or false or text, "
                "not a whole number | put it in quotes"
            ),
        ),
        (
            "depends_on: {b: {}}",
            ("compose.yaml:4:18: services.a.depends_on.b: the key 'condition' is missing | add `condition:`"),
        ),
        (
            "depends_on: {b: {condition: zzz}}",
            (
                "compose.yaml:4:22: services.a.depends_on.b.condition: must be one of "
                "service_started, service_healthy, service_completed_successfully | choose one of them"
            ),
        ),
        (
            "ulimits: {a: {soft: 1}}",
            "compose.yaml:4:15: services.a.ulimits.a: the key 'hard' is missing | add `hard:`",
        ),
        (
            "ulimits: {a: 1.5}",
            (
                "compose.yaml:4:15: services.a.ulimits.a: must be a whole number, text or a mapping, "
                "not a number | put it in quotes"
            ),
        ),
        (
            "logging: 1.5",
            (
                "compose.yaml:4:5: services.a.logging: must be a mapping, not a number | see the "
                "Compose Specification for the forms of this key"
            ),
        ),
        (
            "command: {a: b}",
            (
                "compose.yaml:4:5: services.a.command: must be nothing, text or a list, not a "
                "mapping | see the Compose Specification for the forms of this key"
            ),
        ),
        (
            "tty: 5",
            (
                "compose.yaml:4:5: services.a.tty: must be true or false or text, not a whole number "
                "| put it in quotes"
            ),
        ),
        (
            "expose: [80.0, 80]",
            "compose.yaml:4:14: a port is expected here, not 80 | write the port as a number",
        ),
        (
            "secrets: [{source: 5}]",
            (
                "compose.yaml:4:16: services.a.secrets.0.source: must be text, not a whole number | "
                "put it in quotes"
            ),
        ),
        (
            "deploy: {replicas: 1.5}",
            (
                "compose.yaml:4:14: services.a.deploy.replicas: must be a whole number or text, not "
                "a number | put it in quotes"
            ),
        ),
        (
            "deploy: {mode: 1, zzz: 2}",
            (
                "compose.yaml:4:14: services.a.deploy.mode: must be text, not a whole number | put "
                "it in quotes\n"
                "compose.yaml:4:23: services.a.deploy: unknown key 'zzz' | remove it; keys of your "
                "own start with x-"
            ),
        ),
        (
            "labels: {'': x}",
            (
                "compose.yaml:4:14: services.a.labels.: the name '' is not allowed | use letters, "
                "digits, dots, dashes and underscores"
            ),
        ),
        (
            "extra_hosts: 5",
            (
                "compose.yaml:4:5: services.a.extra_hosts: must be a mapping or a list, not a whole "
                "number | see the Compose Specification for the forms of this key"
            ),
        ),
        ("env_file: [{}]", "compose.yaml:4:16: the env_file has no `path` | name the file with `path`"),
        (
            "credential_spec: {zzz: 1}",
            (
                "compose.yaml:4:23: services.a.credential_spec: unknown key 'zzz' | remove it; keys "
                "of your own start with x-"
            ),
        ),
        (
            "gpus: 5",
            (
                "compose.yaml:4:5: services.a.gpus: must be text or a list, not a whole number | put "
                "it in quotes"
            ),
        ),
        (
            "develop: {watch: [{action: zzz, path: p}]}",
            (
                "compose.yaml:4:24: services.a.develop.watch.0.action: must be one of rebuild, sync, "
                "restart, sync+restart, sync+exec | choose one of them"
            ),
        ),
        (
            "post_start: [{}]",
            ("compose.yaml:4:18: services.a.post_start.0: the key 'command' is missing | add `command:`"),
        ),
        (
            "blkio_config: {weight: x}",
            (
                "compose.yaml:4:20: services.a.blkio_config.weight: must be a number, not 'x' | "
                "correct the value"
            ),
        ),
        (
            "mem_swappiness: {a: b}",
            (
                "compose.yaml:4:5: services.a.mem_swappiness: must be a whole number or text, not a "
                "mapping | see the Compose Specification for the forms of this key"
            ),
        ),
        (
            "storage_opt: 5",
            (
                "compose.yaml:4:5: services.a.storage_opt: must be a mapping, not a whole number | "
                "see the Compose Specification for the forms of this key"
            ),
        ),
        (
            "stop_signal: true",
            ("compose.yaml:4:5: services.a.stop_signal: must be text, not true or false | put it in quotes"),
        ),
        (
            "links: {a: b}",
            (
                "compose.yaml:4:5: services.a.links: must be a list, not a mapping | see the Compose "
                "Specification for the forms of this key"
            ),
        ),
        (
            "dns: {a: b}",
            (
                "compose.yaml:4:5: services.a.dns: must be text or a list, not a mapping | see the "
                "Compose Specification for the forms of this key"
            ),
        ),
        ("provider: {}", "compose.yaml:4:5: services.a.provider: the key 'type' is missing | add `type:`"),
        (
            "extends: {}",
            (
                "compose.yaml:4:5: services.a.extends does not name a service | write `extends: "
                "{service: NAME}`, with `file:` for another file"
            ),
        ),
        (
            "env_file: [5]",
            (
                "compose.yaml:4:16: services.a.env_file.0: must be text or a mapping, not a whole "
                "number | put it in quotes"
            ),
        ),
        ("expose: [[a]]", "compose.yaml:4:14: a port is expected here, not [a] | write the port as a number"),
        (
            "isolation: .inf",
            (
                "compose.yaml:4:5: services.a.isolation: infinity and NaN are not allowed here | "
                "write a finite number, or quote the text"
            ),
        ),
    ],
)
def test_a_mistake_in_a_service_is_told_with_its_place_and_remedy(line: str, messages: str) -> None:
    """A mistake of a service must be told at its place, with what is wrong and what to do."""
    assert told(service(line)) == messages


@pytest.mark.parametrize(
    ("schema", "value", "found"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 5}, 0, ["must be at least 1, not 0 | raise it"]),
        ({"type": "integer", "minimum": 1, "maximum": 5}, 6, ["must be at most 5, not 6 | lower it"]),
        ({"type": "integer", "minimum": 1, "maximum": 5}, 1, []),
        ({"type": "integer", "minimum": 1, "maximum": 5}, 5, []),
        ({"type": "integer"}, 2.0, []),
        ({"type": "number"}, 2, []),
        ({"enum": ["a", 1]}, "b", ["must be one of a, 1 | choose one of them"]),
        (
            {"oneOf": [{"type": "string"}, {"type": "string"}]},
            "x",
            ["fits more than one form of this key | use one form"],
        ),
        ({"required": ["a", "b"], "type": "object"}, {"b": 1}, ["the key 'a' is missing | add `a:`"]),
        ({"pattern": "^a$", "type": "string"}, "a\n", ["'a\\n' does not match ^a$ | write it in that form"]),
        ({"pattern": "^a$", "type": "string"}, "a", []),
        (
            {
                "oneOf": [
                    {"type": "object", "properties": {"a": {"properties": {"b": {"type": "string"}}}}},
                    {"type": "object", "properties": {"z": {"type": "array"}}},
                ]
            },
            {"a": {"b": 1}, "z": 1},
            ["must be text, not a whole number | put it in quotes"],
        ),
        (
            {
                "oneOf": [{"type": "string"}, {"type": ["null", "string"]}, {"type": "array"}],
            },
            True,
            ["must be text, nothing or a list, not true or false | put it in quotes"],
        ),
    ],
)
def test_each_word_of_the_schema_is_applied(schema: dict[str, Any], value: Any, found: list[str]) -> None:
    """A value must be held to every word that the schema has for it."""
    rule = _Compiler(schema).rule(schema)
    told = [f"{message} | {hint}" for _, message, hint in validate(value, rule)]
    assert told == found
