"""What contradicts itself in a project, or names what is not there."""

from __future__ import annotations

import pytest

from tests.unit.compose.loading import Files, load, service, told


@pytest.mark.parametrize(
    ("files", "messages"),
    [
        (
            "services: {a: {}}\n",
            "compose.yaml:1:15: services.a has neither an image nor a build | add `image:`",
        ),
        (
            "services:\n  a:\n    command: c\n  b: {}\n",
            (
                "compose.yaml:3:5: services.a has neither an image nor a build | add `image:`\n"
                "compose.yaml:4:6: services.b has neither an image nor a build | add `image:`"
            ),
        ),
        (
            ("services:\n  b: {image: y, profiles: [p, q]}\n  a:\n    image: x\n    depends_on: [b]\n"),
            (
                "compose.yaml:5:18: services.a depends on 'b', which no active profile enables | "
                "activate one of its profiles (p, q), or set `required: false`"
            ),
        ),
        (
            (
                "services:\n"
                "  b: {image: y, profiles: [p, q]}\n"
                "  a:\n"
                "    image: x\n"
                "    depends_on: {b: {condition: service_started, required: true}}\n"
            ),
            (
                "compose.yaml:5:18: services.a depends on 'b', which no active profile enables | "
                "activate one of its profiles (p, q), or set `required: false`"
            ),
        ),
        (
            (
                "services:\n"
                "  a: {image: x, depends_on: [b]}\n"
                "  b: {image: x, depends_on: [c]}\n"
                "  c:\n"
                "    image: x\n"
                "    depends_on:\n"
                "      - a\n"
            ),
            (
                "compose.yaml:7:9: the services depend on one another in a circle: a -> b -> c -> a "
                "| break the circle"
            ),
        ),
        (
            (
                "services:\n"
                "  s00: {image: x, depends_on: [s01]}\n"
                "  s01: {image: x, depends_on: [s02]}\n"
                "  s02: {image: x, depends_on: [s03]}\n"
                "  s03: {image: x, depends_on: [s04]}\n"
                "  s04: {image: x, depends_on: [s05]}\n"
                "  s05: {image: x, depends_on: [s06]}\n"
                "  s06: {image: x, depends_on: [s07]}\n"
                "  s07: {image: x, depends_on: [s08]}\n"
                "  s08: {image: x, depends_on: [s09]}\n"
                "  s09: {image: x, depends_on: [s10]}\n"
                "  s10: {image: x, depends_on: [s00]}\n"
            ),
            (
                "compose.yaml:12:32: the services depend on one another in a circle: s00 -> s01 -> "
                "s02 -> s03 -> s04 -> s05 -> s06 -> s07 -> s08 -> s09 -> … -> s00 | break the circle"
            ),
        ),
        (
            (
                "services:\n"
                "  s00: {image: x, depends_on: [s01]}\n"
                "  s01: {image: x, depends_on: [s02]}\n"
                "  s02: {image: x, depends_on: [s03]}\n"
                "  s03: {image: x, depends_on: [s04]}\n"
                "  s04: {image: x, depends_on: [s05]}\n"
                "  s05: {image: x, depends_on: [s06]}\n"
                "  s06: {image: x, depends_on: [s07]}\n"
                "  s07: {image: x, depends_on: [s08]}\n"
                "  s08: {image: x, depends_on: [s09]}\n"
                "  s09: {image: x, depends_on: [s10]}\n"
                "  s10: {image: x, depends_on: [s11]}\n"
                "  s11: {image: x, depends_on: [s00]}\n"
            ),
            (
                "compose.yaml:13:32: the services depend on one another in a circle: s00 -> s01 -> "
                "s02 -> s03 -> s04 -> s05 -> s06 -> s07 -> s08 -> s09 -> … -> s00 | break the circle"
            ),
        ),
        (
            (
                "services:\n"
                "  a: {image: x, depends_on: [b, c]}\n"
                "  b: {image: x, depends_on: [a]}\n"
                "  c: {image: x, depends_on: [c]}\n"
                "  d: {image: x, depends_on: [a]}\n"
            ),
            (
                "compose.yaml:3:30: the services depend on one another in a circle: a -> b -> a | "
                "break the circle\n"
                "compose.yaml:4:30: the services depend on one another in a circle: c -> c | break "
                "the circle"
            ),
        ),
        (
            (
                "services: {a: {image: x}}\n"
                "secrets: {s: {environment: ''}, t: {driver: d}, u: {external: true}}\n"
            ),
            (
                "compose.yaml:2:11: secrets.s has no content | give it `file` or `environment`, or "
                "`external: true`\n"
                "compose.yaml:2:33: secrets.t has no content | give it `file` or `environment`, or "
                "`external: true`"
            ),
        ),
        (
            (
                "services:\n"
                "  a:\n"
                "    build: {context: ., additional_contexts: {k: 'service:b', l: 'service:c', m: "
                "'service:d'}}\n"
                "  b: {image: x}\n"
                "  d: {build: ., profiles: [p]}\n"
            ),
            (
                "compose.yaml:3:47: services.a.build.additional_contexts: 'b' is not a service with "
                "`build` | name a service that is built\n"
                "compose.yaml:3:63: services.a.build.additional_contexts: 'c' is not a service with "
                "`build` | name a service that is built"
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
        (
            "pull_policy: sometimes",
            (
                "compose.yaml:4:5: services.a.pull_policy: 'sometimes' does not match "
                "always|never|build|if_not_present|missing|refresh|daily|weekly|every_([0-9]+[wdhms])"
                "+ | write it in that form"
            ),
        ),
        (
            "pull_policy: every_",
            (
                "compose.yaml:4:5: services.a.pull_policy: 'every_' does not match "
                "always|never|build|if_not_present|missing|refresh|daily|weekly|every_([0-9]+[wdhms])"
                "+ | write it in that form"
            ),
        ),
        (
            "pull_policy: every_5x",
            (
                "compose.yaml:4:5: services.a.pull_policy: 'every_5x' does not match "
                "always|never|build|if_not_present|missing|refresh|daily|weekly|every_([0-9]+[wdhms])"
                "+ | write it in that form"
            ),
        ),
        (
            "pull_policy: dailyx",
            (
                "compose.yaml:4:5: services.a: unknown pull_policy 'dailyx' | use always, never, "
                "missing, build, refresh, daily, weekly or every_12h"
            ),
        ),
        (
            "healthcheck: {test: [curl]}",
            (
                "compose.yaml:4:19: services.a: the healthcheck's test starts with 'curl' | start "
                'the list with "CMD", "CMD-SHELL" or "NONE", or write the test as text'
            ),
        ),
        (
            "healthcheck: {test: [NONE, x], interval: 1s}\n    pull_policy: x",
            (
                "compose.yaml:5:5: services.a.pull_policy: 'x' does not match "
                "always|never|build|if_not_present|missing|refresh|daily|weekly|every_([0-9]+[wdhms])"
                "+ | write it in that form"
            ),
        ),
        (
            "build: {context: ., dockerfile: d, dockerfile_inline: FROM x}",
            (
                "compose.yaml:4:40: services.a.build: dockerfile and dockerfile_inline cannot be "
                "used together | keep one of them"
            ),
        ),
        (
            "platform: p\n    build:\n      context: .\n      platforms: [q]",
            (
                "compose.yaml:7:7: services.a.build.platforms does not have 'p', the service's "
                "`platform` | add p"
            ),
        ),
        (
            "network_mode: host\n    networks: [default]",
            (
                "compose.yaml:4:5: services.a: `network_mode` and `networks` cannot be used together "
                "| keep one of them\n"
                "compose.yaml:5:16: services.a: the network 'default' is not defined | add it under "
                "the top-level `networks:`"
            ),
        ),
        (
            "networks: [n]",
            (
                "compose.yaml:4:16: services.a: the network 'n' is not defined | add it under the "
                "top-level `networks:`"
            ),
        ),
        (
            "models: [m]",
            (
                "compose.yaml:4:14: services.a: the model 'm' is not defined | add it under the "
                "top-level `models:`"
            ),
        ),
        (
            "volumes: ['vol:/v']",
            (
                "compose.yaml:4:15: services.a: the volume 'vol' is not defined | add it under the "
                "top-level `volumes:`"
            ),
        ),
        (
            ("volumes:\n      - type: volume\n        source: sub/v\n        target: /v"),
            (
                "compose.yaml:6:9: services.a: the volume 'sub/v' is not defined | write ./sub/v for "
                "a directory"
            ),
        ),
        (
            "configs: [c]",
            (
                "compose.yaml:4:15: services.a: the config 'c' is not defined | add it under the "
                "top-level `configs:`"
            ),
        ),
        (
            "secrets: [s]",
            (
                "compose.yaml:4:15: services.a: the secret 's' is not defined | add it under the "
                "top-level `secrets:`"
            ),
        ),
        (
            "configs:\n      - target: t\n        source: c",
            (
                "compose.yaml:6:9: services.a: the config 'c' is not defined | add it under the "
                "top-level `configs:`"
            ),
        ),
        (
            "build: {context: ., secrets: [s]}",
            (
                "compose.yaml:4:35: services.a: the secret 's' is not defined | add it under the "
                "top-level `secrets:`"
            ),
        ),
        (
            "build: {context: ., additional_contexts: [k=service:zz]}",
            (
                "compose.yaml:4:47: services.a.build.additional_contexts: 'zz' is not a service with "
                "`build` | name a service that is built"
            ),
        ),
        (
            "depends_on: [zz]",
            (
                "compose.yaml:4:18: services.a depends on 'zz', which is not defined | define the "
                "service, or remove the dependency"
            ),
        ),
        (
            "depends_on:\n      zz: {condition: service_healthy}",
            (
                "compose.yaml:5:7: services.a depends on 'zz', which is not defined | define the "
                "service, or remove the dependency"
            ),
        ),
        (
            "links: [zz]",
            (
                "compose.yaml:4:13: services.a depends on 'zz', which is not defined | define the "
                "service, or remove the dependency"
            ),
        ),
        (
            "links: ['zz:b:c']",
            (
                "compose.yaml:4:13: services.a depends on 'zz:b:c', which is not defined | define "
                "the service, or remove the dependency"
            ),
        ),
        (
            ("build:\n      context: .\n      secrets:\n        - target: t\n          source: s"),
            (
                "compose.yaml:8:11: services.a: the secret 's' is not defined | add it under the "
                "top-level `secrets:`"
            ),
        ),
        (
            "network_mode: service:zz",
            (
                "compose.yaml:4:5: services.a depends on 'zz', which is not defined | define the "
                "service, or remove the dependency"
            ),
        ),
        (
            "volumes_from: [zz]",
            (
                "compose.yaml:4:20: services.a depends on 'zz', which is not defined | define the "
                "service, or remove the dependency"
            ),
        ),
        (
            "scale: 2\n    deploy: {replicas: 3}",
            (
                "compose.yaml:4:5: services.a: `scale` and `deploy.replicas` differ | keep one, or "
                "give both the same value"
            ),
        ),
        ("scale: -1", "compose.yaml:4:5: services.a: scale must not be negative, but is -1 | use 0 or more"),
        (
            "deploy:\n      replicas: -2",
            "compose.yaml:5:7: services.a: replicas must not be negative, but is -2 | use 0 or more",
        ),
        (
            "scale: -1\n    deploy: {replicas: -1}",
            (
                "compose.yaml:4:5: services.a: replicas must not be negative, but is -1 | use 0 or "
                "more\n"
                "compose.yaml:4:5: services.a: scale must not be negative, but is -1 | use 0 or more"
            ),
        ),
        (
            "scale: 2\n    container_name: cc",
            (
                "compose.yaml:5:5: services.a: 2 containers cannot share one container_name | remove "
                "container_name, or run one container"
            ),
        ),
        (
            "container_name: cc\n    deploy: {replicas: 2}",
            (
                "compose.yaml:4:5: services.a: 2 containers cannot share one container_name | remove "
                "container_name, or run one container"
            ),
        ),
        (
            "scale: 0\n    container_name: cc\n    deploy: {replicas: 2}",
            (
                "compose.yaml:4:5: services.a: `scale` and `deploy.replicas` differ | keep one, or "
                "give both the same value"
            ),
        ),
        (
            "cpus: 1\n    deploy: {resources: {limits: {cpus: '2'}}}",
            (
                "compose.yaml:4:5: services.a: `cpus` and `deploy.resources.limits.cpus` differ | "
                "keep one, or give both the same value"
            ),
        ),
        (
            "mem_limit: 1k\n    deploy: {resources: {limits: {memory: 2k}}}",
            (
                "compose.yaml:4:5: services.a: `mem_limit` and `deploy.resources.limits.memory` "
                "differ | keep one, or give both the same value"
            ),
        ),
        (
            "pids_limit: 1\n    deploy: {resources: {limits: {pids: 2}}}",
            (
                "compose.yaml:4:5: services.a: `pids_limit` and `deploy.resources.limits.pids` "
                "differ | keep one, or give both the same value"
            ),
        ),
        (
            ("mem_reservation: 1k\n    deploy: {resources: {reservations: {memory: 2k}}}"),
            (
                "compose.yaml:4:5: services.a: `mem_reservation` and "
                "`deploy.resources.reservations.memory` differ | keep one, or give both the same value"
            ),
        ),
        (
            "mem_limit: 1k\n    deploy: {resources: {limits: {cpus: '2'}}}",
            (
                "compose.yaml:4:5: services.a: `mem_limit` and `deploy.resources.limits.memory` "
                "differ | keep one, or give both the same value"
            ),
        ),
        (
            (
                "develop: {watch: [{path: p, action: sync}, {path: q, action: rebuild}, {path: r, "
                "action: sync+restart}]}"
            ),
            "compose.yaml:4:23: services.a.develop.watch: an entry has no target | add `target:`",
        ),
        (
            "tmpfs: [/t, '/t:size=1']",
            "compose.yaml:4:17: services.a: '/t' is mounted twice | keep one of the two",
        ),
        (
            ("tmpfs:\n      - /t\n    volumes:\n      - /u\n      - type: tmpfs\n        target: /t"),
            "compose.yaml:8:9: services.a: '/t' is mounted twice | keep one of the two",
        ),
    ],
)
def test_a_mistake_in_a_service_is_told_with_its_place_and_remedy(line: str, messages: str) -> None:
    """A mistake of a service must be told at its place, with what is wrong and what to do."""
    assert told(service(line)) == messages


@pytest.mark.parametrize(
    "line",
    [
        "pull_policy: every_12h30m",
        "pull_policy: refresh",
        "pull_policy: if_not_present",
        "healthcheck: {test: [NONE]}",
        "healthcheck: {test: [CMD, x]}",
        "healthcheck: {test: [CMD-SHELL, x]}",
        "scale: 2\n    deploy: {replicas: 2}",
        "scale: 1\n    container_name: cc",
        "scale: 0\n    container_name: cc",
        "deploy: {replicas: 0}",
        "cpus: 1.5\n    deploy: {resources: {limits: {cpus: '1.5'}}}",
        "mem_limit: 1k\n    deploy: {resources: {limits: {memory: 1k}}}",
        ("mem_limit: 1k\n    deploy: {resources: {reservations: {memory: 2k}}}"),
        "platform: p\n    build: {context: ., platforms: [p, q]}",
        "build: {context: ., additional_contexts: [k=service:b]}",
        "depends_on: {p: {condition: service_started, required: false}}",
        "develop: {watch: [{path: p, action: rebuild}, {path: p, action: restart}]}",
        "volumes: [/a, /b]",
        "depends_on: [b]",
    ],
)
def test_what_fits_together_is_loaded(line: str) -> None:
    """What does not contradict itself must be loaded, however near it comes to a mistake."""
    shared = "  b: {build: .}\n  p: {image: x, profiles: [p]}\n"
    assert list(load(service(line) + shared).services) == ["a", "b"]
